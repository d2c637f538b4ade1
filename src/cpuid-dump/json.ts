/** CPUID dumps in JSON: this project's own, and lists of rows under the names that other programs use. */
import { hex } from '../cpu.ts';
import { type Reading, tally } from './rows.ts';
import { add, type Section } from './sections.ts';
import type { Recorded } from './text.ts';

const MAX_CPUS = 8192;

export const TRUNCATED = 'the text begins as JSON and is not: truncated?';

/** Names of a row's members: ours, KVM's, libvirt's. */
const NAMES = {
  leaf: ['leaf', 'function', 'eax_in'],
  subleaf: ['subleaf', 'index', 'ecx_in'],
} as const;

/** Reads `{ cpus: [[row, …], …], numbers: […] }`, a list of such lists, or one list of rows. */
export function readJson(text: string): Reading {
  const fail = (problem: string): Reading => ({ sections: [], problems: [problem] });
  const documents = documentsOf(text);
  if (documents === undefined) return fail(TRUNCATED);
  const [data] = documents;
  const lists = documents.length === 1 ? listsOf(data) : documents.flatMap((one) => listsOf(one) ?? []);
  if (lists === undefined) return fail('the JSON is not a CPUID dump: expected { "cpus": [[...]] }');
  const numbers = (data as { numbers?: unknown } | null)?.numbers;
  const unreadable = tally((first, rest) => `row ${first} of the JSON is not a leaf${rest}`);
  const contrary = tally(
    (first, rest) => `row ${first} of the JSON contradicts an earlier one and is ignored${rest}`,
  );
  let row = 0;
  const sections = lists.slice(0, MAX_CPUS).map((list, i): Section => {
    const leaves: Section['leaves'] = new Map();
    for (const entry of Array.isArray(list) ? list : []) {
      row++;
      const values = valuesOf(entry);
      if (values.includes(Number.NaN)) unreadable.add(row);
      else if (!addRow(leaves, values)) contrary.add(row);
    }
    const number: unknown = Array.isArray(numbers) ? numbers[i] : i;
    return {
      number: typeof number === 'number' ? number : undefined,
      view: undefined,
      line: i + 1,
      leaves,
      excerpt: false,
    };
  });
  return { sections, problems: [...unreadable.problems(), ...contrary.problems()] };
}

/** One document, or several after each other. */
function documentsOf(text: string): readonly unknown[] | undefined {
  for (const parts of [[text], text.split(/(?<=[}\]])\s{0,100}\n(?=\s{0,100}[{[])/)]) {
    try {
      return parts.map((part) => JSON.parse(part) as unknown);
    } catch {}
  }
  return undefined;
}

function listsOf(data: unknown): readonly unknown[] | undefined {
  const lists = (data as { cpus?: unknown } | null)?.cpus;
  if (Array.isArray(lists)) return lists;
  const template = (data as { cpuid_modifiers?: unknown } | null)?.cpuid_modifiers;
  if (Array.isArray(template)) return [template.map(ofTemplate)];
  if (!Array.isArray(data) || data.length === 0) return undefined;
  if (data.every(Array.isArray)) return data;
  return data.some((row) => !valuesOf(row).includes(Number.NaN)) ? [data] : undefined;
}

/** Firecracker's CPU template: a bit map for each register. A register that is not given, or in part, is no value. */
function ofTemplate(entry: unknown): unknown {
  const { leaf, subleaf, modifiers } = (entry ?? {}) as Record<string, unknown>;
  const registers: Record<string, unknown> = {};
  for (const one of Array.isArray(modifiers) ? modifiers : []) {
    const { register, bitmap } = (one ?? {}) as Record<string, unknown>;
    if (typeof register === 'string' && typeof bitmap === 'string' && /^0b[01]{1,32}$/.test(bitmap))
      registers[register] = Number(bitmap);
  }
  return { ...registers, leaf, subleaf };
}

function valuesOf(row: unknown): readonly number[] {
  const members = (row ?? {}) as Record<string, unknown>;
  const named = (names: readonly string[]): unknown =>
    members[names.find((name) => name in Object(row)) ?? ''];
  const subleaf = named(NAMES.subleaf) ?? 0;
  return [named(NAMES.leaf), subleaf, members.eax, members.ebx, members.ecx, members.edx].map(word);
}

function addRow(
  leaves: Section['leaves'],
  [leaf = 0, subleaf = 0, eax = 0, ebx = 0, ecx = 0, edx = 0]: readonly number[],
): boolean {
  return add(leaves, leaf, subleaf, { eax, ebx, ecx, edx });
}

/** A number, or hex as a string; NaN for anything that is not 32 bits. */
function word(value: unknown): number {
  const number = typeof value === 'string' && /^0x[\da-f]{1,8}$/i.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isInteger(number) && number >>> 0 === number
    ? number
    : Number.NaN;
}

/** `{ cpus: [[{ leaf, subleaf, indexed, eax, ebx, ecx, edx }]], numbers }`, registers in hex; `numbers` where headings had other ones. */
export function formatJson(cpus: readonly Recorded[]): string {
  const rows = cpus.map(({ dump }) =>
    dump
      .filter(({ partial }) => !partial)
      .map(({ leaf, subleaf, indexed, eax, ebx, ecx, edx }) => {
        const registers = { eax: hex(eax), ebx: hex(ebx), ecx: hex(ecx), edx: hex(edx) };
        return `    ${JSON.stringify({ leaf: hex(leaf), subleaf, indexed, ...registers })}`;
      }),
  );
  const numbers = cpus.map(({ number }, i) => number ?? i);
  const ordinary = numbers.every((number, i) => number === i);
  const lists = rows.map((cpu) => `  [\n${cpu.join(',\n')}\n  ]`).join(',\n');
  return `{"cpus": [\n${lists}\n]${ordinary ? '' : `, "numbers": ${JSON.stringify(numbers)}`}}\n`;
}
