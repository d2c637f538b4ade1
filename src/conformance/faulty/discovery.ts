/** Faults in leaf 4F000000H and about leaves in general. */
import {
  HYPERVISOR_BIT,
  LEAF_BASIC,
  LEAF_FEATURES,
  LEAF_LAST,
  LEAF_MSRS,
  LEAF_ROOT,
  ZEROS,
} from '../../spec/index.ts';
import { type FaultyHypervisor, faulty, leaf, type MakeFaulty, read } from './faulty.ts';

/** max_commonhv_leaf, and nothing above it. */
function reaching(max: number): MakeFaulty {
  return faulty((correct) => ({
    cpuid(asked, subleaf) {
      if (asked > max && asked >= LEAF_ROOT && asked <= LEAF_LAST) return ZEROS;
      const regs = correct.cpuid(asked, subleaf);
      return asked === LEAF_ROOT ? { ...regs, eax: max } : regs;
    },
  }));
}

/** A leaf that is another one as soon as `changed` says so. */
function unsteady(changed: (index: number, rng: number) => boolean): MakeFaulty {
  return faulty((correct) => {
    let other = false;
    return {
      cpuid(asked, subleaf) {
        const regs = correct.cpuid(asked, subleaf);
        return other && asked === LEAF_FEATURES ? { ...regs, eax: (regs.eax ^ 1) >>> 0 } : regs;
      },
      rdmsr(index) {
        other ||= changed(index, correct.rng);
        return correct.rdmsr(index);
      },
    };
  });
}

/** The leaves of a machine that was restored from a saved state. */
const changedByRestore: MakeFaulty = (good, draft) => {
  let starts = 0;
  return (host) => {
    const correct = read(good(host), draft);
    let restored = starts++ > 0;
    return {
      ...correct,
      cpuid(asked, subleaf) {
        const regs = correct.cpuid(asked, subleaf);
        return restored && asked === LEAF_MSRS ? { ...regs, ebx: regs.ebx ^ 3 } : regs;
      },
      restored(saved) {
        restored = true;
        correct.restored?.(saved);
      },
    };
  };
};

export const discovery: readonly FaultyHypervisor[] = [
  {
    rule: 'discovery.hypervisor-bit',
    drafts: [1, 2, 3],
    title: 'clears the hypervisor bit',
    makeFaulty: leaf(LEAF_BASIC, 'all', ({ ecx }) => ({ ecx: (ecx & ~HYPERVISOR_BIT) >>> 0 })),
  },
  {
    rule: 'discovery.hypervisor-bit',
    drafts: [1, 2, 3],
    title: 'answers registers that are signed',
    makeFaulty: leaf(LEAF_BASIC, 'all', ({ ecx }) => ({ ecx: ecx | 0 })),
  },
  {
    rule: 'discovery.leaf',
    drafts: [1, 2, 3],
    title: 'spells its signature in the order of leaf 0, EBX EDX ECX',
    makeFaulty: leaf(LEAF_ROOT, 'all', ({ ecx, edx }) => ({ ecx: edx, edx: ecx })),
  },
  {
    rule: 'discovery.leaf',
    drafts: [1, 2, 3],
    title: 'answers the leaf with the data of leaf 1',
    makeFaulty: faulty((correct) => ({
      cpuid: (asked, subleaf) => correct.cpuid(asked === LEAF_ROOT ? LEAF_BASIC : asked, subleaf),
    })),
  },
  {
    rule: 'discovery.max-leaf-range',
    drafts: [1, 2],
    title: 'says that its largest leaf is 50000000H',
    makeFaulty: leaf(LEAF_ROOT, 'all', () => ({ eax: 0x5000_0000 })),
  },
  {
    rule: 'discovery.max-leaf-range',
    drafts: [1, 2],
    title: 'gives the number of its leaves in place of the largest',
    makeFaulty: leaf(LEAF_ROOT, 'all', () => ({ eax: 3 })),
  },
  {
    rule: 'discovery.max-leaf',
    drafts: [3],
    title: 'gives the number of its leaves in place of the largest',
    makeFaulty: leaf(LEAF_ROOT, 'all', () => ({ eax: 3 })),
  },
  {
    rule: 'discovery.max-leaf',
    drafts: [1, 2, 3],
    title: 'claims leaves that the text does not have',
    makeFaulty: leaf(LEAF_ROOT, 'all', () => ({ eax: 0x4f00_0010 })),
  },
  {
    rule: 'discovery.max-leaf',
    drafts: [3],
    title: 'ends with the list of interfaces',
    makeFaulty: reaching(0x4f00_0001),
  },
  {
    rule: 'discovery.registers-leaf',
    drafts: [3],
    title: 'offers registers and not the leaf that says where they are',
    makeFaulty: reaching(LEAF_FEATURES),
  },
  {
    rule: 'msrs.leaf',
    drafts: [2],
    title: 'offers the RNG and not the leaf that says where it is',
    makeFaulty: reaching(LEAF_FEATURES),
  },
  {
    rule: 'discovery.constant',
    drafts: [1, 2, 3],
    title: 'changes a feature bit once a value was read',
    makeFaulty: unsteady((index, rng) => index === rng),
  },
  {
    rule: 'discovery.constant',
    drafts: [3],
    title: 'tells the second vCPU something else',
    makeFaulty: faulty((correct) => ({
      second: {
        ...correct,
        cpuid(asked, subleaf) {
          const regs = correct.cpuid(asked, subleaf);
          return asked === LEAF_MSRS ? { ...regs, ebx: regs.ebx ^ 3 } : regs;
        },
      },
    })),
  },
  {
    rule: 'discovery.restored',
    drafts: [3],
    title: 'takes back what it said of its values when the machine is restored',
    makeFaulty: changedByRestore,
  },
  {
    rule: 'discovery.subleaves',
    drafts: [1, 2, 3],
    title: 'answers odd subleaves of a leaf without subleaves with something else',
    makeFaulty: faulty((correct) => ({
      cpuid(asked, subleaf) {
        const regs = correct.cpuid(asked, subleaf);
        return asked === LEAF_FEATURES && subleaf % 2 === 1 ? { ...regs, edx: 0xffff_ffff } : regs;
      },
    })),
  },
  {
    rule: 'discovery.beyond-max',
    drafts: [1, 2, 3],
    title: 'answers leaves above its largest with the largest',
    makeFaulty: faulty((correct) => ({
      cpuid(asked, subleaf) {
        const { eax: max } = correct.cpuid(LEAF_ROOT, 0);
        return correct.cpuid(asked > max && asked <= LEAF_LAST ? max : asked, subleaf);
      },
    })),
  },
];
