/** "CommonHV RNG": the sentences of the three drafts about MSR_COMMONHV_RNG. */
import { adjacentMsrsKept } from '../checks/reads.ts';
import * as check from '../checks/rng.ts';
import type { Rule } from '../rule.ts';

const RETURNS = 'rdmsr(MSR_COMMONHV_RNG) returns a 64-bit best-effort random number.';
const SECURE =
  'If the hypervisor is able to generate a 64-bit cryptographically secure random number, it SHOULD return it.';
const ELSE =
  'If not, then the hypervisor SHOULD do its best to return a random number suitable for seeding a cryptographic RNG.';
const BITS_3 =
  'RDMSR of MSR_COMMONHV_RNG SHOULD return 64 bits from a cryptographically secure generator, or else bits that are fit to seed one.';
const EXCEPTION =
  'rdmsr(MSR_COMMONHV_RNG) MUST NOT result in an exception, but guests MUST NOT assume that its return value is indeed secure.';
const OFFERS_1 = 'wrmsr(MSR_COMMONHV_RNG) offers the hypervisor up to 64 bits of entropy.';
const OFFERS_2 =
  'If CPUID.4F000002H.0H.EAX bit 1 is set, then wrmsr(MSR_COMMONHV_RNG) offers the hypervisor up to 64 bits of entropy.';
const MAY_USE = 'The hypervisor MAY use it as it sees fit to improve its own random number generator.';
const VISIBLE =
  'A hypervisor SHOULD make a reasonable effort to avoid making values written to MSR_COMMONHV_RNG visible to untrusted ' +
  'parties, but guests SHOULD NOT write sensitive values to wrmsr(MSR_COMMONHV_RNG).';
const SAVED_3 = "The state from which random values are made MUST NOT be part of the machine's saved state.";

