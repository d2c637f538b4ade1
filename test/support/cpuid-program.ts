/** A Linux program for x86-64 that executes CPUID at CPL 3 and writes the registers to standard output. */
interface Elf {
  elfProgram(code: Buffer): Buffer;
}
const { elfProgram } = (await import(new URL('../../../scripts/bed/elf.js', import.meta.url).href)) as Elf;

const u32 = (value: number): number[] => [...Buffer.from(Uint32Array.of(value).buffer)];

/** Asks for these [leaf, subleaf] in turn; 16 bytes each: EAX, EBX, ECX, EDX. */
export function cpuidProgram(leaves: readonly (readonly [number, number])[]): Buffer {
  const size = 16 * leaves.length;
  return elfProgram(
    Buffer.from([
      ...[0x48, 0x81, 0xec, ...u32(size)], // sub rsp, size
      ...leaves.flatMap(([leaf, subleaf], i) => [
        ...[0xb8, ...u32(leaf), 0xb9, ...u32(subleaf), 0x0f, 0xa2], // mov eax, leaf; mov ecx, subleaf; cpuid
        ...[0x89, 0x84, 0x24, ...u32(16 * i)], // mov [rsp + 16 i], eax
        ...[0x89, 0x9c, 0x24, ...u32(16 * i + 4)], // mov [rsp + 16 i + 4], ebx
        ...[0x89, 0x8c, 0x24, ...u32(16 * i + 8)], // mov [rsp + 16 i + 8], ecx
        ...[0x89, 0x94, 0x24, ...u32(16 * i + 12)], // mov [rsp + 16 i + 12], edx
      ]),
      ...[0xb8, ...u32(1), 0xbf, ...u32(1), 0x48, 0x89, 0xe6], // mov eax, 1 (write); mov edi, 1; mov rsi, rsp
      ...[0xba, ...u32(size), 0x0f, 0x05], // mov edx, size; syscall
      ...[0xb8, ...u32(60), 0x31, 0xff, 0x0f, 0x05], // mov eax, 60 (exit); xor edi, edi; syscall
    ]),
  );
}
