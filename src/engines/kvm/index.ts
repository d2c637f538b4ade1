/**
 * The engine on hardware virtualisation: /dev/kvm, driven from TypeScript.
 *
 * KVM is a hypervisor without a policy: a device that makes virtual machines for a process. The process opens it, asks for
 * a VM, gives it memory and a vCPU, writes the vCPU's registers, and calls KVM_RUN, which enters the guest on the real
 * processor and returns when there is something that the kernel leaves to the process: an *exit*. All of it is four system
 * calls, which `../ffi.ts` reaches; `abi.ts` has the numbers, `system.ts` and `vm.ts` the steps.
 *
 * A layer meets KVM at two places. CPUID never exits: the kernel answers it from a table that it is given once. So the
 * layer is asked before the guest starts, leaf by leaf, and its answers are the table (`cpuid.ts`). MSRs that the kernel
 * does not know exit, and the layer answers them as they come (`vcpu.ts`); those that it does know, the guest's own state
 * and KVM's, stay in the kernel, except for those that the option `msrs` names. Both come from one object, so the leaf that
 * names the RNG's index and the MSR behind it cannot disagree.
 *
 * KVM_RUN blocks its thread until the next exit. So each vCPU has a worker thread, from a pool (`worker-pool.ts`), which
 * does not return to its event loop while the guest runs (`worker.ts`, `task-runner.ts`, `vcpu.ts`). Such a thread is
 * reached in two ways: a command in shared memory, which it checks whenever it is out of the guest (`control.ts`), and a
 * signal that brings it out. The signal is blocked in the thread and let in by KVM for the time in the guest alone, so no
 * signal is lost between a check and the next entry. A timer sends the same signal every 50 ms: this bounds the wait for
 * other ends of a thread, such as the end of the process.
 *
 * A machine has one owner thread, for its layer and its devices. With one vCPU that is the vCPU's own thread: an exit is
 * answered where it arrives. With several vCPUs it is an I/O thread, which serves the vCPUs' calls through mailboxes
 * (`rpc.ts`), so that there is one layer, one generation and one random source whatever their number. A layer that is a
 * function cannot leave the thread that holds it: exits reach it there, on the caller's thread, through one more mailbox.
 * `LayerModule` is the way for a layer to be built on the owner thread instead.
 *
 * There is no firmware and no bus. A guest finds a serial line, a clock, and, where it is an operating system, the
 * kernel's own interrupt controllers and timer (`ports.ts`, `uart.ts`). Any other access ends the machine with a message
 * that names the address.
 * @module
 */
import { load, MAX_MEMORY } from '../../boot/index.ts';
import type { Cpu, Engine, Image, Layer, LayerModule, SavingEngine } from '../../cpu.ts';
import { hex, MachineError, u32 } from '../../cpu.ts';
import { replay } from '../../cpuid-dump.ts';
import type { Ffi } from '../ffi.ts';
import { ffi } from '../ffi.ts';
import { supported } from './cpuid.ts';
import type { KvmMachine } from './kvm-machine.ts';
import { resumeMachine, startMachine } from './launch.ts';
import { OpenState, type StateSource } from './state-file.ts';
import { System } from './system.ts';
import { generationTables } from './vm-generation.ts';

export type { LayerModule } from '../../cpu.ts';
export { kvmUnavailable } from './device.ts';
export type { KvmMachine } from './kvm-machine.ts';
export type { StateSource } from './state-file.ts';

/** The machines that an engine makes. */
export interface KvmOptions {
  /** The guest's memory in bytes, 1 MiB to 3 GiB; 512 MiB by default. The host gives a page when it is first touched. */
  readonly memory?: number | undefined;
  /** Virtual CPUs: 1 to 16, and no more than this KVM has; 1 by default. */
  readonly vcpus?: number | undefined;
  /** Puts Hyper-V's leaves at 40000000H and KVM's at 40000100H, where the kernel has the former. */
  readonly hyperv?: boolean | undefined;
  /**
   * Up to 16 MSRs that the layer answers although the kernel has them; those that it does not have exit to the layer
   * anyhow. The local APIC's (800H to 8FFH) cannot be taken.
   */
  readonly msrs?: readonly number[] | undefined;
  /**
   * ACPI tables with a VM generation device, for a Linux or PVH kernel. Its value is renewed, and the guest notified,
   * wherever the generation is renewed. A saved machine keeps it; `resume` needs no option.
   */
  readonly vmgenid?: boolean | undefined;
  /** KVM's device, `/dev/kvm` by default. */
  readonly device?: string | undefined;
}

