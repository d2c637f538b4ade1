// Mutants: the right hypervisor with one bit of one register flipped, or one answer of an MSR changed. The suite names a
// failure, or the draft allows what came of it, which is decided here from the draft and not from the rules.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Fault, Regs, SyncCpu } from 'commonhv';
import { type Report, verify } from 'commonhv/conformance';
import type { Draft } from 'commonhv/spec';
import { right, stage } from './support/harness.ts';

type Name = keyof Regs;
const NAMES: readonly Name[] = ['eax', 'ebx', 'ecx', 'edx'];
const DRAFTS: readonly Draft[] = [1, 2, 3];
const RNG = 0x4000_00a0;
const GENERATION = 0x4000_00a1;
/** Two tuples are advertised, KVM's and Xen's; Xen's MSRs are those from 40000200H. */
const TUPLES = 2;

/** Every fifth: 5 and 32 have no common factor, so each bit position is met in some register. A cell of the matrix takes all. */
const STEP = process.env.COMMONHV_MUTANTS === 'all' ? 1 : 5;

interface Place {
  readonly leaf: number;
  readonly subleaf: number;
  readonly name: Name;
  readonly bit: number;
}

function flip({ leaf, subleaf, name, bit }: Place, good: (host: SyncCpu) => SyncCpu) {
  return (under: SyncCpu): SyncCpu => {
    const honest = good(under);
    return {
      ...honest,
      cpuid(asked, sub) {
        const regs = honest.cpuid(asked, sub);
        if (asked !== leaf || sub !== subleaf) return regs;
        return { ...regs, [name]: (regs[name] ^ (1 << bit)) >>> 0 };
      },
    };
  };
}

/** Every bit of every register that the draft describes, and of the first subleaf and leaf beyond. */
function places(draft: Draft): readonly Place[] {
  const first = draft === 1 ? 0 : 1;
  const where: [leaf: number, subleaf: number][] = [
    [0x4f00_0000, 0],
    ...(draft === 1 ? [] : ([[0x4f00_0001, 0]] as [number, number][])),
    ...Array.from({ length: TUPLES + 1 }, (_, i): [number, number] => [0x4f00_0001, first + i]),
    [0x4f00_0002, 0],
    [0x4f00_0003, 0],
    [0x4f00_0004, 0],
  ];
  const bits = Array.from({ length: 32 }, (_, bit) => bit);
  return [
    ...where.flatMap(([leaf, subleaf]) =>
      NAMES.flatMap((name) => bits.map((bit) => ({ leaf, subleaf, name, bit }))),
    ),
    { leaf: 1, subleaf: 0, name: 'ecx', bit: 31 },
  ];
}

/** Whether a hypervisor of the draft may answer so. `input`: the hypervisor takes what guests write. */
function allowed(draft: Draft, { leaf, subleaf, name, bit }: Place, input: boolean): boolean {
  if (leaf === 1) return draft > 1; // a MUST in draft 1; the others tell guests to look where it is clear
  if (leaf === 0x4f00_0000) return fewerLeaves(draft, name, bit);
  if (leaf === 0x4f00_0001) return inList(draft, subleaf, name, bit);
  if (leaf === 0x4f00_0002) {
    if (draft === 1 || name !== 'eax') return false; // an index where nothing is; reserved; the draft's number
    if (bit === 0) return !input; // no RNG, and no input for none
    if (bit === 1) return draft === 2 && input; // "unspecified behavior" in draft 2, #GP in draft 3
    return draft === 3 && bit === 2; // no generation; bits 3 and 4 offer something that is not there
  }
  if (leaf === 0x4f00_0004 || draft === 1) return true; // a leaf that the draft does not have
  if (name === 'eax') return false; // an index where nothing is
  if (draft === 2) return true; // registers that draft 2 does not describe
  return name === 'ebx' && bit < 2; // another statement about the values, or none
}

/** A hypervisor may end with the list in draft 2, and with the root in draft 1; draft 3 has a floor. */
function fewerLeaves(draft: Draft, name: Name, bit: number): boolean {
  return name === 'eax' && bit === 1 && draft !== 3;
}

function inList(draft: Draft, subleaf: number, name: Name, bit: number): boolean {
  // Beyond the list: zeros in draft 3, nothing in draft 2, and in draft 1 one interface more, if it has a signature.
  if (subleaf > (draft === 1 ? TUPLES - 1 : TUPLES)) return draft === 2 || (draft === 1 && name !== 'eax');
  if (draft === 3 && subleaf > 0 && name === 'eax') return bit < 28; // above that: outside of 40000000H to 4EFFFFFFH
  if (draft === 1 || subleaf > 0) return true; // another location or signature is another interface
  if (name === 'eax') return draft === 2 && bit === 1; // none of two; draft 2 does not say what lies beyond the list
  return name === 'ebx' && draft === 3 && bit === 0; // the first is preferred; or none
}

/** The leaves are then those of a draft 1 hypervisor with three interfaces: the count is the location of the first. */
function reallyDraft1(draft: Draft, { leaf, name, bit }: Place): boolean {
  return draft === 3 && leaf === 0x4f00_0000 && name === 'eax' && bit === 1;
}

/** A number above 3 is a later draft's, which nobody here can verify: nothing fails, and nothing conforms. */
function isLater({ leaf, subleaf, name, bit }: Place): boolean {
  return leaf === 0x4f00_0002 && subleaf === 0 && name === 'ebx' && bit >= 2;
}

