/** Faulty hypervisors: the features, and the indices of registers. */
import { GP, hex, type Regs } from '../../cpu.ts';
import { encodeSignature, LEAF_FEATURES, LEAF_INTERFACES, LEAF_MSRS } from '../../spec/index.ts';
import { type FaultyHypervisor, faulty, leaf, type MakeFaulty, reads, writes } from './faulty.ts';

/** Draft 3's MSR leaf with a wrong index in one register. */
const moved = (register: 'eax' | 'ecx', by: number): MakeFaulty =>
  leaf(LEAF_MSRS, 'all', (regs) => ({ [register]: regs[register] + by }));

/** The RNG in the middle of KVM's own MSRs, beside KVM's signature. */
function amongKvm(): MakeFaulty {
  const taken = 0x4b56_4da0;
  return faulty((correct) => ({
    cpuid(asked, subleaf) {
      const regs = correct.cpuid(asked, subleaf);
      if (asked === LEAF_INTERFACES && subleaf === correct.first)
        return { ...regs, ...encodeSignature('KVMKVMKVM\0\0\0') };
      if (correct.draft === 1) return asked === LEAF_FEATURES ? { ...regs, eax: taken } : regs;
      return asked === LEAF_MSRS ? { ...regs, eax: taken } : regs;
    },
    rdmsr: (index) => (index === correct.rng ? GP : correct.rdmsr(index === taken ? correct.rng : index)),
    wrmsr: (index, value) =>
      index === correct.rng ? GP : correct.wrmsr(index === taken ? correct.rng : index, value),
  }));
}

const set = (register: keyof Regs, bit: number): MakeFaulty =>
  leaf(LEAF_FEATURES, 'all', (regs) => ({ [register]: (regs[register] | bit) >>> 0 }));

export const features: readonly FaultyHypervisor[] = [
  {
    rule: 'features.rng',
    drafts: [1, 2, 3],
    title: 'offers an RNG that raises #GP',
    makeFaulty: reads('rng', () => GP),
  },
  {
    rule: 'features.input',
    drafts: [2],
    title: 'offers to take input and raises #GP',
    input: true,
    makeFaulty: writes('rng', GP),
  },
  {
    rule: 'features.input',
    drafts: [2, 3],
    title: 'takes input for an RNG that it does not offer',
    makeFaulty: faulty((correct) => ({
      cpuid(asked, subleaf) {
        const regs = correct.cpuid(asked, subleaf);
        return asked === LEAF_FEATURES ? { ...regs, eax: (regs.eax & ~1) | 2 } : regs;
      },
      rdmsr: (index) => (index === correct.rng ? GP : correct.rdmsr(index)),
    })),
  },
  {
    rule: 'features.generation',
    drafts: [3],
    title: 'offers a generation that raises #GP',
    makeFaulty: reads('generation', () => GP),
  },
  {
    rule: 'features.reserved',
    drafts: [1, 2, 3],
    title: 'leaves the subleaf in ECX',
    makeFaulty: leaf(LEAF_FEATURES, 'all', () => ({ ecx: 1 })),
  },
  {
    rule: 'features.reserved',
    drafts: [1, 2, 3],
    title: 'sets the top bit of EDX',
    makeFaulty: set('edx', 0x8000_0000),
  },
  {
    rule: 'features.reserved',
    drafts: [2],
    title: 'sets a feature bit that draft 2 does not have',
    makeFaulty: set('eax', 8),
  },
  {
    rule: 'features.reserved-bits',
    drafts: [3],
    title: 'sets a feature bit that draft 3 does not have',
    makeFaulty: set('eax', 0x8000_0000),
  },
  {
    rule: 'features.draft',
    drafts: [3],
    title: 'does not say which draft it is',
    makeFaulty: leaf(LEAF_FEATURES, 'all', () => ({ ebx: 0 })),
  },
  {
    rule: 'msrs.rng',
    drafts: [3],
    title: 'gives the index before that of the RNG',
    probeMsrs: true,
    makeFaulty: moved('eax', -1),
  },
  {
    rule: 'msrs.generation',
    drafts: [3],
    title: 'gives the index after that of the generation',
    probeMsrs: true,
    makeFaulty: moved('ecx', 1),
  },
  {
    rule: 'msrs.two',
    drafts: [3],
    title: 'gives one index for both registers',
    makeFaulty: leaf(LEAF_MSRS, 'all', ({ eax }) => ({ ecx: eax })),
  },
  {
    rule: 'msrs.free',
    drafts: [1, 2, 3],
    title: `has its RNG at ${hex(0x4b56_4da0)}, which KVM owns`,
    makeFaulty: amongKvm(),
  },
  {
    rule: 'msrs.reserved-bits',
    drafts: [3],
    title: 'states more about its values than the text knows',
    makeFaulty: leaf(LEAF_MSRS, 'all', ({ ebx }) => ({ ebx: ebx | 4 })),
  },
  {
    rule: 'msrs.reserved',
    drafts: [3],
    title: 'puts something into EDX of leaf 4F000003H',
    makeFaulty: leaf(LEAF_MSRS, 'all', () => ({ edx: 0x4000_00a2 })),
  },
];
