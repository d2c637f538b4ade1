/** "Discovery": the sentences of the three drafts about leaf 4F000000H. */
import * as check from '../checks/discovery.ts';
import * as features from '../checks/features.ts';
import * as generation from '../checks/generation.ts';
import type { Rule } from '../rule.ts';

/** The sentence's own list, as both drafts have it. */
const ROOT_LIST =
  'CPUID.4F000000H.0H.EAX = max_commonhv_leaf CPUID.4F000000H.0H.EBX = 0x6D6D6F43 ' +
  'CPUID.4F000000H.0H.ECX = 0x56486E6F CPUID.4F000000H.0H.EDX = 0x66746e49';
const ROOT_1 = `A CommonHV hypervisor MUST set the hypervisor bit (bit 31 in CPUID.1H.0H.ECX) and provide the CPUID leaf 4F000000H, containing: ${ROOT_LIST}`;
const ROOT_2 = `A CommonHV hypervisor SHOULD set the hypervisor bit (bit 31 in CPUID.1H.0H.ECX) and MUST provide the CPUID leaf 4F000000H, containing: ${ROOT_LIST}`;
const SPELLS = 'EBX, ECX, and EDX form the string "CommonHVIntf" in little-endian ASCII.';

export const discovery: readonly Rule[] = [
  {
    id: 'discovery.hypervisor-bit',
    drafts: [1],
    level: 'MUST',
    text: ROOT_1,
    check: check.hypervisorBit,
  },
  {
    id: 'discovery.hypervisor-bit',
    drafts: [2],
    level: 'SHOULD',
    text: ROOT_2,
    check: check.hypervisorBit,
  },
  {
    id: 'discovery.hypervisor-bit',
    drafts: [3],
    level: 'SHOULD',
    text: 'Bit 31 of CPUID.1.ECX, the hypervisor bit, SHOULD be set.',
    check: check.hypervisorBit,
  },
  {
    id: 'discovery.bit-hidden',
    drafts: [3],
    level: 'MAY',
    text:
      'A hypervisor MAY leave the hypervisor bit clear for a guest that cannot live with it: some operating systems that run a ' +
      'hypervisor of their own refuse to start it where the bit is set, and their drivers use paravirtual interfaces all the same.',
    check: check.hypervisorBitEither,
  },
  {
    id: 'discovery.leaf',
    drafts: [1],
    level: 'MUST',
    text: `${ROOT_1} ${SPELLS}`,
    check: check.signature,
    when: 'first',
  },
  {
    id: 'discovery.leaf',
    drafts: [2],
    level: 'MUST',
    text: `${ROOT_2} ${SPELLS}`,
    check: check.signature,
    when: 'first',
  },
  {
    id: 'discovery.leaf',
    drafts: [3],
    level: 'MUST',
    text: 'CPUID.4F000000H.0 MUST return 6D6D6F43H in EBX, 56486E6FH in ECX and 66746E49H in EDX.',
    check: check.signature,
    when: 'first',
  },
  {
    id: 'discovery.max-leaf-range',
    drafts: [1, 2],
    level: 'MUST',
    text: 'max_commonhv_leaf MUST be a number between 0x4F000000 and 0x4FFFFFFF.',
    check: check.maxLeafRange,
    when: 'first',
  },
  {
    id: 'discovery.max-leaf',
    drafts: [1, 2],
    level: 'MUST',
    text: 'It indicates the largest leaf defined in this specification that is provided.',
    check: check.maxLeafDescribed,
  },
  {
    id: 'discovery.max-leaf',
    drafts: [3],
    level: 'MUST',
    text: 'CPUID.4F000000H.0.EAX, called max_commonhv_leaf, MUST be the largest leaf of this specification that is provided, from 4F000002H to 4FFFFFFFH.',
    check: check.maxLeafOfDraft3,
    when: 'first',
  },
  {
    id: 'discovery.registers-leaf',
    drafts: [3],
    level: 'MUST',
    text: 'max_commonhv_leaf MUST be at least 4F000003H where any bit of CPUID.4F000002H.0.EAX is set.',
    check: features.registersProvided,
  },
  {
    id: 'discovery.constant',
    drafts: [3],
    level: 'MUST',
    text: 'CPUID leaves 4F000000H to max_commonhv_leaf MUST return the same registers on every vCPU for as long as the machine lives, restores of its state included.',
    check: check.constantLeaves,
    when: 'last',
  },
  {
    id: 'discovery.restored',
    drafts: [3],
    level: 'MUST',
    text: 'CPUID leaves 4F000000H to max_commonhv_leaf MUST return the same registers on every vCPU for as long as the machine lives, restores of its state included.',
    check: generation.restoreKeepsLeaves,
    when: 'resumed',
  },
  {
    id: 'discovery.beyond-as-zeros',
    drafts: [1, 2],
    level: 'MUST',
    text: 'Any leaves described in this specification with EAX values that exceed max_commonhv_leaf MUST be handled by guests as though they contain all zeros.',
    testedBy: 'src/guest/discover.test.ts',
  },
  {
    id: 'discovery.bit-clear',
    drafts: [2],
    level: 'MAY',
    text: 'If the hypervisor bit is not set, then guests MAY check the CommonHV CPUID leaf to detect a hypervisor, but they are not required to.',
    testedBy: 'src/guest/sentences.test.ts',
  },
  {
    id: 'discovery.compare',
    drafts: [3],
    level: 'MUST',
    text: 'A guest MUST compare all twelve bytes of CPUID.4F000000H.0 and check that max_commonhv_leaf is from 4F000000H to 4FFFFFFFH before it uses any other leaf of CommonHV.',
    testedBy: 'src/guest/discover.test.ts',
  },
  {
    id: 'discovery.beyond-as-zeros',
    drafts: [3],
    level: 'MUST',
    text: 'A guest MUST treat a leaf of this specification above max_commonhv_leaf as if it returned zeros.',
    testedBy: 'src/guest/discover.test.ts',
  },
  {
    id: 'discovery.ignore-reserved',
    drafts: [3],
    level: 'MUST',
    text: 'A guest MUST ignore reserved bits, reserved registers and leaves that it does not know.',
    testedBy: 'src/guest/sentences.test.ts',
  },
  {
    id: 'discovery.subleaf-0',
    drafts: [3],
    level: 'MUST',
    text: 'A guest MUST ask for subleaf 0 where this specification names no other.',
    testedBy: 'src/guest/sentences.test.ts',
  },
  {
    id: 'discovery.look-anyway',
    drafts: [3],
    level: 'SHOULD',
    text: 'A guest SHOULD look for CommonHV where the hypervisor bit is clear.',
    testedBy: 'src/guest/sentences.test.ts',
  },
  {
    id: 'discovery.constant',
    drafts: [1, 2],
    level: 'advisory',
    text: 'The leaves of the text answer the same when they are asked again.',
    check: check.constantLeaves,
    when: 'last',
  },
  {
    id: 'discovery.subleaves',
    drafts: [1, 2, 3],
    level: 'advisory',
    text: 'A leaf that has no subleaves answers every subleaf with the same registers, or with zeros.',
    check: check.oddSubleaves,
  },
  {
    id: 'discovery.beyond-max',
    drafts: [1, 2, 3],
    level: 'advisory',
    text: 'Leaves above max_commonhv_leaf answer zeros.',
    check: check.beyondMax,
  },
  {
    id: 'discovery.refuse',
    drafts: [3],
    level: 'MUST',
    text: 'A hypervisor that cannot return the leaves with which a machine was saved MUST refuse to restore it.',
    reason: 'a guest that is not resumed cannot ask',
  },
];
