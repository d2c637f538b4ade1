/** Linux' devices for one logical processor: /dev/cpu/N/cpuid and /dev/cpu/N/msr (drivers cpuid and msr). */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import type { Fault, Regs } from '../../cpu.ts';
import { GP, hex, MachineError, u32 } from '../../cpu.ts';

/** A device, opened at its first use. */
export interface Device {
  readonly path: string;
  /** The descriptor; throws a `MachineError` that names the missing part and the remedy. */
  fd(): number;
  close(): void;
}

/** `module` names the kernel's module that makes the device. */
export function device(path: string, module: 'cpuid' | 'msr', write = false): Device {
  let fd: number | undefined;
  return {
    path,
    fd() {
      fd ??= open(path, module, write);
      return fd;
    },
    close() {
      if (fd !== undefined) closeSync(fd);
      fd = undefined;
    },
  };
}

function open(path: string, module: string, write: boolean): number {
  try {
    return openSync(path, write ? 'r+' : 'r');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const why =
      code === 'ENOENT' || code === 'ENXIO' || code === 'ENODEV'
        ? `it is not there: load the kernel's module (modprobe ${module}), or name a processor that is online`
        : code === 'EACCES' || code === 'EPERM'
          ? 'not allowed: run as root (CAP_SYS_RAWIO), with no kernel lockdown'
          : String(code);
    throw new MachineError(`${path}: ${why}`, { cause });
  }
}

/** CPUID through the driver, which executes it on that processor. */
export function readCpuid({ fd, path }: Device, leaf: number, subleaf: number): Regs {
  // The driver takes EAX from the position's low half and ECX from its high half; a position is signed.
  const position = (BigInt(u32(subleaf, 'subleaf')) << 32n) | BigInt(u32(leaf, 'leaf'));
  if (position >= 1n << 62n) throw new MachineError(`${path}: subleaf ${hex(subleaf)} cannot be asked`);
  const bytes = Buffer.alloc(16);
  transfer(path, bytes, () => readSync(fd(), bytes, 0, 16, position));
  const at = (offset: number) => bytes.readUInt32LE(offset);
  return { eax: at(0), ebx: at(4), ecx: at(8), edx: at(12) };
}

export function readMsr({ fd, path }: Device, index: number): bigint | Fault {
  const bytes = Buffer.alloc(8);
  const done = transfer(path, bytes, () => readSync(fd(), bytes, 0, 8, u32(index, 'index')));
  return done ? bytes.readBigUInt64LE(0) : GP;
}

export function writeMsr({ fd, path }: Device, index: number, value: bigint): Fault | undefined {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value, 0);
  const done = transfer(path, bytes, () => writeSync(fd(), bytes, 0, 8, u32(index, 'index')));
  return done ? undefined : GP;
}

/** False for EIO, with which the driver msr passes on #GP. */
function transfer(path: string, { length }: Uint8Array, call: () => number): boolean {
  try {
    const moved = call();
    if (moved === length) return true;
    throw new MachineError(`${path}: expected ${length} bytes, got ${moved}`);
  } catch (cause) {
    if (cause instanceof MachineError) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EIO') return false;
    if (code === undefined) throw cause;
    const why = code === 'EPERM' ? 'the kernel does not allow it (lockdown, or msr.allow_writes)' : code;
    throw new MachineError(`${path}: ${why}`, { cause });
  }
}
