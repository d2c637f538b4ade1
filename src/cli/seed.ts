/** `commonhv seed`: in a Linux guest, mixes the hypervisor's values into the kernel's pool, and follows the generation. */
import type { Cpu } from '../cpu.ts';
import { hex, MachineError } from '../cpu.ts';
import type { Pool } from '../engines/native/random.ts';
import type { Reason, Refusal, Seed } from '../guest/index.ts';
import { acknowledge, discover, seed } from '../guest/index.ts';
import type { Io } from './io.ts';
import { UsageError } from './io.ts';

export interface SeedOptions {
  readonly values: number;
  /** Bits to credit, whatever the hypervisor says of its values. */
  readonly credit?: number | undefined;
  readonly watch?: boolean | undefined;
  /** Milliseconds between two looks at the generation. */
  readonly interval: number;
  readonly format: 'text' | 'json';
  /** How CPUID is executed; MSRs are the kernel's view, and belong to the driver's leaves. */
  readonly through?: 'driver' | 'instruction' | undefined;
}

/** The kernel and the source of its seed: handed in, so that a test needs no guest. */
export interface World {
  readonly cpu: Cpu;
  /** Opened when there is something to mix: "no CommonHV here" needs no rights. */
  pool(): Pool;
}

/** How often values are mixed anew because the machine was restored before the host could be told. */
const MAX_ATTEMPTS = 4;

const REFUSALS: Record<Refusal, string> = {
  'no-commonhv': 'no CommonHV here',
  'no-rng': 'CommonHV is here and offers no RNG',
  fault: "the RNG's register faults: are the leaves those of another hypervisor, further below?",
  stuck: "the RNG's values repeat: not used",
  patterned: "the RNG's values follow a pattern: not used",
  changing: 'the generation changed at every attempt to read them: none is used',
};

const REASONS: Record<Reason, string> = {
  secure: 'the hypervisor says they are secure',
  draft: 'drafts 1 and 2 say nothing of the values',
  'no-statement': 'the hypervisor says nothing of its values',
  insecure: 'the hypervisor says they are insecure',
  confidential: 'a confidential guest must not trust its hypervisor',
};

/** The machine that we run on. */
export async function runSeed(options: SeedOptions, io: Io): Promise<number> {
  const { native } = await import('../engines/native/index.ts');
  const { kernelPool } = await import('../engines/native/random.ts');
  const cpu = native({ through: options.through });
  let pool: Pool | undefined;
  try {
    return await seedFrom({ cpu, pool: () => (pool ??= kernelPool()) }, options, io);
  } finally {
    pool?.close();
    cpu.close();
  }
}

/** 0; 1 where there is nothing to seed from, or nothing to watch. */
export async function seedFrom({ cpu, pool }: World, options: SeedOptions, io: Io): Promise<number> {
  const { credit, values } = options;
  if (credit !== undefined && credit > 64 * values) {
    throw new UsageError(`--credit ${credit}: ${values} values hold ${64 * values} bits at most`);
  }
  const discovery = await discover(cpu);
  /** Seeds once; gives back why not, where it did not. */
  const once = async (cause: string): Promise<Refusal | undefined> => {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const made = await seed(cpu, { values, discovery });
      if (made.outcome !== 'values') return made.outcome;
      if ((await mix(made, cause, { cpu, pool: pool() }, options, io)) !== 'changed') return undefined;
    }
    return 'changing';
  };
  const { generation } = discovery ?? {};
  // Looked at before the first values are read: a copy made in between is seen at the next look.
  const before = options.watch && generation ? await cpu.rdmsr(generation.msr) : undefined;
  const refusal = await once('start');
  if (refusal !== undefined) return refuse(refusal, options, io);
  if (options.watch !== true) return 0;
  if (generation === undefined) {
    io.err('commonhv: CommonHV is here and offers no generation to watch (draft 3 does)');
    return 1;
  }
  if (typeof before !== 'bigint') {
    io.err(`commonhv: the generation's register, ${hex(generation.msr)}, faults: nothing to watch`);
    return 1;
  }
  let last = before;
  let told: string | undefined;
  // A copy stays one until it was seeded: an error meanwhile is reported once, and the next poll tries again.
  while (await pause(options.interval, io.interrupted)) {
    try {
      const now = await cpu.rdmsr(generation.msr);
      // A fault later on (a move to another hypervisor) is waited out: the register may come back.
      if (typeof now !== 'bigint' || now === last) continue;
      const refusal = await once('generation');
      if (refusal === undefined) last = now;
      else if (refusal !== told) await refuse(refusal, options, io);
      told = refusal;
    } catch (error) {
      if (!(error instanceof MachineError)) throw error;
      if (error.message !== told) io.err(`commonhv: ${error.message}`);
      told = error.message;
    }
  }
  return 0;
}

/** Mixes the values in, and tells the host where the kernel has reseeded. `changed`: the machine was restored meanwhile. */
async function mix(
  made: Seed,
  cause: string,
  { cpu, pool }: { readonly cpu: Cpu; readonly pool: Pool },
  options: SeedOptions,
  io: Io,
): Promise<'acknowledged' | 'changed' | 'absent'> {
  const bits = options.credit ?? made.credit;
  const why = options.credit === undefined ? REASONS[made.reason] : 'as told by --credit';
  const all = 8 * made.bytes.length;
  let reseeded: boolean;
  try {
    pool.add(made.bytes, bits);
    reseeded = pool.reseed();
  } finally {
    made.bytes.fill(0);
  }
  const { draft } = made.discovery;
  const told =
    reseeded && made.generation !== undefined
      ? await acknowledge(cpu, made.discovery, made.generation)
      : 'absent';
  const acknowledged = told === 'acknowledged';
  if (options.format === 'json') {
    const said = {
      cause,
      draft: draft ?? null,
      bits: all,
      credited: bits,
      reason: why,
      reseeded,
      acknowledged,
    };
    await io.out(`${JSON.stringify(said)}\n`);
    return told;
  }
  const begin = cause === 'generation' ? 'the machine was resumed from a saved state: ' : '';
  await io.out(
    `${begin}mixed ${all} bits from draft ${draft}'s RNG, credited ${bits}: ${why}${acknowledged ? '; acknowledged' : ''}\n`,
  );
  return told;
}

async function refuse(outcome: Refusal, { format }: SeedOptions, io: Io): Promise<number> {
  if (format === 'json') await io.out(`${JSON.stringify({ refused: outcome, reason: REFUSALS[outcome] })}\n`);
  else io.err(`commonhv: ${REFUSALS[outcome]}`);
  return 1;
}

/** False where the interruption came first. */
function pause(milliseconds: number, interrupted: AbortSignal): Promise<boolean> {
  if (interrupted.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const stop = (): void => end(false);
    const timer = setTimeout(() => end(true), milliseconds);
    const end = (on: boolean): void => {
      clearTimeout(timer);
      interrupted.removeEventListener('abort', stop);
      resolve(on);
    };
    interrupted.addEventListener('abort', stop);
  });
}
