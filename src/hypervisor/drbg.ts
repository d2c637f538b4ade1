/** HMAC_DRBG with SHA-256 (NIST SP 800-90A revision 1, section 10.1.2): stretches a secret seed into more bytes. */
import { hmac } from '@noble/hashes/hmac';
import { sha256 } from '@noble/hashes/sha2';

/** Bytes of seed: 256 bits of entropy and a nonce of half that (section 8.6.7). */
export const SEED_LENGTH = 48;

export interface Drbg {
  /** Fills `out`, at most 65,536 bytes, and discards the state from which those bytes could be made again. */
  generate(out: Uint8Array): void;
  /** Stirs data into the state, whoever chose it: the state keeps all of its entropy. */
  update(data: Uint8Array): void;
}

/** Takes the seed over: the caller's copy is wiped. */
export function drbg(seed: Uint8Array): Drbg {
  let key: Uint8Array = new Uint8Array(32);
  let value: Uint8Array = new Uint8Array(32).fill(1);

  // 10.1.2.2: the old key and value are wiped, so that a later leak does not give earlier output away.
  function update(data: Uint8Array): void {
    for (const round of data.length > 0 ? [0, 1] : [0]) {
      const mac = hmac.create(sha256, key).update(value).update(Uint8Array.of(round)).update(data).digest();
      const next = hmac(sha256, mac, value);
      key.fill(0);
      value.fill(0);
      [key, value] = [mac, next];
    }
  }

  update(seed);
  seed.fill(0);
  return {
    update,
    // 10.1.2.5, without additional input
    generate(out) {
      for (let at = 0; at < out.length; at += 32) {
        const next = hmac(sha256, key, value);
        value.fill(0);
        value = next;
        out.set(at + 32 <= out.length ? value : value.subarray(0, out.length - at), at);
      }
      update(new Uint8Array(0));
    },
  };
}
