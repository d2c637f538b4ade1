/** A register as text, where it is text: signatures and vendor strings are spelled in little-endian bytes. */
import type { Register } from './words.ts';

/** Four characters, NULs shown as `·`; `undefined` unless at least one is a letter and all are printable or NUL. */
export function textOf(value: number): string | undefined {
  const bytes = [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
  const all = bytes.every((byte) => byte === 0 || (byte >= 0x20 && byte < 0x7f));
  const letters = bytes.filter((byte) => /[A-Za-z]/.test(String.fromCharCode(byte))).length;
  if (!all || letters < 2) return undefined;
  return bytes.map((byte) => (byte === 0 ? '·' : String.fromCharCode(byte))).join('');
}

/** As the drafts write it: `4F000001H`. */
export function leafName(leaf: number): string {
  return `${leaf.toString(16).toUpperCase()}H`;
}

/** The name of a CPUID: `4F000001H.1`. A kernel that leaves something in ECX, as most do, asks `1H.6C65746EH`. */
export function callName(leaf: number, subleaf: number): string {
  return `${leafName(leaf)}.${subleaf < 10 ? subleaf : leafName(subleaf)}`;
}

export function registerName(leaf: number, subleaf: number, register: Register): string {
  return `CPUID.${callName(leaf, subleaf)}.${register.toUpperCase()}`;
}

export function hex8(value: number): string {
  return value.toString(16).padStart(8, '0');
}

/** With a capital letter. */
export function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