export const rng: readonly Rule[] = [
  {
    id: 'rng.exception',
    drafts: [1, 2],
    level: 'MUST',
    text: EXCEPTION,
    check: check.neverRaises,
    again: true,
  },
  {
    id: 'rng.exception',
    drafts: [3],
    level: 'MUST',
    text: 'RDMSR of MSR_COMMONHV_RNG MUST NOT raise an exception.',
    check: check.neverRaises,
    again: true,
  },
  {
    id: 'rng.constant',
    drafts: [3],
    level: 'MUST',
    text: 'RDMSR of MSR_COMMONHV_RNG MUST NOT return one constant value.',
    check: check.notConstant,
    again: true,
  },
  {
    id: 'rng.different',
    drafts: [1, 2],
    level: 'SHOULD',
    text:
      'A guest is expected to read MSR_COMMONHV_RNG several times in a row. ' +
      'The hypervisor SHOULD return different values each time.',
    check: check.different,
    again: true,
  },
  {
    id: 'rng.different',
    drafts: [3],
    level: 'SHOULD',
    text: 'RDMSR of MSR_COMMONHV_RNG SHOULD return a different value each time.',
    check: check.different,
    again: true,
  },
  {
    id: 'rng.width',
    drafts: [1, 2],
    // READING: the same text allows zero, so 64 bits are asked for as a SHOULD.
    level: 'SHOULD',
    text: RETURNS,
    check: check.bothHalves,
    again: true,
  },
  {
    id: 'rng.width',
    drafts: [3],
    level: 'SHOULD',
    text: BITS_3,
    check: check.bothHalves,
    again: true,
  },
  {
    id: 'rng.quality',
    drafts: [1, 2],
    level: 'SHOULD',
    text: ELSE,
    check: check.fitForSeeding,
    again: true,
  },
  {
    id: 'rng.quality',
    drafts: [3],
    level: 'SHOULD',
    text: BITS_3,
    check: check.fitForSeeding,
    again: true,
  },
  {
    id: 'rng.secure',
    drafts: [1, 2],
    level: 'SHOULD',
    text: SECURE,
    reason: 'no number of values proves that the next one is unpredictable',
  },
  {
    id: 'rng.zero',
    drafts: [1, 2],
    level: 'MAY',
    text: 'For example, a hypervisor is free to return zero in response to rdmsr(MSR_COMMONHV_RNG).',
    check: check.zeroAllowed,
  },
  {
    id: 'rng.write',
    drafts: [1],
    level: 'MUST',
    text: 'A hypervisor is free to ignore wrmsr(MSR_COMMONHV_RNG), but wrmsr to MSR_COMMONHV_RNG MUST NOT result in an exception.',
    check: check.writeAccepted,
    again: true,
  },
  {
    id: 'rng.write',
    drafts: [3],
    level: 'MUST',
    text: 'WRMSR of MSR_COMMONHV_RNG MUST NOT raise an exception where bit 1 of CPUID.4F000002H.0.EAX is set.',
    check: check.writeAccepted,
    again: true,
  },
  {
    id: 'rng.refuse',
    drafts: [3],
    level: 'SHOULD',
    text: 'WRMSR of MSR_COMMONHV_RNG SHOULD raise #GP where bit 1 of CPUID.4F000002H.0.EAX is clear.',
    check: check.writeRefused,
    again: true,
  },
  {
    id: 'rng.unspecified',
    drafts: [2],
    level: 'MAY',
    text:
      'If CPUID.4F000002H.0H.EAX bit 1 is not set, then wrmsr(MSR_COMMONHV_RNG) has unspecified behavior. ' +
      'It may result in #GP.',
    reason: 'a checker must not execute a write that the text leaves unspecified',
  },
  {
    id: 'rng.use',
    drafts: [1],
    level: 'MAY',
    text: `${OFFERS_1} ${MAY_USE}`,
    check: check.writeUse,
  },
  {
    id: 'rng.use',
    drafts: [2],
    level: 'MAY',
    text: `${OFFERS_2} ${MAY_USE}`,
    check: check.writeUse,
  },
  {
    id: 'rng.use',
    drafts: [3],
    level: 'MAY',
    text: 'A hypervisor MAY use what guests write, and MAY drop it.',
    check: check.writeUse,
  },
  {
    id: 'rng.echo',
    drafts: [1, 2],
    level: 'SHOULD',
    text: VISIBLE,
    check: check.noEcho,
    again: true,
  },
  {
    id: 'rng.echo',
    drafts: [3],
    level: 'SHOULD',
    text: 'A hypervisor SHOULD keep what a guest writes to MSR_COMMONHV_RNG from every other party.',
    check: check.noEchoElsewhere,
    when: 'resumed',
  },
  {
    id: 'rng.saved',
    drafts: [3],
    level: 'MUST',
    text: SAVED_3,
    check: check.copiesDiffer,
    when: 'resumed',
  },
  {
    id: 'rng.failing',
    drafts: [3],
    level: 'MUST',
    text: 'A source of random values that fails MUST be continued by a generator that it seeded while it worked, or the machine MUST stop.',
    reason: 'a guest cannot make the source fail',
  },
  {
    id: 'rng.lowered',
    drafts: [3],
    level: 'MUST',
    text: 'A hypervisor that uses what guests write to MSR_COMMONHV_RNG MUST NOT let it lower the quality of any random value.',
    check: check.writesLowerNothing,
    again: true,
  },
  {
    id: 'rng.assume',
    drafts: [1, 2],
    level: 'MUST',
    text: EXCEPTION,
    testedBy: 'src/guest/seed.test.ts',
  },
  {
    id: 'rng.sensitive',
    drafts: [1, 2],
    level: 'SHOULD',
    text: VISIBLE,
    testedBy: 'src/guest/sentences.test.ts',
  },
  {
    id: 'rng.slow',
    drafts: [2],
    level: 'SHOULD',
    text: 'Guests SHOULD NOT access MSR_COMMONHV_RNG from performance-critical code paths. Some implementations may be slow.',
    testedBy: 'src/guest/sentences.test.ts',
  },
  {
    id: 'rng.unavailable',
    drafts: [3],
    level: 'MUST',
    text: 'A guest MUST NOT read MSR_COMMONHV_RNG where bit 0 of CPUID.4F000002H.0.EAX is clear.',
    testedBy: 'src/guest/sentences.test.ts',
  },
  {
    id: 'rng.assume',
    drafts: [3],
    level: 'MUST',
    text: 'A guest MUST NOT treat the random values as secure unless bit 0 of CPUID.4F000003H.0.EBX is set, bit 1 is clear, and it trusts its hypervisor.',
    testedBy: 'src/guest/seed.test.ts',
  },
  {
    id: 'rng.stuck',
    drafts: [3],
    level: 'MUST',
    text: 'A guest that reads only equal values MUST NOT count itself as seeded by them.',
    testedBy: 'src/guest/seed.test.ts',
  },
  {
    id: 'rng.unwanted',
    drafts: [3],
    level: 'SHOULD',
    text: 'A guest SHOULD NOT write to MSR_COMMONHV_RNG where bit 1 of CPUID.4F000002H.0.EAX is clear.',
    testedBy: 'src/guest/sentences.test.ts',
  },
  {
    id: 'rng.sensitive',
    drafts: [3],
    level: 'SHOULD',
    text: 'A guest SHOULD NOT write secrets to MSR_COMMONHV_RNG.',
    testedBy: 'src/guest/sentences.test.ts',
  },
  {
    id: 'rng.slow',
    drafts: [3],
    level: 'SHOULD',
    text: 'A guest SHOULD NOT read MSR_COMMONHV_RNG in performance-critical code.',
    testedBy: 'src/guest/sentences.test.ts',
  },
  {
    id: 'rng.saved',
    drafts: [1, 2],
    level: 'advisory',
    text: 'Copies of one saved state read different values.',
    check: check.copiesDiffer,
    when: 'resumed',
  },
  {
    id: 'rng.neighbours',
    drafts: [1, 2, 3],
    level: 'advisory',
    text: 'The MSRs beside the advertised ones answer as they did before those were read and written.',
    check: adjacentMsrsKept,
    when: 'last',
  },
  {
    id: 'rng.apart',
    drafts: [1, 2],
    level: 'advisory',
    text: 'Machines that were started side by side read different values.',
    check: check.machinesDiffer,
    when: 'resumed',
  },
];
