/** Answers of a CPU that is not trusted: checked for their width, and waited for no longer than the time limit. */
import { type Awaitable, type Cpu, type Fault, hex, MachineError, type Regs } from '../cpu.ts';
import type { MemoryControl } from './controls.ts';
import { deadline, isPromise } from './deadline.ts';

/** The result of RDMSR. */
export type Reading = bigint | Fault;

/** An answer that no processor gives: a rule that meets it fails, whatever its level. */
export class BadAnswer extends Error {
  override name = 'BadAnswer';
}

const NAMES = ['eax', 'ebx', 'ecx', 'edx'] as const;

/** Asks, and checks the answer: `fault` returns the expectation that it breaks. An immediate answer stays immediate. */
function ask<T>(
  name: () => string,
  timeoutMs: number,
  question: () => Awaitable<T>,
  fault: (answer: T) => string | undefined,
): Awaitable<T> {
  const answered = (answer: T): T => {
    const wrong = fault(answer);
    if (wrong === undefined) return answer;
    throw new BadAnswer(`${name()}: expected ${wrong}`);
  };
  const broken = (cause: unknown): never => {
    throw new MachineError(`${name()}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  };
  let answer: Awaitable<T>;
  try {
    answer = question();
  } catch (cause) {
    return broken(cause);
  }
  return isPromise(answer)
    ? deadline(Promise.resolve(answer), timeoutMs).catch(broken).then(answered)
    : answered(answer);
}

const badRegs = (regs: Regs): string | undefined => {
  const name = NAMES.find((register) => !isU32(regs?.[register]));
  return name && `32 bits in ${name.toUpperCase()}, got ${String(regs?.[name])}`;
};
const badReading = (value: Reading): string | undefined =>
  isFault(value) || (typeof value === 'bigint' && BigInt.asUintN(64, value) === value)
    ? undefined
    : `64 bits or a fault, got ${String(value)}`;
const badWrite = (answer: Fault | undefined): string | undefined =>
  answer === undefined || isFault(answer) ? undefined : `nothing or a fault, got ${String(answer)}`;

/** The same CPU, with every answer's width checked and every question given at most `timeoutMs`. Methods keep their `this`. */
export function checked(cpu: Cpu, timeoutMs: number): Cpu {
  return {
    cpuid: (leaf, subleaf) =>
      ask(
        () => `CPUID ${hex(leaf)}.${hex(subleaf, 1)}`,
        timeoutMs,
        () => cpu.cpuid(leaf, subleaf),
        badRegs,
      ),
    rdmsr: (index) =>
      ask(
        () => `RDMSR ${hex(index)}`,
        timeoutMs,
        () => cpu.rdmsr(index),
        badReading,
      ),
    wrmsr: (index, value) =>
      ask(
        () => `WRMSR ${hex(index)}`,
        timeoutMs,
        () => cpu.wrmsr(index, value),
        badWrite,
      ),
  };
}

/** The same memory, likewise. */
export function checkedMemory(memory: MemoryControl, timeoutMs: number): MemoryControl {
  return {
    pages: memory.pages,
    holes: memory.holes,
    read: (address, length) =>
      ask(
        () => `memory ${hex(address)}`,
        timeoutMs,
        () => memory.read(address, length),
        (bytes) => (bytes instanceof Uint8Array && bytes.length === length ? undefined : `${length} bytes`),
      ),
    write: (address, bytes) =>
      ask(
        () => `memory ${hex(address)}`,
        timeoutMs,
        () => memory.write(address, bytes),
        () => undefined,
      ),
  };
}

export function isU32(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0xffff_ffff;
}

export function isFault(value: unknown): value is Fault {
  return value === '#GP' || value === '#UD' || value === '#VE' || value === '#VC';
}

/** A value as a report shows it. */
export const shown = (value: Reading | undefined): string =>
  typeof value === 'bigint' ? hex(value, 16) : (value ?? 'no exception');
