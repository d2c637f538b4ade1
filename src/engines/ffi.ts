/** System calls that Node does not offer, from TypeScript through koffi: the one file that imports it. */
import { createRequire } from 'node:module';
import { MachineError } from '../cpu.ts';

/** A pointer argument: an address, or bytes that live as long as the call. */
export type Pointer = bigint | Uint8Array | null;

/** Where a mapping goes and where in its file it begins; both 0 by default. */
export interface MapPlace {
  readonly address?: bigint | undefined;
  readonly offset?: number | undefined;
}

/**
 * Linux on x86-64. Every call answers as the C library does, except that a failure is the negative error number, as in
 * the kernel: `-9` is EBADF. `check` turns that into a `MachineError`.
 */
export interface Ffi {
  open(path: string, flags: number): number;
  close(fd: number): number;
  /** ioctl(2) with a number as its argument. */
  ioctl(fd: number, request: number, argument: number): number;
  /** ioctl(2) with a pointer: an address, or bytes that the kernel reads and writes during the call. */
  ioctlAt(fd: number, request: number, pointer: Pointer): number;
  /**
   * mmap(2), at an address of the kernel's choosing unless `flags` have MAP.fixed, from `offset` of the file; throws a
   * `MachineError` where it fails.
   */
  mmap(length: number, protection: number, flags: number, fd: number, place?: MapPlace): bigint;
  mprotect(address: bigint, length: number, protection: number): number;
  munmap(address: bigint, length: number): number;
  /** Copies bytes to an address that the caller has mapped, and back. */
  poke(address: bigint, bytes: Uint8Array): void;
  peek(address: bigint, into: Uint8Array): void;
  /**
   * Mapped memory as an ArrayBuffer. Using it after munmap crashes the process, which only the caller can prevent: never
   * hand it out.
   */
  view(address: bigint, length: number): ArrayBuffer;
  /** Calls machine code in a mapped, executable page as `void f(uint32_t *words)` by the System V convention. */
  callAt(address: bigint, words: Uint32Array): void;
  /** The calling thread's id. */
  gettid(): number;
  /** Sends a signal to one thread of this process. */
  tgkill(tid: number, signal: number): number;
  /** The calling thread's CPU mask, 1024 CPUs wide: reads it, and sets it. */
  affinity(into: Uint8Array): number;
  setAffinity(mask: Uint8Array): number;
  /** Blocks a signal (1 to 64) in the calling thread. */
  block(signal: number): number;
  /** Sends a signal to the calling thread every so many milliseconds, until `stopTimer`; returns the timer's id. */
  startTimer(signal: number, milliseconds: number): number;
  stopTimer(timer: number): void;
  /** Takes one pending instance of a blocked signal, without waiting; true where there was one. */
  takeSignal(signal: number): boolean;
}

// <asm/unistd_64.h>
const SYS_GETTID = 186;
const SYS_TGKILL = 234;
const SYS_RT_SIGPROCMASK = 14;
const SYS_RT_SIGTIMEDWAIT = 128;
const SYS_SCHED_SETAFFINITY = 203;
const SYS_SCHED_GETAFFINITY = 204;
const SYS_TIMER_CREATE = 222;
const SYS_TIMER_SETTIME = 223;
const SYS_TIMER_DELETE = 226;
const SIG_BLOCK = 0;
const CLOCK_MONOTONIC = 1;
const SIGEV_THREAD_ID = 4;

// <asm-generic/mman-common.h>, <asm-generic/fcntl.h>
export const PROT = { none: 0, read: 1, write: 2, exec: 4 } as const;
export const MAP = { shared: 1, private: 2, fixed: 0x10, anonymous: 0x20, noReserve: 0x4000 } as const;
export const OPEN = { readOnly: 0, readWrite: 2, closeOnExec: 0o2_000_000 } as const;

/** A signal set of the kernel: 64 bits, signal n at bit n - 1. */
export function signalSet(signal: number): Uint8Array {
  const set = new Uint8Array(8);
  new DataView(set.buffer).setBigUint64(0, 1n << BigInt(signal - 1), true);
  return set;
}

