/** The probe's image in the forms that hypervisors want. */
import { PROBE_BASE64 } from './image.ts';

/**
 * The size that SeaBIOS accepts as a disk on every controller: 63 sectors of 16 heads, 516,096 bytes. The first 512 are the image, so
 * it is a multiboot kernel as well.
 */
export const DISK_BYTES = 63 * 16 * 512;

/** A raw disk, and a multiboot kernel: the probe with zeros behind it. */
export function probeDisk(): Uint8Array {
  const disk = new Uint8Array(DISK_BYTES);
  disk.set(Uint8Array.from(atob(PROBE_BASE64), (character) => character.charCodeAt(0)));
  return disk;
}
