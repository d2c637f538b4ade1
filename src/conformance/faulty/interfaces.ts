/** Faulty hypervisors: the list of tuples. */
import type { Regs } from '../../cpu.ts';
import { encodeSignature, LEAF_INTERFACES, SIGNATURE } from '../../spec/index.ts';
import { type CorrectCpu, type FaultyHypervisor, faulty, leaf, type MakeFaulty } from './faulty.ts';

const firstTuple = ({ first }: CorrectCpu): number => first;

/** Tuples laid out in another way, on a hypervisor whose interfaces are where the right one says. */
function laidOut(out: (tuple: Regs) => Regs): MakeFaulty {
  return faulty((correct) => {
    const tuples = new Map<number, Regs>();
    for (let i = correct.first; i < correct.first + correct.count; i++) {
      const regs = correct.cpuid(LEAF_INTERFACES, i);
      tuples.set(regs.eax, regs);
    }
    return {
      cpuid(asked, subleaf) {
        const regs = correct.cpuid(asked, subleaf);
        const listed = subleaf >= correct.first && subleaf < correct.first + correct.count;
        if (asked === LEAF_INTERFACES && listed) return out(regs);
        const there = tuples.get(asked);
        return there === undefined ? regs : { ...there, eax: regs.eax };
      },
    };
  });
}

export const interfaces: readonly FaultyHypervisor[] = [
  {
    rule: 'interfaces.tuples',
    drafts: [1, 2, 3],
    title: 'lists a location without a signature',
    makeFaulty: leaf(LEAF_INTERFACES, firstTuple, () => ({ ebx: 0, ecx: 0, edx: 0 })),
  },
  {
    rule: 'interfaces.tuples',
    drafts: [1, 2, 3],
    title: 'lists CommonHV itself',
    makeFaulty: leaf(LEAF_INTERFACES, firstTuple, () => ({
      eax: 0x4100_0000,
      ...encodeSignature(SIGNATURE),
    })),
  },
  {
    rule: 'interfaces.own-range',
    drafts: [3],
    title: "lists an interface in CommonHV's own range",
    makeFaulty: leaf(LEAF_INTERFACES, firstTuple, () => ({ eax: 0x4f00_0100 })),
  },
  {
    rule: 'interfaces.range',
    drafts: [3],
    title: 'lists an interface at 50000000H',
    makeFaulty: leaf(LEAF_INTERFACES, firstTuple, () => ({ eax: 0x5000_0000 })),
  },
  {
    rule: 'interfaces.twice',
    drafts: [3],
    title: 'lists an interface twice',
    makeFaulty: leaf(
      LEAF_INTERFACES,
      ({ first }) => first + 1,
      (_, correct) => correct.cpuid(LEAF_INTERFACES, correct.first),
    ),
  },
  {
    rule: 'interfaces.count',
    drafts: [2, 3],
    title: 'counts one interface too many',
    makeFaulty: leaf(LEAF_INTERFACES, 0, ({ eax }) => ({ eax: eax + 1 })),
  },
  {
    rule: 'interfaces.count',
    drafts: [2, 3],
    title: 'leaves out the first tuple and counts it',
    makeFaulty: leaf(LEAF_INTERFACES, firstTuple, () => ({ eax: 0, ebx: 0, ecx: 0, edx: 0 })),
  },
  {
    rule: 'interfaces.preferred',
    drafts: [3],
    title: 'prefers a tuple beyond the last',
    makeFaulty: leaf(LEAF_INTERFACES, 0, ({ eax }) => ({ ebx: eax + 1 })),
  },
  {
    rule: 'interfaces.reserved',
    drafts: [2, 3],
    title: 'puts its own signature beside the count',
    makeFaulty: leaf(LEAF_INTERFACES, 0, (_, { draft }) => {
      const { ebx, ecx, edx } = encodeSignature(SIGNATURE);
      return draft === 3 ? { ecx, edx } : { ebx, ecx, edx };
    }),
  },
  {
    rule: 'interfaces.reserved',
    drafts: [2, 3],
    title: 'sets one reserved bit beside the count',
    makeFaulty: leaf(LEAF_INTERFACES, 0, () => ({ edx: 0x8000_0000 })),
  },
  {
    rule: 'interfaces.fields',
    drafts: [1, 2, 3],
    title: 'writes the signature first and the location last',
    makeFaulty: laidOut(({ eax, ebx, ecx, edx }) => ({ eax: ebx, ebx: ecx, ecx: edx, edx: eax })),
  },
  {
    rule: 'interfaces.fields',
    drafts: [1, 2, 3],
    title: 'writes signatures in the order of leaf 0, EBX EDX ECX',
    makeFaulty: laidOut((regs) => ({ ...regs, ecx: regs.edx, edx: regs.ecx })),
  },
  {
    rule: 'interfaces.end',
    drafts: [1, 2, 3],
    title: 'looks at the low 16 bits of the subleaf alone',
    makeFaulty: faulty((correct) => ({
      cpuid: (asked, subleaf) => correct.cpuid(asked, asked === LEAF_INTERFACES ? subleaf & 0xffff : subleaf),
    })),
  },
  {
    rule: 'interfaces.end',
    drafts: [1, 2, 3],
    title: 'answers past the end with the last tuple',
    makeFaulty: faulty((correct) => ({
      cpuid(asked, subleaf) {
        const last = correct.first + correct.count - 1;
        return correct.cpuid(asked, asked === LEAF_INTERFACES && subleaf > last ? last : subleaf);
      },
    })),
  },
  {
    rule: 'interfaces.bound',
    drafts: [2, 3],
    title: 'lists four billion interfaces',
    makeFaulty: faulty((correct) => ({
      cpuid(asked, subleaf) {
        if (asked !== LEAF_INTERFACES) return correct.cpuid(asked, subleaf);
        if (subleaf === 0) return { ...correct.cpuid(asked, 0), eax: 0xffff_ffff };
        return { ...correct.cpuid(asked, correct.first), eax: 0x4000_0000 + (subleaf & 0xff_ffff) };
      },
    })),
  },
];
