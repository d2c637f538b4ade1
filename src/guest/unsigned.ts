/** Answers of a CPU that is not trusted, brought into the width that registers have. */
import type { Cpu } from '../cpu.ts';

/**
 * The same CPU with every register an unsigned 32-bit number: -1 reads as FFFFFFFFH, 33 bits lose the highest one, and
 * anything that is no number is 0. Methods keep their `this`.
 */
export function unsigned(cpu: Cpu): Cpu {
  return {
    async cpuid(leaf, subleaf) {
      const { eax, ebx, ecx, edx } = await cpu.cpuid(leaf, subleaf);
      return { eax: eax >>> 0, ebx: ebx >>> 0, ecx: ecx >>> 0, edx: edx >>> 0 };
    },
    rdmsr: (index) => cpu.rdmsr(index),
    wrmsr: (index, value) => cpu.wrmsr(index, value),
  };
}
