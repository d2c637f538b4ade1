/** "The RNG" of draft 3, second edition: its source, copies of the hypervisor, and credit. */
import * as rng from '../checks/rng.ts';
import type { Rule } from '../rule.ts';

export const sources: readonly Rule[] = [
  {
    id: 'rng.state',
    drafts: [3],
    level: 'MUST',
    text: 'A hypervisor MUST NOT serve two reads of MSR_COMMONHV_RNG, by any vCPU, machine or copy, from the same state of its generator, as far as it can know that it was not copied itself.',
    check: rng.noStateTwice,
    when: 'resumed',
  },
  {
    id: 'rng.pending',
    drafts: [3],
    level: 'MUST',
    text: 'A read of MSR_COMMONHV_RNG that is pending when the machine is saved MUST complete before the save or be executed again in each copy.',
    reason: 'a guest cannot see when it is saved',
  },
  {
    id: 'rng.health',
    drafts: [3],
    level: 'SHOULD',
    text: 'A machine whose source of random values fails a health test SHOULD stop where bit 0 of CPUID.4F000003H.0.EBX is set.',
    reason: 'a guest cannot make the source fail',
  },
  {
    id: 'rng.report',
    drafts: [3],
    level: 'MUST',
    text: "A hypervisor MUST report a failed source of random values to the machine's owner.",
    reason: 'the owner, not the guest, receives the report',
  },
  {
    id: 'rng.resume',
    drafts: [3],
    level: 'MUST',
    text: 'A hypervisor without a working source of random values MUST refuse to restore a machine that has the RNG.',
    reason: 'a guest that is not resumed cannot ask',
  },
  {
    id: 'rng.copied',
    drafts: [3],
    level: 'MUST',
    text: 'A hypervisor that may itself be copied MUST take random values and generations from a source that notices the copy.',
    reason: 'a guest cannot copy its hypervisor',
  },
  {
    id: 'rng.discard',
    drafts: [3],
    level: 'MUST',
    text: 'A hypervisor that may itself be copied MUST discard prepared random values as soon as its source or the generation of the outer hypervisor shows a copy.',
    reason: 'a guest cannot copy its hypervisor',
  },
  {
    id: 'rng.read-ahead',
    drafts: [3],
    level: 'MUST',
    text: 'A hypervisor that may itself be copied MUST keep prepared random values for a bounded time only, and document that time.',
    reason: "the time is in the hypervisor's documentation",
  },
  {
    id: 'rng.order',
    drafts: [3],
    level: 'MUST',
    text: 'A guest MUST read MSR_COMMONHV_GENERATION, where it is provided, before and after the random values of a seed, and begin again where it changed.',
    testedBy: 'src/guest/seed.test.ts',
  },
  {
    id: 'rng.credit',
    drafts: [3],
    level: 'MUST',
    text: 'A guest MUST NOT credit more than 64 bits of entropy for one random value.',
    testedBy: 'src/guest/seed.test.ts',
  },
  {
    id: 'rng.credit-start',
    drafts: [3],
    level: 'SHOULD',
    text: 'A guest SHOULD NOT credit more than 256 bits of entropy for each start and each new generation.',
    testedBy: 'src/guest/seed.test.ts',
  },
];
