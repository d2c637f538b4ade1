/**
 * Guest input of the kind `mix`: a guest's writes go through HMAC_DRBG into a stream that is XORed over its values.
 *
 * A value that is served is S xor F: S is the next value of the source, F the next of a stream made by a hash from a
 * secret that the same source gave at the start and from all that the guest wrote.
 *
 * Why a guest lowers nothing: it knows all that it wrote and all that it was served, but not S, which was not served
 * before, and which the source draws without regard to F. If S is uniform and independent of that knowledge, S xor F is,
 * whatever F is: even if the guest could choose F bit by bit. So mixing needs no faith in the hash to be harmless.
 *
 * Why it learns nothing: S xor F tells it nothing of F as long as S is good, and nothing of S as long as the hash is:
 * F is the output of a generator whose secret never leaves the machine's layer. If the source turns out to be weak, an
 * attacker has to guess both S and F, and F holds the guest's writes: that is the benefit of mixing.
 *
 * The state belongs to one machine, lives beside it and not in it, and shows in no error, event, trace or saved state.
 */
import { drbg } from './drbg.ts';

export interface Mixer {
  /** The next 64 bits of F. */
  next(): bigint;
  absorb(value: bigint): void;
}

/** Bytes of F made at a time. */
const BLOCK = 128;

/** `seed`: 48 secret bytes of the machine's own source; wiped. */
export function mixer(seed: Uint8Array): Mixer {
  const generator = drbg(seed);
  const block = new Uint8Array(BLOCK);
  const view = new DataView(block.buffer);
  let at = BLOCK;
  return {
    next() {
      if (at === BLOCK) {
        generator.generate(block);
        at = 0;
      }
      const value = view.getBigUint64(at, true);
      view.setBigUint64(at, 0n, true);
      at += 8;
      return value;
    },
    absorb(value) {
      // The prepared stream is discarded, so that the very next value depends on the write.
      block.fill(0);
      at = BLOCK;
      view.setBigUint64(0, BigInt.asUintN(64, value), true);
      generator.update(block.subarray(0, 8));
      block.fill(0, 0, 8);
    },
  };
}