let loaded: Ffi | undefined;

/** The system calls; koffi is loaded at the first call. Throws a `MachineError` where it cannot be. */
export function ffi(): Ffi {
  loaded ??= bind(load());
  return loaded;
}

/** A function that this process has linked, by its C prototype (Node exports OpenSSL's); throws where there is none of that name. */
export function processFunction(
  prototype: string,
): (...values: readonly (number | Uint8Array | null)[]) => number {
  koffi ?? load();
  return koffi!.load(null).func(prototype);
}

/** An argument or result of a foreign function: integers of up to 32 bits are numbers, of 64 bits either, pointers addresses or bytes. */
export type ForeignValue = number | bigint | Uint8Array | null;

/** Functions of any system's libraries, for the machine that we run on. Addresses must be mapped; nobody checks them. */
export interface Foreign {
  /** By its C prototype, from a library, or from this process where that is null. Throws where there is no such function. */
  func(library: string | null, prototype: string): (...values: readonly ForeignValue[]) => number | bigint;
  /** The C library's error number of the last call. */
  errno(): number;
  write(address: bigint, bytes: Uint8Array): void;
  /** Calls machine code as `void f(uint32_t *words)` by the system's own convention. */
  callAt(address: bigint, words: Uint32Array): void;
}

/** As `ffi`, for any system on x86-64 that koffi has a binary for. */
export function foreign(): Foreign {
  const loaded = koffi ?? loadAnywhere();
  const code = machineCode(loaded);
  return {
    func: (library, prototype) => loaded.load(library).func(prototype),
    errno: () => loaded.errno(),
    write: (address, bytes) => new Uint8Array(loaded.view(address, bytes.length)).set(bytes),
    callAt: (address, words) => void loaded.call(address, code, words),
  };
}

/** Returns the result of a call; a failure is a `MachineError` that names the call and the error. */
export function check(result: number, call: string): number {
  if (result >= 0) return result;
  throw new MachineError(`${call}: ${errorName(-result)}`);
}

/** An error number by its name. */
export function errorName(number: number): string {
  const found = Object.entries(koffi?.os.errno ?? {}).find(([, value]) => value === number);
  return found === undefined ? `error ${number}` : `${found[0]} (${number})`;
}

type Koffi = typeof import('koffi');
let koffi: Koffi | undefined;
let codeType: ReturnType<Koffi['proto']> | undefined;

function load(): Koffi {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new MachineError(`expected Linux on x64, got ${process.platform} on ${process.arch}`);
  }
  const require = createRequire(import.meta.url);
  try {
    // On Linux koffi's own loader spends 10 ms on finding the binary that its package for Linux ships; this takes 2. Where
    // the binary lies elsewhere (pnpm), or is for another C library, the loader finds its way.
    koffi = require('@koromix/koffi-linux-x64/linux_x64/koffi.node') as Koffi;
  } catch {
    koffi = loadAnywhere();
  }
  return koffi;
}

function loadAnywhere(): Koffi {
  try {
    koffi = createRequire(import.meta.url)('koffi') as Koffi;
    return koffi;
  } catch (cause) {
    const system = process.platform === 'linux' ? 'Linux' : 'the system';
    throw new MachineError(
      `koffi, the package through which ${system} is called, cannot be loaded: is it installed?`,
      { cause },
    );
  }
}

/** The type of machine code; koffi knows each name once. */
function machineCode(koffi: Koffi): ReturnType<Koffi['proto']> {
  codeType ??= koffi.proto('void MachineCode(void *words)');
  return codeType;
}

