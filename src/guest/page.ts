/** The generation page and the acknowledgement, for kernels that run on the port (draft 3, second edition). */
import type { Cpu, Fault } from '../cpu.ts';
import { encodePage, PAGE_GENERATION, PAGE_RESEEDED } from '../spec/page.ts';
import type { Discovery } from './discover.ts';

/**
 * Says that the guest's generator was reseeded for this generation, as `seed` returned it. `acknowledged`; `changed`: the machine
 * was restored meanwhile, so seed again; `absent`: the hypervisor takes no acknowledgement.
 */
export async function acknowledge(
  cpu: Cpu,
  { generation }: Discovery,
  value: bigint,
): Promise<'acknowledged' | 'changed' | 'absent'> {
  if (!generation?.ack) return 'absent';
  return (await cpu.wrmsr(generation.msr, value)) === undefined ? 'acknowledged' : 'changed';
}

/**
 * Registers a page that the kernel has set aside, zeroed, at a guest-physical address, a multiple of 4,096; `undefined` disables the
 * page before it is given up. The fault of a hypervisor that does not accept it, `absent` where none offers a page.
 */
export async function setPage(
  cpu: Cpu,
  { generation }: Discovery,
  address: number | undefined,
): Promise<Fault | 'absent' | undefined> {
  if (generation?.pageMsr === undefined) return 'absent';
  return cpu.wrmsr(generation.pageMsr, address === undefined ? 0n : encodePage(address));
}

/** The two words of the page. */
export interface PageLook {
  /** Stored by the hypervisor: the machine's generation. */
  readonly generation: bigint;
  /** Stored by the guest's kernel: the generation for which it last reseeded its own generator. */
  readonly reseeded: bigint;
}

/** Reads both words. A process draws from the kernel only where they are equal, and keeps the value only if both still are, unchanged. */
export function readPage(page: DataView): PageLook {
  return {
    generation: page.getBigUint64(PAGE_GENERATION, true),
    reseeded: page.getBigUint64(PAGE_RESEEDED, true),
  };
}

/** The kernel has reseeded for `generation`: processes may draw again. */
export function markReseeded(page: DataView, generation: bigint): void {
  page.setBigUint64(PAGE_RESEEDED, generation, true);
}
