/** A machine in this process for the conformance tests: a layer, and what can be done to a machine under it. */
import { bare, type Regs, type SyncCpu } from 'commonhv';
import type { FaultyCpu, MachineControls } from 'commonhv/conformance';
import {
  type CommonhvOptions,
  commonhv,
  type RngInput,
  systemGeneration,
  systemSource,
} from 'commonhv/hypervisor';
import type { Draft } from 'commonhv/spec';

const BELOW: ReadonlyMap<number, Regs> = new Map([
  [0x4000_0000, { eax: 0x4000_0001, ebx: 0x4b4d_564b, ecx: 0x564b_4d56, edx: 0x0000_004d }],
  [0x4000_0100, { eax: 0x4000_0102, ebx: 0x566e_6558, ecx: 0x6558_4d4d, edx: 0x4d4d_566e }],
  [0x4000_0102, { eax: 1, ebx: 0x4000_0200, ecx: 0, edx: 0 }],
]);

/** A processor below with two interfaces at their usual places: KVM, and Xen with its MSRs from 40000200H. */
export const host: SyncCpu = {
  ...bare,
  cpuid: (leaf, subleaf) => BELOW.get(leaf) ?? bare.cpuid(leaf, subleaf),
};

/** The right hypervisor with everything that the draft has. */
export function right(draft: Draft, input?: RngInput, options: CommonhvOptions = {}) {
  return commonhv({
    draft,
    interfaces: [
      { signature: 'KVMKVMKVM\0\0\0', location: 0x4000_0000 },
      { signature: 'XenVMMXenVMM', location: 0x4000_0100 },
    ],
    ...(draft === 3 && { preferred: 1, generation: { next: systemGeneration(), ack: false } }),
    rng: { source: systemSource(), ...(input && { input }) },
    ...options,
  });
}

/** A machine whose state is its layer alone: resumed is made anew, restored in place is told so. */
export function stage(layer: (host: SyncCpu) => FaultyCpu): { cpu: FaultyCpu; controls: MachineControls } {
  const cpu = layer(host);
  const all = (first: FaultyCpu): readonly SyncCpu[] => [first, first.second ?? first];
  return {
    cpu,
    controls: {
      resume: async () => all(layer(host)),
      restore: async () => {
        cpu.restored?.();
        return all(cpu);
      },
      pause: async () => cpu.paused?.(),
      others: all(cpu).slice(1),
    },
  };
}