/** An engine that takes a layer as a module too, built on the machine's owner thread. */
export type KvmEngine = SavingEngine<KvmMachine> &
  Required<Pick<Engine<KvmMachine>, 'startModule'>> & {
    /** As `Engine.start`; a `TypeError` for a layer that is neither, `MachineError` where there is no KVM or it refuses. */
    start(layer: Layer | LayerModule, image: Image): Promise<KvmMachine>;
    /**
     * A new machine from a saved state, bytes or the path of a file, under a layer of its own. Memory and vCPUs are the
     * state's. A file's memory is mapped copy on write: a copy costs the pages that it touches. A `TypeError` for a state
     * that is broken, a `MachineError` with code `refused` where it cannot be resumed here.
     */
    resume(layer: Layer | LayerModule, state: StateSource): Promise<KvmMachine>;
    resumeFile(layer: Layer | LayerModule, path: string): Promise<KvmMachine>;
  };

const DEFAULT_MEMORY = 512 * 2 ** 20;
const MAX_MSRS = 16; // KVM_MSR_FILTER_MAX_RANGES
const MAX_VCPUS = 16; // the probe has that many stacks

/** An engine on KVM. Options out of range throw a RangeError at once; a missing KVM is reported by the first use. */
export function kvm({
  memory = DEFAULT_MEMORY,
  vcpus = 1,
  hyperv = false,
  msrs = [],
  vmgenid = false,
  device = '/dev/kvm',
}: KvmOptions = {}): KvmEngine {
  checkSizes(memory, vcpus, msrs);
  const engine: KvmEngine = {
    name: 'kvm',
    observesCpuid: false,
    startModule: (layer, image) => engine.start(layer, image),
    resumeFile: (layer, path) => engine.resume(layer, path),
    async hostCpu(): Promise<Cpu> {
      const system = openSystem(device);
      try {
        return replay(supported(system, hyperv));
      } finally {
        system.close();
      }
    },
    async start(layer, image) {
      checkLayer(layer);
      const tables = vmgenid ? generationTables(vcpus) : undefined;
      const loaded = load(image, memory, { ...tables });
      if (vmgenid && loaded.kind === 'multiboot') {
        throw new TypeError(
          'vmgenid: expected a Linux or PVH kernel; a multiboot image finds no ACPI tables',
        );
      }
      const system = openSystem(device);
      return closeOnError(system, async () => {
        const limit = system.has('MAX_VCPUS');
        if (vcpus > limit) throw new RangeError(`vcpus: this KVM has at most ${limit}, got ${vcpus}`);
        const hostCpu = supported(system, hyperv);
        const interrupts = loaded.kind !== 'multiboot';
        const plan = { memory, vcpus, interrupts, msrs, vmgenid, hostCpu };
        return startMachine(system, plan, loaded, tables?.segments ?? [], layer);
      });
    },
    async resume(layer, source) {
      checkLayer(layer);
      const state = new OpenState(source);
      return closeOnError(state, async () => {
        const system = openSystem(device);
        return closeOnError(system, async () =>
          resumeMachine(system, supported(system, hyperv), state, layer),
        );
      });
    },
  };
  return engine;
}

function checkSizes(memory: number, vcpus: number, msrs: readonly number[]): void {
  if (!Number.isInteger(memory) || memory < 2 ** 20 || memory > MAX_MEMORY || memory % 4096 !== 0) {
    throw new RangeError(`memory: expected 1 MiB to 3 GiB in whole pages of 4,096 bytes, got ${memory}`);
  }
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > MAX_VCPUS) {
    throw new RangeError(`vcpus: expected 1 to ${MAX_VCPUS}, got ${vcpus}`);
  }
  if (msrs.length > MAX_MSRS) throw new RangeError(`msrs: expected at most ${MAX_MSRS}, got ${msrs.length}`);
  for (const index of msrs) {
    u32(index, 'msrs');
    if (index >= 0x800 && index <= 0x8ff) throw new RangeError(`msrs: ${hex(index)} is the local APIC's`);
  }
}

/** A machine takes over the resources that it is made with; where it is not made they are closed. */
async function closeOnError<T>(resource: { close(): void }, make: () => Promise<T>): Promise<T> {
  try {
    return await make();
  } catch (error) {
    resource.close();
    throw error;
  }
}

const openSystem = (device: string): System => new System(systemCalls(), device);

function systemCalls(): Ffi {
  try {
    return ffi();
  } catch (cause) {
    throw new MachineError(
      `no KVM: ${(cause as Error).message}; the engine v86 needs nothing of the machine`,
      { cause, code: 'unavailable' },
    );
  }
}

function checkLayer(layer: Layer | LayerModule): void {
  if (typeof layer === 'function') return;
  if (typeof layer?.export === 'string' && layer.module !== undefined) return;
  throw new TypeError('layer: expected a function, or { module, export, options }');
}
