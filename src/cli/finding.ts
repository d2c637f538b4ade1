/** A processor's hypervisor in full: each question with its answer, and every interface, however it is recognised. */
import type { Cpu } from '../cpu.ts';
import type { Inconclusive } from '../cpuid-dump.ts';
import type { Detection, Interface } from '../guest/index.ts';
import { detect } from '../guest/index.ts';
import {
  decodeSignature,
  HV_1,
  KNOWN_VENDORS,
  knownBy,
  LEAF_BAREFLANK,
  LEAF_HYPERV_FEATURES,
  LEAF_HYPERV_ISOLATION,
  LEAF_TDX,
  LEAF_VS_1,
  SCAN_FIRST,
  SCAN_STEP,
  VS_1,
} from '../spec/index.ts';
import { printable } from './io.ts';

/** A question of which the dump lacks the leaves has no answer. */
export type Answer = 'yes' | 'no' | 'not recorded';

/** An interface as it is shown; Hyper-V's "Hv#1" is one of its own, whatever the vendor string before it says. */
export interface ShownInterface extends Interface {
  /** Which other products show the same. */
  readonly doubt: string | undefined;
}

export interface Finding {
  readonly detection: Detection;
  readonly hypervisorBit: Answer;
  readonly commonhv: Answer;
  /** Whether `interfaces` is all there are. */
  readonly complete: boolean;
  /** In the order of `detection.interfaces`, then those that other marks tell. */
  readonly interfaces: readonly ShownInterface[];
  /** Whether Hyper-V's interface grants privileges that only Microsoft's hypervisor has; `undefined`: none, or not recorded. */
  readonly genuineHyperv: boolean | undefined;
  /** The processor's vendor, and facts about it. */
  readonly processor: string;
  /** The emulator that the vendor string names. */
  readonly emulator: string | undefined;
  /** Of a confidential guest. */
  readonly confidential: 'TDX' | 'SEV-SNP' | undefined;
  /** Why a question has no answer, by question. */
  readonly missing: ReadonlyMap<Inconclusive, string>;
}

const NOTHING: ReadonlyMap<Inconclusive, string> = new Map();

/** Asks a processor. `missing`: the questions that a dump leaves open; `has`: whether the dump has a leaf. */
export async function findingOf(
  cpu: Cpu,
  missing: ReadonlyMap<Inconclusive, string> = NOTHING,
  has: (leaf: number) => boolean = () => true,
): Promise<Finding> {
  const detection = await detect(cpu);
  const extras = await extraInterfaces(cpu, detection.interfaces);
  const answer = (question: Inconclusive, value: boolean): Answer =>
    missing.has(question) ? 'not recorded' : value ? 'yes' : 'no';
  const offered = detection.commonhv !== undefined;
  const hyperv = extras.find(({ signature }) => signature === HV_SIGNATURE);
  const genuineHyperv = hyperv && has(LEAF_HYPERV_FEATURES) ? await isGenuine(cpu) : undefined;
  return {
    detection,
    hypervisorBit: answer('hypervisorBit', detection.hypervisorBit),
    commonhv: answer('commonhv', offered),
    complete: !missing.has('interfaces') && !(offered && missing.has('commonhv')),
    interfaces: [...detection.interfaces.map((found) => withDoubt(found, genuineHyperv)), ...extras],
    genuineHyperv,
    ...(await processorOf(cpu, has)),
    confidential: await confidentialOf(cpu, has, hyperv !== undefined),
    missing,
  };
}

export const HV_SIGNATURE = 'Hv#1';
const VS_SIGNATURE = 'VS#1';

function withDoubt(found: Interface, genuineHyperv: boolean | undefined): ShownInterface {
  const certain = genuineHyperv && found.signature === 'Microsoft Hv';
  return { ...found, doubt: certain ? undefined : knownBy(found.signature)?.doubt };
}

/** Interfaces that no vendor string tells: by the identifier in the leaf after it, or in a range of their own. */
async function extraInterfaces(
  cpu: Cpu,
  interfaces: readonly Interface[],
): Promise<readonly ShownInterface[]> {
  const extras: ShownInterface[] = [];
  const push = (signature: string, location: number, product: string, doubt?: string): void =>
    void extras.push({ signature, location, product, confirmed: true, source: 'scan', doubt });
  const locations = new Set(interfaces.filter(({ confirmed }) => confirmed).map(({ location }) => location));
  // An empty vendor string names no interface, and Hyper-V's may have one.
  const { eax } = await cpu.cpuid(SCAN_FIRST, 0);
  if (eax > SCAN_FIRST && eax < SCAN_FIRST + SCAN_STEP) locations.add(SCAN_FIRST);
  for (const location of locations) {
    if (location >= 0xffff_ffff) continue;
    if ((await cpu.cpuid(location + 1, 0)).eax === HV_1)
      push(HV_SIGNATURE, location + 1, "Hyper-V's interface");
  }
  if (locations.has(SCAN_FIRST) && (await cpu.cpuid(LEAF_VS_1, 0)).eax === VS_1) {
    push(
      VS_SIGNATURE,
      LEAF_VS_1,
      "the virtualization stack's interface",
      'Hyper-V, or KVM with its synthetic debugger',
    );
  }
  const bareflank = await cpu.cpuid(LEAF_BAREFLANK, 0);
  if (bareflank.eax > LEAF_BAREFLANK && bareflank.eax < LEAF_BAREFLANK + SCAN_STEP)
    push('', LEAF_BAREFLANK, 'Bareflank');
  return extras;
}

/** Posting messages, signalling events and debugging are all that KVM grants in EBX (linux/arch/x86/kvm/hyperv.c). */
const EMULATED_PRIVILEGES = (1 << 4) | (1 << 5) | (1 << 11);

