/** FreeBSD's device for one logical processor, /dev/cpuctlN (cpuctl(4)): CPUID and MSRs by ioctl. Not seen on a FreeBSD: tested against a stand-in. */
import { closeSync, openSync } from 'node:fs';
import type { Fault, Regs } from '../../cpu.ts';
import { GP, hex, MachineError, u32 } from '../../cpu.ts';
import type { Foreign } from '../ffi.ts';

// <sys/cpuctl.h>: _IOWR('c', number, struct), the struct's size in bits 16 to 28
const CPUCTL_RDMSR = 0xc010_6301;
const CPUCTL_WRMSR = 0xc010_6302;
const CPUCTL_CPUID_COUNT = 0xc018_6307;

// <sys/errno.h>
const EPERM = 1;
const EFAULT = 14; // rdmsr_safe and wrmsr_safe return it for #GP

/** Opens a device and gives its descriptor; a test hands in its own. */
export type OpenDevice = (path: string, flags: 'r' | 'r+') => number;

export interface Cpuctl {
  cpuid(leaf: number, subleaf: number): Regs;
  rdmsr(index: number): bigint | Fault;
  wrmsr(index: number, value: bigint): Fault | undefined;
  close(): void;
}

/** Throws a `MachineError` where the device cannot be opened. WRMSR opens it once more, for writing. */
export function cpuctl(cpu: number, calls: Foreign, open: OpenDevice = openSync): Cpuctl {
  const path = `/dev/cpuctl${cpu}`;
  const ioctl = calls.func(null, 'int ioctl(int, ulong, void *)');
  const reading = opened(path, 'r', open);
  let writing: number | undefined;
  let closed = false;
  /** Zero, or the error number. */
  const call = (fd: number, request: number, bytes: Uint8Array): number =>
    Number(ioctl(fd, request, bytes)) === 0 ? 0 : calls.errno();
  const msr = (fd: number, request: number, index: number, value: bigint): bigint | Fault => {
    const bytes = new Uint8Array(16); // int msr, four bytes of padding, uint64_t data
    const view = new DataView(bytes.buffer);
    view.setUint32(0, u32(index, 'index'), true);
    view.setBigUint64(8, value, true);
    const error = call(fd, request, bytes);
    if (error === EFAULT) return GP;
    if (error !== 0) throw refused(path, `MSR ${hex(index)}`, error);
    return view.getBigUint64(8, true);
  };
  return {
    cpuid(leaf, subleaf) {
      const words = new Uint32Array(6); // int level, int level_type, uint32_t data[4]
      words[0] = u32(leaf, 'leaf');
      words[1] = u32(subleaf, 'subleaf');
      const error = call(reading, CPUCTL_CPUID_COUNT, new Uint8Array(words.buffer));
      if (error !== 0) throw refused(path, `CPUID ${hex(leaf)}`, error);
      return { eax: words[2]!, ebx: words[3]!, ecx: words[4]!, edx: words[5]! };
    },
    rdmsr: (index) => msr(reading, CPUCTL_RDMSR, index, 0n),
    wrmsr(index, value) {
      writing ??= opened(path, 'r+', open);
      const answer = msr(writing, CPUCTL_WRMSR, index, value);
      return typeof answer === 'bigint' ? undefined : answer;
    },
    close() {
      for (const fd of [reading, writing]) if (fd !== undefined && !closed) closeSync(fd);
      closed = true;
    },
  };
}

function opened(path: string, flags: 'r' | 'r+', open: OpenDevice): number {
  try {
    return open(path, flags);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const why =
      code === 'ENOENT' || code === 'ENXIO'
        ? 'it is not there: load the module (kldload cpuctl), or name a processor that there is'
        : code === 'EACCES' || code === 'EPERM'
          ? 'not allowed: run as root, with a securelevel of 0 or less for WRMSR'
          : String(code);
    throw new MachineError(`${path}: ${why}`, { cause });
  }
}

function refused(path: string, question: string, error: number): MachineError {
  return new MachineError(
    `${path}: ${question}: ${error === EPERM ? 'not allowed: run as root' : `error ${error}`}`,
  );
}
