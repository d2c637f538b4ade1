/** Liars about what is offered, and where. */
import { GP, hex, type Regs } from '../../cpu.ts';
import { encodeSignature, LEAF_FEATURES, LEAF_INTERFACES, LEAF_REGISTERS } from '../../spec/index.ts';
import { type Liar, type Lie, leaf, lying, reads, writes } from './lie.ts';

/** Draft 3's registers leaf with a wrong index in one register. */
const moved = (register: 'eax' | 'ecx', by: number): Lie =>
  leaf(LEAF_REGISTERS, 'all', (regs) => ({ [register]: regs[register] + by }));

/** The RNG in the middle of KVM's own MSRs, beside KVM's signature. */
function amongKvm(): Lie {
  const taken = 0x4b56_4da0;
  return lying((honest) => ({
    cpuid(asked, subleaf) {
      const regs = honest.cpuid(asked, subleaf);
      if (asked === LEAF_INTERFACES && subleaf === honest.first)
        return { ...regs, ...encodeSignature('KVMKVMKVM\0\0\0') };
      if (honest.draft === 1) return asked === LEAF_FEATURES ? { ...regs, eax: taken } : regs;
      return asked === LEAF_REGISTERS ? { ...regs, eax: taken } : regs;
    },
    rdmsr: (index) => (index === honest.rng ? GP : honest.rdmsr(index === taken ? honest.rng : index)),
    wrmsr: (index, value) =>
      index === honest.rng ? GP : honest.wrmsr(index === taken ? honest.rng : index, value),
  }));
}

const set = (register: keyof Regs, bit: number): Lie =>
  leaf(LEAF_FEATURES, 'all', (regs) => ({ [register]: (regs[register] | bit) >>> 0 }));

export const features: readonly Liar[] = [
  {
    rule: 'features.rng',
    drafts: [1, 2, 3],
    title: 'offers an RNG that raises #GP',
    lie: reads('rng', () => GP),
  },
  {
    rule: 'features.input',
    drafts: [2],
    title: 'offers to take input and raises #GP',
    input: true,
    lie: writes('rng', GP),
  },
  {
    rule: 'features.input',
    drafts: [2, 3],
    title: 'takes input for an RNG that it does not offer',
    lie: lying((honest) => ({
      cpuid(asked, subleaf) {
        const regs = honest.cpuid(asked, subleaf);
        return asked === LEAF_FEATURES ? { ...regs, eax: (regs.eax & ~1) | 2 } : regs;
      },
      rdmsr: (index) => (index === honest.rng ? GP : honest.rdmsr(index)),
    })),
  },
  {
    rule: 'features.generation',
    drafts: [3],
    title: 'offers a generation that raises #GP',
    lie: reads('generation', () => GP),
  },
  {
    rule: 'features.reserved',
    drafts: [1, 2, 3],
    title: 'leaves the subleaf in ECX',
    lie: leaf(LEAF_FEATURES, 'all', () => ({ ecx: 1 })),
  },
  {
    rule: 'features.reserved',
    drafts: [1, 2, 3],
    title: 'sets the top bit of EDX',
    lie: set('edx', 0x8000_0000),
  },
  {
    rule: 'features.reserved',
    drafts: [2],
    title: 'sets a feature bit that draft 2 does not have',
    lie: set('eax', 8),
  },
  {
    rule: 'features.reserved-bits',
    drafts: [3],
    title: 'sets a feature bit that draft 3 does not have',
    lie: set('eax', 0x8000_0000),
  },
  {
    rule: 'features.draft',
    drafts: [3],
    title: 'calls itself draft 4',
    lie: leaf(LEAF_FEATURES, 'all', () => ({ ebx: 4 })),
  },
  {
    rule: 'features.draft',
    drafts: [3],
    title: 'does not say which draft it is',
    lie: leaf(LEAF_FEATURES, 'all', () => ({ ebx: 0 })),
  },
  {
    rule: 'registers.rng',
    drafts: [3],
    title: 'gives the index before that of the RNG',
    lie: moved('eax', -1),
  },
  {
    rule: 'registers.generation',
    drafts: [3],
    title: 'gives the index after that of the generation',
    lie: moved('ecx', 1),
  },
  {
    rule: 'registers.two',
    drafts: [3],
    title: 'gives one index for both registers',
    lie: leaf(LEAF_REGISTERS, 'all', ({ eax }) => ({ ecx: eax })),
  },
  {
    rule: 'registers.free',
    drafts: [1, 2, 3],
    title: `has its RNG at ${hex(0x4b56_4da0)}, which KVM owns`,
    lie: amongKvm(),
  },
  {
    rule: 'registers.reserved-bits',
    drafts: [3],
    title: 'states more about its words than the text knows',
    lie: leaf(LEAF_REGISTERS, 'all', ({ ebx }) => ({ ebx: ebx | 4 })),
  },
  {
    rule: 'registers.reserved',
    drafts: [3],
    title: 'puts something into EDX of leaf 4F000003H',
    lie: leaf(LEAF_REGISTERS, 'all', () => ({ edx: 0x4000_00a2 })),
  },
];
