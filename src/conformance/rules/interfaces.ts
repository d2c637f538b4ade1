/** "CPUID leaf 4F000001H: hypervisor interface enumeration": the sentences of the three drafts about the list. */
import * as check from '../checks/interfaces.ts';
import type { Rule } from '../rule.ts';

const LIST =
  'If max_commonhv_leaf >= 0x4F000001, CommonHV provides a list of tuples (location, signature). Each tuple indicates the ' +
  'presence of another paravirtual interface identified by the signature at the indicated CPUID location.';
const FIELDS =
  'CPUID.4F000001H.i.EBX, CPUID.4F000001H.i.ECX, and CPUID.4F000001H.i.EDX are the signature. ' +
  'CPUID.4F000001H.i.EAX is the location.';
const SIGNED = 'The signature of a tuple MUST NOT be "CommonHVIntf" or twelve zero bytes.';
const EACH =
  'CPUID.4F000001H.i MUST return, for each i from 1 to N, the location of an interface in EAX and its signature in EBX, ECX and EDX.';

export const interfaces: readonly Rule[] = [
  {
    id: 'interfaces.tuples',
    drafts: [1, 2],
    level: 'MUST',
    text: LIST,
    check: check.tuples,
  },
  {
    id: 'interfaces.location',
    drafts: [1, 2],
    level: 'MAY',
    text:
      'It is expected that CPUID.location.0H will have (EBX, ECX, EDX) == signature, although whether this is required is left ' +
      'to the specification associated with the given signature.',
    check: check.locations,
  },
  {
    id: 'interfaces.location',
    drafts: [3],
    level: 'MAY',
    text:
      'CPUID at the location is expected to return the signature in EBX, ECX and EDX; whether it has to is for that ' +
      "interface's own text to say.",
    check: check.locations,
  },
  {
    id: 'interfaces.count',
    drafts: [2],
    level: 'MUST',
    text: 'CPUID.4F000001H.0H.EAX contains the number of interface tuples.',
    check: check.count,
  },
  {
    id: 'interfaces.count',
    drafts: [3],
    level: 'MUST',
    text: 'CPUID.4F000001H.0.EAX MUST be N, the number of tuples.',
    check: check.count,
  },
  {
    id: 'interfaces.preferred',
    drafts: [3],
    level: 'MUST',
    text: 'CPUID.4F000001H.0.EBX MUST be the index of the preferred tuple, from 1 to N, or 0 where the order alone decides.',
    check: check.preferred,
  },
  {
    id: 'interfaces.reserved',
    drafts: [2],
    level: 'MUST',
    text: 'CPUID.4F000001H.0H.EBX, CPUID.4F000001H.0H.ECX, and CPUID.4F000001H.0H.EDX are reserved.',
    check: check.reserved,
  },
  {
    id: 'interfaces.reserved',
    drafts: [3],
    level: 'MUST',
    text: 'CPUID.4F000001H.0.ECX and CPUID.4F000001H.0.EDX MUST be 0.',
    check: check.reserved,
  },
  {
    id: 'interfaces.fields',
    drafts: [1],
    level: 'MUST',
    text: `If the list contains N tuples, then, for each 0 <= i < N: ${FIELDS}`,
    check: check.fields,
  },
  {
    id: 'interfaces.fields',
    drafts: [2],
    level: 'MUST',
    text: `If the list contains N tuples, then, for each 1 < i <= N: ${FIELDS}`,
    check: check.fields,
  },
  {
    id: 'interfaces.tuples',
    drafts: [3],
    level: 'MUST',
    text: `A tuple says that another paravirtual interface is there: its signature, and the CPUID leaf where it begins. ${EACH} ${SIGNED}`,
    check: check.tuples,
  },
  {
    id: 'interfaces.fields',
    drafts: [3],
    level: 'MUST',
    text: EACH,
    check: check.fields,
  },
  {
    id: 'interfaces.end',
    drafts: [1],
    level: 'MUST',
    text: 'CPUID with EAX = 0x4F000001 and ECX >= N MUST return all zeros.',
    check: check.end,
  },
  {
    id: 'interfaces.end',
    drafts: [3],
    level: 'MUST',
    text: 'CPUID.4F000001H.i MUST return zeros in EAX, EBX, ECX and EDX for every i above N.',
    check: check.end,
  },
  {
    id: 'interfaces.order',
    drafts: [1, 2],
    level: 'SHOULD',
    text: 'To the extent that the hypervisor prefers a given interface, it should specify that interface earlier in the list.',
    reason: 'what a hypervisor prefers shows in the order alone',
  },
  {
    id: 'interfaces.order',
    drafts: [3],
    level: 'MAY',
    text: 'Earlier tuples are preferred to later ones, and a valid preferred index overrides the order.',
    reason: 'what a hypervisor prefers shows in the order and the index alone',
  },
  {
    id: 'interfaces.bounded',
    drafts: [3],
    level: 'MUST',
    text: 'A guest MUST bound the number of tuples that it reads, whatever N says.',
    testedBy: 'src/guest/discover.test.ts',
  },
  {
    id: 'interfaces.preferred-beyond',
    drafts: [3],
    level: 'MUST',
    text: 'A guest MUST treat a preferred index above N as 0.',
    testedBy: 'src/guest/sentences.test.ts',
  },
  {
    id: 'interfaces.unconfirmed',
    drafts: [3],
    level: 'MUST',
    text: 'A guest MUST NOT treat a location that does not return the signature as an error.',
    testedBy: 'src/guest/sentences.test.ts',
  },
  {
    id: 'interfaces.end',
    drafts: [2],
    level: 'advisory',
    text: 'Subleaves of 4F000001H above N answer zeros.',
    check: check.end,
  },
  {
    id: 'interfaces.bound',
    drafts: [2, 3],
    level: 'advisory',
    text: 'The list is no longer than a careful guest reads.',
    check: check.bound,
  },
  {
    id: 'interfaces.own-range',
    drafts: [3],
    level: 'MUST',
    text: 'The location of a tuple MUST NOT be from 4F000000H to 4FFFFFFFH.',
    check: check.notOwnRange,
  },
  {
    id: 'interfaces.range',
    drafts: [3],
    level: 'SHOULD',
    text: 'The location of a tuple SHOULD be from 40000000H to 4EFFFFFFH.',
    check: check.inScanRange,
  },
  {
    id: 'interfaces.twice',
    drafts: [3],
    level: 'MUST',
    text: 'Two tuples MUST NOT have both the same location and the same signature.',
    check: check.noTwice,
  },
  {
    id: 'interfaces.broken',
    drafts: [3],
    level: 'SHOULD',
    text: 'A guest SHOULD ignore a tuple that breaks one of these rules, and count it for the preferred index.',
    testedBy: undefined,
    reason: 'the guest lists every tuple as it stands, and leaves the choice to its caller',
  },
];
