// /sbin/hold, a static ELF program for the bed: it opens two virtual machines, one with an in-kernel interrupt
// controller and one without, prints a line, and keeps both open. KVM patches its own code (static keys) when the first
// machine of a kind is made and when the last one is freed. Under QEMU's TCG that is slow, and with two processors it was seen
// to hang the kernel. No C compiler is needed.

import { CODE, elfProgram } from './elf.js';

// linux/kvm.h
const KVM_CREATE_VM = 0xae01;
const KVM_CREATE_VCPU = 0xae41;
const KVM_CREATE_IRQCHIP = 0xae60;

const u32 = (value) => [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >>> 24) & 255];
const SYSCALL = [0x0f, 0x05];
const EXIT_1 = [0xb8, ...u32(60), 0xbf, ...u32(1), ...SYSCALL]; // mov eax, 60 (exit); mov edi, 1; syscall
const DATA = [...Buffer.from('/dev/kvm\0held\n')];
const TEXT = DATA.indexOf(0) + 1;

function program() {
  const code = [...DATA, ...EXIT_1];
  const entry = code.length;
  const address = (offset) => u32(CODE + offset);
  // test eax, eax; js EXIT_1
  const check = () => code.push(0x85, 0xc0, 0x0f, 0x88, ...u32(DATA.length - (code.length + 8)));
  // mov eax, 16 (ioctl); mov edi, FD; mov esi, REQUEST; xor edx, edx; syscall
  const ioctl = (movEdi, request) => {
    code.push(0xb8, ...u32(16), ...movEdi, 0xbe, ...u32(request), 0x31, 0xd2, ...SYSCALL);
    check();
  };
  const EDI_EBX = [0x89, 0xdf];
  const EDI_EBP = [0x89, 0xef];
  const EDI_R12D = [0x44, 0x89, 0xe7];
  // mov eax, 2 (open); mov edi, path; mov esi, 2 (O_RDWR); syscall
  code.push(0xb8, ...u32(2), 0xbf, ...address(0), 0xbe, ...u32(2), ...SYSCALL);
  check();
  code.push(0x89, 0xc3); // mov ebx, eax
  ioctl(EDI_EBX, KVM_CREATE_VM);
  code.push(0x89, 0xc5); // mov ebp, eax
  ioctl(EDI_EBX, KVM_CREATE_VM);
  code.push(0x41, 0x89, 0xc4); // mov r12d, eax
  ioctl(EDI_EBP, KVM_CREATE_VCPU);
  ioctl(EDI_R12D, KVM_CREATE_IRQCHIP);
  ioctl(EDI_R12D, KVM_CREATE_VCPU);
  // mov eax, 1 (write); mov edi, 1; mov esi, text; mov edx, 5; syscall
  code.push(0xb8, ...u32(1), 0xbf, ...u32(1), 0xbe, ...address(TEXT), 0xba, ...u32(5), ...SYSCALL);
  code.push(0xb8, ...u32(34), ...SYSCALL, 0xeb, 0xf7); // mov eax, 34 (pause); syscall; jmp to the mov
  return { code: Buffer.from(code), entry };
}

export function holdProgram() {
  const { code, entry } = program();
  return elfProgram(code, entry);
}
