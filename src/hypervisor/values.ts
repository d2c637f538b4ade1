/**
 * One machine's values: a small read-ahead from its source, wiped as it is served, health-tested before any of it is,
 * and continued by a named fallback when the source fails.
 */
import { MachineError } from '../cpu.ts';
import { drbg, SEED_LENGTH } from './drbg.ts';
import { type Draw, type DrawFailure, guard } from './guard.ts';
import { type Mixer, mixer } from './mix.ts';
import type { Source } from './source.ts';

/** The report to a machine's owner when its source fails. Holds no value. */
export interface SourceFailure extends DrawFailure {
  /** The source's name. */
  readonly source: string;
  /**
   * `generator`: values come from HMAC_DRBG from now on, seeded by the source while it was well; `stopped`: the machine
   * ends; `absent`: the source did not work when the machine started, which offers no RNG.
   */
  readonly outcome: 'generator' | 'stopped' | 'absent';
}

export interface RandomValuesOptions {
  readonly source: Source;
  readonly mix: boolean;
  readonly fallback: 'generator' | 'stop';
  readonly onFailure: ((failure: SourceFailure) => void) | undefined;
}

export interface RandomValues {
  /** The next value, unsigned 64-bit. Throws a MachineError, for ever, once the source has failed and `fallback` is `stop`. */
  read(): bigint;
  /** Guest input; dropped unless `mix`. */
  write(value: bigint): void;
}

/**
 * Bytes read ahead: few enough to lose, at least the 1,024 samples of a start-up test (SP 800-90B, 4.3), and enough to spread
 * the cost of a draw, which is 15 to 35 us where a guest has used the caches since the last one (measured: 1.5 ms between).
 */
export const READ_AHEAD = 4096;

/** Opens a source for one machine, or says why it does not work. */
export function openSource(options: RandomValuesOptions): RandomValues | DrawFailure {
  const { source, mix } = options;
  const draw = guard(source);
  let bytes = new Uint8Array(READ_AHEAD);
  let at = READ_AHEAD;
  let fallback: Uint8Array | undefined;
  if (!source.deterministic) {
    // The start-up test; its bytes are served. A deterministic source is not asked before the guest asks.
    const broken = draw(bytes);
    if (broken) return broken;
    at = 0;
    fallback = new Uint8Array(SEED_LENGTH);
  }
  const input = mix ? new Uint8Array(SEED_LENGTH) : undefined;
  for (const seed of [fallback, input]) {
    const broken = seed && draw(seed);
    if (broken) return broken;
  }
  const refill = refiller(options, draw, fallback);
  const stream: Mixer | undefined = input && mixer(input);
  let view = new DataView(bytes.buffer);
  return {
    read() {
      if (at === READ_AHEAD) {
        bytes = refill(bytes);
        if (bytes.buffer !== view.buffer) view = new DataView(bytes.buffer);
        at = 0;
      }
      const value = view.getBigUint64(at, true);
      view.setFloat64(at, 0);
      at += 8;
      return stream ? value ^ stream.next() : value;
    },
    write(value) {
      stream?.absorb(value);
    },
  };
}

/** Fills the buffer from the source as long as it is well; then gives a full one in its place. */
function refiller(
  { source, fallback, onFailure }: RandomValuesOptions,
  draw: Draw,
  seed: Uint8Array | undefined,
): (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer> {
  let continued: (() => Uint8Array<ArrayBuffer>) | undefined;
  return (bytes) => {
    if (continued) return continued();
    const broken = draw(bytes);
    if (!broken) return bytes;
    if (bytes.length > 0) bytes.fill(0); // it has no length where the source took it away
    const outcome = seed && fallback === 'generator' ? 'generator' : 'stopped';
    if (seed && outcome === 'generator') {
      const generator = drbg(seed);
      // A failed source may have kept its buffer, and may write to it yet.
      const own = new Uint8Array(READ_AHEAD);
      continued = () => {
        generator.generate(own);
        return own;
      };
    } else {
      seed?.fill(0);
      continued = () => {
        throw new MachineError(`rng.source: ${source.name} failed: ${broken.detail}`, {
          cause: broken.cause,
        });
      };
    }
    onFailure?.({ ...broken, source: source.name, outcome });
    return continued();
  };
}
