/**
 * MSR_COMMONHV_GENERATION and MSR_COMMONHV_GENERATION_PAGE of one machine (draft 3, "The generation", "Acknowledgement",
 * "Generation page"): who renews the value and when, what a guest's writes do, and the stores into its page.
 */
import { type Fault, GP, type GuestMemory, hex, MachineError, type SyncCpu } from '../cpu.ts';
import { decodePage, encodePage, PAGE_GENERATION } from '../spec/index.ts';
import type { ResolvedGeneration } from './options.ts';

/** The part of a machine's saved state that belongs to these two MSRs. */
export interface SavedGeneration {
  readonly generation: bigint;
  readonly acknowledged: boolean;
  /** Guest-physical address of the page, or `undefined` where none is enabled. */
  readonly page: number | undefined;
}

/** How often `next` is called for one renewal: a random value is unfit once in 2^30. */
const MAX_DRAWS = 8;

const low = (value: bigint) => value & 0xffff_ffffn;
const high = (value: bigint) => value >> 32n;
/** "Neither 32-bit half is ever 0", and both differ from those of the values before. */
const isFit = (value: bigint, before: readonly bigint[]) =>
  low(value) !== 0n &&
  high(value) !== 0n &&
  before.every((old) => low(old) !== low(value) && high(old) !== high(value));

export class Generation {
  readonly #options: ResolvedGeneration;
  readonly #host: SyncCpu;
  /** Whether this machine offers the page. */
  readonly page: boolean;
  #value: bigint;
  #acknowledged = false;
  #pageAddress: number | undefined;
  /** When the machine started, was restored or renewed, by performance.now(). */
  #since = performance.now();

  constructor(options: ResolvedGeneration, host: SyncCpu) {
    this.#options = options;
    this.#host = host;
    // On by default where it can be: an engine without a way to guest memory offers no page.
    this.page = options.page ?? host.memory !== undefined;
    if (this.page) this.#memory();
    this.#value = this.#draw([]);
  }

  /** RDMSR of MSR_COMMONHV_GENERATION. */
  read(): bigint {
    return this.#value;
  }

  /** WRMSR of it: with bit 4 the current value acknowledges, and any other raises #GP. */
  write(value: bigint): Fault | undefined {
    if (!this.#options.ack || value !== this.#value) return GP;
    if (this.#acknowledged) return undefined;
    this.#acknowledged = true;
    this.#options.onAcknowledge?.(performance.now() - this.#since);
    return undefined;
  }

  /** RDMSR of MSR_COMMONHV_GENERATION_PAGE. */
  readPage(): bigint {
    return this.#pageAddress === undefined ? 0n : encodePage(this.#pageAddress);
  }

  /** WRMSR of it. "#GP, and nothing changes" for every value that cannot be accepted. */
  writePage(value: bigint): Fault | undefined {
    const address = decodePage(value);
    if (address === 'invalid') return GP;
    if (address !== undefined && !this.#memory().isRam(address)) return GP;
    this.#pageAddress = address;
    this.#store();
    return undefined;
  }

  /** The machine's reset: "0 after power-on and reset". The generation stays. */
  reset(): void {
    this.#pageAddress = undefined;
  }

  saved(): SavedGeneration {
    return { generation: this.#value, acknowledged: this.#acknowledged, page: this.#pageAddress };
  }

  /**
   * The machine was restored. `saved` as its state has it; where the state does not carry the generation, the page in guest
   * memory shows it, if the guest has left it alone.
   */
  restored(saved: Partial<SavedGeneration>): void {
    if (saved.page !== undefined && !this.page)
      throw new MachineError('state: broken: it has a generation page, which its leaves do not offer', {
        code: 'refused',
      });
    this.#pageAddress = saved.page;
    this.renew(saved.generation === undefined ? this.#stored() : [saved.generation]);
  }

  /** A new value, other than the current one and those of `before` in both halves. The caller sees to it that no vCPU executes. */
  renew(before: readonly bigint[] = []): void {
    this.#value = this.#draw([this.#value, ...before]);
    this.#acknowledged = false;
    this.#since = performance.now();
    this.#store();
  }

  /** "Checked again at each store; a page that is gone sets the register to 0 and the owner is told." */
  #store(): void {
    const address = this.#pageAddress;
    if (address === undefined) return;
    const memory = this.#memory();
    if (memory.isRam(address)) {
      memory.store(address, PAGE_GENERATION, this.#value);
      return;
    }
    this.#pageAddress = undefined;
    this.#options.onPageLost?.(address);
  }

  /** The generation that guest memory shows. */
  #stored(): readonly bigint[] {
    const address = this.#pageAddress;
    if (address === undefined || !this.#memory().isRam(address)) return [];
    return [this.#memory().load(address, PAGE_GENERATION)];
  }

  #memory(): GuestMemory {
    const { memory } = this.#host;
    if (memory !== undefined) return memory;
    throw new TypeError(
      'generation.page: expected an engine that gives its layers a way to guest memory; leave it out, or false, for this one',
    );
  }

  /** Copies of a machine are told apart by this value alone, so a function that repeats itself is refused. */
  #draw(before: readonly bigint[]): bigint {
    let last: unknown;
    for (let i = 0; i < MAX_DRAWS; i++) {
      const value: unknown = this.#options.next();
      if (typeof value !== 'bigint')
        throw new TypeError(`generation.next: expected a bigint, got ${typeof value}`);
      if (BigInt.asUintN(64, value) !== value)
        throw new RangeError('generation.next: expected 64 bits, got more');
      if (isFit(value, before)) return value;
      last = value;
    }
    throw new RangeError(
      `generation.next: expected a value whose 32-bit halves are not 0 and differ from those before, got ${hex(last as bigint, 16)}`,
    );
  }
}
