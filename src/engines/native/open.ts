/** The machine that we run on, by its system: who executes CPUID there, and who reads MSRs. */
import type { SyncCpu } from '../../cpu.ts';
import { MachineError } from '../../cpu.ts';
import type { Foreign } from '../ffi.ts';
import { bsdMemory, type CodeMemory, linuxMemory, windowsMemory } from './code-memory.ts';
import { cpuctl, type OpenDevice } from './cpuctl.ts';
import { device, readCpuid, readMsr, writeMsr } from './devices.ts';
import { instruction } from './instruction.ts';

/** A system that can be asked. */
export interface HostSystem {
  readonly platform: string;
  readonly arch: string;
  /** Loads koffi; not called on Linux. */
  foreign(): Foreign;
  /** A test's own devices. */
  readonly open?: OpenDevice | undefined;
}

export interface Opened extends SyncCpu {
  readonly how: 'instruction' | 'driver';
  close(): void;
}

/** Both ways to a processor of this system; `driver` throws where there is none. */
interface Ways {
  driver(): Opened;
  instruction(): Opened;
}

/** Throws a `MachineError` of one line where CPUID cannot be executed. */
export function openNative(
  system: HostSystem,
  cpu: number | undefined,
  through: 'driver' | 'instruction' | undefined,
): Opened {
  const ways = waysOf(system, cpu);
  if (through !== undefined) return ways[through]();
  let refused: Error;
  try {
    return ways.driver();
  } catch (error) {
    refused = error as Error;
  }
  try {
    return ways.instruction();
  } catch (cause) {
    throw new MachineError(`no CPUID: ${(cause as Error).message}; ${refused.message}`, { cause });
  }
}

function waysOf(system: HostSystem, cpu: number | undefined): Ways {
  const { platform, arch } = system;
  if (platform === 'linux' && ['x64', 'ia32'].includes(arch)) return linux(cpu);
  if (arch === 'x64' && platform === 'freebsd') return freebsd(system, cpu);
  if (arch === 'x64' && platform === 'win32') return withoutDriver('Windows', windowsMemory, system, cpu);
  if (arch === 'x64' && platform === 'darwin') return withoutDriver('macOS', bsdMemory, system, cpu);
  throw new MachineError(
    'the machine that we run on can be asked on x86 only, under Linux, FreeBSD, Windows or macOS, and this is ' +
      `${platform} on ${arch}: use another --engine, or --from a file that cpuid -r wrote`,
  );
}

function linux(cpu: number | undefined): Ways {
  const reading = device(`/dev/cpu/${cpu ?? 0}/msr`, 'msr');
  const writing = device(`/dev/cpu/${cpu ?? 0}/msr`, 'msr', true);
  const msrs = {
    rdmsr: (index: number) => readMsr(reading, index),
    wrmsr: (index: number, value: bigint) => writeMsr(writing, index, value),
  };
  const closing = (part: { close(): void }) => () => {
    for (const one of [part, reading, writing]) one.close();
  };
  return {
    driver() {
      const driver = device(`/dev/cpu/${cpu ?? 0}/cpuid`, 'cpuid');
      driver.fd(); // fails here, once and early
      const cpuid = (leaf: number, subleaf: number) => readCpuid(driver, leaf, subleaf);
      return { how: 'driver', cpuid, ...msrs, close: closing(driver) };
    },
    instruction() {
      const { cpuid, close } = instruction(cpu, linuxMemory());
      return { how: 'instruction', cpuid, ...msrs, close: closing({ close }) };
    },
  };
}

function freebsd(system: HostSystem, cpu: number | undefined): Ways {
  const driver = (): Opened => ({ how: 'driver', ...cpuctl(cpu ?? 0, system.foreign(), system.open) });
  return {
    driver,
    instruction() {
      const { cpuid, close } = instruction(cpu, bsdMemory(system.foreign()));
      let msrs: Opened | undefined;
      const device = (): Opened => {
        msrs ??= driver();
        return msrs;
      };
      return {
        how: 'instruction',
        cpuid,
        rdmsr: (index) => device().rdmsr(index),
        wrmsr: (index, value) => device().wrmsr(index, value),
        close() {
          close();
          msrs?.close();
        },
      };
    },
  };
}

/** Systems that let no program read an MSR. */
function withoutDriver(
  name: string,
  memory: (calls: Foreign) => CodeMemory,
  system: HostSystem,
  cpu: number | undefined,
): Ways {
  const none = (): never => {
    throw new MachineError(`${name} has no driver through which a program reads MSRs`);
  };
  return {
    driver() {
      throw new MachineError(`${name} has no driver that executes CPUID: use --through instruction`);
    },
    instruction: () => ({
      how: 'instruction',
      ...instruction(cpu, memory(system.foreign())),
      rdmsr: none,
      wrmsr: none,
    }),
  };
}
