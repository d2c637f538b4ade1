/**
 * The whole image: a disk that is a CD too, with the probe in its first sectors and once more as a UEFI application.
 *
 *   byte 0        the probe, SIZE bytes: head.S is the boot sector; the partition table is put into it
 *   byte 32768    ISO 9660 volume descriptors and El Torito's boot catalogue, which name the probe and the partition
 *   byte 47104    the probe once more, for BIOSes that start a CD
 *   byte 49152    a FAT12 partition with EFI/BOOT/BOOTX64.EFI, for UEFI: of the disk by its table, of the CD by its catalogue
 *
 * The same bytes each time: no date, no random serial number.
 */

/**
 * The size that SeaBIOS accepts as a disk on every controller: 63 sectors of 16 heads, 516,096 bytes. Whole sectors of a CD too.
 */
export const DISK_BYTES = 63 * 16 * 512;

const SECTOR = 512;
const CD_SECTOR = 2048;

// Sectors of the CD.
const DESCRIPTORS = 16; // ECMA-119: the primary descriptor; El Torito's has to be the next
const CATALOGUE = 19;
const ROOT = 20;
const PATHS = 21; // little-endian; the big-endian one follows
const CD_PROBE = 23;
const PARTITION = 24;

// Sectors of the disk.
const PARTITION_START = (PARTITION * CD_SECTOR) / SECTOR;
const PARTITION_SECTORS = DISK_BYTES / SECTOR - PARTITION_START;

/** `probe` fills whole sectors of a CD; `application` is a PE file. */
export function disk(probe: Uint8Array, application: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(DISK_BYTES);
  bytes.set(probe);
  bytes.set(partitionTable(), 446);
  bytes.set(volume(probe.length), DESCRIPTORS * CD_SECTOR);
  bytes.set(probe, CD_PROBE * CD_SECTOR);
  bytes.set(fat12(application), PARTITION * CD_SECTOR);
  return bytes;
}

/** The first of four entries: an EFI system partition, not active, without addresses by cylinder. */
function partitionTable(): Uint8Array {
  const entry = new Block(16);
  entry.put8(1, 0xff, 0xff, 0xff, 0xef, 0xff, 0xff, 0xff);
  entry.put32(8, PARTITION_START, PARTITION_SECTORS);
  return entry.bytes;
}

/** Sectors 16 to 22 of the CD: ECMA-119 for an empty root folder, and El Torito 1.0. */
function volume(probeLength: number): Uint8Array {
  const block = new Block((CD_PROBE - DESCRIPTORS) * CD_SECTOR);
  const at = (sector: number): number => (sector - DESCRIPTORS) * CD_SECTOR;
  descriptor(block, at(DESCRIPTORS));
  block.text(at(DESCRIPTORS + 1), '\0CD001\x01EL TORITO SPECIFICATION');
  block.put32(at(DESCRIPTORS + 1) + 71, CATALOGUE);
  block.text(at(DESCRIPTORS + 2), '\xffCD001\x01'); // no more of them
  catalogue(block, at(CATALOGUE), probeLength);
  folder(block, at(ROOT), 0); // itself
  folder(block, at(ROOT) + 34, 1); // its parent
  for (const table of [PATHS, PATHS + 1]) block.put8(at(table), 1);
  block.put32(at(PATHS) + 2, ROOT);
  block.put16(at(PATHS) + 6, 1);
  block.big32(at(PATHS + 1) + 2, ROOT);
  block.put8(at(PATHS + 1) + 7, 1);
  return block.bytes;
}

/** ECMA-119 8.4, the primary volume descriptor. */
function descriptor(block: Block, primary: number): void {
  block.put8(primary, 1);
  block.text(primary + 1, 'CD001\x01');
  block.text(primary + 8, ' '.repeat(32));
  block.text(primary + 40, 'COMMONHV'.padEnd(32));
  block.both32(primary + 80, DISK_BYTES / CD_SECTOR);
  for (const [field, value] of [
    [120, 1], // volumes in the set
    [124, 1], // this one's number
    [128, CD_SECTOR],
  ] as const)
    block.both16(primary + field, value);
  block.both32(primary + 132, 10); // bytes of a path table
  block.put32(primary + 140, PATHS);
  block.big32(primary + 148, PATHS + 1);
  folder(block, primary + 156, 0);
  block.text(primary + 190, ' '.repeat(623)); // names of the set, publisher, preparer, application, and of three files
  for (const date of [813, 830, 847, 864]) block.text(primary + date, '0'.repeat(16)); // not given
  block.put8(primary + 881, 1);
}

/** El Torito 1.0, with an entry for a BIOS and one for UEFI (UEFI specification, 13.3.2.1). */
function catalogue(block: Block, at: number, probeLength: number): void {
  block.put8(at, 1); // the validation entry: the sum of its words is zero
  block.put16(at + 28, 0x10000 - (1 + 0xaa55), 0xaa55);
  // Bootable, no emulation, to the default segment 7C0H; its length in 512 bytes, and its place.
  const bootable = (offset: number, length: number, sector: number): void => {
    block.put8(offset, 0x88);
    block.put16(offset + 6, length);
    block.put32(offset + 8, sector);
  };
  bootable(at + 32, probeLength / SECTOR, CD_PROBE);
  block.put8(at + 64, 0x91, 0xef, 1); // the last section: of UEFI, one entry
  bootable(at + 96, PARTITION_SECTORS, PARTITION);
}

