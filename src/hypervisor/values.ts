/**
 * One machine's random values: a small read-ahead from its source, at most 1 ms old when served, wiped as it is served,
 * health-tested before any of it is, and continued by a named fallback when the source fails.
 */
import { MachineError } from '../cpu.ts';
import { type Drbg, drbg, SEED_LENGTH } from './drbg.ts';
import { type Draw, type DrawFailure, guard } from './guard.ts';
import { HEAD } from './health.ts';
import { type Mixer, mixer } from './mix.ts';
import type { Source } from './source.ts';
import { patternOf } from './start-up.ts';

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
  /** `undefined`: stop after a failed health test of a source that calls itself secure, else go on. */
  readonly fallback: 'generator' | 'stop' | undefined;
  readonly onFailure: ((failure: SourceFailure) => void) | undefined;
  /** The guest runs in slices of a millisecond at most, and `poll` comes before each: the clock is then read once for several values. */
  readonly polled: boolean;
  /** Called whenever the clock is read, before a value is served; may discard the read-ahead, or throw. */
  readonly onLook?: (() => void) | undefined;
}

/** Bytes of the largest draw without its head: at least the 1,024 samples of a start-up test (SP 800-90B, 4.3). */
export const READ_AHEAD = 4096;
/** Bytes of the smallest: a guest that reads now and then costs the source little. */
const MIN_DRAW = 64;
/** Milliseconds after which a value that was prepared is not served any more. A copy of this process shares no more than these. */
export const MAX_AGE_MS = 1;
/** Values for which the clock is read once within a slice: reading it costs as much as the rest of a value. */
const VALUES_PER_LOOK = 32;

/** Opens a source for one machine and tests it, or says why it does not work. */
export function openSource(options: RandomValuesOptions): RandomValues | DrawFailure {
  const values = new RandomValues(options);
  return values.startUp(patterned) ?? values;
}

function patterned(draw: Uint8Array<ArrayBuffer>): DrawFailure | undefined {
  const pattern = patternOf(draw);
  return pattern === undefined
    ? undefined
    : { reason: 'health', detail: `it failed the start-up test: ${pattern}` };
}

export class RandomValues {
  readonly #options: RandomValuesOptions;
  readonly #draw: Draw;
  /** Predictable values have no age, and none of them is left out. */
  readonly #predictable: boolean;
  #buffer = new Uint8Array(HEAD + READ_AHEAD);
  /** The same as values. Little-endian, as every processor that runs this; several times as fast as a DataView. */
  #values = new BigUint64Array(this.#buffer.buffer);
  /** Indices of values: the next one, the end of those that can be served before the clock is read again, and of all. */
  #at = 0;
  #fresh = 0;
  #end = 0;
  readonly #perLook: number;
  /** Bytes of the last draw. */
  #size = MIN_DRAW / 4;
  #drawnAt = Number.NEGATIVE_INFINITY;
  #seed: Uint8Array<ArrayBuffer> | undefined;
  #mixer: Mixer | undefined;
  #generator: Drbg | undefined;
  #failure: DrawFailure | undefined;

  constructor(options: RandomValuesOptions) {
    this.#options = options;
    this.#draw = guard(options.source);
    this.#predictable = options.source.deterministic === true;
    this.#perLook = this.#predictable ? READ_AHEAD : options.polled ? VALUES_PER_LOOK : 1;
  }

