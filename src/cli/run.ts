/** `commonhv run`: boots a guest under CommonHV; without an image the probe guest, asked what it sees. */
import { judge } from '../conformance/index.ts';
import type { Cpu } from '../cpu.ts';
import type { Detection } from '../guest/index.ts';
import { detect } from '../guest/index.ts';
import { detectionJson, detectionText } from './detection.ts';
import { openEngine, readImage, startUnder } from './engines.ts';
import { attend, endText } from './guest.ts';
import { type Io, painter, UsageError } from './io.ts';
import { describe, deterministicSource, warnDeterministic } from './layer.ts';
import type { GuestOptions, LayerOptions } from './options.ts';
import { unlessStopped } from './processor.ts';
import { openSubject } from './subject.ts';

export interface RunOptions extends LayerOptions, GuestOptions {
  readonly image: string | undefined;
  readonly format: 'text' | 'json';
}

export async function run(options: RunOptions, io: Io): Promise<number> {
  return options.image === undefined ? runProbe(options, io) : runImage(options.image, options, io);
}

/** How many words the probe reads: enough to see a source that is stuck or counts. */
const WORDS = 8;

async function runProbe(options: RunOptions, io: Io): Promise<number> {
  for (const name of ['initrd', 'append'] as const) {
    if (options[name] !== undefined) throw new UsageError(`--${name} goes with an image`);
  }
  const start = performance.now();
  io.progress('starting the probe guest ...');
  const subject = await openSubject(options, io);
  try {
    const { cpu, engine, close: _, ...deeds } = subject;
    const discovery = await unlessStopped(subject, detect(cpu));
    const rng = await unlessStopped(subject, readWords(cpu, discovery));
    io.progress('judging its hypervisor ...');
    const { passed, failed, warned, skipped } = await unlessStopped(subject, judge(cpu, deeds));
    const verify = { passed, failed, warned, skipped };
    const milliseconds = Math.round(performance.now() - start);
    const foretold = deterministicSource(options);
    io.progress('');
    if (options.format === 'json') {
      const report = {
        engine,
        draft: options.draft,
        milliseconds,
        ...(foretold && { deterministic: foretold }),
        discovery: detectionJson(discovery),
        rng: rng ?? null,
        verify,
      };
      await io.out(`${JSON.stringify(report, undefined, 2)}\n`);
    } else {
      const paint = painter(io);
      const head = paint('bold', `a probe guest on ${engine} under CommonHV draft ${options.draft}`);
      const verdict = `${passed} passed, ${failed} failed, ${warned} warned, ${skipped} skipped`;
      const more: [string, string][] = [];
      if (rng !== undefined) {
        const how = foretold === undefined ? '' : `, deterministic (--rng-source ${foretold})`;
        more.push(['words', `${rng.words} read, ${rng.distinct} different${how}`]);
      }
      more.push(['conformance', failed === 0 ? paint('green', verdict) : paint('red', verdict)]);
      await io.out(`${head}, ${milliseconds} ms\n\n${detectionText(discovery, paint, more)}\n`);
    }
    const sound = rng === undefined || rng.distinct === rng.words;
    return discovery.commonhv !== undefined && sound && failed === 0 ? 0 : 1;
  } finally {
    await subject.close();
  }
}

async function readWords(
  cpu: Cpu,
  { commonhv }: Detection,
): Promise<{ words: number; distinct: number } | undefined> {
  if (commonhv?.rng === undefined) return undefined;
  const words: bigint[] = [];
  for (let i = 0; i < WORDS; i++) {
    const word = await cpu.rdmsr(commonhv.rng.msr);
    if (typeof word === 'bigint') words.push(word);
  }
  return { words: words.length, distinct: new Set(words).size };
}

async function runImage(path: string, options: RunOptions, io: Io): Promise<number> {
  if (options.format !== 'text')
    throw new UsageError('--format json goes with no image: the output is what the guest prints');
  const engine = await openEngine(options);
  const image = await readImage(path, options);
  const data = await describe(options, await engine.below());
  io.progress(`booting ${path} on ${engine.name} ...${io.interactive ? ' Ctrl-] ends it' : ''}`);
  warnDeterministic(options, io);
  const machine = await startUnder(engine, data, image, io);
  let silent = true;
  const { outcome, end } = await attend(machine, io, {
    timeout: options.timeout,
    output(bytes) {
      silent = false;
      io.progress('');
      return io.out(bytes);
    },
  });
  const why = outcome === 'halt' && silent ? `the guest said nothing and ${end.detail ?? 'halted'}` : '';
  io.err(`commonhv: ${why || endText(outcome, end, options.timeout)}`);
  if (outcome === 'timeout' || outcome === 'failed' || outcome === 'interrupted') return 2;
  if (outcome === 'halt' && silent) return 2;
  return outcome === 'shutdown' ? 1 : 0;
}
