/** `commonhv trace`: boots a guest and shows its CPUIDs and MSR accesses. */
import { hex } from '../cpu.ts';
import { counter, isScanStep, type Tally, type TraceEvent, trace as tracing } from '../trace.ts';
import { openEngine, readImage } from './engines.ts';
import { attach, endText } from './guest.ts';
import { columns, type Io, type Paint, painter, UsageError } from './io.ts';
import { layerFrom, warnDeterministic } from './layer.ts';
import type { GuestOptions, LayerOptions } from './options.ts';

export interface TraceOptions extends LayerOptions, GuestOptions {
  readonly image: string;
  readonly format: 'text' | 'json';
  readonly events?: boolean;
}

/** The guest's own output goes to standard error: standard output is the trace's. */
export async function runTrace(options: TraceOptions, io: Io): Promise<number> {
  if (options.events && options.format === 'json') throw new UsageError('--events goes with --format text');
  const engine = await openEngine(options);
  const image = await readImage(options.image, options);
  const layer = await layerFrom(options, await engine.hostCpu());
  warnDeterministic(options, io);
  const { count, tally } = counter();
  const start = performance.now();
  const paint = painter(io);
  // KVM answers CPUID by a table in the kernel: nobody sees the instruction there, and the accesses seen here made the table.
  const seesCpuid = engine.observesCpuid;
  const timed = (event: TraceEvent): void => {
    if (event.kind === 'cpuid' && !seesCpuid) return;
    count(event);
    if (options.events && options.format === 'text') {
      void io.out(`${(performance.now() - start).toFixed(1).padStart(10)} ms  ${eventText(event)}\n`);
    }
  };
  io.progress(`booting ${options.image} on ${engine.name} ...${io.interactive ? ' Ctrl-] ends it' : ''}`);
  const machine = await engine.start((host) => tracing(timed)(layer(host)), image);
  const { outcome, end } = await attach(machine, io, {
    timeout: options.timeout,
    async output(bytes) {
      io.guest(bytes);
    },
  });
  const milliseconds = Math.round(performance.now() - start);
  const { cpuid, msr } = tally();
  if (options.format === 'json') {
    const report = {
      engine: engine.name,
      milliseconds,
      cpuid: seesCpuid ? { ...cpuid, leaves: cpuid.leaves.map(leafJson) } : null,
      msr: msr.map((row) => ({ ...row, index: hex(row.index) })),
    };
    await io.out(`${JSON.stringify(report, undefined, 2)}\n`);
  } else {
    await io.out(`${tallyText({ cpuid, msr }, seesCpuid, paint)}\n`);
  }
  io.err(`commonhv: ${endText(outcome, end, options.timeout)}`);
  return outcome === 'failed' ? 2 : 0; // for a trace, an end by the clock is an end
}

const leafJson = ({ leaf, subleaf, count }: Tally['cpuid']['leaves'][number]): object => ({
  leaf: hex(leaf),
  subleaf: hex(subleaf),
  count,
});

function eventText(event: TraceEvent): string {
  if (event.kind === 'restored') return 'restored from a saved state';
  if (event.kind === 'reset') return 'reset';
  if (event.kind === 'cpuid') {
    const { eax, ebx, ecx, edx } = event.regs;
    const answer = [eax, ebx, ecx, edx].map((value) => hex(value)).join(' ');
    return `cpuid  ${hex(event.leaf)} ${hex(event.subleaf)}  ${answer}`;
  }
  return `${event.kind}  ${hex(event.index)}${event.fault === undefined ? '' : `  ${event.fault}`}`;
}

function tallyText({ cpuid, msr }: Tally, seesCpuid: boolean, paint: Paint): string {
  const leaves = cpuid.leaves.filter(({ leaf }) => !isScanStep(leaf) || cpuid.scan < 256);
  const head = seesCpuid
    ? [
        paint('bold', `${cpuid.total} CPUIDs, ${cpuid.scan} of them steps of the scan`),
        columns([
          ['  leaf', 'subleaf', 'count'].map((text) => paint('dim', text)),
          ...leaves.map(({ leaf, subleaf, count }) => [`  ${hex(leaf)}`, hex(subleaf), `${count}`]),
          ...(cpuid.scan >= 256 ? [['  0x40000000 to 0x4000ff00', 'by 0x100', `${cpuid.scan}`]] : []),
        ]),
      ]
    : [paint('bold', 'CPUIDs: answered in the kernel by a table, so nobody sees them')];
  const sum = msr.reduce((total, { reads, writes }) => total + reads + writes, 0);
  const tail = [
    paint('bold', `${sum} accesses to ${msr.length} MSRs`),
    columns([
      ['  msr', 'reads', 'writes', '#GP'].map((text) => paint('dim', text)),
      ...msr.map(({ index, reads, writes, faults }) => [
        `  ${hex(index)}`,
        `${reads}`,
        `${writes}`,
        `${faults}`,
      ]),
    ]),
  ];
  return [...head, '', ...tail].join('\n');
}
