/** The meaning of each bit of CommonHV's registers, in the drafts' own words. */
import type { Draft } from 'commonhv/spec';
import { LEAF_BASIC, LEAF_FEATURES, LEAF_INTERFACES, LEAF_MSRS, LEAF_ROOT } from 'commonhv/spec';
import type { Row } from './row.ts';

export type Register = 'eax' | 'ebx' | 'ecx' | 'edx';
export const REGISTERS: readonly Register[] = ['eax', 'ebx', 'ecx', 'edx'];

export interface Field {
  readonly first: number;
  readonly last: number;
  readonly name: string;
  /** A sentence of the draft; empty where no draft says anything. */
  readonly words: string;
}

const whole = (name: string, words = ''): readonly Field[] => [{ first: 0, last: 31, name, words }];
const bit = (at: number, name: string, words: string): Field => ({ first: at, last: at, name, words });
const rest = (first: number, words: string): Field => ({ first, last: 31, name: 'reserved', words });

type Meaning = (draft: Draft, subleaf: number) => Partial<Record<Register, readonly Field[]>>;

const OTHER_BITS = 'All other bits in leaf CPUID.4F000002H.0H are reserved.';
const RESERVED_2 = 'CPUID.4F000001H.0H.EBX, CPUID.4F000001H.0H.ECX, and CPUID.4F000001H.0H.EDX are reserved.';

const basic: Meaning = (draft) => ({
  ecx: [
    bit(
      31,
      'hypervisor bit',
      {
        1: 'A CommonHV hypervisor MUST set the hypervisor bit (bit 31 in CPUID.1H.0H.ECX)',
        2: 'A CommonHV hypervisor SHOULD set the hypervisor bit (bit 31 in CPUID.1H.0H.ECX)',
        3: 'Bit 31 of CPUID.1.ECX, the hypervisor bit, SHOULD be set.',
      }[draft],
    ),
  ],
});

const root: Meaning = (draft) => {
  const spelled =
    draft === 3
      ? 'CPUID.4F000000H.0 MUST return 6D6D6F43H in EBX, 56486E6FH in ECX and 66746E49H in EDX.'
      : 'EBX, ECX, and EDX form the string "CommonHVIntf" in little-endian ASCII.';
  return {
    eax: whole(
      'max_commonhv_leaf',
      draft === 3
        ? 'CPUID.4F000000H.0.EAX, called max_commonhv_leaf, MUST be the largest leaf of this specification that is provided, from 4F000002H to 4FFFFFFFH.'
        : 'max_commonhv_leaf MUST be a number between 0x4F000000 and 0x4FFFFFFF.',
    ),
    ebx: whole('signature, bytes 0 to 3', spelled),
    ecx: whole('signature, bytes 4 to 7', spelled),
    edx: whole('signature, bytes 8 to 11', spelled),
  };
};

const count: Meaning = (draft) => {
  const zero = draft === 3 ? 'CPUID.4F000001H.0.ECX and CPUID.4F000001H.0.EDX MUST be 0.' : RESERVED_2;
  return {
    eax: whole(
      'N, the number of tuples',
      draft === 3
        ? 'CPUID.4F000001H.0.EAX MUST be N, the number of tuples.'
        : 'CPUID.4F000001H.0H.EAX contains the number of interface tuples.',
    ),
    ebx:
      draft === 3
        ? whole(
            'the preferred tuple',
            'CPUID.4F000001H.0.EBX MUST be the index of the preferred tuple, from 1 to N, or 0 where the order alone decides.',
          )
        : whole('reserved', zero),
    ecx: whole('reserved', zero),
    edx: whole('reserved', zero),
  };
};

const tuple: Meaning = (draft, subleaf) => {
  const returns =
    'CPUID.4F000001H.i MUST return, for each i from 1 to N, the location of an interface in EAX and its signature in EBX, ECX and EDX.';
  const signature = draft === 3 ? returns : 'are the signature.';
  const name = `tuple ${subleaf}`;
  return {
    eax: whole(`${name}: location`, draft === 3 ? returns : 'CPUID.4F000001H.i.EAX is the location.'),
    ebx: whole(`${name}: signature, bytes 0 to 3`, signature),
    ecx: whole(`${name}: signature, bytes 4 to 7`, signature),
    edx: whole(`${name}: signature, bytes 8 to 11`, signature),
  };
};

const features: Meaning = (draft) => {
  if (draft === 1) return featuresOf1();
  return draft === 2 ? featuresOf2() : featuresOf3();
};

function featuresOf1(): ReturnType<Meaning> {
  const zero =
    'CPUID.4F000002H.EBX, CPUID.4F000002H.ECX, and CPUID.4F000002H.EDX are reserved and must be zero in hypervisors compliant with this version of the CommonHV specification.';
  return {
    eax: whole(
      'MSR_COMMONHV_RNG, or 0',
      'If CPUID.4F000002H.EAX is nonzero, then it contains an MSR index used to communicate with a hypervisor random number generator.',
    ),
    ebx: whole('reserved', zero),
    ecx: whole('reserved', zero),
    edx: whole('reserved', zero),
  };
}

