/** The guest's memory: one private mapping of this process, of zeros or of a saved machine's file. */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import type { GuestMemory as LayerMemory, MachineMemory } from '../../cpu.ts';
import { hex, MachineError } from '../../cpu.ts';
import type { Ffi } from '../ffi.ts';
import { MAP, PROT } from '../ffi.ts';
import { checkedRam, isRam } from '../ram.ts';

/** A saved machine's memory in an open file. */
export interface FileImage {
  readonly fd: number;
  readonly offset: number;
}

/** Where the memory is, for all threads of the process. */
export interface MemoryPlace {
  readonly address: bigint;
  /** Bytes, from guest-physical address 0. */
  readonly size: number;
  /** /proc/self/mem: an access that the mapping cannot serve any more fails, instead of ending the process by SIGBUS. */
  readonly fd: number;
}

export class GuestMemory implements MemoryPlace {
  readonly size: number;
  readonly address: bigint;
  readonly fd: number;
  /** Whether pages that were never touched are zero. */
  anonymous!: boolean;
  readonly #sys: Ffi;

  /** Maps zeros, or a file, copy on write; pages that are never touched cost nothing. */
  constructor(sys: Ffi, size: number, image?: FileImage) {
    this.#sys = sys;
    this.size = size;
    this.fd = openSync('/proc/self/mem', 'r+');
    try {
      this.address = this.#map(image);
    } catch (error) {
      closeSync(this.fd);
      throw error;
    }
  }

  /** For a task in another thread. */
  get place(): MemoryPlace {
    return { address: this.address, size: this.size, fd: this.fd };
  }

  /** Replaces all content, in place, by zeros or by a file's. */
  replace(image?: FileImage): void {
    this.#map(image, this.address);
  }

  /** Writes to fresh memory: a RangeError for bytes beyond its end. */
  load(at: number, bytes: Uint8Array): void {
    if (at + bytes.length > this.size) throw new RangeError('a segment is beyond the memory');
    this.#sys.poke(this.address + BigInt(at), bytes);
  }

  /** Copies memory; throws where a mapped file cannot serve a page any more. */
  read(at: number, into: Uint8Array): void {
    const count = readSync(this.fd, into, 0, into.length, this.address + BigInt(at));
    if (count < into.length) throw new MachineError('the memory of the machine cannot be read');
  }

  /** `running` throws once the machine has ended, and its memory is free. */
  forOwner(running: () => void): MachineMemory {
    const read = (address: number, length: number): Uint8Array => {
      const bytes = new Uint8Array(length);
      this.read(address, bytes);
      return bytes;
    };
    const write = (address: number, bytes: Uint8Array): void => this.load(address, bytes);
    return checkedRam({ read, write }, this.size, running);
  }

  free(): void {
    this.#sys.munmap(this.address, this.size);
    closeSync(this.fd);
  }

  #map(image: FileImage | undefined, address?: bigint): bigint {
    this.anonymous = image === undefined;
    const flags =
      MAP.private |
      MAP.noReserve |
      (image === undefined ? MAP.anonymous : 0) |
      (address === undefined ? 0 : MAP.fixed);
    return this.#sys.mmap(this.size, PROT.read | PROT.write, flags, image?.fd ?? -1, {
      address,
      offset: image?.offset,
    });
  }
}

/** The memory as a layer has it, in any thread of the process. */
export function layerMemory(
  { address: base, size, fd }: MemoryPlace,
  whileStopped: (action: () => void) => void,
): LayerMemory {
  const place = (page: number, offset: number): number => {
    if (!isRam(page, size)) throw new RangeError(`no RAM at ${hex(page)}`);
    return Number(base) + page + offset;
  };
  return {
    isRam: (page) => isRam(page, size),
    store(page, offset, value) {
      const position = place(page, offset);
      const bytes = new Uint8Array(new BigUint64Array([value]).buffer);
      // The kernel copies it: no vCPU may see half of the value.
      whileStopped(() => writeSync(fd, bytes, 0, bytes.length, position));
    },
    load(page, offset) {
      const value = new BigUint64Array(1);
      readSync(fd, new Uint8Array(value.buffer), 0, value.byteLength, place(page, offset));
      return value[0]!;
    },
  };
}