  /** The start-up test, `more` of it, and the secrets of fallback and mixing. Nothing that it draws is served. */
  startUp(more?: (draw: Uint8Array<ArrayBuffer>) => DrawFailure | undefined): DrawFailure | undefined {
    if (!this.#predictable) {
      // A predictable source is not asked before the guest asks.
      const failed = this.#draw(this.#buffer) ?? more?.(this.#buffer);
      if (failed) return failed;
      this.discard();
    }
    const seeds: Uint8Array<ArrayBuffer>[] = [];
    for (const wanted of [!this.#predictable, this.#options.mix]) {
      const drawn = new Uint8Array((this.#predictable ? 0 : HEAD) + SEED_LENGTH);
      const failed = wanted ? this.#draw(drawn) : undefined;
      if (failed) return failed;
      seeds.push(drawn.slice(-SEED_LENGTH));
      drawn.fill(0);
    }
    this.#seed?.fill(0);
    this.#seed = this.#predictable ? undefined : seeds[0]!;
    if (this.#options.mix) this.#mixer = mixer(seeds[1]!);
    return undefined;
  }

  /** The next value, unsigned 64-bit. Throws a MachineError, for ever, once the source has failed and the machine stops. */
  read(): bigint {
    if (this.#at === this.#fresh) this.#look();
    const at = this.#at++;
    const value = this.#values[at]!;
    this.#values[at] = 0n;
    return value;
  }

  /** The clock is read before the next value is served. */
  poll(): void {
    if (!this.#predictable) this.#fresh = this.#at;
  }

  /** Takes a value that the guest wrote; dropped unless it is to be mixed. The very next value depends on it. */
  write(value: bigint): void {
    if (this.#mixer === undefined) return;
    this.#mixer.absorb(value);
    this.discard();
  }

  /** Throws the read-ahead away. */
  discard(): void {
    if (this.#predictable && this.#mixer === undefined) return;
    this.#buffer.fill(0);
    this.#at = 0;
    this.#fresh = 0;
    this.#end = 0;
  }

  /** After a restore: nothing that was prepared is served, and a source that does not work now refuses the state. */
  restored(): void {
    this.discard();
    if (this.#predictable) return;
    const failed = this.#failure ?? this.startUp();
    if (failed === undefined) return;
    const { name } = this.#options.source;
    throw new MachineError(
      `state: no random source to resume with: rng.source: ${name} failed: ${failed.detail}`,
      {
        cause: failed.cause,
        code: 'refused',
      },
    );
  }

  /** Sees to it that the next value is there, and not too old. */
  #look(): void {
    this.#options.onLook?.();
    if (this.#at === this.#end) this.#refill(this.#size * 4);
    else if (performance.now() - this.#drawnAt > MAX_AGE_MS) {
      this.discard();
      this.#refill(MIN_DRAW);
    }
    this.#fresh = Math.min(this.#at + this.#perLook, this.#end);
  }

  /** A guest that reads on gets larger draws; one that let values grow old begins small again. */
  #refill(wanted: number): void {
    this.#size = this.#predictable ? READ_AHEAD : Math.min(Math.max(wanted, MIN_DRAW), READ_AHEAD);
    const head = this.#predictable ? 0 : HEAD;
    this.#drawnAt = performance.now();
    this.#fill(head + this.#size);
    this.#buffer.fill(0, 0, head);
    this.#mixer?.cover(this.#buffer.subarray(head, head + this.#size));
    this.#at = head / 8;
    this.#end = this.#at + this.#size / 8;
  }

  #fill(length: number): void {
    if (this.#failure === undefined) {
      const draw = length === this.#buffer.length ? this.#buffer : this.#buffer.subarray(0, length);
      const failed = this.#draw(draw);
      if (failed === undefined) return;
      this.#fail(failed);
    }
    if (this.#generator) {
      this.#generator.generate(this.#buffer.subarray(0, length));
      return;
    }
    const { name } = this.#options.source;
    throw new MachineError(`rng.source: ${name} failed: ${this.#failure!.detail}`, {
      cause: this.#failure!.cause,
      code: 'source',
    });
  }

  /** A failure is final. The source may have kept its buffer, and may write to it yet: so there is a new one. */
  #fail(failure: DrawFailure): void {
    const { source, fallback, onFailure } = this.#options;
    this.#failure = failure;
    if (this.#buffer.length > 0) this.#buffer.fill(0); // it has no length where the source took it away
    this.#buffer = new Uint8Array(HEAD + READ_AHEAD);
    this.#values = new BigUint64Array(this.#buffer.buffer);
    const distrusted = failure.reason === 'health' && source.secure === true;
    const goesOn =
      this.#seed !== undefined && (fallback ?? (distrusted ? 'stop' : 'generator')) === 'generator';
    if (goesOn) this.#generator = drbg(this.#seed!);
    this.#seed?.fill(0);
    this.#seed = undefined;
    onFailure?.({ ...failure, source: source.name, outcome: goesOn ? 'generator' : 'stopped' });
  }
}
