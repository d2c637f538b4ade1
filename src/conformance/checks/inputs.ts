/** Guest input that the suite writes to the RNG, and the forms in which it is recognised. */

/** Values that stand out when they come back; the first two are those that lower a broken mixer. */
export const INPUTS = [
  0n,
  0xffff_ffff_ffff_ffffn,
  0x0123_4567_89ab_cdefn,
  0xfeed_face_cafe_f00dn,
  0x8000_0000_0000_0001n,
  0x5555_aaaa_3333_ccccn,
  0x1122_3344_5566_7788n,
  0xc001_d00d_dead_beefn,
];
export const ALL = 0xffff_ffff_ffff_ffffn;

export const swapped = (value: bigint): bigint => BigInt.asUintN(64, (value << 32n) | (value >> 32n));
function bytesReversed(value: bigint): bigint {
  let reversed = 0n;
  for (let i = 0n; i < 64n; i += 8n) reversed = (reversed << 8n) | ((value >> i) & 0xffn);
  return reversed;
}

/** The forms in which a written value is recognised; 0 and all ones have no shape of their own. */
export const formsOf = (value: bigint): readonly bigint[] =>
  value === 0n || value === ALL
    ? []
    : [value, BigInt.asUintN(64, ~value), swapped(value), bytesReversed(value), value + 1n, value - 1n];

/** Every form of everything that was written to the RNG. */
export const WRITTEN: ReadonlyMap<bigint, bigint> = new Map(
  INPUTS.flatMap((value) => formsOf(value).map((form) => [form, value] as const)),
);
