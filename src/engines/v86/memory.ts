/** Guest RAM of a v86 machine, as a layer may reach it, and the two words of v86's state that carry a layer's setting. */
import type { GuestMemory, StateWords } from '../../cpu.ts';
import { isRam } from '../ram.ts';
import type { Exports } from './hook.ts';

/** v86's `dreg32` in its module's memory (`global_pointers.rs`): DR0 to DR7. DR4 and DR5 have no register behind them. */
const DR4 = 684 + 16;

/** Made before the module and its RAM exist; nothing is asked of it earlier. */
export class GuestRam implements GuestMemory {
  #exports: Exports | undefined;
  #base = 0;
  #size = 0;

  attach(exports: Exports): void {
    this.#exports = exports;
  }

  /** v86 has allocated `size` bytes of guest RAM at this address of its module's memory. */
  allocated(base: number, size: number): void {
    this.#base = base >>> 0;
    this.#size = size;
  }

  isRam(address: number): boolean {
    if (this.#exports === undefined || this.#base === 0 || !isRam(address, this.#size)) return false;
    return this.#exports.in_mapped_range(address) === 0;
  }

  store(address: number, offset: 0 | 8, value: bigint): void {
    this.#values(address)[offset >> 3] = value;
    // v86 may have compiled code of this page.
    this.#exports!.jit_dirty_cache(address + offset, address + offset + 8);
  }

  load(address: number, offset: 0 | 8): bigint {
    return this.#values(address)[offset >> 3]!;
  }

  /** The first two values of a page; the view is made anew, as the module's memory may have grown. */
  #values(address: number): BigUint64Array {
    if (!this.isRam(address)) throw new RangeError(`address: expected a page of guest RAM, got ${address}`);
    return new BigUint64Array(this.#exports!.memory.buffer, this.#base + address, 2);
  }
}

/** v86 saves all of its debug registers, and no instruction reaches DR4 and DR5: those are DR6 and DR7 by another name. */
export function stateWords(exports: () => Exports): StateWords {
  const words = () => new Uint32Array(exports().memory.buffer, DR4, 2);
  return {
    load() {
      const [first, second] = words();
      return [first!, second!];
    },
    store: (first, second) => words().set([first, second]),
  };
}
