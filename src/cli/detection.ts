/** What a guest detected, as JSON in the shape that programs rely on, and as text for people. */
import { hex } from '../cpu.ts';
import type { Inconclusive } from '../cpuid-dump.ts';
import type { Detection, Interface } from '../guest/index.ts';
import { columns, type Paint, printable } from './io.ts';

/** The JSON of `detect`: numbers of leaves and MSRs as hex strings, absence as null. */
export function detectionJson({ hypervisorBit, commonhv, interfaces, cost }: Detection): object {
  return {
    hypervisorBit,
    commonhv:
      commonhv === undefined
        ? null
        : {
            draft: commonhv.draft ?? null,
            maxLeaf: hex(commonhv.maxLeaf),
            preferred: commonhv.preferred ?? null,
            rng:
              commonhv.rng === undefined
                ? null
                : {
                    msr: hex(commonhv.rng.msr),
                    input: commonhv.rng.input,
                    secure: commonhv.rng.secure ?? null,
                  },
            generation: commonhv.generation === undefined ? null : { msr: hex(commonhv.generation.msr) },
          },
    interfaces: interfaces.map(({ signature, product, location, confirmed, source }) => ({
      signature,
      product: product ?? null,
      location: hex(location),
      confirmed,
      source,
    })),
    cost,
  };
}

/** Whether a record does not tell which interfaces there are. */
export const isInconclusive = (unknown: ReadonlySet<Inconclusive>): boolean =>
  unknown.has('commonhv') || unknown.has('interfaces');

/**
 * Aligned lines: what CommonHV says, the interfaces in order, and `more` lines of the same form. `unknown`: what a record of
 * the machine leaves open.
 */
export function detectionText(
  detection: Detection,
  paint: Paint,
  more: readonly (readonly [string, string])[] = [],
  unknown: ReadonlySet<Inconclusive> = new Set(),
): string {
  const { hypervisorBit, commonhv, cost } = detection;
  const unrecorded = paint('yellow', 'not recorded');
  const bit = hypervisorBit ? 'set' : 'clear';
  const rows: string[][] = [['hypervisor bit', unknown.has('hypervisorBit') ? unrecorded : bit]];
  if (commonhv === undefined) {
    rows.push(['CommonHV', unknown.has('commonhv') ? unrecorded : paint('yellow', 'not offered')]);
  } else if (unknown.has('commonhv')) {
    rows.push(['CommonHV', `offered, leaves to ${hex(commonhv.maxLeaf)}, not all recorded`]);
  } else {
    const { draft, maxLeaf, rng, generation } = commonhv;
    const which = draft === undefined ? 'offers nothing that tells its draft' : `draft ${draft}`;
    rows.push(['CommonHV', `${paint('green', which)}, leaves to ${hex(maxLeaf)}`]);
    rows.push([
      'RNG',
      rng === undefined ? 'none' : `MSR ${hex(rng.msr)}${inputText(rng.input)}${secureText(rng.secure)}`,
    ]);
    rows.push(['generation', generation === undefined ? 'none' : `MSR ${hex(generation.msr)}`]);
  }
  const none = detection.interfaces.length === 0 && isInconclusive(unknown);
  rows.push(['interfaces', none ? unrecorded : interfacesText(detection, paint).join('\n')]);
  rows.push(['cost', `${cost.cpuid} CPUIDs`]);
  const lines = [...rows, ...more].flatMap(([name, text]) => {
    const [first, ...rest] = text!.split('\n');
    return [[paint('bold', name!), first!], ...rest.map((line) => ['', line])];
  });
  return columns(lines);
}

const inputText = (input: boolean): string => (input ? ', takes guest input' : '');
const secureText = (secure: boolean | undefined): string =>
  secure === undefined ? '' : secure ? ', said to be secure' : ', said not to be secure';

function interfacesText({ interfaces, commonhv }: Detection, paint: Paint): readonly string[] {
  if (interfaces.length === 0) return ['none'];
  const mark = ({ confirmed }: Interface, i: number): string =>
    [
      ...(commonhv?.preferred === i + 1 ? ['preferred'] : []),
      confirmed ? '' : paint('yellow', 'not confirmed at its location'),
    ]
      .filter((text) => text !== '')
      .join(', ');
  return columns(
    interfaces.map((found, i) => [
      `${i + 1}`,
      hex(found.location),
      `"${printable(found.signature)}"`,
      found.product ?? 'unknown product',
      mark(found, i),
    ]),
  ).split('\n');
}
