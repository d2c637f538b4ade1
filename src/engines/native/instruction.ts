/** CPUID executed by this process: a few bytes of machine code in a page that is written, then made executable. */
import type { Regs } from '../../cpu.ts';
import { MachineError, u32 } from '../../cpu.ts';
import { type CodeMemory, linuxMemory } from './code-memory.ts';

/** CPUID as an instruction, and an end to it. */
export interface Instruction {
  cpuid(leaf: number, subleaf: number): Regs;
  close(): void;
}

/**
 * Executes on the logical processor `cpu`, or on whichever the thread is on. Throws a `MachineError` where koffi, an
 * executable page or the processor is not to be had.
 */
export function instruction(cpu: number | undefined, memory: CodeMemory = linuxMemory()): Instruction {
  const pin = cpu === undefined ? undefined : pinning(cpu, memory);
  const page = memory.map();
  const words = new Uint32Array(4);
  let open = true;
  return {
    cpuid(leaf, subleaf) {
      if (!open) throw new TypeError('cpuid: this processor was closed');
      words[0] = u32(leaf, 'leaf');
      words[1] = u32(subleaf, 'subleaf');
      const unpin = pin?.();
      memory.call(page, words);
      unpin?.();
      return { eax: words[0], ebx: words[1], ecx: words[2]!, edx: words[3]! };
    },
    close() {
      if (open) memory.unmap(page);
      open = false;
    },
  };
}

/** The thread is pinned for the one instruction only: it is the whole process's, and not ours to bind. */
function pinning(cpu: number, { pin }: CodeMemory): () => () => void {
  if (pin === undefined)
    throw new MachineError(`CPU ${cpu}: this system moves no thread to a processor; leave the choice to it`);
  pin(cpu)(); // fails here, once and early, for a processor that is not there
  return () => pin(cpu);
}
