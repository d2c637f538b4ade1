/** Leaf 4F000002H, and of draft 3 leaf 4F000003H: the sentences about features and indices. */
import * as check from '../checks/features.ts';
import * as generation from '../checks/generation.ts';
import * as rng from '../checks/rng.ts';
import type { Rule } from '../rule.ts';

export const features: readonly Rule[] = [
  {
    id: 'features.rng',
    drafts: [1],
    level: 'MUST',
    text:
      'CPUID.4F000002H.EAX is nonzero if the CommonHV RNG interface is available. If CPUID.4F000002H.EAX is nonzero, then it ' +
      'contains an MSR index used to communicate with a hypervisor random number generator.',
    check: rng.rngThere,
  },
  {
    id: 'features.rng',
    drafts: [2],
    level: 'MUST',
    // "the the" is the draft's.
    text:
      'CPUID.4F000002H.EAX bit 0 is set if the the CommonHV RNG interface is available. ' +
      'CPUID.4F000003H.0H.EAX will contain an MSR index.',
    check: rng.rngThere,
  },
  {
    id: 'features.rng',
    drafts: [3],
    level: 'MUST',
    text: 'Bit 0 of CPUID.4F000002H.0.EAX MUST be set where the RNG is provided and clear where it is not.',
    check: rng.rngThere,
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
    check: generation.generationThere,
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
    text: 'Bits 5 to 31 of CPUID.4F000002H.0.EAX MUST be 0.',
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
    text: 'A hypervisor MUST NOT set bit 0 of CPUID.4F000002H.0.EAX without a source of random values that worked when the machine started.',
    reason: 'the origin of the values does not show in them',
  },
  {
    id: 'features.later-draft',
    drafts: [3],
    level: 'MUST',
    text: 'A guest MUST take a number above 3 in CPUID.4F000002H.0.EBX for a later draft that keeps all of this one.',
    testedBy: 'src/guest/sentences.test.ts',
  },
  {
    id: 'features.index-0',
    drafts: [3],
    level: 'MUST',
    text: 'A guest MUST NOT take an index of 0 for the absence of a register.',
    testedBy: 'src/guest/sentences.test.ts',
  },
  {
    id: 'features.page',
    drafts: [3],
    level: 'MUST',
    text: 'Bit 3 of CPUID.4F000002H.0.EAX MUST be set where the generation page is provided and clear where it is not.',
    reason: 'without the page the bit is all there is to see; with it, the rules of the page tell',
  },
  {
    id: 'features.page-needs',
    drafts: [3],
    level: 'MUST',
    text: 'Bit 3 of CPUID.4F000002H.0.EAX MUST be clear where bit 2 is clear.',
    check: check.pageNeedsGeneration,
  },
  {
    id: 'features.acknowledgement',
    drafts: [3],
    level: 'MUST',
    text: 'Bit 4 of CPUID.4F000002H.0.EAX MUST be set where the acknowledgement is provided and clear where it is not.',
    reason: 'acknowledgement.accepted tells',
  },
  {
    id: 'features.acknowledgement-needs',
    drafts: [3],
    level: 'MUST',
    text: 'Bit 4 of CPUID.4F000002H.0.EAX MUST be clear where bit 2 is clear.',
    check: check.ackNeedsGeneration,
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
    check: rng.rngIndex,
  },
  {
    id: 'msrs.generation',
    drafts: [3],
    level: 'MUST',
    text: 'CPUID.4F000003H.0.ECX MUST be the index of MSR_COMMONHV_GENERATION where the generation is provided.',
    check: generation.generationIndex,
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
    text: 'The index of a provided register MUST NOT be one that the architecture, the platform or an interface in the list of tuples defines.',
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
    text: 'CPUID.4F000003H.0.EDX MUST be 0 where the generation page is not provided.',
    check: check.registersReserved,
  },
  {
    id: 'msrs.secure',
    drafts: [3],
    level: 'MUST',
    text: 'A hypervisor MUST NOT set bit 0 of CPUID.4F000003H.0.EBX unless every random value that the machine will ever read is 64 bits from a cryptographically secure generator seeded with at least 256 bits.',
    check: rng.secureStatement,
    again: true,
  },
  {
    id: 'msrs.insecure',
    drafts: [3],
    level: 'MUST',
    text: 'A hypervisor that knows its random values to be predictable MUST set bit 1 of CPUID.4F000003H.0.EBX.',
    reason: 'the knowledge of a hypervisor does not show in the values',
  },
  {
    id: 'msrs.no-statement',
    drafts: [3],
    level: 'MUST',
    text: 'A guest MUST take bits 0 and 1 of CPUID.4F000003H.0.EBX, where both are set or both are clear, as no statement about the random values.',
    testedBy: 'src/guest/seed.test.ts',
  },
  {
    id: 'msrs.free',
    drafts: [1, 2],
    level: 'advisory',
    text: 'The index of the RNG belongs to no interface in the list of tuples.',
    check: check.indicesFree,
  },
  {
    id: 'msrs.page',
    drafts: [3],
    level: 'MUST',
    text: 'CPUID.4F000003H.0.EDX MUST be the index of MSR_COMMONHV_GENERATION_PAGE where the generation page is provided.',
    check: generation.pageIndex,
  },
  {
    id: 'msrs.rng-page',
    drafts: [3],
    level: 'MUST',
    text: 'The indices of MSR_COMMONHV_RNG and MSR_COMMONHV_GENERATION_PAGE MUST differ where both are provided.',
    check: check.rngAndPageDiffer,
  },
  {
    id: 'msrs.generation-page',
    drafts: [3],
    level: 'MUST',
    text: 'The indices of MSR_COMMONHV_GENERATION and MSR_COMMONHV_GENERATION_PAGE MUST differ where both are provided.',
    check: check.generationAndPageDiffer,
  },
  {
    id: 'msrs.range',
    drafts: [3],
    level: 'SHOULD',
    text: 'The index of a provided register SHOULD be from 40000000H to 400000FFH, unless an interface in the list of tuples owns all of that range.',
    check: check.indicesInRange,
  },
  {
    id: 'msrs.privilege',
    drafts: [3],
    level: 'MUST',
    text: 'RDMSR and WRMSR of a register of this specification MUST raise #GP at CPL 1 to 3.',
    check: generation.privilege,
  },
  {
    id: 'msrs.instructions',
    drafts: [3],
    level: 'MUST',
    text: 'A register of this specification MUST behave alike under every instruction that reads or writes an MSR and that the guest is offered.',
    reason: 'the probe executes RDMSR and WRMSR alone',
  },
];
