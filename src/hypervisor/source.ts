/** Random sources that can be handed to `commonhv`, and the generation; both read the kernel (`#kernel-random`). */
import { fillFromKernel, SYSTEM } from '#kernel-random';

/** Where a machine's values come from. Handed in by the machine's owner, never found by the layer. */
export interface Source {
  /** The name in reports and events. */
  readonly name: string;
  /**
   * Fills all of `bytes` before it returns, and keeps no reference to it. Throws where it cannot. Its argument is accepted by
   * `crypto.getRandomValues`, whose result may be returned.
   */
  fill(bytes: Uint8Array<ArrayBuffer>): void;
  /**
   * Whether the values are cryptographically secure for the machine's whole life, which draft 3 tells the guest;
   * `undefined`: no statement.
   */
  readonly secure?: boolean | undefined;
  /** The values are predictable: a source for tests. It is exempt from health tests, and reports show it. */
  readonly deterministic?: boolean | undefined;
}

/**
 * The kernel's generator in Node, `os`; WebCrypto in a page. In Node on Windows it is OpenSSL's and called so, without a statement
 * that it is secure: it notices no copy of the machine.
 */
export function systemSource(): Source {
  return { ...SYSTEM, fill: fillFromKernel };
}

/** One value for ever, which a guest must notice before it calls itself seeded. For tests only. */
export function stuckSource(value = 0n): Source {
  return deterministic('stuck', () => value);
}

/** The values `first`, `first` + 1, and so on, so that a test knows which value it reads. For tests only. */
export function countingSource(first = 1n): Source {
  let next = first;
  return deterministic('counting', () => next++);
}

/** Fresh 64-bit values for the generation register, from the same generator as `systemSource`. */
export function systemGeneration(): () => bigint {
  return () => {
    const value = new BigUint64Array(1);
    fillFromKernel(new Uint8Array(value.buffer));
    return value[0]!;
  };
}

function deterministic(name: string, value: () => bigint): Source {
  return {
    name,
    secure: false,
    deterministic: true,
    fill(bytes) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      // Whole values only: every caller in this project asks for a multiple of eight bytes.
      for (let at = 0; at + 8 <= bytes.byteLength; at += 8) view.setBigUint64(at, value(), true);
    },
  };
}
