/**
 * Guest input of the kind `mix`: the values that a guest writes go through HMAC_DRBG into a stream that is laid over its values.
 *
 * A value that is served is S xor F: S is the next value of the source, F the next of a stream made from a secret that the same
 * source gave at the start and from all that the guest wrote. For each block of values HMAC_DRBG gives one key, and ChaCha20
 * stretches it over the block.
 *
 * Why a guest lowers nothing: it knows all that it wrote and all that it was served, but not S, which was not served
 * before, and which the source draws without regard to F. If S is uniform and independent of that knowledge, S xor F is,
 * whatever F is: even if the guest could choose F bit by bit. So mixing needs no faith in hash or cipher to be harmless.
 *
 * Why it learns nothing: S xor F tells it nothing of F as long as S is good, and nothing of S as long as hash and cipher are:
 * F is the output of a generator whose secret never leaves the machine's layer. If the source turns out to be weak, an
 * attacker has to guess both S and F, and F holds the guest's input: that is the use of mixing.
 *
 * The state belongs to one machine, lives beside it and not in it, and shows in no error, event, trace or saved state. Neither a
 * served value nor a key that was used stays in it.
 */
import { xorStream } from './chacha.ts';
import { drbg } from './drbg.ts';

export interface Mixer {
  /** Lays the next of F over a block: a multiple of 8 bytes, at an offset that is one. */
  cover(block: Uint8Array): void;
  /** Takes a value that the guest wrote, whoever chose it. */
  absorb(value: bigint): void;
}

/** `seed`: 48 secret bytes of the machine's own source; wiped. */
export function mixer(seed: Uint8Array): Mixer {
  const generator = drbg(seed);
  const key = new Uint32Array(8);
  const input = new Uint8Array(8);
  return {
    cover(block) {
      generator.generate(new Uint8Array(key.buffer));
      xorStream(key, block);
      key.fill(0);
    },
    absorb(value) {
      new DataView(input.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
      generator.update(input);
      input.fill(0);
    },
  };
}
