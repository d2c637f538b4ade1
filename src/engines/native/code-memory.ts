/** Memory for a few bytes of machine code, on each system: written, then made executable. */
import { MachineError } from '../../cpu.ts';
import { check, type Foreign, type ForeignValue, ffi, MAP, PROT } from '../ffi.ts';
import { SYSTEM_V, WINDOWS } from './code.ts';

export interface CodeMemory {
  /** `CPUID` for this system's convention. */
  readonly code: Uint8Array;
  /** Maps a page with `code` in it, readable and executable. Throws a `MachineError` where the system refuses. */
  map(): bigint;
  unmap(address: bigint): void;
  call(address: bigint, words: Uint32Array): void;
  /** Moves the calling thread to a logical processor; the result moves it back. Absent where the system has no such call. */
  pin?(cpu: number): () => void;
}

const PAGE = 4096;
const MASK_BYTES = 128;

export function linuxMemory(): CodeMemory {
  const linux = ffi();
  return {
    code: SYSTEM_V,
    map() {
      const page = linux.mmap(PAGE, PROT.read | PROT.write, MAP.private | MAP.anonymous, -1);
      linux.poke(page, SYSTEM_V);
      const made = linux.mprotect(page, PAGE, PROT.read | PROT.exec);
      if (made < 0) linux.munmap(page, PAGE);
      check(made, 'making a page executable');
      return page;
    },
    unmap: (page) => void linux.munmap(page, PAGE),
    call: (page, words) => linux.callAt(page, words),
    pin(cpu) {
      const only = new Uint8Array(MASK_BYTES);
      only[cpu >> 3] = 1 << (cpu & 7);
      const before = new Uint8Array(MASK_BYTES);
      check(linux.affinity(before), 'reading the CPU affinity');
      check(linux.setAffinity(only), `moving to CPU ${cpu}`);
      return () => void check(linux.setAffinity(before), 'restoring the CPU affinity');
    },
  };
}

/** MAP_PRIVATE and MAP_ANON of <sys/mman.h> in FreeBSD and macOS. */
const BSD_MAP = 0x0002 | 0x1000;

/** FreeBSD and macOS on x86-64. Node's own program for macOS is entitled to executable memory. */
export function bsdMemory(calls: Foreign): CodeMemory {
  const mmap = calls.func(null, 'int64_t mmap(int64_t, size_t, int, int, int, int64_t)');
  const mprotect = calls.func(null, 'int mprotect(int64_t, size_t, int)');
  const munmap = calls.func(null, 'int munmap(int64_t, size_t)');
  const failed = (call: string): MachineError => new MachineError(`${call}: error ${calls.errno()}`);
  return {
    code: SYSTEM_V,
    map() {
      const page = BigInt(mmap(0n, PAGE, PROT.read | PROT.write, BSD_MAP, -1, 0n));
      if (page === -1n) throw failed('mmap');
      calls.write(page, SYSTEM_V);
      if (Number(mprotect(page, PAGE, PROT.read | PROT.exec)) === 0) return page;
      const error = failed('making a page executable');
      munmap(page, PAGE);
      throw error;
    },
    unmap: (page) => void munmap(page, PAGE),
    call: (page, words) => calls.callAt(page, words),
  };
}

// <memoryapi.h>
const MEM_COMMIT_RESERVE = 0x1000 | 0x2000;
const MEM_RELEASE = 0x8000;
const PAGE_READWRITE = 0x04;
const PAGE_EXECUTE_READ = 0x20;

/** Windows on x86-64. One processor group: logical processors 0 to 63. */
export function windowsMemory(calls: Foreign): CodeMemory {
  const kernel = (prototype: string): ((...values: readonly ForeignValue[]) => number | bigint) =>
    calls.func('kernel32.dll', prototype);
  const alloc = kernel('int64_t VirtualAlloc(int64_t, size_t, uint32_t, uint32_t)');
  const protect = kernel('int VirtualProtect(int64_t, size_t, uint32_t, void *)');
  const free = kernel('int VirtualFree(int64_t, size_t, uint32_t)');
  const lastError = kernel('uint32_t GetLastError(void)');
  const thread = kernel('int64_t GetCurrentThread(void)');
  const setMask = kernel('int64_t SetThreadAffinityMask(int64_t, int64_t)');
  const failed = (call: string): MachineError => new MachineError(`${call}: error ${lastError()}`);
  return {
    code: WINDOWS,
    map() {
      const page = BigInt(alloc(0n, PAGE, MEM_COMMIT_RESERVE, PAGE_READWRITE));
      if (page === 0n) throw failed('VirtualAlloc');
      calls.write(page, WINDOWS);
      if (Number(protect(page, PAGE, PAGE_EXECUTE_READ, new Uint8Array(4))) !== 0) return page;
      const error = failed('making a page executable');
      free(page, 0, MEM_RELEASE);
      throw error;
    },
    unmap: (page) => void free(page, 0, MEM_RELEASE),
    call: (page, words) => calls.callAt(page, words),
    pin(cpu) {
      const before = cpu < 64 ? BigInt(setMask(thread(), BigInt.asIntN(64, 1n << BigInt(cpu)))) : 0n;
      if (before === 0n) throw new MachineError(`moving to CPU ${cpu}: the system refuses it`);
      return () => void setMask(thread(), before);
    },
  };
}
