/** Random sources that can be handed to `commonhv`, and the generation; both draw on `globalThis.crypto` alone. */

/** Where a machine's values come from. Handed in by the machine's owner, never found by the layer. */
export interface Source {
  /** The name in reports and events. */
  readonly name: string;
  /** Fills all of `bytes` before it returns, and keeps no reference to it. Throws where it cannot. */
  fill(bytes: Uint8Array): void;
  /**
   * Whether the values are cryptographically secure for the machine's whole life, which draft 3 tells the guest;
   * `undefined`: no statement.
   */
  readonly secure: boolean | undefined;
  /** The values are predictable: a source for tests. It is exempt from health tests, and reports show it. */
  readonly deterministic?: boolean;
}

/** The operating system's generator, in Node and browsers alike. */
export function systemSource(): Source {
  // WebCrypto, "getRandomValues": a QuotaExceededError beyond 65,536 bytes a call; the layer asks for far less.
  return {
    name: 'os',
    secure: true,
    fill: (bytes) => void globalThis.crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>),
  };
}

/** One value for ever. A guest must notice that before it counts itself as seeded. For tests only. */
export function stuckSource(value = 0n): Source {
  return deterministic('stuck', () => value);
}

/** The values `first`, `first` + 1, and so on, so that a test knows which value it reads. For tests only. */
export function countingSource(first = 1n): Source {
  let next = first;
  return deterministic('counting', () => next++);
}

/** Fresh 64-bit values for the generation register, from the operating system's generator. */
export function systemGeneration(): () => bigint {
  return () => globalThis.crypto.getRandomValues(new BigUint64Array(1))[0]!;
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
