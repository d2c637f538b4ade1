/** A `Cpu` at the other end of a serial line: each call is a line to the probe guest there, and a line back. */
import type { Console, Cpu, Fault, Regs } from '../cpu.ts';
import { MachineError, u32 } from '../cpu.ts';
import { lines } from './lines.ts';
import { cpuidLine, GREETING, rdmsrLine, readCpuid, readRdmsr, readWrmsr, wrmsrLine } from './wire.ts';

/** How long to wait for a guest that may still be booting, or never answer. */
export interface SerialOptions {
  /** How long the greeting may take, in milliseconds: firmware and boot loaders come first. Default 30,000. */
  readonly greetingTimeout?: number;
  /** How long an answer may take, in milliseconds. Default 5,000. */
  readonly answerTimeout?: number;
  /** How long to listen before asking for the greeting, in milliseconds: a probe that already runs has said it. Default 1,000. */
  readonly pokeIntervalMs?: number;
}

/** The processor that the probe runs on. After a failed call every later call fails at once with the same error. */
export interface SerialCpu extends Cpu {
  /** Asks the guest to end; resolves when it has said that it will, or has gone without a word. */
  quit(): Promise<void>;
}

/**
 * Waits for the probe's greeting, past any noise, and hands out its processor. Rejects with a `MachineError` where no
 * probe answers in time, where the line ends, or where there is nothing but noise.
 */
export async function overSerial(console: Console, options: SerialOptions = {}): Promise<SerialCpu> {
  const { greetingTimeout = 30_000, answerTimeout = 5_000, pokeIntervalMs = 1_000 } = options;
  const input = lines(console.readable);
  const output = console.writable.getWriter();
  const send = (line: string): void => {
    // A failed write shows as a missing answer.
    output.write(new TextEncoder().encode(`${line}\n`)).catch(() => {});
  };
  const poke = setInterval(() => send('\n?'), pokeIntervalMs);
  try {
    await input.next((line) => (line.endsWith(GREETING) ? true : undefined), greetingTimeout);
  } catch (cause) {
    throw new MachineError(`no greeting from the probe guest: ${(cause as Error).message}`, { cause });
  } finally {
    clearInterval(poke);
  }

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
    async cpuid(leaf, subleaf): Promise<Regs> {
      const regs = await ask(cpuidLine(u32(leaf, 'leaf'), u32(subleaf, 'subleaf')), readCpuid);
      if (typeof regs === 'string') throw new MachineError(`CPUID raised ${regs} in the guest`);
      return regs;
    },
    rdmsr: (index) => ask(rdmsrLine(u32(index, 'index')), readRdmsr),
    async wrmsr(index, value): Promise<Fault | undefined> {
      const answer = await ask(wrmsrLine(u32(index, 'index'), u64(value)), readWrmsr);
      return answer === 'ok' ? undefined : answer;
    },
    async quit() {
      await ask('q', (line) => (line === 'q' ? true : undefined)).catch(() => {});
    },
  };
}

function u64(value: bigint): bigint {
  if (value < 0n || value > 0xffff_ffff_ffff_ffffn) {
    throw new RangeError(`value: expected 64 bits, got ${value}`);
  }
  return value;
}
