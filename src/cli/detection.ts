/** A finding as JSON in the documented shape, and as readable text. */
import { hex } from '../cpu.ts';
import { encodeSignature } from '../spec/index.ts';
import { type Answer, type Finding, HV_SIGNATURE, type ShownInterface, verdict } from './finding.ts';
import { columns, type Paint, printable } from './io.ts';

/**
 * The JSON of `detect`: numbers of leaves and MSRs as hex strings, absence as null. `answers` has each question's answer, `yes`,
 * `no` or `not recorded`; a `null` elsewhere is one of the last two.
 */
export function detectionJson(finding: Finding): object {
  const { detection, hypervisorBit, commonhv, complete, interfaces, confidential, missing } = finding;
  const offered = detection.commonhv;
  return {
    verdict: verdict(finding),
    hypervisorBit: hypervisorBit === 'not recorded' ? null : hypervisorBit === 'yes',
    answers: {
      hypervisorBit,
      commonhv: offered === undefined ? commonhv : 'yes',
      interfaces: interfacesAnswer(finding),
    },
    commonhv: offered === undefined ? null : commonhvJson(offered),
    interfaces: interfaces.map(interfaceJson),
    complete,
    confidential: confidential ?? null,
    missing: [...missing.values()],
    cost: detection.cost,
  };
}

/** Whether there are interfaces: an empty list of an incomplete dump is no answer. */
export function interfacesAnswer({ interfaces, complete }: Finding): Answer {
  return interfaces.length > 0 ? 'yes' : complete ? 'no' : 'not recorded';
}

function commonhvJson(commonhv: NonNullable<Finding['detection']['commonhv']>): object {
  const { rng, generation } = commonhv;
  return {
    draft: commonhv.draft ?? null,
    maxLeaf: hex(commonhv.maxLeaf),
    preferred: commonhv.preferred ?? null,
    rng: rng === undefined ? null : { msr: hex(rng.msr), input: rng.input, secure: rng.secure ?? null },
    generation: generation === undefined ? null : generationJson(generation),
  };
}

type Generation = NonNullable<NonNullable<Finding['detection']['commonhv']>['generation']>;

/** `page`: the index of MSR_COMMONHV_GENERATION_PAGE. */
function generationJson({ msr, pageMsr, ack }: Generation): object {
  return { msr: hex(msr), page: pageMsr === undefined ? null : hex(pageMsr), acknowledgement: ack };
}

/** `signature` without the padding at its end, `bytes` as they are in the registers, in hex. */
function interfaceJson({ signature, product, doubt, location, confirmed, source }: ShownInterface): object {
  return {
    signature: trimmed(signature),
    bytes: bytesOf(signature),
    product: product ?? null,
    doubt: doubt ?? null,
    location: hex(location),
    confirmed,
    source,
  };
}

/** A signature without the NULs and blanks that pad it. */
export const trimmed = (signature: string): string => signature.replace(/[\0 ]+$/, '');

function bytesOf(signature: string): string {
  const padded = signature.length === 12 ? Object.values(encodeSignature(signature)) : undefined;
  if (padded === undefined)
    return Array.from(signature, (character) => character.charCodeAt(0).toString(16)).join('');
  return padded
    .map((word) =>
      [0, 8, 16, 24].map((shift) => ((word >>> shift) & 0xff).toString(16).padStart(2, '0')).join(''),
    )
    .join('');
}

/** Aligned lines: CommonHV's offer, the interfaces in order, and `more` lines of the same form. */
export function detectionText(
  finding: Finding,
  paint: Paint,
  more: readonly (readonly [string, string])[] = [],
): string {
  const { detection, hypervisorBit, processor } = finding;
  const bit = { yes: 'set', no: 'clear', 'not recorded': paint('yellow', 'not recorded') }[hypervisorBit];
  const rows: string[][] = [
    ['hypervisor bit', bit],
    ...commonhvRows(finding, paint),
    ['interfaces', interfacesText(finding, paint).join('\n')],
    ['cost', `${detection.cost.cpuid} CPUIDs`],
    ['processor', processor],
  ];
  const lines = [...rows, ...more].flatMap(([name, text]) => {
    const [first, ...rest] = text!.split('\n');
    return [[paint('bold', name!), first!], ...rest.map((line) => ['', line])];
  });
  return columns(lines);
}

function commonhvRows({ detection, commonhv, missing }: Finding, paint: Paint): string[][] {
  const offered = detection.commonhv;
  if (offered === undefined) {
    if (commonhv === 'no') return [['CommonHV', paint('yellow', 'not offered')]];
    return [['CommonHV', paint('yellow', `unknown: ${(missing.get('commonhv') ?? '').replace(/: .*/, '')}`)]];
  }
  if (commonhv === 'not recorded')
    return [['CommonHV', `offered, leaves to ${hex(offered.maxLeaf)}, not all recorded`]];
  const { draft, maxLeaf, rng, generation } = offered;
  const which = draft === undefined ? 'offers nothing that tells its draft' : `draft ${draft}`;
  return [
    ['CommonHV', `${paint('green', which)}, leaves to ${hex(maxLeaf)}`],
    [
      'RNG',
      rng === undefined ? 'none' : `MSR ${hex(rng.msr)}${inputText(rng.input)}${secureText(rng.secure)}`,
    ],
    ['generation', generation === undefined ? 'none' : generationText(generation)],
  ];
}

const inputText = (input: boolean): string => (input ? ', takes guest input' : '');
const secureText = (secure: boolean | undefined): string =>
  secure === undefined ? '' : secure ? ', said to be secure' : ', said not to be secure';

const generationText = ({ msr, pageMsr, ack }: Generation): string =>
  [
    `MSR ${hex(msr)}`,
    ...(pageMsr === undefined ? [] : [`page at MSR ${hex(pageMsr)}`]),
    ...(ack ? ['takes acknowledgements'] : []),
  ].join(', ');

function interfacesText(finding: Finding, paint: Paint): readonly string[] {
  const { interfaces, complete, missing, detection } = finding;
  const open = complete ? undefined : (missing.get('interfaces') ?? missing.get('commonhv'));
  const rest = open === undefined ? [] : [paint('yellow', `not all recorded: ${open.replace(/: .*/, '')}`)];
  if (interfaces.length === 0)
    return open === undefined ? ['none'] : [paint('yellow', `not recorded: ${open.replace(/: .*/, '')}`)];
  const preferred = detection.commonhv?.preferred;
  const mark = ({ confirmed, doubt }: ShownInterface, i: number): string =>
    [
      ...(preferred === i + 1 ? ['preferred'] : []),
      ...(confirmed ? [] : [paint('yellow', 'not confirmed at its location')]),
      ...(doubt === undefined ? [] : [doubt]),
    ].join(', ');
  const hyperv = interfaces.find(({ signature }) => signature === HV_SIGNATURE);
  const product = ({ product, location }: ShownInterface): string =>
    product ??
    (hyperv?.location === location + 1
      ? "a name that Hyper-V's interface lets an administrator choose"
      : 'unknown product');
  const rows = interfaces.map((found, i) => [
    `${i + 1}`,
    hex(found.location),
    `"${printable(found.signature)}"`,
    product(found),
    mark(found, i),
  ]);
  return [...columns(rows).split('\n'), ...rest];
}
