/** Guest-physical memory while an image is laid out: used ranges, free ranges, and the map that guests get. */
import { hex } from '../cpu.ts';
import type { Segment } from './index.ts';

/** End of conventional memory (640 KiB), and where memory goes on. The BIOS data area's page 0 is never handed out. */
const LOW_TOP = 0xa_0000;
const HIGH = 0x10_0000;
const PAGE = 0x1000;

/** One range of the E820 map, ends exclusive by `address + size`; type 1 is RAM, 2 reserved (ACPI 6.5, 15.1). */
export interface Range {
  readonly address: number;
  readonly size: number;
  readonly type: 1 | 2;
}

export interface Memory {
  readonly size: number;
  readonly segments: readonly Segment[];
  /** The E820 map. */
  readonly map: readonly Range[];
  /** Takes `size` bytes at `address`, and puts `bytes` at its start. A RangeError where they are not RAM or are taken. */
  put(what: string, address: number, size: number, bytes?: Uint8Array): void;
  /** Puts `bytes` where there is room between page 1 and 640 KiB, aligned to 16, and gives back the address. */
  low(what: string, bytes: Uint8Array): number;
  /** Puts `bytes` as high as there is room, page-aligned, ending at or below `limit`. */
  high(what: string, bytes: Uint8Array, limit: number): number;
  /** Whether any taken range holds the address. */
  taken(address: number): boolean;
}

export function layOut(size: number): Memory {
  const segments: Segment[] = [];
  const claims: { readonly from: number; readonly to: number; readonly what: string }[] = [
    { from: LOW_TOP, to: HIGH, what: 'the device hole from 640 KiB to 1 MiB' },
  ];
  const clash = (from: number, to: number) => claims.find((claim) => from < claim.to && claim.from < to);

  function put(what: string, address: number, length: number, bytes?: Uint8Array): void {
    const end = address + length;
    if (end > size) {
      throw new RangeError(
        `${what}: ${span(address, end)} is beyond the ${size / 2 ** 20} MiB of memory: give more`,
      );
    }
    const other = clash(address, end);
    if (other !== undefined) throw new RangeError(`${what}: ${span(address, end)} overlaps ${other.what}`);
    if (length > 0) claims.push({ from: address, to: end, what });
    if (bytes !== undefined && bytes.length > 0) segments.push({ address, bytes });
  }

  return {
    size,
    segments,
    map: mapOf(size),
    put,
    low(what, bytes) {
      let address = PAGE;
      for (;;) {
        const other = clash(address, address + bytes.length);
        if (other === undefined) break;
        address = (other.to + 15) & ~15;
      }
      if (address + bytes.length > LOW_TOP) {
        throw new RangeError(`${what}: ${bytes.length} bytes find no room below 640 KiB`);
      }
      put(what, address, bytes.length, bytes);
      return address;
    },
    high(what, bytes, limit) {
      let address = pageBelow(Math.min(limit, size) - bytes.length);
      for (;;) {
        if (address < HIGH) {
          throw new RangeError(
            `${what}: ${bytes.length} bytes do not fit beside the kernel in ${size / 2 ** 20} MiB of memory: give more`,
          );
        }
        const other = clash(address, address + bytes.length);
        if (other === undefined) break;
        address = pageBelow(other.from - bytes.length);
      }
      put(what, address, bytes.length, bytes);
      return address;
    },
    taken: (address) => claims.some(({ from, to }, i) => i > 0 && address >= from && address < to),
  };
}

/** A PC's memory map, as a BIOS gives it. */
const mapOf = (size: number): Memory['map'] => [
  { address: 0, size: 0x9_fc00, type: 1 },
  { address: 0x9_fc00, size: 0x400, type: 2 },
  { address: 0xf_0000, size: 0x1_0000, type: 2 },
  ...(size > HIGH ? [{ address: HIGH, size: size - HIGH, type: 1 } as const] : []),
];

const pageBelow = (address: number) => Math.floor(address / PAGE) * PAGE;
const span = (from: number, to: number) => `${hex(from)} to ${hex(to)}`;

/** A flat table as the 32-bit boot protocol wants it: code at selector 10H, data at 18H (SDM volume 3, 3.4.5). */
const GDT = new Uint8Array([
  ...[0, 0, 0, 0, 0, 0, 0, 0],
  ...[0, 0, 0, 0, 0, 0, 0, 0],
  ...[0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0], // code: base 0, limit 4 GiB, execute and read, accessed
  ...[0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0], // data: base 0, limit 4 GiB, read and write, accessed
]);

export function putGdt(memory: Memory) {
  const address = memory.low('segment table', GDT);
  return { address, limit: GDT.length - 1, code: 0x10, data: 0x18 };
}

/** ASCII bytes with the terminating NUL. */
export function cString(text: string): Uint8Array {
  return Uint8Array.from({ length: text.length + 1 }, (_, i) => (i < text.length ? text.charCodeAt(i) : 0));
}
