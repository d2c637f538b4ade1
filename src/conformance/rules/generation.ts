/** The rest of draft 3, "The generation" to "Which draft is it?", and "Future extension" of the drafts before. */
import * as check from '../checks/generation.ts';
import type { Rule } from '../rule.ts';

export const generation: readonly Rule[] = [
  {
    id: 'generation.exception',
    drafts: [3],
    level: 'MUST',
    text: 'RDMSR of MSR_COMMONHV_GENERATION MUST NOT raise an exception.',
    check: check.neverRaises,
  },
  {
    id: 'generation.same',
    drafts: [3],
    level: 'MUST',
    text: "RDMSR of MSR_COMMONHV_GENERATION MUST return the same value on every vCPU until the machine's state is restored.",
    check: check.same,
    when: 'last',
  },
  {
    id: 'generation.restored',
    drafts: [3],
    level: 'MUST',
    text: "RDMSR of MSR_COMMONHV_GENERATION MUST return a new value after every restore of the machine's state, by any route, rollback in place included, from the first guest instruction on.",
    check: check.restoreRenews,
    when: 'resumed',
  },
  {
    id: 'generation.write',
    drafts: [3],
    level: 'MUST',
    text: 'WRMSR of MSR_COMMONHV_GENERATION MUST raise #GP.',
    check: check.writeRaises,
  },
  {
    id: 'generation.pause',
    drafts: [3],
    level: 'MUST',
    text: 'Pausing and unpausing the machine MUST NOT change the value of MSR_COMMONHV_GENERATION.',
    check: check.pauseKeeps,
    when: 'last',
  },
  {
    id: 'generation.fresh',
    drafts: [3],
    level: 'MUST',
    text: "Every value of MSR_COMMONHV_GENERATION MUST come fresh from a cryptographically secure generator, at the machine's start as after every restore.",
    reason:
      'where a value comes from does not show in it; that restores bring another one is generation.restored',
  },
  {
    id: 'generation.vmgenid',
    drafts: [3],
    level: 'MUST',
    text: 'A hypervisor that offers VMGenID as well MUST renew VMGenID and MSR_COMMONHV_GENERATION at the same restores.',
    reason: 'VMGenID lies in memory that ACPI points to, which neither CPUID nor an MSR reaches',
  },
  {
    id: 'generation.no-credit',
    drafts: [3],
    level: 'MUST',
    text: 'A guest MUST NOT credit the value of MSR_COMMONHV_GENERATION as entropy.',
    testedBy: 'the generation is no part of a seed',
  },
  {
    id: 'generation.reseed',
    drafts: [3],
    level: 'SHOULD',
    text: 'A guest that finds the value of MSR_COMMONHV_GENERATION changed SHOULD reseed its generator from the RNG before it uses it again.',
    testedBy: undefined,
    reason:
      'when a guest uses its generator is its own affair; `commonhv seed --watch` reseeds at each change',
  },
];

export const rest: readonly Rule[] = [
  {
    id: 'nesting.hidden',
    drafts: [3],
    level: 'SHOULD',
    text: 'A hypervisor that does not provide CommonHV to its guest SHOULD return zeros for CPUID leaves 4F000000H to 4FFFFFFFH.',
    reason:
      'a guest that finds CommonHV cannot tell who meant it; where it finds none, see discovery.leaf for what is there instead',
  },
  {
    id: 'nesting.own',
    drafts: [3],
    level: 'MUST',
    text: 'A hypervisor that provides CommonHV to its guest MUST answer CPUID leaves 4F000000H to 4FFFFFFFH and both registers itself.',
    reason: 'who answers does not show in the answer',
  },
  {
    id: 'nesting.renew',
    drafts: [3],
    level: 'SHOULD',
    text: 'A hypervisor that finds the generation of the hypervisor below changed SHOULD renew the generation of its own guests.',
    reason: 'a guest does not see the generation of the hypervisor below its own',
  },
  {
    id: 'confidential.words',
    drafts: [3],
    level: 'MUST',
    text: 'A guest that does not trust its hypervisor MUST NOT treat the words as secure, whatever CPUID.4F000003H.0.EBX says.',
    testedBy: 'nothing is credited in a confidential guest: TDX, and SEV of any kind',
  },
  {
    id: 'confidential.generation',
    drafts: [3],
    level: 'MUST',
    text: 'A guest that does not trust its hypervisor MUST NOT take an unchanged MSR_COMMONHV_GENERATION as evidence that it was not copied.',
    testedBy: undefined,
    reason: 'our guest concludes nothing from a generation that stays the same',
  },
  {
    id: 'which.steps',
    drafts: [3],
    level: 'SHOULD',
    text: 'A guest that knows several drafts SHOULD tell them apart by these six steps, in their order.',
    testedBy: 'the six steps that tell the drafts apart, in their order',
  },
  {
    id: 'extension.ignore',
    drafts: [1, 2],
    level: 'SHOULD',
    text:
      'CPUID leaves beyond those defined in this version of the CommonHV specification should be ignored by guests written for ' +
      'this version of the specification.',
    testedBy: 'reserved bits, reserved registers and leaves that a guest does not know change nothing',
  },
];
