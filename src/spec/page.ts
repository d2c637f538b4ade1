/** Draft 3, "Generation page": the value of MSR_COMMONHV_GENERATION_PAGE, and the layout of the page. */

/** Bytes of the page, and its alignment. */
export const PAGE_SIZE = 4096;
/** Bit 0 of the register: the page is enabled. Bits 11:1 are reserved, 0. */
export const PAGE_ENABLE = 1n;
/** Bits 63:12 of the register: the guest-physical address of the page. */
export const PAGE_ADDRESS = 0xffff_ffff_ffff_f000n;

/** Byte offset of the generation, 64 bits, little-endian: the hypervisor stores it. */
export const PAGE_GENERATION = 0;
/** Byte offset of the generation for which the guest's kernel last reseeded, 64 bits: the guest stores it. */
export const PAGE_RESEEDED = 8;

/** The register's value that enables the page at `address`: a multiple of 4,096 below 2^64. */
export function encodePage(address: number | bigint): bigint {
  return BigInt(address) | PAGE_ENABLE;
}

/**
 * The page's guest-physical address (exact: its low 12 bits are 0), or `undefined` for 0, which disables the page. `invalid`
 * for every value that the draft answers with #GP by its bits alone: bits 11:1 set, or an address without bit 0.
 */
export function decodePage(value: bigint): number | undefined | 'invalid' {
  if (value === 0n) return undefined;
  return (value & ~PAGE_ADDRESS) === PAGE_ENABLE ? Number(value & PAGE_ADDRESS) : 'invalid';
}
