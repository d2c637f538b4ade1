/** Leaf 4F000002H, and of draft 3 leaf 4F000003H: the sentences about what is offered and where. */
import * as check from '../checks/features.ts';
import type { Rule } from '../rule.ts';

export const features: readonly Rule[] = [
  {
    id: 'features.rng',
    drafts: [1],
    level: 'MUST',
    text:
      'CPUID.4F000002H.EAX is nonzero if the CommonHV RNG interface is available. If CPUID.4F000002H.EAX is nonzero, then it ' +
      'contains an MSR index used to communicate with a hypervisor random number generator.',
    check: check.rngThere,
  },
  {
    id: 'features.rng',
    drafts: [2],
    level: 'MUST',
    // "the the" is the draft's.
    text:
      'CPUID.4F000002H.EAX bit 0 is set if the the CommonHV RNG interface is available. ' +
      'CPUID.4F000003H.0H.EAX will contain an MSR index.',
    check: check.rngThere,
  },
  {
    id: 'features.rng',
    drafts: [3],
    level: 'MUST',
    text: 'Bit 0 of CPUID.4F000002H.0.EAX MUST be set where the RNG is provided and clear where it is not.',
    check: check.rngThere,
  },
  {
    id: 'features.input',
    drafts: [2],
    level: 'MUST',
    text: 'CPUID.4F000002H.EAX bit 1 is set if the CommonHV RNG accepts guest input.',
    check: check.inputAccepted,
  },
  {
    id: 'features.input',
    drafts: [3],
    level: 'MUST',
    text: 'Bit 1 of CPUID.4F000002H.0.EAX, the RNG takes input, MUST be clear where bit 0 is clear.',
    check: check.inputNeedsRng,
  },
  {
    id: 'features.generation',
    drafts: [3],
    level: 'MUST',
    text: 'Bit 2 of CPUID.4F000002H.0.EAX MUST be set where the generation is provided and clear where it is not.',
    check: check.generationThere,
  },
  {
    id: 'features.reserved',
    drafts: [1],
    level: 'MUST',
    text:
      'CPUID.4F000002H.EBX, CPUID.4F000002H.ECX, and CPUID.4F000002H.EDX are reserved and must be zero in hypervisors ' +
      'compliant with this version of the CommonHV specification.',
    check: check.featuresReserved,
  },
  {
    id: 'features.reserved',
    drafts: [2],
    level: 'MUST',
    text: 'All other bits in leaf CPUID.4F000002H.0H are reserved.',
    check: check.featuresReserved,
  },
  {
    id: 'features.reserved-bits',
    drafts: [3],
    level: 'MUST',
    text: 'Bits 3 to 31 of CPUID.4F000002H.0.EAX MUST be 0.',
    check: check.featureBitsReserved,
  },
  {
    id: 'features.draft',
    drafts: [3],
    level: 'MUST',
    text: 'CPUID.4F000002H.0.EBX MUST be 3, the number of this draft.',
    check: check.draftNumber,
  },
  {
    id: 'features.reserved',
    drafts: [3],
    level: 'MUST',
    text: 'CPUID.4F000002H.0.ECX and CPUID.4F000002H.0.EDX MUST be 0.',
    check: check.featuresReserved,
  },
  {
    id: 'features.source',
    drafts: [3],
    level: 'MUST',
    text: 'A hypervisor MUST NOT set bit 0 of CPUID.4F000002H.0.EAX without a source of random words that worked when the machine started.',
    reason: 'where the words come from does not show in them',
  },
  {
    id: 'features.later-draft',
    drafts: [3],
    level: 'MUST',
    text: 'A guest MUST take a number above 3 in CPUID.4F000002H.0.EBX for a later draft that keeps all of this one.',
    testedBy: 'a number above 3 is a later draft, read as draft 3',
  },
  {
    id: 'features.index-0',
    drafts: [3],
    level: 'MUST',
    text: 'A guest MUST NOT take an index of 0 for the absence of a register.',
    testedBy: 'an index of 0 is an index',
  },
];

export const msrs: readonly Rule[] = [
  {
    id: 'msrs.leaf',
    drafts: [2],
    level: 'MUST',
    text: 'If the CommonHV RNG is available (as indicated by CPUID.4F000002H.EAX bit 0), then max_commonhv_leaf MUST BE at least 0x4F000003.',
    check: check.registersProvided,
  },
  {
    id: 'msrs.rng',
    drafts: [3],
    level: 'MUST',
    text: 'CPUID.4F000003H.0.EAX MUST be the index of MSR_COMMONHV_RNG where the RNG is provided.',
    check: check.rngIndex,
  },
  {
    id: 'msrs.generation',
    drafts: [3],
    level: 'MUST',
    text: 'CPUID.4F000003H.0.ECX MUST be the index of MSR_COMMONHV_GENERATION where the generation is provided.',
    check: check.generationIndex,
  },
  {
    id: 'msrs.two',
    drafts: [3],
    level: 'MUST',
    text: 'The indices of MSR_COMMONHV_RNG and MSR_COMMONHV_GENERATION MUST differ where both are provided.',
    check: check.indicesDiffer,
  },
  {
    id: 'msrs.free',
    drafts: [3],
    level: 'MUST',
    text: 'The index of MSR_COMMONHV_RNG and the index of MSR_COMMONHV_GENERATION MUST NOT be ones that belong to an interface in the list of tuples.',
    check: check.indicesFree,
  },
  {
    id: 'msrs.reserved-bits',
    drafts: [3],
    level: 'MUST',
    text: 'Bits 2 to 31 of CPUID.4F000003H.0.EBX MUST be 0.',
    check: check.statementReserved,
  },
  {
    id: 'msrs.reserved',
    drafts: [3],
    level: 'MUST',
    text: 'CPUID.4F000003H.0.EDX MUST be 0.',
    check: check.registersReserved,
  },
  {
    id: 'msrs.secure',
    drafts: [3],
    level: 'MUST',
    text: 'A hypervisor MUST NOT set bit 0 of CPUID.4F000003H.0.EBX unless every word that the machine will ever read is cryptographically secure.',
    reason: 'no number of words proves that the next one cannot be foretold',
  },
  {
    id: 'msrs.insecure',
    drafts: [3],
    level: 'MUST',
    text: 'A hypervisor that knows its words to be predictable MUST set bit 1 of CPUID.4F000003H.0.EBX.',
    reason: 'what a hypervisor knows of its words does not show in them',
  },
  {
    id: 'msrs.no-statement',
    drafts: [3],
    level: 'MUST',
    text: 'A guest MUST take bits 0 and 1 of CPUID.4F000003H.0.EBX, where both are set or both are clear, as no statement about the words.',
    testedBy: 'nothing is credited without a statement, where it says no, or under draft 2',
  },
  {
    id: 'msrs.free',
    drafts: [1, 2],
    level: 'advisory',
    text: 'The index of the RNG belongs to no interface in the list of tuples.',
    check: check.indicesFree,
  },
];