/** A directory record of the root folder, 34 bytes; its name is one byte. */
function folder(block: Block, at: number, name: number): void {
  block.put8(at, 34);
  block.both32(at + 2, ROOT);
  block.both32(at + 10, CD_SECTOR);
  block.put8(at + 18, 70, 1, 1); // 1970-01-01
  block.put8(at + 25, 2); // a folder
  block.both16(at + 28, 1);
  block.put8(at + 32, 1, name);
}

// FAT12: boot sector, two tables, a root folder of one sector, then clusters of one sector each, of which the first is 2.
const FATS = 2;
const FAT_SECTORS = 3;
const ROOT_ENTRIES = SECTOR / 32;
const FIRST_CLUSTER = 1 + FATS * FAT_SECTORS + 1;

/** A partition with one file, EFI/BOOT/BOOTX64.EFI (UEFI specification, 3.5.1.1). */
function fat12(file: Uint8Array): Uint8Array {
  const block = new Block(PARTITION_SECTORS * SECTOR);
  block.put8(0, 0xeb, 0x3c, 0x90);
  block.text(3, 'COMMONHV');
  block.put16(11, SECTOR);
  block.put8(13, 1); // sectors in a cluster
  block.put16(14, 1); // the boot sector
  block.put8(16, FATS);
  block.put16(17, ROOT_ENTRIES, PARTITION_SECTORS);
  block.put8(21, 0xf8); // a fixed disk
  block.put16(22, FAT_SECTORS, 63, 16);
  block.put32(28, PARTITION_START);
  block.put8(36, 0x80, 0, 0x29);
  block.text(43, 'COMMONHV   FAT12   ');
  block.put8(510, 0x55, 0xaa);

  const clusters = Math.ceil(file.length / SECTOR);
  const [efi, boot, first] = [2, 3, 4];
  const chains = [0xff8, 0xfff, 0xfff, 0xfff]; // the medium, reserved, and the two folders
  for (let i = 0; i < clusters; i++) chains.push(i === clusters - 1 ? 0xfff : first + i + 1);
  for (const [cluster, next] of chains.entries())
    for (let copy = 0; copy < FATS; copy++) block.put12((1 + copy * FAT_SECTORS) * SECTOR, cluster, next);

  const at = (cluster: number): number => (FIRST_CLUSTER + cluster - 2) * SECTOR;
  entry(block, (FIRST_CLUSTER - 1) * SECTOR, 'EFI', efi);
  entry(block, at(efi), '.', efi);
  entry(block, at(efi) + 32, '..', 0);
  entry(block, at(efi) + 64, 'BOOT', boot);
  entry(block, at(boot), '.', boot);
  entry(block, at(boot) + 32, '..', efi);
  entry(block, at(boot) + 64, 'BOOTX64 EFI', first, file.length);
  block.bytes.set(file, at(first));
  return block.bytes;
}

/** A file where a length is given, else a folder. */
function entry(block: Block, at: number, name: string, cluster: number, length?: number): void {
  block.text(at, name.padEnd(11));
  block.put8(at + 11, length === undefined ? 0x10 : 0x20);
  block.put16(at + 24, 0x21, cluster); // 1980-01-01
  block.put32(at + 28, length ?? 0);
}

/** Bytes with fields, little-endian unless they say otherwise. */
class Block {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(length: number) {
    this.bytes = new Uint8Array(length);
    this.#view = new DataView(this.bytes.buffer);
  }

  text(at: number, text: string): void {
    this.put8(at, ...Array.from(text, (character) => character.charCodeAt(0)));
  }

  put8(at: number, ...values: readonly number[]): void {
    this.bytes.set(values, at);
  }

  put16(at: number, ...values: readonly number[]): void {
    for (const [i, value] of values.entries()) this.#view.setUint16(at + 2 * i, value, true);
  }

  put32(at: number, ...values: readonly number[]): void {
    for (const [i, value] of values.entries()) this.#view.setUint32(at + 4 * i, value, true);
  }

  big32(at: number, value: number): void {
    this.#view.setUint32(at, value);
  }

  /** ECMA-119 has many numbers in both orders. */
  both16(at: number, value: number): void {
    this.put16(at, value);
    this.#view.setUint16(at + 2, value);
  }

  both32(at: number, value: number): void {
    this.put32(at, value);
    this.big32(at + 4, value);
  }

  /** Entry `index` of a FAT12 table: two share three bytes. */
  put12(table: number, index: number, value: number): void {
    const at = table + Math.floor((index * 3) / 2);
    const shift = index % 2 === 0 ? 0 : 4;
    this.put16(at, this.#view.getUint16(at, true) | (value << shift));
  }
}
