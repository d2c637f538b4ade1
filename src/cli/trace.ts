/** `commonhv trace`: boots a guest and shows its CPUIDs and MSR accesses. */
import { type Engine, hex, type Image, type Machine } from '../cpu.ts';
import type { Config, LayerEvent } from '../hypervisor/index.ts';
import { GREETING } from '../probe/index.ts';
import { DEFAULT_GENERATION_MSR, DEFAULT_PAGE_MSR, DEFAULT_RNG_MSR } from '../spec/index.ts';
import { counter, isScanStep, type LeafRow, type Tally, type TraceEvent } from '../trace.ts';
import { openEngine, readImage, reporter, startNamed } from './engines.ts';
import { attach, endText } from './guest.ts';
import { columns, type Io, type Paint, painter, UsageError } from './io.ts';
import { configFrom, warnDeterministic } from './layer.ts';
import { hasSubleaves, leafName, msrName, plural } from './names.ts';
import type { GuestOptions, LayerOptions } from './options.ts';
import { type TracedEvent, type TracedOptions, traced } from './traced.ts';

export interface TraceOptions extends LayerOptions, GuestOptions {
  readonly image: string;
  readonly format: 'text' | 'json';
  readonly events?: boolean | undefined;
}

/** The guest's own output goes to standard error: standard output is the trace's. */
export async function runTrace(options: TraceOptions, io: Io): Promise<number> {
  if (options.events && options.format === 'json') throw new UsageError('--events goes with --format text');
  const engine = await openEngine(options);
  const image = await readImage(options.image, options, io);
  const config = await configFrom(options, await engine.hostCpu());
  warnDeterministic(options, io);
  const record = new AccessRecord(options.events === true, io);
  io.progress(`booting ${options.image} on ${engine.name} ...${io.interactive ? ' Ctrl-] ends it' : ''}`);
  const machine = await startNamed(options.image, startTraced(engine, config, image, record.onEvent));
  const { outcome, end } = await attach(machine, io, {
    timeout: options.timeout,
    // The probe waits for questions then, which nobody asks here.
    until: GREETING,
    async output(bytes) {
      io.guest(bytes);
    },
  });
  const { cpuid, msr } = record.tally();
  // KVM answers CPUID by a table in the kernel: nobody sees the instruction there.
  const seesCpuid = engine.observesCpuid;
  if (options.format === 'json') {
    const report = {
      engine: engine.name,
      milliseconds: Math.round(record.milliseconds()),
      cpuid: seesCpuid ? { ...cpuid, leaves: cpuid.leaves.map(leafJson) } : null,
      msr: msr.map((row) => ({ ...row, index: hex(row.index) })),
    };
    await io.out(`${JSON.stringify(report, undefined, 2)}\n`);
  } else {
    const context = { seesCpuid, own: ownNames(options) };
    await io.out(`${tallyText({ cpuid, msr }, context, painter(io))}\n`);
  }
  const why =
    outcome === 'until'
      ? 'the probe waits for questions, and was ended: commonhv run or verify asks them'
      : endText(outcome, end, options.timeout);
  io.err(`commonhv: ${why}`);
  // Where the time is up, the record is whole.
  return outcome === 'failed' || outcome === 'interrupted' ? 2 : 0;
}

/** As `startGuest`, with the layer of `traced.ts`. */
function startTraced(
  engine: Engine,
  config: Config,
  image: Image,
  onEvent: (event: TracedEvent) => void,
): Promise<Machine> {
  const cpuid = engine.observesCpuid;
  if (engine.startModule === undefined) return engine.start(traced({ config, cpuid }, onEvent), image);
  const taken = new SharedArrayBuffer(4);
  const count = new Int32Array(taken);
  return engine.startModule(
    {
      module: new URL('./traced.js', import.meta.url),
      export: 'traced',
      options: { config, cpuid, taken } satisfies TracedOptions,
      onEvent(event) {
        onEvent(event as TracedEvent);
        Atomics.add(count, 0, 1);
        Atomics.notify(count, 0);
      },
    },
    image,
  );
}

/** Counts the accesses as they come, and with `--events` prints each. */
class AccessRecord {
  readonly tally: () => Tally;
  readonly #count: (event: TraceEvent) => void;
  readonly #report: (event: LayerEvent) => void;
  readonly #print: ((text: string) => void) | undefined;
  readonly #start = performance.now();

