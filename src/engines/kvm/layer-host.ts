/** A machine's layer, wherever it lives: a function on the caller's thread, a module on the machine's owner thread. */
import type { Layer, LayerModule, SavedLayer, SyncCpu } from '../../cpu.ts';
import { GP } from '../../cpu.ts';
import type { CpuidDump } from '../../cpuid-dump.ts';
import { replay } from '../../cpuid-dump.ts';
import type { Ffi } from '../ffi.ts';
import type { Control } from './control.ts';
import { tableOf } from './cpuid.ts';
import { layerMemory, type MemoryPlace } from './memory.ts';
import type { ExitHandler } from './rpc.ts';
import type { LayerSource } from './task.ts';
import { VmGeneration, type VmGenerationPlace } from './vm-generation.ts';

/** The host CPU of one machine: its leaves, its guest's memory. */
export interface HostParts {
  readonly hostCpu: CpuidDump;
  readonly memory: MemoryPlace;
  /** Whether the machine is made from a saved state. */
  readonly resumed: boolean;
  readonly vmGeneration: VmGenerationPlace | undefined;
}

/** Makes a layer over the host CPU. */
export function applyLayer(sys: Ffi, layer: Layer, control: Control, parts: HostParts): SyncCpu {
  const whileStopped = (action: () => void): void => control.whileStopped(sys, action);
  return layer({
    ...replay(parts.hostCpu),
    memory: layerMemory(parts.memory, whileStopped),
    whileStopped,
    ...(parts.resumed && { resumed: true }),
    ...(parts.vmGeneration && { renewed: () => new VmGeneration(sys, parts.vmGeneration!).renew() }),
  });
}

/** The part of a layer that is on the caller's thread: all of a function, or the address of a module. */
export class LayerHost {
  /** A function's processor. */
  readonly cpu: SyncCpu | undefined;
  /** The module to build on the owner thread. */
  readonly source: LayerSource | undefined;
  readonly onEvent: ((event: unknown) => void) | undefined;
  /** Serves the exits that reach the caller's thread; ports never do. */
  readonly handler: ExitHandler;

  constructor(sys: Ffi, layer: Layer | LayerModule, control: Control, parts: HostParts) {
    const cpu = typeof layer === 'function' ? applyLayer(sys, layer, control, parts) : undefined;
    if (typeof layer !== 'function') {
      this.source = { module: String(layer.module), export: layer.export, options: layer.options };
      this.onEvent = layer.onEvent;
    }
    this.cpu = cpu;
    this.handler = {
      in: () => 0xffff_ffff,
      out: () => {},
      rdmsr: (index) => (cpu === undefined ? GP : cpu.rdmsr(index)),
      wrmsr: (index, value) => (cpu === undefined ? GP : cpu.wrmsr(index, value)),
    };
  }

  /** A function's CPUID table; a module's comes from the owner thread. */
  table(): CpuidDump | undefined {
    return this.cpu && tableOf(this.cpu);
  }

  saved(): SavedLayer | undefined {
    return this.cpu?.saved?.();
  }

  restored(saved: SavedLayer | undefined): void {
    this.cpu?.restored?.(saved);
  }
}
