/**
 * The engine on hardware virtualisation: /dev/kvm, driven from TypeScript.
 *
 * KVM is a hypervisor without a policy: a device that makes virtual machines out of whatever a process gives it. A process
 * opens it, asks for a VM, gives it memory and a vCPU, writes the vCPU's registers, and calls KVM_RUN, which enters the
 * guest on the real processor and comes back when there is something that the kernel leaves to the process: an *exit*. All
 * of it is four system calls, which `../ffi.ts` reaches; `abi.ts` has the numbers, `vm.ts` the steps.
 *
 * A layer meets KVM at two places. CPUID never exits: the kernel answers it from a table that it is given once. So the
 * layer is asked before the guest starts, leaf by leaf, and its answers are the table (`cpuid.ts`). MSRs that the kernel
 * does not know exit, and the layer answers them as they come (`vcpu.ts`); those that it does know, the guest's own state
 * and KVM's, it keeps for itself, save where it is told to let one go (`msrs`). Both come from one object, so the leaf that names the RNG's index and the MSR
 * behind it cannot disagree.
 *
 * KVM_RUN blocks its thread for as long as the guest pleases. So each vCPU has a worker thread, from a pool (`pool.ts`), in
 * a loop that its event loop never sees (`worker.ts`, `vcpu.ts`). Such a thread is reached in two ways: words of shared
 * memory, which it looks at whenever it is out of the guest (`job.ts`), and a signal that brings it out. The signal is
 * blocked in the thread and let in by KVM for the time in the guest alone, so no kick is lost between a look and
 * the next entry. A timer sends the same signal every 50 ms: what ends a thread in other ways, the end of the process
 * say, then waits no longer than that.
 *
 * A machine has one home, which its layer and its devices share. With one vCPU that is the vCPU's own thread: an exit
 * is answered where it arrives. With several vCPUs it is a thread of its own, which the vCPUs ask through mailboxes
 * (`mailbox.ts`), so that there is one layer, one generation and one random source whatever their number. But a layer
 * that is a function cannot leave the thread that holds it: it is asked there, on the caller's thread, through one
 * more mailbox. `LayerModule` is the way for a layer to be built in the machine's home instead.
 *
 * There is no firmware and no bus. A serial line, a clock, and for operating systems the kernel's own interrupt controllers
 * and timer (`ports.ts`, `uart.ts`) are what a guest finds. Whatever else it touches ends the machine, by name.
 * @module
 */
import { load, MAX_MEMORY } from '../../boot/index.ts';
import type { Cpu, Engine, Image, Layer, LayerModule } from '../../cpu.ts';
import { hex, MachineError, u32 } from '../../cpu.ts';
import { replay } from '../../cpuid-dump.ts';
import type { Ffi } from '../ffi.ts';
import { ffi } from '../ffi.ts';
import { cap } from './abi.ts';
import { supported } from './cpuid.ts';
import type { KvmMachine } from './machine.ts';
import { startMachine } from './machine.ts';
import type { System } from './vm.ts';
import { openSystem } from './vm.ts';

export type { LayerModule } from '../../cpu.ts';
export { kvmUnavailable } from './device.ts';
export type { KvmMachine } from './machine.ts';

/** What an engine's machines are like. */
export interface KvmOptions {
  /** The guest's memory in bytes, 1 MiB to 3 GiB; 512 MiB by default. The host gives a page when it is first touched. */
  readonly memory?: number;
  /** Virtual CPUs: 1 to 16, and no more than this KVM has; 1 by default. */
  readonly vcpus?: number;
  /** Puts Hyper-V's leaves at 40000000H and KVM's at 40000100H, where the kernel has the former. */
  readonly hyperv?: boolean;
  /**
   * Up to 16 MSRs that the layer is to answer though the kernel has them; those that it does not have come to the layer
   * anyhow. The local APIC's (800H to 8FFH) cannot be had.
   */
  readonly msrs?: readonly number[];
  /** KVM's device, `/dev/kvm` by default. */
  readonly device?: string;
}

/** An engine that takes a layer as a module too, to be built on the machine's own thread. */
export type KvmEngine = Engine<KvmMachine> &
  Required<Pick<Engine<KvmMachine>, 'startModule'>> & {
    /** As `Engine.start`; a `TypeError` for a layer that is neither, `MachineError` where there is no KVM or it refuses. */
    start(layer: Layer | LayerModule, image: Image): Promise<KvmMachine>;
  };

const DEFAULT_MEMORY = 512 * 2 ** 20;
const MOST_MSRS = 16; // KVM_MSR_FILTER_MAX_RANGES
const MOST_VCPUS = 16; // as many stacks as the probe has

/** An engine on KVM. Options out of range throw a RangeError at once; a machine without KVM is told of when something is asked of it. */
export function kvm({
  memory = DEFAULT_MEMORY,
  vcpus = 1,
  hyperv = false,
  msrs = [],
  device = '/dev/kvm',
}: KvmOptions = {}): KvmEngine {
  if (!Number.isInteger(memory) || memory < 2 ** 20 || memory > MAX_MEMORY || memory % 4096 !== 0) {
    throw new RangeError(`memory: expected 1 MiB to 3 GiB in whole pages of 4,096 bytes, got ${memory}`);
  }
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > MOST_VCPUS) {
    throw new RangeError(`vcpus: expected 1 to ${MOST_VCPUS}, got ${vcpus}`);
  }
  if (msrs.length > MOST_MSRS)
    throw new RangeError(`msrs: expected at most ${MOST_MSRS}, got ${msrs.length}`);
  for (const index of msrs) {
    u32(index, 'msrs');
    if (index >= 0x800 && index <= 0x8ff) throw new RangeError(`msrs: ${hex(index)} is the local APIC's`);
  }
  const engine: KvmEngine = {
    name: 'kvm',
    observesCpuid: false,
    startModule: (layer, image) => engine.start(layer, image),
    async hostCpu(): Promise<Cpu> {
      return withSystem(device, async (sys, system) => replay(supported(sys, system, hyperv)));
    },
    async start(layer, image) {
      checkLayer(layer);
      const loaded = load(image, memory);
      return withSystem(device, async (sys, system) => {
        const most = system.has(cap.MAX_VCPUS);
        if (vcpus > most) throw new RangeError(`vcpus: this KVM has at most ${most}, got ${vcpus}`);
        const below = supported(sys, system, hyperv);
        const plan = { memory, vcpus, interrupts: loaded.kind !== 'multiboot', msrs, loaded, below };
        return startMachine(sys, system, plan, layer);
      });
    },
  };
  return engine;
}

async function withSystem<T>(device: string, use: (sys: Ffi, system: System) => Promise<T>): Promise<T> {
  const sys = systemCalls();
  const system = openSystem(sys, device);
  try {
    return await use(sys, system);
  } finally {
    system.close(); // a VM outlives the descriptor that it was asked of
  }
}

function systemCalls(): Ffi {
  try {
    return ffi();
  } catch (cause) {
    throw new MachineError(
      `no KVM: ${(cause as Error).message}; the engine v86 needs nothing of the machine`,
      { cause },
    );
  }
}

function checkLayer(layer: Layer | LayerModule): void {
  if (typeof layer === 'function') return;
  if (typeof layer?.export === 'string' && layer.module !== undefined) return;
  throw new TypeError('layer: expected a function, or { module, export, options }');
}