  constructor(events: boolean, io: Io) {
    const { count, tally } = counter(() => Math.round(this.milliseconds() * 10) / 10);
    this.#count = count;
    this.tally = tally;
    this.#report = reporter(io);
    this.#print = events ? (text) => void io.out(text) : undefined;
  }

  milliseconds(): number {
    return performance.now() - this.#start;
  }

  readonly onEvent = (event: TracedEvent): void => {
    if (isReport(event)) {
      this.#report(event);
      return;
    }
    this.#count(event);
    this.#print?.(`${this.milliseconds().toFixed(1).padStart(10)} ms  ${eventText(event)}\n`);
  };
}

const ACCESSES: readonly string[] = [
  'cpuid',
  'rdmsr',
  'wrmsr',
  'restored',
  'reset',
] satisfies TraceEvent['kind'][];
const isReport = (event: TracedEvent): event is LayerEvent => !ACCESSES.includes(event.kind);

const leafJson = ({ leaf, subleaf, ...row }: LeafRow): object => ({
  leaf: hex(leaf),
  subleaf: hex(subleaf),
  ...row,
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

interface Context {
  readonly seesCpuid: boolean;
  /** Names of the layer's MSRs. */
  readonly own: ReadonlyMap<number, string>;
}

/** The layer's own MSRs. */
function ownNames({ rngMsr, generationMsr }: LayerOptions): ReadonlyMap<number, string> {
  return new Map([
    [rngMsr ?? DEFAULT_RNG_MSR, 'MSR_COMMONHV_RNG'],
    [generationMsr ?? DEFAULT_GENERATION_MSR, 'MSR_COMMONHV_GENERATION'],
    [DEFAULT_PAGE_MSR, 'MSR_COMMONHV_GENERATION_PAGE'],
  ]);
}

function tallyText(tally: Tally, context: Context, paint: Paint): string {
  return [...leafLines(tally.cpuid, context, paint), '', ...msrLines(tally.msr, context, paint)].join('\n');
}

const heading = (paint: Paint, ...names: readonly string[]): readonly string[] =>
  names.map((name) => paint('dim', name));

function leafLines(
  { leaves, scan, total }: Tally['cpuid'],
  { seesCpuid }: Context,
  paint: Paint,
): readonly string[] {
  if (!seesCpuid)
    return [paint('bold', 'CPUIDs: answered in the kernel by a table, so this engine does not see them')];
  const rows = new Map<
    string,
    { leaf: number; subleaf: number | undefined; count: number; firstMs: number }
  >();
  for (const { leaf, subleaf, count, firstMs } of leaves) {
    if (isScanStep(leaf) && scan >= 256) continue;
    const asked = hasSubleaves(leaf) ? subleaf : undefined;
    const key = `${leaf} ${asked}`;
    const row = rows.get(key) ?? { leaf, subleaf: asked, count: 0, firstMs };
    rows.set(key, { ...row, count: row.count + count });
  }
  return [
    paint('bold', `${plural(total, 'CPUID')}, ${scan} of them steps of the scan`),
    columns([
      heading(paint, '  leaf', 'subleaf', 'count', 'first ms', ''),
      ...[...rows.values()].map(({ leaf, subleaf, count, firstMs }) => [
        `  ${hex(leaf)}`,
        subleaf === undefined ? '' : hex(subleaf, 1),
        String(count),
        firstMs.toFixed(0),
        leafName(leaf),
      ]),
      ...(scan >= 256
        ? [
            [
              '  0x40000000 to 0x4000ff00',
              '',
              String(scan),
              leaves.find(({ leaf }) => isScanStep(leaf))?.firstMs.toFixed(0) ?? '',
              'the scan',
            ],
          ]
        : []),
    ]),
  ];
}

function msrLines(msr: Tally['msr'], { own }: Context, paint: Paint): readonly string[] {
  const sum = msr.reduce((total, { reads, writes }) => total + reads + writes, 0);
  const rows = msr.map(({ index, reads, writes, faults, firstMs }) => [
    `  ${hex(index)}`,
    ...[reads, writes, faults].map(String),
    firstMs.toFixed(0),
    msrName(index, own),
  ]);
  return [
    paint('bold', `${sum} ${sum === 1 ? 'access' : 'accesses'} to ${plural(msr.length, 'MSR')}`),
    columns([heading(paint, '  msr', 'reads', 'writes', '#GP', 'first ms', ''), ...rows]),
  ];
}