function bind(koffi: Koffi): Ffi {
  const libc = koffi.load(null);
  const open = libc.func('int open(const char *path, int flags)');
  const close = libc.func('int close(int fd)');
  // ioctl and syscall are variadic in C; integers and pointers travel in the same registers either way.
  const ioctl = libc.func('ioctl', 'int', ['int', 'ulong', 'ulong']);
  const ioctlAt = libc.func('ioctl', 'int', ['int', 'ulong', 'void *']);
  const mmap = libc.func(
    'int64_t mmap(int64_t at, size_t length, int prot, int flags, int fd, int64_t offset)',
  );
  const mprotect = libc.func('int mprotect(int64_t at, size_t length, int prot)');
  const munmap = libc.func('int munmap(int64_t at, size_t length)');
  const memcpy = libc.func('void *memcpy(void *to, void *from, size_t length)');
  const syscall = libc.func('long syscall(long number, long a, long b, long c)');
  const syscallAt = libc.func('syscall', 'long', ['long', 'long', 'void *', 'void *', 'long']);
  const sigtimedwait = libc.func('syscall', 'long', ['long', 'void *', 'void *', 'void *', 'long']);
  const code = machineCode(koffi);
  const errno = (result: number): number => (result < 0 ? -koffi.errno() : result);
  const gettid = (): number => Number(syscall(SYS_GETTID, 0, 0, 0));
  const now = new Uint8Array(16); // a struct timespec of zero: do not wait
  return {
    open: (path, flags) => errno(open(path, flags)),
    close: (fd) => errno(close(fd)),
    ioctl: (fd, request, argument) => errno(ioctl(fd, request, argument)),
    ioctlAt: (fd, request, pointer) => errno(ioctlAt(fd, request, pointer)),
    mmap(length, protection, flags, fd, { address = 0n, offset = 0 } = {}) {
      const at = BigInt(mmap(address, length, protection, flags, fd, offset));
      if (at === -1n) check(-koffi.errno(), `mmap of ${length} bytes`);
      return at;
    },
    mprotect: (at, length, protection) => errno(mprotect(at, length, protection)),
    munmap: (at, length) => errno(munmap(at, length)),
    poke: (at, bytes) => void memcpy(at, bytes, bytes.length),
    peek: (at, into) => void memcpy(into, at, into.length),
    view: (at, length) => koffi.view(at, length),
    callAt: (at, words) => void koffi.call(at, code, words),
    gettid,
    tgkill: (tid, signal) => errno(Number(syscall(SYS_TGKILL, process.pid, tid, signal))),
    affinity: (into) => errno(Number(syscallAt(SYS_SCHED_GETAFFINITY, 0, BigInt(into.length), into, 0))),
    setAffinity: (mask) => errno(Number(syscallAt(SYS_SCHED_SETAFFINITY, 0, BigInt(mask.length), mask, 0))),
    block: (signal) => errno(Number(syscallAt(SYS_RT_SIGPROCMASK, SIG_BLOCK, signalSet(signal), null, 8))),
    startTimer: starter(koffi, libc, gettid),
    stopTimer: (timer) => void syscall(SYS_TIMER_DELETE, timer, 0, 0),
    takeSignal: (signal) =>
      Number(sigtimedwait(SYS_RT_SIGTIMEDWAIT, signalSet(signal), null, now, 8)) === signal,
  };
}

function starter(koffi: Koffi, libc: ReturnType<Koffi['load']>, gettid: () => number): Ffi['startTimer'] {
  const create = libc.func('syscall', 'long', ['long', 'long', 'void *', 'void *']);
  const setTime = libc.func('syscall', 'long', ['long', 'long', 'long', 'void *', 'void *']);
  return (signal, milliseconds) => {
    const event = new Uint32Array(16); // struct sigevent: a value of 8 bytes, signal, kind, thread
    event.set([signal, SIGEV_THREAD_ID, gettid()], 2);
    const timer = new Int32Array(1);
    const made = Number(create(SYS_TIMER_CREATE, CLOCK_MONOTONIC, event, timer));
    if (made < 0) check(-koffi.errno(), 'timer_create');
    const every = BigInt(milliseconds) * 1_000_000n;
    const times = new BigUint64Array([0n, every, 0n, every]); // struct itimerspec: the interval, the first time
    if (Number(setTime(SYS_TIMER_SETTIME, timer[0]!, 0, times, null)) < 0)
      check(-koffi.errno(), 'timer_settime');
    return timer[0]!;
  };
}
