/** The machine that we run on, as a processor: without a layer or a guest. Linux on x86. @module */
import type { SyncCpu } from '../../cpu.ts';
import { MachineError } from '../../cpu.ts';
import { device, readCpuid, readMsr, writeMsr } from './devices.ts';
import { instruction } from './instruction.ts';

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
 * CPUID through /dev/cpu/N/cpuid, else as an instruction; MSRs through /dev/cpu/N/msr, opened when the first one is asked
 * for. Throws a `MachineError` of one line where CPUID cannot be executed, and later where MSRs cannot be reached; a
 * RangeError for a processor out of range.
 */
export function native({ cpu, through }: NativeOptions = {}): NativeCpu {
  if (cpu !== undefined && !(Number.isInteger(cpu) && cpu >= 0 && cpu < 1024)) {
    throw new RangeError(`cpu: expected an integer from 0 to 1023, got ${cpu}`);
  }
  if (process.platform !== 'linux' || !['x64', 'ia32'].includes(process.arch)) {
    throw new MachineError(
      `the machine that we run on can be asked on Linux on x86 only, and this is ${process.platform} on ` +
        `${process.arch}: use another --engine, or --from a file that cpuid -r wrote`,
    );
  }
  const reading = device(`/dev/cpu/${cpu ?? 0}/msr`, 'msr');
  const writing = device(`/dev/cpu/${cpu ?? 0}/msr`, 'msr', true);
  const { how, cpuid, close } = questions(cpu, through);
  return {
    how,
    cpuid,
    rdmsr: (index) => readMsr(reading, index),
    wrmsr: (index, value) => writeMsr(writing, index, value),
    close() {
      for (const part of [{ close }, reading, writing]) part.close();
    },
  };
}

type Questions = Pick<NativeCpu, 'how' | 'cpuid' | 'close'>;

function questions(cpu: number | undefined, through: NativeOptions['through']): Questions {
  if (through === 'driver') return byDriver(cpu);
  if (through === 'instruction') return byInstruction(cpu);
  let refused: Error;
  try {
    return byDriver(cpu);
  } catch (error) {
    refused = error as Error;
  }
  try {
    return byInstruction(cpu);
  } catch (cause) {
    throw new MachineError(`no CPUID: ${(cause as Error).message}; ${refused.message}`, { cause });
  }
}

function byInstruction(cpu: number | undefined): Questions {
  return { how: 'instruction', ...instruction(cpu) };
}

function byDriver(cpu: number | undefined): Questions {
  const driver = device(`/dev/cpu/${cpu ?? 0}/cpuid`, 'cpuid');
  driver.fd(); // fails here, once and early
  return {
    how: 'driver',
    cpuid: (leaf, subleaf) => readCpuid(driver, leaf, subleaf),
    close: () => driver.close(),
  };
}
