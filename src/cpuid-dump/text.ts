/** CPUID dumps as text: the output of `cpuid -r` (Todd Allen's cpuid), and a JSON form. Reads both, however damaged. */
import type { Regs } from '../cpu.ts';
import { hex } from '../cpu.ts';
import { missingLeaves } from './missing.ts';
import type { CpuidDump, Row } from './walk.ts';
import { isIndexed, regsEqual } from './walk.ts';

/** The processors that were read, and the problems. */
export interface Parsed {
  /** One dump for each processor of the text; none where no leaf could be read. */
  readonly cpus: readonly CpuidDump[];
  /** One readable line for each kind of problem. */
  readonly problems: readonly string[];
}

/** `cpuid`: as `cpuid -r` prints; `json`: `{ cpus: [[{ leaf, subleaf, indexed, eax, ebx, ecx, edx }]] }`, registers in hex. */
export function formatDump(cpus: readonly CpuidDump[], as: 'cpuid' | 'json' = 'cpuid'): string {
  if (as === 'json') {
    const rows = cpus.map((cpu) =>
      cpu.map((row) => {
        const { leaf, subleaf, indexed, eax, ebx, ecx, edx } = row;
        const text = JSON.stringify({
          ...{ leaf: hex(leaf), subleaf, indexed },
          ...{ eax: hex(eax), ebx: hex(ebx), ecx: hex(ecx), edx: hex(edx) },
        });
        return `    ${text}`;
      }),
    );
    return `{"cpus": [\n${rows.map((cpu) => `  [\n${cpu.join(',\n')}\n  ]`).join(',\n')}\n]}\n`;
  }
  const line = ({ leaf, subleaf, eax, ebx, ecx, edx }: Row) =>
    `   ${hex(leaf)} ${hex(subleaf, 2)}: eax=${hex(eax)} ebx=${hex(ebx)} ecx=${hex(ecx)} edx=${hex(edx)}\n`;
  return cpus.map((cpu, i) => `CPU ${i}:\n${cpu.map(line).join('')}`).join('');
}

/** Never throws: unreadable lines are left out and reported. Linear in the length of the text. */
export function parseDump(text: string): Parsed {
  const reading = /^\s*[{[]/.test(text.slice(0, 1000)) ? readJson(text) : readDump(text);
  const cpus = reading.cpus.filter((cpu) => cpu.size > 0).map(dumpOf);
  const missing = new Set(cpus.flatMap((cpu) => [...missingLeaves(cpu).values()]));
  return {
    cpus,
    problems: [...reading.problems, ...(cpus.length === 0 ? ['no leaf could be read'] : missing)],
  };
}

/** Rows by leaf and subleaf, as they were first given. */
type Leaves = Map<number, Map<number, Regs>>;
interface Reading {
  readonly cpus: readonly Leaves[];
  readonly problems: readonly string[];
}

const LINE =
  /^\s*0x([\da-f]{8})(?: 0x([\da-f]{2,8}))?: eax=0x([\da-f]{8}) ebx=0x([\da-f]{8}) ecx=0x([\da-f]{8}) edx=0x([\da-f]{8})\s*$/i;

/** More processors than any machine that a dump can come from; a bound for noise that looks like headers. */
const MAX_CPUS = 8192;

function readDump(text: string): Reading {
  const cpus: Leaves[] = [];
  const unreadable = tally((first, rest) => `line ${first} is not what cpuid -r prints${rest}`);
  const contrary = tally((first, rest) => `line ${first} contradicts an earlier one and is ignored${rest}`);
  let number = 0;
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf('\n', at);
    const stop = end < 0 ? text.length : end;
    number++;
    // A longer line than any that is ours is not worth the search.
    const line = stop - at > 200 ? 'x' : text.slice(at, stop);
    at = stop + 1;
    if (/^CPU(?: \d+)?:\s*$/.test(line)) {
      if (cpus.length < MAX_CPUS) cpus.push(new Map());
    } else if (line.trim() !== '') {
      const words = LINE.exec(line)
        ?.slice(1)
        .map((word) => Number.parseInt(word ?? '0', 16));
      if (words === undefined) unreadable.add(number);
      else if (cpus.length === 0) cpus.push(new Map());
      if (words !== undefined && !add(cpus.at(-1)!, words)) contrary.add(number);
    }
  }
  return { cpus, problems: [...unreadable.problems(), ...contrary.problems()] };
}

function readJson(text: string): Reading {
  const fail = (problem: string): Reading => ({ cpus: [], problems: [problem] });
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    return fail('the text begins as JSON and is not: truncated?');
  }
  const lists = (data as { cpus?: unknown } | null)?.cpus;
  if (!Array.isArray(lists)) return fail('the JSON is not a CPUID dump: expected { "cpus": [[...]] }');
  const unreadable = tally((first, rest) => `row ${first} of the JSON is not a leaf${rest}`);
  const contrary = tally(
    (first, rest) => `row ${first} of the JSON contradicts an earlier one and is ignored${rest}`,
  );
  let number = 0;
  const cpus = lists.slice(0, MAX_CPUS).map((list) => {
    const leaves: Leaves = new Map();
    for (const row of Array.isArray(list) ? list : []) {
      number++;
      const { leaf, subleaf, eax, ebx, ecx, edx } = (row ?? {}) as Record<string, unknown>;
      const words = [leaf, subleaf, eax, ebx, ecx, edx].map(word);
      if (words.includes(Number.NaN)) unreadable.add(number);
      else if (!add(leaves, words)) contrary.add(number);
    }
    return leaves;
  });
  return { cpus, problems: [...unreadable.problems(), ...contrary.problems()] };
}

/** A number, or hex as a string; NaN for anything but 32 bits. */
function word(value: unknown): number {
  const number = typeof value === 'string' && /^0x[\da-f]{1,8}$/i.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isInteger(number) && number >>> 0 === number
    ? number
    : Number.NaN;
}

/** False where the leaf was given before, with other registers. */
function add(
  leaves: Leaves,
  [leaf = 0, subleaf = 0, eax = 0, ebx = 0, ecx = 0, edx = 0]: readonly number[],
): boolean {
  const subleaves = leaves.get(leaf) ?? new Map<number, Regs>();
  leaves.set(leaf, subleaves);
  const regs = { eax, ebx, ecx, edx };
  const earlier = subleaves.get(subleaf);
  if (earlier === undefined) subleaves.set(subleaf, regs);
  return earlier === undefined || regsEqual(earlier, regs);
}

/** A text does not say which leaves are indexed: those that the manuals say, and those that answer differently. */
function dumpOf(leaves: Leaves): CpuidDump {
  const rows = [...leaves].flatMap(([leaf, subleaves]): Row[] => {
    const zeroth = subleaves.get(0);
    const alike = zeroth !== undefined && [...subleaves.values()].every((regs) => regsEqual(regs, zeroth));
    if (alike && !isIndexed(leaf)) return [{ leaf, subleaf: 0, indexed: false, ...zeroth }];
    return [...subleaves].map(([subleaf, regs]) => ({ leaf, subleaf, indexed: true, ...regs }));
  });
  return rows.sort((a, b) => a.leaf - b.leaf || a.subleaf - b.subleaf);
}

/** Counts problems, and remembers the first place. */
function tally(say: (first: number, rest: string) => string) {
  let first = 0;
  let count = 0;
  return {
    add(number: number) {
      if (count++ === 0) first = number;
    },
    problems: () => (count === 0 ? [] : [say(first, count === 1 ? '' : ` (and ${count - 1} more)`)]),
  };
}
