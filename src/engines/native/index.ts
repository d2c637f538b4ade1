/** The machine that we run on, as a processor: without a layer or a guest. x86, under Linux, FreeBSD, Windows or macOS. @module */
import type { SyncCpu } from '../../cpu.ts';
import { foreign } from '../ffi.ts';
import { openNative } from './open.ts';

/** Which processor of the machine is asked. */
export interface NativeOptions {
  /** The logical processor, 0 to 1023; by default 0, or by the instruction the one that the thread is on. */
  readonly cpu?: number | undefined;
  /**
   * How CPUID is executed: through the kernel's driver, or by this process. By default the driver where it can be opened: a
   * hypervisor can answer CPL 3 otherwise than the kernel, and MSRs, which only the kernel reads, belong to its answers.
   */
  readonly through?: 'driver' | 'instruction' | undefined;
}

/** A processor that holds a page and descriptors until it is closed. */
export interface NativeCpu extends SyncCpu {
  /** How CPUID is executed: by this process, or through the kernel's driver. */
  readonly how: 'instruction' | 'driver';
  /** Gives them back; safe to call twice. */
  close(): void;
}

/**
 * The machine's processor. Linux: CPUID through /dev/cpu/N/cpuid, else as an instruction, and MSRs through /dev/cpu/N/msr;
 * FreeBSD: both through /dev/cpuctlN, CPUID else as an instruction; Windows and macOS on x86-64: CPUID as an instruction, no
 * MSRs. Linux was seen, Windows as Wine alone; the others are
 * tested against a stand-in. Devices of MSRs are opened
 * when the first one is asked for. Throws a `MachineError` of one line where CPUID cannot be executed, and later where MSRs
 * cannot be reached; a RangeError for a processor out of range.
 */
export function native({ cpu, through }: NativeOptions = {}): NativeCpu {
  if (cpu !== undefined && !(Number.isInteger(cpu) && cpu >= 0 && cpu < 1024)) {
    throw new RangeError(`cpu: expected an integer from 0 to 1023, got ${cpu}`);
  }
  const { platform, arch } = process;
  return openNative({ platform, arch, foreign }, cpu, through);
}
