/** CPUID as machine code for x86-64, `void f(uint32_t words[4])`: words 0 and 1 hold EAX and ECX before; EAX, EBX, ECX and EDX after. */

/** By the System V convention: Linux, FreeBSD, macOS. */
export const SYSTEM_V = Uint8Array.of(
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

/** By Microsoft's convention, which has the argument in RCX. */
export const WINDOWS = Uint8Array.of(
  ...[0x53], //                    push rbx
  ...[0x49, 0x89, 0xc8], //        mov r8, rcx
  ...[0x41, 0x8b, 0x00], //        mov eax, [r8]
  ...[0x41, 0x8b, 0x48, 0x04], //  mov ecx, [r8 + 4]
  ...[0x0f, 0xa2], //              cpuid
  ...[0x41, 0x89, 0x00], //        mov [r8], eax
  ...[0x41, 0x89, 0x58, 0x04], //  mov [r8 + 4], ebx
  ...[0x41, 0x89, 0x48, 0x08], //  mov [r8 + 8], ecx
  ...[0x41, 0x89, 0x50, 0x0c], //  mov [r8 + 12], edx
  ...[0x5b], //                    pop rbx
  ...[0xc3], //                    ret
);
