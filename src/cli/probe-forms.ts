/** The forms of the probe's image in words, for `commonhv probe` and its help. */
import type { Form } from '../probe/index.ts';

/** Each form in a few words. */
export const DESCRIPTIONS: Readonly<Record<Form, string>> = {
  all: 'multiboot, PVH and ELF64 kernel, disk and CD for BIOS and UEFI, in one file of 516,096 bytes',
  iso: 'a CD for BIOS and UEFI, and every form but bzimage',
  multiboot: 'a multiboot kernel, entered in 32-bit mode',
  pvh: 'an ELF64 kernel with a PVH note, entered in 32-bit mode',
  elf: 'an ELF64 kernel without a note, entered in 64-bit mode as Linux is',
  bzimage: 'a Linux bzImage, entered in real, 32-bit or 64-bit mode',
  efi: 'a UEFI application, for EFI/BOOT/BOOTX64.EFI of a FAT disk',
};

/** Which form suits which VMM, for the end of the command's help. */
export const FORMS_HELP = `
Forms, and who boots them (commands: docs/probe.md):
  all        QEMU -kernel, -drive or -cdrom, SeaBIOS or OVMF; Bochs; Xen dom0; GRUB; Firecracker, cloud-hypervisor and
             crosvm by PVH or ELF64; VirtualBox, VMware and Hyper-V as a disk
  iso        the same bytes, for those who want a CD: VirtualBox, VMware, Hyper-V generation 2 (Secure Boot off)
  multiboot  boot loaders that would take an ELF64 file for something else
  pvh        QEMU's PVH loader, which all others hide from; Xen
  elf        Firecracker before 1.12, libkrun: 64-bit mode
  bzimage    kvmtool, and whoever boots only Linux
  efi        a file for a UEFI shell, PXE or your own disk
`;
