/** The probe's image in the forms that hypervisors want. */
import { DISK_BYTES, disk } from './disk.ts';
import { EFI_BASE64, PROBE_BASE64, SETUP_BASE64 } from './image.ts';

/**
 * `all` is one file that boots in every way but bzImage's: multiboot, PVH, ELF64, the boot sector of a disk or CD, UEFI from
 * either. `iso` is the same bytes. The others are that one form alone, for a loader that would prefer another:
 * `multiboot`, 32-bit; `pvh`, an ELF64 file with Xen's note, 32-bit; `elf`, without the note: 64-bit at the entry point; `bzimage`,
 * real mode, 32-bit or 64-bit; `efi`, a UEFI application, 64-bit.
 */
export type Form = 'all' | 'multiboot' | 'pvh' | 'elf' | 'bzimage' | 'efi' | 'iso';

const bytesOf = (base64: string): Uint8Array =>
  Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

/** The probe's image, 2,048 bytes: a multiboot kernel, an ELF64 file with a PVH note and a boot sector in one. A fresh copy each time. */
export const probeImage = (): Uint8Array => bytesOf(PROBE_BASE64);

/** All forms in one file, 516,096 bytes: the image, a CD's volume and a partition with a UEFI application. */
export const probeDisk = (): Uint8Array => disk(probeImage(), probeForm('efi'));

/** A fresh copy of the image in a form. Throws a RangeError for a name that is none. */
export function probeForm(form: Form): Uint8Array {
  const image = probeImage();
  switch (form) {
    case 'all':
    case 'iso':
      return probeDisk();
    case 'multiboot':
      image.fill(0x90, 0, 4); // no ELF file: NOPs, as a boot sector runs over them
      return image;
    case 'pvh':
      return withoutMultiboot(image);
    case 'elf':
      new DataView(image.buffer).setUint32(SEGMENTS + 56, 0, true); // PT_NULL in place of PT_NOTE
      return withoutMultiboot(image);
    case 'bzimage':
      return joined(bytesOf(SETUP_BASE64), withJump(image));
    case 'efi':
      return joined(bytesOf(EFI_BASE64), image);
    default:
      throw new RangeError(`form: expected one of ${FORMS.join(', ')}, got ${String(form)}`);
  }
}

/** The names of the forms. */
export const FORMS: readonly Form[] = ['all', 'multiboot', 'pvh', 'elf', 'bzimage', 'efi', 'iso'];

export { DISK_BYTES };

/** Program headers: of the segment, then of the note. */
const SEGMENTS = 0x50;
const MULTIBOOT_MAGIC = 0x1bad_b002;

function withoutMultiboot(image: Uint8Array): Uint8Array {
  const words = new DataView(image.buffer);
  for (let at = 0; at < 512; at += 4) {
    if (words.getUint32(at, true) === MULTIBOOT_MAGIC) words.setUint32(at, 0, true);
  }
  return image;
}

/** A bzImage's 32-bit entry is its kernel's first byte: a jump to the PVH entry, which the ELF note names. */
function withJump(image: Uint8Array): Uint8Array {
  const words = new DataView(image.buffer);
  const note = words.getUint32(SEGMENTS + 56 + 8, true);
  const entry = words.getUint32(note + 16, true) - 0x10_0000;
  image[0] = 0xe9; // jmp rel32
  words.setInt32(1, entry - 5, true);
  return image;
}

function joined(head: Uint8Array, tail: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(head.length + tail.length);
  bytes.set(head);
  bytes.set(tail, head.length);
  return bytes;
}
