/** Which thread of a machine has which part of it: see the description in `index.ts`. */
import type { CpuidDump } from '../../cpuid-dump.ts';
import type { SerialConsole } from './console.ts';
import type { LayerHost } from './layer-host.ts';
import type { Task } from './task.ts';
import type { Threads } from './threads.ts';
import type { Vm } from './vm.ts';
import type { VmGenerationPlace } from './vm-generation.ts';

export interface Parts {
  readonly vm: Vm;
  readonly threads: Threads;
  readonly layer: LayerHost;
  readonly hostCpu: CpuidDump;
  readonly resumed: boolean;
  readonly vmGeneration: VmGenerationPlace | undefined;
  readonly serials: readonly SerialConsole[];
  /** One for each thread. */
  readonly mailboxes: readonly SharedArrayBuffer[];
}

/** The index of the serial line whose guest's end is in a thread; `undefined` for none. */
export function serialOf(vm: Vm, threads: Threads, thread: number): number | undefined {
  if (!vm.options.interrupts) return thread < vm.vcpus.length ? thread : undefined;
  return thread === threads.owner ? 0 : undefined;
}

export function assignTasks(parts: Parts): Task[] {
  const { vm, threads, layer, hostCpu, resumed, vmGeneration, serials, mailboxes } = parts;
  const { source } = layer;
  const { owner, hasIoThread } = threads;
  return mailboxes.map((box, thread): Task => {
    const isOwner = thread === owner;
    const serial = serialOf(vm, threads, thread);
    const own = source !== undefined && isOwner ? { source, hostCpu, resumed } : undefined;
    return {
      vm: vm.fd,
      memory: vm.memory.place,
      vmGeneration,
      vcpu: vm.vcpus[thread],
      thread,
      interrupts: vm.options.interrupts,
      serial: serial === undefined ? undefined : serials[serial]!.buffers,
      layer: own,
      upstream: own === undefined ? box : undefined,
      upstreamIsWorker: hasIoThread && !isOwner,
      mailboxes: hasIoThread && isOwner ? mailboxes.slice(0, vm.vcpus.length) : [],
      control: threads.control.buffer,
    };
  });
}
