/** The probe's lines, requests and answers, as probe.S has them. */
import type { Fault, Regs } from '../cpu.ts';

/** The first line of a probe that is ready, and its answer to a line that makes no sense. */
export const GREETING = 'commonhv probe 1';

export const cpuidLine = (leaf: number, subleaf: number): string => `c ${digits(leaf)} ${digits(subleaf)}`;
export const rdmsrLine = (index: number): string => `r ${digits(index)}`;
export const wrmsrLine = (index: number, value: bigint): string =>
  `w ${digits(index)} ${digits(Number(value >> 32n))} ${digits(Number(value & 0xffff_ffffn))}`;

/** Each reader gives `undefined` for a line that is not its answer: noise is skipped, never trusted. */
export function readCpuid(line: string): Regs | Fault | undefined {
  const [eax, ebx, ecx, edx] = numbers(line, 'c', 4);
  return edx === undefined ? fault(line, 'c') : { eax: eax!, ebx: ebx!, ecx: ecx!, edx };
}

export function readRdmsr(line: string): bigint | Fault | undefined {
  const [hi, lo] = numbers(line, 'r', 2);
  return lo === undefined ? fault(line, 'r') : (BigInt(hi!) << 32n) | BigInt(lo);
}

export function readWrmsr(line: string): Fault | 'ok' | undefined {
  return line === 'w' ? 'ok' : fault(line, 'w');
}

function digits(value: number): string {
  return value.toString(16).padStart(8, '0');
}

function numbers(line: string, letter: string, count: number): readonly number[] {
  const [first, ...rest] = line.split(' ');
  if (first !== letter || rest.length !== count || !rest.every((part) => /^[0-9a-f]{8}$/.test(part)))
    return [];
  return rest.map((part) => Number.parseInt(part, 16));
}

function fault(line: string, letter: string): Fault | undefined {
  if (line === `${letter} #gp`) return '#GP';
  if (line === `${letter} #ud`) return '#UD';
  return undefined;
}
