/** How a machine comes to be: from an image, or from a saved state. */
import type { Loaded, Segment } from '../../boot/index.ts';
import type { Layer, LayerModule } from '../../cpu.ts';
import type { CpuidDump } from '../../cpuid-dump.ts';
import { Control } from './control.ts';
import type { KvmMachine } from './kvm-machine.ts';
import { LayerHost } from './layer-host.ts';
import { RunningMachine } from './machine.ts';
import type { OpenState } from './state-file.ts';
import type { System } from './system.ts';
import type { VmOptions } from './vm.ts';
import { Vm } from './vm.ts';
import { ACPI_STATE } from './vm-generation.ts';
import { acquire, type Lease } from './worker-pool.ts';

export interface Plan extends VmOptions {
  readonly hostCpu: CpuidDump;
}

/** Makes a machine and starts it. Rejects where the layer or the kernel refuses; then nothing is left. */
export function startMachine(
  system: System,
  plan: Plan,
  loaded: Loaded,
  tables: readonly Segment[],
  layer: Layer | LayerModule,
): Promise<KvmMachine> {
  return launch(system, plan, layer, { fill: (vm) => vm.enterImage(loaded, tables) });
}

/** Makes a machine of a saved state, which it takes over, and lets it run on. Rejects as `startMachine` does. */
export function resumeMachine(
  system: System,
  hostCpu: CpuidDump,
  state: OpenState,
  layer: Layer | LayerModule,
): Promise<KvmMachine> {
  const { description, memory } = state.parsed;
  const { interrupts, msrs, vcpus, vmgenid } = description;
  const plan = { memory, vcpus: vcpus.length, interrupts, msrs, vmgenid: vmgenid !== undefined, hostCpu };
  return launch(system, plan, layer, { state, fill: (vm) => state.loadInto(vm.memory) });
}

interface Source {
  /** The saved state, of a resumed machine. */
  readonly state?: OpenState;
  /** Fills the memory. */
  readonly fill: (vm: Vm) => void;
}

async function launch(
  system: System,
  plan: Plan,
  layer: Layer | LayerModule,
  { state, fill }: Source,
): Promise<KvmMachine> {
  const vm = new Vm(system, plan, state?.image);
  const leases: Lease[] = [];
  const resumed = state !== undefined;
  let machine: RunningMachine;
  try {
    fill(vm);
    const control = new Control(Control.allocate(plan.vcpus));
    const { hostCpu } = plan;
    // A function stays on this thread; a module is built on the machine's owner thread.
    const vmGeneration = plan.vmgenid
      ? { vm: vm.fd, memory: vm.memory.place, state: new SharedArrayBuffer(ACPI_STATE) }
      : undefined;
    const parts = { hostCpu, memory: vm.memory, resumed, vmGeneration };
    const host = new LayerHost(system.sys, layer, control, parts);
    // Several vCPUs need a thread of their own for the layer and the devices that they share.
    const ioThread = plan.vcpus > 1 && (host.source !== undefined || plan.interrupts) ? 1 : 0;
    while (leases.length < plan.vcpus + ioThread) leases.push(await acquire());
    machine = new RunningMachine({ vm, hostCpu, layer: host, resumed, vmGeneration, leases, control });
  } catch (error) {
    for (const lease of leases) lease.release();
    vm.free();
    throw error;
  }
  try {
    await machine.prepare(state);
  } catch (error) {
    await machine.abandon(error);
    throw error;
  }
  machine.run();
  return machine;
}
