/** Which interfaces a hypervisor offers: through CommonHV where it lists them, by the scan where it does not. */
import type { Cpu } from '../cpu.ts';
import { productOf } from '../spec/known.ts';
import type { Tuple } from '../spec/leaves.ts';
import { hasHypervisorBit, LEAF_BASIC, LEAF_INTERFACES } from '../spec/leaves.ts';
import type { Discovery } from './discover.ts';
import { discover } from './discover.ts';
import { scan } from './scan.ts';

/** One interface, and how it is known. */
export interface Interface extends Tuple {
  /** The product behind the signature, where it is a known one. */
  readonly product: string | undefined;
  /** Whether CPUID at the location spells the signature. */
  readonly confirmed: boolean;
  /** The origin: CommonHV's list, or the scan. */
  readonly source: 'commonhv' | 'scan';
}

/** The result of `detect`. */
export interface Detection {
  /** CPUID.1.ECX bit 31, set or hidden. */
  readonly hypervisorBit: boolean;
  /** `undefined`: CommonHV is not there. */
  readonly commonhv: Discovery | undefined;
  /** In the hypervisor's order of preference, or by location where the search had to find them. */
  readonly interfaces: readonly Interface[];
  /** How many CPUIDs were executed, each a VM exit under a hypervisor. */
  readonly cost: { readonly cpuid: number };
}

/**
 * Asks a processor for all its interfaces: for N of them at most 2N + 5 CPUIDs under CommonHV, 261 without. Never
 * throws for an answer of the processor.
 */
export async function detect(cpu: Cpu): Promise<Detection> {
  let cpuid = 0;
  const counted: Cpu = {
    rdmsr: (index) => cpu.rdmsr(index),
    wrmsr: (index, value) => cpu.wrmsr(index, value),
    cpuid(leaf, subleaf) {
      cpuid++;
      return cpu.cpuid(leaf, subleaf);
    },
  };
  const hypervisorBit = hasHypervisorBit(await counted.cpuid(LEAF_BASIC, 0));
  const commonhv = await discover(counted);
  // "If max_commonhv_leaf >= 0x4F000001, CommonHV provides a list". READING: an empty list says that there is nothing
  // else; without the leaf nothing is said, and the search has to tell.
  const listed = commonhv !== undefined && commonhv.maxLeaf >= LEAF_INTERFACES;
  const interfaces: Interface[] = listed
    ? commonhv.interfaces.map((tuple) => named(tuple, tuple.confirmed, 'commonhv'))
    : (await scan(counted)).map((tuple) => named(tuple, true, 'scan'));
  return { hypervisorBit, commonhv, interfaces, cost: { cpuid } };
}

function named({ signature, location }: Tuple, confirmed: boolean, source: Interface['source']): Interface {
  return { signature, product: productOf(signature), location, confirmed, source };
}
