/** `detect --features`: the feature leaves of each interface in names; bits that no table names are shown as such. */
import type { Cpu, Regs } from '../cpu.ts';
import { hex } from '../cpu.ts';
import { LEAF_ADDRESS_SIZES, LEAF_MAX_EXTENDED, LEAF_MEMORY_ENCRYPTION, LEAF_VS_1 } from '../spec/index.ts';
import { FEATURES, MEMORY_ENCRYPTION, TDX_ADDRESSES } from './feature-data.ts';
import type { FeatureRegister, FeatureTable } from './feature-table.ts';
import { type Finding, HV_SIGNATURE } from './finding.ts';
import { fitted, type Io } from './io.ts';

/** A register of a feature leaf, decoded. */
export interface Feature {
  readonly interface: string;
  readonly leaf: number;
  readonly subleaf: number;
  readonly register: FeatureRegister['register'];
  readonly title: string;
  readonly value: number;
  /** The names of the bits that are set. */
  readonly names: readonly string[];
  readonly fields: Readonly<Record<string, number>>;
  /** Bits that are set and that no name or field covers. */
  readonly unknown: number;
  readonly source: string;
}

/** Decodes what the interfaces of a finding advertise. `has`: whether a leaf was recorded; absent leaves are left out. */
export async function featuresOf(
  cpu: Cpu,
  { interfaces, confidential }: Finding,
  has: (leaf: number) => boolean = () => true,
): Promise<readonly Feature[]> {
  const features: Feature[] = [];
  for (const { signature, location, confirmed } of interfaces) {
    const table = FEATURES[signature];
    if (table === undefined || !confirmed) continue;
    const base = signature === HV_SIGNATURE ? location - 1 : location;
    const { eax } = await cpu.cpuid(base, 0);
    // Old KVM and v86 say 0 and mean the leaf after the first.
    // So does VS#1, whose EAX is its name.
    const last = eax === 0 || base === LEAF_VS_1 ? base + 1 : Math.min(eax, base + 0xff);
    features.push(...(await decoded(cpu, table, base, (leaf) => leaf <= last && has(leaf))));
  }
  const extended = has(LEAF_MAX_EXTENDED) ? (await cpu.cpuid(LEAF_MAX_EXTENDED, 0)).eax : 0;
  const isExtended = (leaf: number): boolean => leaf <= extended && has(leaf);
  if (confidential === 'TDX')
    features.push(...(await decoded(cpu, TDX_ADDRESSES, LEAF_ADDRESS_SIZES, isExtended)));
  const encryption = await decoded(cpu, MEMORY_ENCRYPTION, LEAF_MEMORY_ENCRYPTION, isExtended);
  features.push(...encryption.filter(({ value }) => value !== 0));
  return features;
}

export async function decoded(
  cpu: Cpu,
  table: FeatureTable,
  base: number,
  has: (leaf: number) => boolean,
): Promise<Feature[]> {
  const features: Feature[] = [];
  const asked = new Map<string, Regs>();
  for (const register of table.registers) {
    const { offset, subleaf = 0 } = register;
    const leaf = base + offset;
    if (!has(leaf)) continue;
    const key = `${leaf}.${subleaf}`;
    const regs = asked.get(key) ?? (await cpu.cpuid(leaf, subleaf));
    asked.set(key, regs);
    features.push(decodeRegister(table, register, leaf, regs[register.register]));
  }
  return features;
}

function decodeRegister(
  table: FeatureTable,
  register: FeatureRegister,
  leaf: number,
  value: number,
): Feature {
  const { bits = {}, fields = [], subleaf = 0, title } = register;
  const names: string[] = [];
  let unknown = value;
  for (const [bit, name] of Object.entries(bits)) {
    const mask = (1 << Number(bit)) >>> 0;
    if ((value & mask) !== 0) names.push(name);
    unknown = (unknown & ~mask) >>> 0;
  }
  const numbers: Record<string, number> = {};
  for (const [name, shift, width] of fields) {
    const mask = width === 32 ? 0xffff_ffff : ((1 << width) - 1) >>> 0;
    numbers[name] = ((value >>> shift) & mask) >>> 0;
    unknown = (unknown & ~(mask << shift)) >>> 0;
  }
  const about = { interface: table.name, leaf, subleaf, register: register.register, title };
  return { ...about, value, names, fields: numbers, unknown, source: table.source };
}

/** For JSON: registers in hex, `unknown` null where every bit has a name. */
export function featuresJson(features: readonly Feature[]): readonly object[] {
  return features.map(({ leaf, value, unknown, ...rest }) => ({
    ...rest,
    leaf: hex(leaf),
    value: hex(value),
    unknown: unknown === 0 ? null : hex(unknown),
  }));
}

/** Aligned lines, one for each register; `width`: of the terminal, if it is one. */
export function featuresText(features: readonly Feature[], width?: number): string {
  if (features.length === 0) return 'no feature leaves';
  const rows = features.map((feature) => [
    feature.interface,
    placeOf(feature),
    feature.title,
    describeFeature(feature),
  ]);
  return fitted(rows, width);
}

export function placeOf({ leaf, subleaf, register }: Pick<Feature, 'leaf' | 'subleaf' | 'register'>): string {
  return `${hex(leaf)}${subleaf === 0 ? '' : `.${subleaf}`}.${register}`;
}

function describeFeature({ names, fields, unknown, title }: Feature): string {
  const numbers = Object.entries(fields).map(([name, value]) =>
    name === title ? `${value}` : `${name} ${value}`,
  );
  const rest = unknown === 0 ? [] : [`unknown bits ${hex(unknown)}`];
  return [...names, ...numbers, ...rest].join(', ') || 'none';
}

/** Both forms of `featuresOf`. */
export async function printedFeatures({ width }: Pick<Io, 'width'>, ...args: Parameters<typeof featuresOf>) {
  const features = await featuresOf(...args);
  return { text: featuresText(features, width), json: featuresJson(features) };
}
