/** A `Cpu` at the other end of a serial line: each call is a line to the probe guest there, and a line back. */
import type { Console, Cpu, Fault, Regs } from '../cpu.ts';
import { MachineError, u32 } from '../cpu.ts';
import { type Lines, lines, MAX_DELAY } from './lines.ts';
import {
  cpuidLine,
  type Exception,
  isFault,
  type Mode,
  modeText,
  rdmsrLine,
  readCpuid,
  readGreeting,
  readRdmsr,
  readWrmsr,
  wrmsrLine,
} from './wire.ts';

/** How long to wait for a guest that may still be booting, or never answer. */
export interface SerialOptions {
  /** How long the greeting may take, in milliseconds: firmware and boot loaders come first. Default 30,000. */
  readonly greetingTimeout?: number | undefined;
  /** How long an answer may take, in milliseconds. Default 5,000. */
  readonly answerTimeout?: number | undefined;
  /** How long to listen before asking for the greeting, in milliseconds: a probe that already runs has said it. Default 1,000. */
  readonly pokeIntervalMs?: number | undefined;
  /** Called once a second until the greeting: how long it was waited for, and what has come instead. */
  readonly onWaiting?: ((waiting: Waiting) => void) | undefined;
}

/** The state of a line whose guest has not greeted. */
export interface Waiting {
  readonly milliseconds: number;
  /** How many bytes have come: firmware, a boot loader, or another guest. */
  readonly bytes: number;
  /** The last printable text among them, at most 60 characters. */
  readonly tail: string;
}

/** A processor whose questions are asked in one mode. */
export interface ModeCpu extends Cpu {
  readonly mode: Mode;
}

/**
 * The processor that the probe runs on, asked at CPL 0, in 64-bit code where the image was entered so. After a failed call every
 * later call fails at once with the same error.
 */
export interface SerialCpu extends ModeCpu {
  /** Every mode in which this guest can be asked, its own first. */
  readonly modes: readonly Mode[];
  /** The same processor at CPL 3, in code of the same width; absent where the guest runs an older image. */
  readonly ring3?: ModeCpu | undefined;
  /** The same processor in another of `modes`; throws a RangeError for a mode that is not among them. */
  inMode(mode: Mode): ModeCpu;
  /** Asks the guest to end; resolves when it has said that it will, or has gone without a word. */
  quit(): Promise<void>;
}

/**
 * Waits for the probe's greeting, past any noise, and hands out its processor. Rejects with a `MachineError` where no
 * probe answers in time, or where the line ends.
 */
export async function overSerial(console: Console, options: SerialOptions = {}): Promise<SerialCpu> {
  const { answerTimeout = 5_000 } = options;
  const input = lines(console.readable);
  const output = console.writable.getWriter();
  const encoder = new TextEncoder();
  const send = (line: string): void => {
    // A failed write shows as a missing answer.
    output.write(encoder.encode(`${line}\n`)).catch(() => {});
  };
  const modes = await greeting(input, send, options);
  let queue: Promise<unknown> = Promise.resolve();
  const ask = <T>(line: string, read: (answer: string) => T | undefined): Promise<T> => {
    const answer = queue.then(() => {
      send(line);
      return input.next(read, answerTimeout);
    });
    queue = answer; // one question at a time; a broken line stays broken
    answer.catch(() => {});
    return answer;
  };
  return {
    ...cpuIn(modes[0], ask),
    modes,
    ring3: modes[1] && cpuIn(modes[1], ask),
    inMode(mode) {
      if (!modes.some(({ cpl, bits }) => cpl === mode.cpl && bits === mode.bits))
        throw new RangeError(
          `mode: expected one of ${modes.map(modeText).join('; ')}, got ${modeText(mode)}`,
        );
      return cpuIn(mode, ask);
    },
    async quit() {
      await ask('q', (line) => (line === 'q' ? true : undefined)).catch(() => {});
    },
  };
}

async function greeting(
  input: Lines,
  send: (line: string) => void,
  { greetingTimeout = 30_000, pokeIntervalMs = 1_000, onWaiting }: SerialOptions,
): Promise<readonly [Mode, ...Mode[]]> {
  const begun = performance.now();
  const poke = setInterval(() => send('\n?'), Math.min(pokeIntervalMs, MAX_DELAY));
  const report = (): void => onWaiting?.({ milliseconds: performance.now() - begun, ...input.heard() });
  const watch = onWaiting && setInterval(report, 1_000);
  try {
    return await input.next(readGreeting, greetingTimeout);
  } catch (cause) {
    const { message, code } = cause as MachineError;
    throw new MachineError(`no greeting from the probe guest: ${message}`, { cause, code });
  } finally {
    clearInterval(poke);
    clearInterval(watch);
  }
}

type Ask = <T>(line: string, read: (answer: string) => T | undefined) => Promise<T>;

function cpuIn(mode: Mode, ask: Ask): ModeCpu {
  const faulted = (instruction: string, exception: Exception): never => {
    throw new MachineError(`${instruction} raised ${exception} in the guest (${modeText(mode)})`);
  };
  return {
    mode,
    async cpuid(leaf, subleaf): Promise<Regs> {
      const line = cpuidLine(u32(leaf, 'leaf'), u32(subleaf, 'subleaf'), mode);
      const regs = await ask(line, (answer) => readCpuid(answer, mode));
      return typeof regs === 'string' ? faulted('CPUID', regs) : regs;
    },
    // Not async: a wrong index is thrown at once.
    rdmsr(index) {
      return ask(rdmsrLine(u32(index, 'index'), mode), (answer) => readRdmsr(answer, mode)).then((value) =>
        typeof value === 'string' && !isFault(value) ? faulted('RDMSR', value) : value,
      );
    },
    async wrmsr(index, value): Promise<Fault | undefined> {
      const line = wrmsrLine(u32(index, 'index'), u64(value), mode);
      const answer = await ask(line, (text) => readWrmsr(text, mode));
      if (answer === 'ok') return undefined;
      return isFault(answer) ? answer : faulted('WRMSR', answer);
    },
  };
}

function u64(value: bigint): bigint {
  if (value < 0n || value > 0xffff_ffff_ffff_ffffn) {
    throw new RangeError(`value: expected 64 bits, got ${value}`);
  }
  return value;
}