async function isGenuine(cpu: Cpu): Promise<boolean> {
  return ((await cpu.cpuid(LEAF_HYPERV_FEATURES, 0)).ebx & ~EMULATED_PRIVILEGES) !== 0;
}

/** Vendor strings of leaves 0 and 21H spell in EBX, EDX, ECX. */
async function processorOf(
  cpu: Cpu,
  has: (leaf: number) => boolean,
): Promise<Pick<Finding, 'processor' | 'emulator'>> {
  if (!has(0)) return { processor: 'not recorded', emulator: undefined };
  const vendors: string[] = [];
  let emulator: string | undefined;
  const { eax: maxBasic } = await cpu.cpuid(0, 0);
  for (const at of new Set([0, ...KNOWN_VENDORS.map(({ leaf }) => leaf)])) {
    if (at > maxBasic) continue;
    const { ebx, ecx, edx } = await cpu.cpuid(at, 0);
    const vendor = decodeSignature({ ebx, ecx: edx, edx: ecx });
    const known = KNOWN_VENDORS.find(({ leaf, signature }) => leaf === at && signature === vendor);
    if (known !== undefined)
      vendors.push(`${printable(vendor).trim()} (${known.product}${known.doubt ? `, ${known.doubt}` : ''})`);
    else if (at === 0) vendors.push(printable(vendor) || 'unnamed');
    if (known !== undefined && at === 0) emulator = known.product;
  }
  return { processor: vendors.join(', '), emulator };
}

async function confidentialOf(
  cpu: Cpu,
  has: (leaf: number) => boolean,
  hyperv: boolean,
): Promise<Finding['confidential']> {
  const { eax: maxBasic } = await cpu.cpuid(0, 0);
  // A decoded dump has no highest leaf.
  if (maxBasic >= LEAF_TDX || (maxBasic === 0 && has(LEAF_TDX))) {
    const { ebx, ecx, edx } = await cpu.cpuid(LEAF_TDX, 0);
    if (decodeSignature({ ebx, ecx: edx, edx: ecx }) === 'IntelTDX    ') return 'TDX';
  }
  if (!hyperv || (await cpu.cpuid(SCAN_FIRST, 0)).eax < LEAF_HYPERV_ISOLATION) return undefined;
  const isolation = (await cpu.cpuid(LEAF_HYPERV_ISOLATION, 0)).ebx & 0xf;
  return isolation === 3 ? 'TDX' : isolation === 2 ? 'SEV-SNP' : undefined;
}

/** One line: who is below, as far as it can be told. */
export function verdict(finding: Finding): string {
  const suffix = finding.confidential === undefined ? '' : `, in a ${finding.confidential} guest`;
  return hypervisorOf(finding) + suffix;
}

function hypervisorOf(finding: Finding): string {
  const { interfaces, hypervisorBit, commonhv, emulator, missing } = finding;
  const carriers = new Set(
    interfaces.filter(({ signature }) => signature === HV_SIGNATURE).map(({ location }) => location - 1),
  );
  const isHyperv = ({ signature, location, confirmed }: ShownInterface): boolean =>
    HYPERV.has(signature) || (confirmed && carriers.has(location) && knownBy(signature) === undefined);
  const main = interfaces.filter((one) => !isHyperv(one));
  if (main.length > 0) {
    return namesOf(main) + (main.length < interfaces.length ? ", with Hyper-V's interface beside it" : '');
  }
  if (interfaces.length > 0) return hypervOf(finding);
  if (
    missing.has('interfaces') ||
    (commonhv === 'not recorded' && finding.detection.commonhv !== undefined)
  ) {
    if (hypervisorBit === 'yes') return 'a hypervisor; which one was not recorded';
    if (hypervisorBit === 'no') return 'no hypervisor to be seen in the part that was recorded';
    return 'too little was recorded to say';
  }
  if (commonhv === 'yes') return 'a hypervisor with CommonHV and no other interface';
  if (emulator !== undefined) return `no hypervisor to be seen; an emulated processor: ${emulator}`;
  if (hypervisorBit === 'not recorded') return 'no interface; the hypervisor bit was not recorded';
  return hypervisorBit === 'yes' ? 'a hypervisor that shows no interface' : 'no hypervisor to be seen';
}

const HYPERV = new Set(['Microsoft Hv', 'Linux KVM Hv', HV_SIGNATURE, VS_SIGNATURE]);

function namesOf(list: readonly ShownInterface[]): string {
  const name = ({ signature, product }: ShownInterface): string => {
    const known = knownBy(signature)?.interface;
    return known === undefined ? (product ?? `"${printable(signature)}"`) : `${known}'s interface`;
  };
  return [...new Set(list.map(name))].join(' and ');
}

/** Nothing but Hyper-V's interface: whose it is depends on what else is known. */
function hypervOf({ interfaces, genuineHyperv, complete, missing }: Finding): string {
  const vendor = interfaces.find(({ location }) => location === SCAN_FIRST)?.signature;
  const open = missing.get('interfaces') ?? missing.get('commonhv');
  const rest =
    complete || open === undefined ? '' : `; ${open.replace(/ is missing.*/, ' and above: not recorded')}`;
  if (vendor === 'Linux KVM Hv') return `KVM's Hyper-V interface (Hv#1)${rest}`;
  if (vendor === 'Microsoft Hv') {
    if (genuineHyperv || (complete && genuineHyperv === undefined)) return 'Microsoft Hyper-V';
    return `Hyper-V's interface (Hv#1), of Microsoft Hyper-V or of another hypervisor${rest}`;
  }
  return `a Hyper-V compatible interface (Hv#1)${vendor === undefined ? '' : ` that calls itself "${printable(vendor)}"`}${rest}`;
}
