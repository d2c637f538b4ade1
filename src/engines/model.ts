/** The model engine: the layer itself as a processor, in this process. There is no guest; whoever holds it is the guest. @module */
import type { Layer, SyncCpu } from '../cpu.ts';
import { bare } from '../cpu.ts';

/** A guest's view of `layer` over a host CPU: by default one of zeros whose MSRs all fault. */
export function model(layer: Layer, below: SyncCpu = bare): SyncCpu {
  return layer(below);
}