function featuresOf2(): ReturnType<Meaning> {
  return {
    eax: [
      bit(0, 'RNG', 'CPUID.4F000002H.EAX bit 0 is set if the the CommonHV RNG interface is available.'),
      bit(1, 'RNG input', 'CPUID.4F000002H.EAX bit 1 is set if the CommonHV RNG accepts guest input.'),
      rest(2, OTHER_BITS),
    ],
    ebx: whole('reserved', OTHER_BITS),
    ecx: whole('reserved', OTHER_BITS),
    edx: whole('reserved', OTHER_BITS),
  };
}

function featuresOf3(): ReturnType<Meaning> {
  const zero = 'CPUID.4F000002H.0.ECX and CPUID.4F000002H.0.EDX MUST be 0.';
  return {
    eax: [
      bit(
        0,
        'RNG',
        'Bit 0 of CPUID.4F000002H.0.EAX MUST be set where the RNG is provided and clear where it is not.',
      ),
      bit(
        1,
        'RNG input',
        'Bit 1 of CPUID.4F000002H.0.EAX, the RNG takes input, MUST be clear where bit 0 is clear.',
      ),
      bit(
        2,
        'generation',
        'Bit 2 of CPUID.4F000002H.0.EAX MUST be set where the generation is provided and clear where it is not.',
      ),
      bit(
        3,
        'generation page',
        'Bit 3 of CPUID.4F000002H.0.EAX MUST be set where the generation page is provided and clear where it is not.',
      ),
      bit(
        4,
        'acknowledgement',
        'Bit 4 of CPUID.4F000002H.0.EAX MUST be set where the acknowledgement is provided and clear where it is not.',
      ),
      rest(5, 'Bits 5 to 31 of CPUID.4F000002H.0.EAX MUST be 0.'),
    ],
    ebx: whole('the draft', 'CPUID.4F000002H.0.EBX MUST be 3, the number of this draft.'),
    ecx: whole('reserved', zero),
    edx: whole('reserved', zero),
  };
}

const registers: Meaning = (draft) => {
  if (draft === 1) return {};
  if (draft === 2) {
    return { eax: whole('MSR_COMMONHV_RNG', 'CPUID.4F000003H.0H.EAX will contain an MSR index.') };
  }
  return {
    eax: whole(
      'MSR_COMMONHV_RNG',
      'CPUID.4F000003H.0.EAX MUST be the index of MSR_COMMONHV_RNG where the RNG is provided.',
    ),
    ebx: [
      bit(
        0,
        'the values are secure',
        'A hypervisor MUST NOT set bit 0 of CPUID.4F000003H.0.EBX unless every random value that the machine will ever read is 64 bits from a cryptographically secure generator seeded with at least 256 bits.',
      ),
      bit(
        1,
        'the values are not secure',
        'A hypervisor that knows its random values to be predictable MUST set bit 1 of CPUID.4F000003H.0.EBX.',
      ),
      rest(2, 'Bits 2 to 31 of CPUID.4F000003H.0.EBX MUST be 0.'),
    ],
    ecx: whole(
      'MSR_COMMONHV_GENERATION',
      'CPUID.4F000003H.0.ECX MUST be the index of MSR_COMMONHV_GENERATION where the generation is provided.',
    ),
    edx: whole(
      'MSR_COMMONHV_GENERATION_PAGE',
      'CPUID.4F000003H.0.EDX MUST be the index of MSR_COMMONHV_GENERATION_PAGE where the generation page is provided.',
    ),
  };
};

const LEAVES = new Map<number, { readonly title: string; readonly meaning: Meaning }>([
  [LEAF_BASIC, { title: 'processor features', meaning: basic }],
  [LEAF_ROOT, { title: 'CommonHV: discovery', meaning: root }],
  [LEAF_FEATURES, { title: 'CommonHV: features', meaning: features }],
  [LEAF_MSRS, { title: 'CommonHV: MSRs', meaning: registers }],
]);

/** The leaf's name, where this page knows one. `rows`: all that was read, which shows where the list of interfaces ends. */
export function titleOf(draft: Draft, leaf: number, subleaf: number, rows: readonly Row[] = []): string {
  if (leaf === LEAF_INTERFACES) {
    if (draft !== 1 && subleaf === 0) return 'CommonHV: how many interfaces';
    return isBeyond(draft, subleaf, rows) ? 'CommonHV: end of the list' : `CommonHV: interface ${subleaf}`;
  }
  return LEAVES.get(leaf)?.title ?? (leaf >= 0x4000_0000 && leaf < LEAF_ROOT ? 'another interface' : '');
}

/** Draft 1 ends its list with zeros, the others say how long it is. */
function isBeyond(draft: Draft, subleaf: number, rows: readonly Row[]): boolean {
  const at = (wanted: number) => rows.find((row) => row.leaf === LEAF_INTERFACES && row.subleaf === wanted);
  if (draft !== 1) return subleaf > (at(0)?.eax ?? Number.POSITIVE_INFINITY);
  const own = at(subleaf);
  return own !== undefined && (own.eax | own.ebx | own.ecx | own.edx) === 0;
}

/** The fields of one register under a draft, lowest bits first; empty where the drafts say nothing of it. */
export function fieldsOf(draft: Draft, leaf: number, subleaf: number, register: Register): readonly Field[] {
  const meaning =
    leaf === LEAF_INTERFACES ? (draft !== 1 && subleaf === 0 ? count : tuple) : LEAVES.get(leaf)?.meaning;
  return meaning?.(draft, subleaf)[register] ?? [];
}
