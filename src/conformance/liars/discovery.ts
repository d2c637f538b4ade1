/** Liars about leaf 4F000000H and about leaves in general. */
import {
  HYPERVISOR_BIT,
  LEAF_BASIC,
  LEAF_FEATURES,
  LEAF_LAST,
  LEAF_REGISTERS,
  LEAF_ROOT,
  ZEROS,
} from '../../spec/index.ts';
import { type Liar, type Lie, leaf, lying, read } from './lie.ts';

/** max_commonhv_leaf, and nothing above it. */
function reaching(max: number): Lie {
  return lying((honest) => ({
    cpuid(asked, subleaf) {
      if (asked > max && asked >= LEAF_ROOT && asked <= LEAF_LAST) return ZEROS;
      const regs = honest.cpuid(asked, subleaf);
      return asked === LEAF_ROOT ? { ...regs, eax: max } : regs;
    },
  }));
}

/** A leaf that is another one as soon as `changed` says so. */
function unsteady(changed: (index: number, rng: number) => boolean): Lie {
  return lying((honest) => {
    let other = false;
    return {
      cpuid(asked, subleaf) {
        const regs = honest.cpuid(asked, subleaf);
        return other && asked === LEAF_FEATURES ? { ...regs, eax: (regs.eax ^ 1) >>> 0 } : regs;
      },
      rdmsr(index) {
        other ||= changed(index, honest.rng);
        return honest.rdmsr(index);
      },
    };
  });
}

/** What a machine that comes back from a saved state is told by its leaves. */
const changedByRestore: Lie = (good, draft) => {
  let starts = 0;
  return (below) => {
    const honest = read(good(below), draft);
    let restored = starts++ > 0;
    return {
      ...honest,
      cpuid(asked, subleaf) {
        const regs = honest.cpuid(asked, subleaf);
        return restored && asked === LEAF_REGISTERS ? { ...regs, ebx: regs.ebx ^ 3 } : regs;
      },
      restored() {
        restored = true;
        honest.restored?.();
      },
    };
  };
};

export const discovery: readonly Liar[] = [
  {
    rule: 'discovery.hypervisor-bit',
    drafts: [1, 2, 3],
    title: 'clears the hypervisor bit',
    lie: leaf(LEAF_BASIC, 'all', ({ ecx }) => ({ ecx: (ecx & ~HYPERVISOR_BIT) >>> 0 })),
  },
  {
    rule: 'discovery.hypervisor-bit',
    drafts: [1, 2, 3],
    title: 'answers registers that are signed',
    lie: leaf(LEAF_BASIC, 'all', ({ ecx }) => ({ ecx: ecx | 0 })),
  },
  {
    rule: 'discovery.leaf',
    drafts: [1, 2, 3],
    title: 'spells its signature in the order of leaf 0, EBX EDX ECX',
    lie: leaf(LEAF_ROOT, 'all', ({ ecx, edx }) => ({ ecx: edx, edx: ecx })),
  },
  {
    rule: 'discovery.leaf',
    drafts: [1, 2, 3],
    title: 'answers the leaf with the data of leaf 1',
    lie: lying((honest) => ({
      cpuid: (asked, subleaf) => honest.cpuid(asked === LEAF_ROOT ? LEAF_BASIC : asked, subleaf),
    })),
  },
  {
    rule: 'discovery.max-leaf-range',
    drafts: [1, 2],
    title: 'says that its largest leaf is 50000000H',
    lie: leaf(LEAF_ROOT, 'all', () => ({ eax: 0x5000_0000 })),
  },
  {
    rule: 'discovery.max-leaf-range',
    drafts: [1, 2],
    title: 'gives the number of its leaves in place of the largest',
    lie: leaf(LEAF_ROOT, 'all', () => ({ eax: 3 })),
  },
  {
    rule: 'discovery.max-leaf',
    drafts: [3],
    title: 'gives the number of its leaves in place of the largest',
    lie: leaf(LEAF_ROOT, 'all', () => ({ eax: 3 })),
  },
  {
    rule: 'discovery.max-leaf',
    drafts: [1, 2, 3],
    title: 'claims leaves that the text does not have',
    lie: leaf(LEAF_ROOT, 'all', () => ({ eax: 0x4f00_0010 })),
  },
  {
    rule: 'discovery.max-leaf',
    drafts: [3],
    title: 'ends with the list of interfaces',
    lie: reaching(0x4f00_0001),
  },
  {
    rule: 'discovery.registers-leaf',
    drafts: [3],
    title: 'offers registers and not the leaf that says where they are',
    lie: reaching(LEAF_FEATURES),
  },
  {
    rule: 'registers.leaf',
    drafts: [2],
    title: 'offers the RNG and not the leaf that says where it is',
    lie: reaching(LEAF_FEATURES),
  },
  {
    rule: 'discovery.constant',
    drafts: [1, 2, 3],
    title: 'changes a feature bit once a word was read',
    lie: unsteady((index, rng) => index === rng),
  },
  {
    rule: 'discovery.constant',
    drafts: [3],
    title: 'tells the second vCPU something else',
    lie: lying((honest) => ({
      second: {
        ...honest,
        cpuid(asked, subleaf) {
          const regs = honest.cpuid(asked, subleaf);
          return asked === LEAF_REGISTERS ? { ...regs, ebx: regs.ebx ^ 3 } : regs;
        },
      },
    })),
  },
  {
    rule: 'discovery.restored',
    drafts: [3],
    title: 'takes back what it said of its words when the machine is restored',
    lie: changedByRestore,
  },
  {
    rule: 'discovery.subleaves',
    drafts: [1, 2, 3],
    title: 'answers odd subleaves of a leaf without subleaves with something else',
    lie: lying((honest) => ({
      cpuid(asked, subleaf) {
        const regs = honest.cpuid(asked, subleaf);
        return asked === LEAF_FEATURES && subleaf % 2 === 1 ? { ...regs, edx: 0xffff_ffff } : regs;
      },
    })),
  },
  {
    rule: 'discovery.beyond-max',
    drafts: [1, 2, 3],
    title: 'answers leaves above its largest with the largest',
    lie: lying((honest) => ({
      cpuid(asked, subleaf) {
        const { eax: max } = honest.cpuid(LEAF_ROOT, 0);
        return honest.cpuid(asked > max && asked <= LEAF_LAST ? max : asked, subleaf);
      },
    })),
  },
];