async function failures(layer: (host: SyncCpu) => SyncCpu, draft?: Draft): Promise<Report> {
  return verify(stage(layer).cpu, { strict: true, ...(draft && { draft }) });
}

function agree(report: Report, permitted: boolean, what: string): void {
  const found = report.rules
    .filter(({ outcome }) => outcome === 'failed')
    .map(({ id, detail }) => `${id}: ${detail}`);
  assert.equal(found.length === 0, permitted, `${what}: ${permitted ? found.join('; ') : 'no rule fails'}`);
}

for (const draft of DRAFTS) {
  test(`draft ${draft}: one flipped bit of a leaf fails, or is allowed; told the draft, and left to find it`, async () => {
    const all = places(draft);
    for (const place of all.filter((_, i) => i % STEP === draft % STEP)) {
      const what = JSON.stringify(place);
      for (const input of place.leaf === 0x4f00_0002 ? [false, true] : [false]) {
        const layer = flip(place, right(draft, input ? 'mix' : undefined));
        const permitted = allowed(draft, place, input) || (draft === 3 && isLater(place));
        agree(await failures(layer, draft), permitted, what);
        if (
          input ||
          place.bit % (STEP === 1 ? 1 : 4) !== 0 ||
          (place.leaf === 0x4f00_0001 && place.subleaf > 1)
        )
          continue;
        const other = reallyDraft1(draft, place) || isLater(place);
        agree(await failures(layer), permitted || other, `${what}, by detection`);
      }
    }
    assert.ok(all.length >= 800);
  });
}

interface Answer {
  readonly what: string;
  readonly register: number;
  readonly read?: (value: bigint | Fault, count: number) => bigint | Fault;
  readonly write?: Fault | 'taken';
  /** Whether the draft allows it, by draft and by whether input is taken. */
  readonly allowed: (draft: Draft, input: boolean) => boolean;
}

const value = (change: (value: bigint, count: number) => bigint) => (value: bigint | Fault, count: number) =>
  typeof value === 'bigint' ? BigInt.asUintN(64, change(value, count)) : value;
const never = () => false;
const always = () => true;
const BITS = Array.from({ length: 8 }, (_, i) => BigInt(9 * i)); // 0 to 63, in every byte
const ANSWERS: readonly Answer[] = [
  { what: 'RDMSR of the RNG raises #GP', register: RNG, read: () => '#GP', allowed: never },
  { what: 'RDMSR of the RNG raises #UD', register: RNG, read: () => '#UD', allowed: never },
  { what: 'the RNG reads zero', register: RNG, read: value(() => 0n), allowed: never },
  { what: 'the RNG reads all ones', register: RNG, read: value(() => -1n), allowed: never },
  ...BITS.flatMap((bit): Answer[] => [
    {
      what: `bit ${bit} of the values is 0`,
      register: RNG,
      read: value((w) => w & ~(1n << bit)),
      allowed: never,
    },
    {
      what: `bit ${bit} of the values is 1`,
      register: RNG,
      read: value((w) => w | (1n << bit)),
      allowed: never,
    },
    {
      what: `bit ${bit} of the values is flipped`,
      register: RNG,
      read: value((w) => w ^ (1n << bit)),
      allowed: always,
    },
    {
      what: `bit ${bit} of the generation is flipped`,
      register: GENERATION,
      read: value((w) => w ^ (1n << bit)),
      allowed: always,
    },
    {
      what: `bit ${bit} of the generation is flipped at every second read`,
      register: GENERATION,
      read: value((w, count) => (count % 2 === 0 ? w : w ^ (1n << bit))),
      allowed: (draft) => draft !== 3,
    },
  ]),
  { what: 'WRMSR of the RNG raises #GP', register: RNG, write: '#GP', allowed: (_, input) => !input },
  {
    what: 'WRMSR of the RNG raises #UD',
    register: RNG,
    write: '#UD',
    allowed: (d, input) => d === 2 && !input,
  },
  {
    what: 'WRMSR of the RNG raises nothing',
    register: RNG,
    write: 'taken',
    allowed: (d, input) => input || d === 2,
  },
  {
    what: 'RDMSR of the generation raises #GP',
    register: GENERATION,
    read: () => '#GP',
    allowed: (draft) => draft !== 3,
  },
  {
    what: 'WRMSR of the generation raises nothing',
    register: GENERATION,
    write: 'taken',
    allowed: (draft) => draft !== 3,
  },
  { what: 'a neighbour reads zero', register: RNG - 1, read: () => 0n, allowed: always },
];

function answering({ register, read, write }: Answer, good: (host: SyncCpu) => SyncCpu) {
  return (under: SyncCpu): SyncCpu => {
    const honest = good(under);
    let count = 0;
    return {
      ...honest,
      rdmsr(index) {
        const value = honest.rdmsr(index);
        return read !== undefined && index === register ? read(value, count++) : value;
      },
      wrmsr(index, value) {
        if (write === undefined || index !== register) return honest.wrmsr(index, value);
        return write === 'taken' ? undefined : write;
      },
    };
  };
}

for (const draft of DRAFTS) {
  test(`draft ${draft}: one changed answer of an MSR fails, or is allowed`, async () => {
    for (const input of draft === 1 ? [true] : [false, true]) {
      for (const answer of ANSWERS) {
        const layer = answering(answer, right(draft, input ? 'mix' : undefined));
        agree(await failures(layer, draft), answer.allowed(draft, input), `${answer.what}, input ${input}`);
      }
    }
  });
}
