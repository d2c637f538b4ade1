/** CPUID executed by this process: a few bytes of machine code in a page that is written, then made executable. */
import type { Regs } from '../../cpu.ts';
import { u32 } from '../../cpu.ts';
import { check, ffi, MAP, PROT } from '../ffi.ts';

/** `void f(uint32_t words[4])`: words 0 and 1 hold EAX and ECX before; EAX, EBX, ECX and EDX after. System V, x86-64. */
const CODE = Uint8Array.of(
  ...[0x53], //              push rbx          (the convention's own, and CPUID writes it)
  ...[0x8b, 0x07], //        mov eax, [rdi]
  ...[0x8b, 0x4f, 0x04], //  mov ecx, [rdi + 4]
  ...[0x0f, 0xa2], //        cpuid
  ...[0x89, 0x07], //        mov [rdi], eax
  ...[0x89, 0x5f, 0x04], //  mov [rdi + 4], ebx
  ...[0x89, 0x4f, 0x08], //  mov [rdi + 8], ecx
  ...[0x89, 0x57, 0x0c], //  mov [rdi + 12], edx
  ...[0x5b], //              pop rbx
  ...[0xc3], //              ret
);
const PAGE = 4096;
const MASK_BYTES = 128;

/** CPUID as an instruction, and an end to it. */
export interface Instruction {
  cpuid(leaf: number, subleaf: number): Regs;
  close(): void;
}

/**
 * Executes on the logical processor `cpu`, or on whichever the thread is on. Throws a `MachineError` where koffi, an
 * executable page or the processor is not to be had.
 */
export function instruction(cpu: number | undefined): Instruction {
  const linux = ffi();
  const pin = cpu === undefined ? undefined : pinning(cpu);
  const page = linux.mmap(PAGE, PROT.read | PROT.write, MAP.private | MAP.anonymous, -1);
  linux.poke(page, CODE);
  const made = linux.mprotect(page, PAGE, PROT.read | PROT.exec);
  if (made < 0) linux.munmap(page, PAGE);
  check(made, 'making a page executable');
  const words = new Uint32Array(4);
  let open = true;
  return {
    cpuid(leaf, subleaf) {
      if (!open) throw new TypeError('cpuid: this processor was closed');
      words[0] = u32(leaf, 'leaf');
      words[1] = u32(subleaf, 'subleaf');
      const unpin = pin?.();
      linux.callAt(page, words);
      unpin?.();
      return { eax: words[0], ebx: words[1], ecx: words[2]!, edx: words[3]! };
    },
    close() {
      if (open) linux.munmap(page, PAGE);
      open = false;
    },
  };
}

/** The thread is pinned for the one instruction only: it is the whole process's, and not ours to bind. */
function pinning(cpu: number): () => () => void {
  const linux = ffi();
  const only = new Uint8Array(MASK_BYTES);
  only[cpu >> 3] = 1 << (cpu & 7);
  const before = new Uint8Array(MASK_BYTES);
  const pin = () => {
    check(linux.affinity(before), 'reading the CPU affinity');
    check(linux.setAffinity(only), `moving to CPU ${cpu}`);
    return () => void check(linux.setAffinity(before), 'restoring the CPU affinity');
  };
  pin()(); // fails here, once and early, for a processor that is not there
  return pin;
}
