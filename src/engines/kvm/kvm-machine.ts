/** The type of this engine's machines. */
import type { Console, SavableMachine } from '../../cpu.ts';
import type { StateSource } from './state-file.ts';

/** A machine on KVM. */
export interface KvmMachine extends SavableMachine {
  /** One serial line for each vCPU where each was entered with the image (multiboot), else the machine's one. */
  readonly consoles: readonly Console[];
  /**
   * Writes the machine to a file for `KvmEngine.resume`: complete, or not at all. It is sparse, as long as the memory.
   * Machines that are resumed from it map it, so it must not be changed while they run; it may be removed or replaced.
   */
  saveFile(path: string): Promise<void>;
  /** Puts a saved state, bytes or a file's path, back into this machine. */
  restore(state: StateSource): Promise<void>;
}
