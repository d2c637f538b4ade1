/** One machine's words: a small read-ahead from its source, wiped as it is served. */
import type { RngOptions } from './options.ts';

/** What the layer asks of a machine's random words. */
export interface Words {
  read(): bigint;
  /** What the guest wrote; `none` never comes here. */
  write(value: bigint): void;
}

/** Bytes read ahead: enough to make a call of the system's generator cheap, few enough to lose. */
export const READ_AHEAD = 1024;

export function words({ source }: Required<RngOptions>): Words {
  const bytes = new Uint8Array(READ_AHEAD);
  const view = new DataView(bytes.buffer);
  let at = READ_AHEAD;
  return {
    read() {
      if (at === READ_AHEAD) {
        source.fill(bytes);
        at = 0;
      }
      const word = view.getBigUint64(at, true);
      view.setFloat64(at, 0);
      at += 8;
      return word;
    },
    write() {},
  };
}
