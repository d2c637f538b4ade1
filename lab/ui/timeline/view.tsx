/** The guest's accesses: the timeline, the counts, and both as a file. */
import { hex } from 'commonhv';
import { isScanStep, type Tally } from 'commonhv/trace';
import { useState } from 'preact/hooks';
import { CPUID, RDMSR, WRMSR } from '../../model/protocol.ts';
import type { Store } from '../../model/store.ts';
import { callName } from '../../model/text.ts';
import { exported } from '../../state/export.ts';
import type { Session } from '../../state/session.ts';
import { download } from '../files.ts';
import { Section } from '../section.tsx';
import { Reader } from './reader.tsx';
import type { TimelineChart } from './timeline-chart.ts';

/** Rows of the table of counts; a guest that asks for everything has a long one. */
const MAX_ROWS = 200;

export function TimelineView({ machine }: { machine: Session | undefined }) {
  const [chart, setChart] = useState<TimelineChart>();
  const tally = machine?.tally.value;
  return (
    <Section
      id="timeline"
      title="Timeline"
      lead={<Summary machine={machine} />}
      aside={
        <div class="toolbar">
          <button type="button" disabled={!machine?.askable} onClick={() => void machine?.scan()}>
            Search the old way
          </button>
          <button
            type="button"
            disabled={!tally}
            onClick={async () => machine && download(await exported(machine), 'commonhv-trace.json')}
          >
            Export JSON
          </button>
        </div>
      }
    >
      {machine && (
        <>
          <ChartBar chart={chart} scans={machine.store.scans.length} />
          <Reader machine={machine} handle={setChart} />
          {tally && <Beyond store={machine.store} />}
        </>
      )}
      {tally && <Counts tally={tally} scanned={(machine?.store.scanned ?? 0) > 0} />}
    </Section>
  );
}

function ChartBar({ chart, scans }: { chart: TimelineChart | undefined; scans: number }) {
  return (
    <div class="toolbar small" role="group" aria-label="The span that the timeline shows">
      <button type="button" onClick={() => chart?.zoom(0.5)}>
        Zoom in
      </button>
      <button type="button" onClick={() => chart?.zoom(2)}>
        Zoom out
      </button>
      <button type="button" onClick={() => chart?.pan(-0.5)}>
        Earlier
      </button>
      <button type="button" onClick={() => chart?.pan(0.5)}>
        Later
      </button>
      <button type="button" onClick={() => chart?.all()}>
        All
      </button>
      {scans > 0 && (
        <button type="button" onClick={() => chart?.scan()}>
          The scan
        </button>
      )}
      <span class="hint">Drag over it to zoom in, double-click for all.</span>
    </div>
  );
}

function Summary({ machine }: { machine: Session | undefined }) {
  // With the chart, which draws the same store: its counts are of the same moment.
  if (machine === undefined || machine.grown.value === 0)
    return <>Every CPUID, RDMSR and WRMSR of the guest, as it comes.</>;
  const { scanned, counts } = machine.store;
  const { commonhv, cost } = machine.seen.value?.detection ?? {};
  const discovery = cost?.cpuid ?? 0;
  // Without CommonHV discovery is a scan itself.
  const own = cost !== undefined && commonhv === undefined ? Math.min(scanned, discovery) : 0;
  const steps = (count: number) => `${count.toLocaleString('en')} steps of the scan`;
  const of = [
    discovery > 0 &&
      `${discovery.toLocaleString('en')} for discovery${own > 0 ? ` with its ${steps(own)}` : ''}`,
    scanned > own && steps(scanned - own),
  ].filter((part) => part !== false);
  return (
    <>
      <strong>{counts[CPUID]!.toLocaleString('en')}</strong> CPUIDs
      {of.length > 0 && ` (of them ${of.join(', ')})`}, {counts[RDMSR]!.toLocaleString('en')} RDMSRs,{' '}
      {counts[WRMSR]!.toLocaleString('en')} WRMSRs.
    </>
  );
}

/** The part that the chart cannot show. */
function Beyond({ store: { length, total } }: { store: Store }) {
  if (total === length) return null;
  return (
    <p class="notice">
      The chart holds the first {length.toLocaleString('en')} events; {(total - length).toLocaleString('en')}{' '}
      more were only counted.
    </p>
  );
}

function Counts({ tally, scanned }: { tally: Tally; scanned: boolean }) {
  const isStep = (leaf: number) => scanned && isScanStep(leaf);
  const steps = tally.cpuid.leaves.filter(({ leaf }) => isStep(leaf));
  const leaves = tally.cpuid.leaves.filter(({ leaf }) => !isStep(leaf));
  const rows = Math.max(leaves.length, tally.msr.length);
  return (
    <details>
      <summary>Counts by leaf and MSR</summary>
      <div class="counts">
        <CpuidCounts leaves={leaves} steps={steps} />
        {tally.msr.length > 0 && <MsrCounts msr={tally.msr} />}
      </div>
      {rows > MAX_ROWS && <p class="hint">The first {MAX_ROWS} of each; the export holds all.</p>}
    </details>
  );
}

type LeafCounts = Tally['cpuid']['leaves'];

function CpuidCounts({ leaves, steps }: { leaves: LeafCounts; steps: LeafCounts }) {
  const stepped = steps.reduce((sum, { count }) => sum + count, 0);
  return (
    <table>
      <caption>CPUID</caption>
      <thead>
        <tr>
          <th scope="col">leaf</th>
          <th scope="col">times</th>
        </tr>
      </thead>
      <tbody>
        {stepped > 0 && (
          <tr>
            <th scope="row">
              <code>4000xx00H</code>
              <small>{new Set(steps.map(({ leaf }) => leaf)).size} leaves of the scan</small>
            </th>
            <td>{stepped.toLocaleString('en')}</td>
          </tr>
        )}
        {leaves.slice(0, MAX_ROWS).map(({ leaf, subleaf, count }) => (
          <tr key={`${leaf}.${subleaf}`}>
            <th scope="row">
              <code>{callName(leaf, subleaf)}</code>
            </th>
            <td>{count.toLocaleString('en')}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function MsrCounts({ msr }: { msr: Tally['msr'] }) {
  return (
    <table>
      <caption>MSRs</caption>
      <thead>
        <tr>
          <th scope="col">index</th>
          <th scope="col">reads</th>
          <th scope="col">writes</th>
          <th scope="col">faults</th>
        </tr>
      </thead>
      <tbody>
        {msr.slice(0, MAX_ROWS).map(({ index, reads, writes, faults }) => (
          <tr key={index}>
            <th scope="row">
              <code>{hex(index)}</code>
            </th>
            <td>{reads.toLocaleString('en')}</td>
            <td>{writes.toLocaleString('en')}</td>
            <td>{faults.toLocaleString('en')}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
