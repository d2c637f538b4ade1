/** The probe's lines, requests and answers, as probe.S has them. */
import type { Fault, Regs } from '../cpu.ts';

/** The privilege and the width of the code that executes the instruction. */
export interface Mode {
  /** Current privilege level: 0 as a kernel's, 3 as a process's. */
  readonly cpl: 0 | 3;
  /** 64-bit code, or 32-bit code: protected mode, or compatibility mode where the guest has 64-bit code too. */
  readonly bits: 32 | 64;
}

/** "CPL 3, 64-bit". */
export const modeText = ({ cpl, bits }: Mode): string => `CPL ${cpl}, ${bits}-bit`;

/** The first line of a probe that is ready, without the width; also its answer to a line that makes no sense. */
export const GREETING = 'commonhv probe 2';

/** All modes of a probe that greets so, its own first, then the same at CPL 3; `undefined` for any other line. Noise may come before it. */
export function readGreeting(line: string): readonly [Mode, ...Mode[]] | undefined {
  const [, version, bits] = /commonhv probe (?:(1)|2, (32|64)-bit)$/.exec(line) ?? [];
  if (version !== undefined) return [{ cpl: 0, bits: 32 }]; // the first edition of the image
  if (bits === undefined) return undefined;
  const narrow = [{ cpl: 0, bits: 32 } as const, { cpl: 3, bits: 32 } as const] as const;
  return bits === '32' ? [...narrow] : [{ cpl: 0, bits: 64 }, { cpl: 3, bits: 64 }, ...narrow];
}

/** Upper case is 64-bit code, 3 is CPL 3: `c`, `c3`, `C`, `C3`. */
export type Question = 'c' | 'r' | 'w';
const word = (letter: Question, { cpl, bits }: Mode): string =>
  `${bits === 64 ? letter.toUpperCase() : letter}${cpl === 3 ? '3' : ''}`;

export const cpuidLine = (leaf: number, subleaf: number, mode: Mode): string =>
  `${word('c', mode)} ${digits(leaf)} ${digits(subleaf)}`;
export const rdmsrLine = (index: number, mode: Mode): string => `${word('r', mode)} ${digits(index)}`;
export const wrmsrLine = (index: number, value: bigint, mode: Mode): string =>
  `${word('w', mode)} ${digits(index)} ${digits(Number(value >> 32n))} ${digits(Number(value & 0xffff_ffffn))}`;

/** An exception, by its mnemonic: `#GP`. `Fault` has those that the three instructions raise; others mean that the guest broke. */
export type Exception = Fault | `#${string}`;

/** Each reader gives `undefined` for a line that is not its answer: noise is skipped, never trusted. Noise may come before the answer. */
export function readCpuid(line: string, mode: Mode): Regs | Exception | undefined {
  const [eax, ebx, ecx, edx] = numbers(line, word('c', mode), 4);
  return edx === undefined ? exception(line, word('c', mode)) : { eax: eax!, ebx: ebx!, ecx: ecx!, edx };
}

export function readRdmsr(line: string, mode: Mode): bigint | Exception | undefined {
  const [hi, lo] = numbers(line, word('r', mode), 2);
  return lo === undefined ? exception(line, word('r', mode)) : (BigInt(hi!) << 32n) | BigInt(lo);
}

export function readWrmsr(line: string, mode: Mode): Exception | 'ok' | undefined {
  return line === word('w', mode) ? 'ok' : exception(line, word('w', mode));
}

const FAULTS: readonly string[] = ['#GP', '#UD', '#VE', '#VC'] satisfies readonly Fault[];

/** Whether one of the three instructions raises it by itself. */
export const isFault = (answer: unknown): answer is Fault => FAULTS.includes(answer as string);

function digits(value: number): string {
  return value.toString(16).padStart(8, '0');
}

/** The length of a number in an answer, with the space before it. */
const NUMBER = 9;

function numbers(line: string, command: string, count: number): readonly number[] {
  const start = line.length - NUMBER * count;
  if (!line.endsWith(command, start)) return [];
  const values: number[] = [];
  for (let at = start; at < line.length; at += NUMBER) {
    const part = line.slice(at, at + NUMBER);
    if (!/^ [0-9a-f]{8}$/.test(part)) return [];
    values.push(Number.parseInt(part, 16));
  }
  return values;
}

function exception(line: string, command: string): Exception | undefined {
  const [, before, mnemonic] = /^(.*) #([a-z]{2})$/s.exec(line) ?? [];
  return before?.endsWith(command) ? `#${mnemonic!.toUpperCase()}` : undefined;
}
