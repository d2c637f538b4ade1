/** The guest's accesses: the timeline, the counts, and both as a file. */
import { hex } from 'commonhv';
import { isScanStep, type Tally } from 'commonhv/trace';
import { useState } from 'preact/hooks';
import { callName } from '../leaves/text.ts';
import type { Session } from '../machine/session.ts';
import { Section } from '../section.tsx';
import type { ChartHandle } from './chart.tsx';
import { exported } from './export.ts';
import { Reader } from './reader.tsx';
import type { Store } from './store.ts';

/** Rows of the table of counts; a guest that asks for everything has a long one. */
const MAX_ROWS = 200;

export function TimelineView({ machine }: { machine: Session | undefined }) {
  const [chart, setChart] = useState<ChartHandle>();
  const tally = machine?.tally.value;
  const busy =
    machine === undefined || !machine.probe || machine.busy.value !== '' || machine.state.value !== 'running';
  return (
    <Section
      id="timeline"
      title="Timeline"
      lead={<Summary machine={machine} />}
      aside={
        <div class="toolbar">
          <button type="button" disabled={busy} onClick={() => machine?.search()}>
            Search the old way
          </button>
          <button type="button" disabled={!tally} onClick={() => machine && void save(machine)}>
            Export JSON
          </button>
        </div>
      }
    >
      {machine && (
        <>
          <div class="toolbar small" role="group" aria-label="What the timeline shows">
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
            {machine.store.scans.length > 0 && (
              <button type="button" onClick={() => chart?.search()}>
                The scan
              </button>
            )}
            <span class="hint">Drag over it to zoom in, double-click for all.</span>
          </div>
          <Reader machine={machine} handle={setChart} />
          {tally && <Beyond store={machine.store} />}
        </>
      )}
      {tally && <Counts tally={tally} searched={(machine?.store.searched ?? 0) > 0} />}
    </Section>
  );
}

function Summary({ machine }: { machine: Session | undefined }) {
  const tally = machine?.tally.value;
  if (machine === undefined || tally === undefined)
    return <>Every CPUID, RDMSR and WRMSR of the guest, as it comes.</>;
  const { searched } = machine.store;
  const reads = tally.msr.reduce((sum, row) => sum + row.reads, 0);
  const writes = tally.msr.reduce((sum, row) => sum + row.writes, 0);
  return (
    <>
      <strong>{tally.cpuid.total.toLocaleString('en')}</strong> CPUIDs,{' '}
      {searched > 0 && `${searched.toLocaleString('en')} of them steps of the scan, `}
      {reads.toLocaleString('en')} RDMSRs, {writes.toLocaleString('en')} WRMSRs.
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

function Counts({ tally, searched }: { tally: Tally; searched: boolean }) {
  const isStep = (leaf: number) => searched && isScanStep(leaf);
  const leaves = tally.cpuid.leaves.filter(({ leaf }) => !isStep(leaf));
  const steps = tally.cpuid.leaves.filter(({ leaf }) => isStep(leaf));
  const stepped = steps.reduce((sum, { count }) => sum + count, 0);
  const rows = leaves.length + tally.msr.length;
  return (
    <details>
      <summary>Counts by leaf and MSR</summary>
      <div class="counts">
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
        {tally.msr.length > 0 && (
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
              {tally.msr.slice(0, MAX_ROWS).map(({ index, reads, writes, faults }) => (
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
        )}
      </div>
      {rows > MAX_ROWS && <p class="hint">The first {MAX_ROWS} of each; the export holds all.</p>}
    </details>
  );
}

async function save(machine: Session): Promise<void> {
  const url = URL.createObjectURL(await exported(machine));
  const link = document.createElement('a');
  link.href = url;
  link.download = 'commonhv-trace.json';
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
