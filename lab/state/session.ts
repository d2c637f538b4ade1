/** One machine as the page knows it: its state as signals, and the operations of its buttons. */
import { signal } from '@preact/signals';
import type { Report } from 'commonhv/conformance';
import type { Discovery } from 'commonhv/guest';
import type { Tally } from 'commonhv/trace';
import type { BootImage, Checked, Push, Saved, Seen } from '../model/protocol.ts';
import type { Row } from '../model/row.ts';
import type { Settings } from '../model/settings.ts';
import { Store } from '../model/store.ts';
import { ConsoleFeed } from './console-feed.ts';
import { picture } from './picture.ts';
import { type Remote, remote } from './remote.ts';

export type State = 'starting' | 'running' | 'paused' | 'ended' | 'failed';

/** A machine to start, or a copy to resume. */
export interface SessionOptions {
  readonly name: string;
  readonly settings: Settings;
  /** `undefined`: the probe. */
  readonly image?: BootImage | undefined;
  readonly saved?: Saved | undefined;
  /** Whether the hypervisor is checked as soon as the guest has looked; default true. */
  readonly check?: boolean | undefined;
}

/** The suite's result, and whom it asked: the machine through its guest, or a new hypervisor of the same settings. */
export interface Verified {
  readonly report: Report;
  readonly by: 'guest' | 'hypervisor';
}

/** How long a machine may take to end by itself before its worker is ended, in milliseconds. */
const SHUTDOWN_MS = 1000;
/** How long the console waits for the probe's first answer, in milliseconds. */
const LOOK_MS = 3000;
/** Values that a new machine reads and draws at once, so that there is something to see. */
const FIRST_VALUES = 64;
const TALLY_MS = 250;

let sessions = 0;

export class Session {
  /** Unique; counts up. */
  readonly id = ++sessions;
  readonly name: string;
  readonly settings: Settings;
  readonly image: BootImage | undefined;
  /** Whether the guest can be asked: the probe can, a system of the reader's own cannot. */
  readonly probe: boolean;
  readonly state = signal<State>('starting');
  /** Why it ended or failed, or another problem. */
  readonly detail = signal('');
  /** The operation in progress; one at a time. */
  readonly busy = signal('');
  readonly seen = signal<Seen | undefined>(undefined);
  readonly rows = signal<readonly Row[]>([]);
  readonly verified = signal<Verified | undefined>(undefined);
  /** The hypervisor's answers without a guest in between. */
  readonly checked = signal<Checked | undefined>(undefined);
  /** Milliseconds from the start or the restore to the guest's acknowledgement of its generation. */
  readonly acknowledged = signal<number | undefined>(undefined);
  readonly tally = signal<Tally | undefined>(undefined);
  readonly store = new Store();
  /** Counts up whenever the store has grown. */
  readonly grown = signal(0);
  /** The values that the guest read from the RNG. */
  readonly read = picture();
  /** The values that it drew from its own generator. */
  readonly drawn = picture();
  /** Milliseconds from `start` to the probe's first answer. */
  readonly firstAnswer = signal<number | undefined>(undefined);
  /** Whether the first look and check are over. */
  readonly settled = signal(false);
  readonly console = new ConsoleFeed();
  /** `performance.now()` at the start. */
  readonly started = performance.now();
  /** Resolves once the machine runs and the guest has looked, read and drawn, or once it failed. */
  readonly ready: Promise<void>;
  /** Resolves once the probe has answered, or will not soon. */
  readonly looked: Promise<void>;
  #onLooked: () => void = () => {};
  readonly #worker: Remote;
  #counting = false;

  constructor({ name, settings, image, saved, check = true }: SessionOptions) {
    this.name = name;
    this.settings = settings;
    this.image = image;
    this.probe = saved?.probe ?? image === undefined;
    this.#worker = remote(settings.engine, (message) => this.#onMessage(message));
    this.looked = new Promise((resolve) => {
      this.#onLooked = resolve;
      setTimeout(resolve, this.probe ? LOOK_MS : 0);
    });
    this.ready = this.#begin(saved, check);
  }

  /** Whether it can be paused and saved, and has a console: the model is a processor alone. */
  get hasMachine(): boolean {
    return this.settings.engine !== 'model';
  }

  get alive(): boolean {
    return this.state.value !== 'ended' && this.state.value !== 'failed';
  }

  /** Whether the guest can be asked now. */
  get askable(): boolean {
    return this.probe && this.state.value === 'running' && this.busy.value === '';
  }

  type(bytes: Uint8Array): void {
    this.#worker.calls.type(bytes).catch(() => {});
  }

  pause(): Promise<void> {
    return this.#alone('pausing', async () => {
      await this.#worker.calls.pause();
      this.state.value = 'paused';
    });
  }

  unpause(): Promise<void> {
    return this.#alone('resuming', async () => {
      await this.#worker.calls.unpause();
      this.state.value = 'running';
    });
  }

  stop(): void {
    this.#worker.calls.stop().catch(() => {});
    setTimeout(() => this.#end('ended', ENDS.closed), SHUTDOWN_MS);
  }

  save(): Promise<Saved | undefined> {
    return this.#alone('saving', () => this.#worker.calls.save());
  }

  look(): Promise<unknown> {
    return this.#alone('looking for CommonHV', () => this.#look());
  }

  lookAll(): Promise<void> {
    return this.#alone('reading every leaf', async () => {
      this.rows.value = await this.#worker.calls.lookAll();
    });
  }

  scan(): Promise<unknown> {
    return this.#alone('scanning', () => this.#worker.calls.scan());
  }

  readValues(count: number): Promise<void> {
    return this.#alone('reading the RNG', () => this.#worker.calls.read(count));
  }

  drawValues(count: number): Promise<void> {
    return this.#alone('drawing', () => this.#draw(count));
  }

  verify(): Promise<void> {
    return this.#alone('verifying', async () => {
      this.verified.value = { report: await this.#worker.calls.verify(), by: 'guest' };
    });
  }

  /** The counts as they are now; the store holds the events of all of them. */
  async count(): Promise<Tally | undefined> {
    this.tally.value = await this.#worker.calls.tally().catch(() => this.tally.value);
    return this.tally.value;
  }

  async #begin(saved: Saved | undefined, check: boolean): Promise<void> {
    const { calls } = this.#worker;
    try {
      await (saved ? calls.resume(this.settings, saved) : calls.start(this.settings, this.image));
    } catch (error) {
      this.#end('failed', messageOf(error));
      return;
    }
    if (this.state.value === 'starting') this.state.value = 'running';
    if (this.probe) await this.#alone('looking for CommonHV', () => this.#firstLook());
    if (check && this.alive) await this.#check();
    this.settled.value = true;
  }

  async #firstLook(): Promise<void> {
    const commonhv = await this.#look();
    this.firstAnswer.value = performance.now() - this.started;
    performance.mark('first-answer');
    this.#onLooked();
    if (commonhv?.rng) await this.#worker.calls.read(FIRST_VALUES);
    if (commonhv?.rng || !commonhv) await this.#draw(FIRST_VALUES);
  }

  async #look(): Promise<Discovery | undefined> {
    const seen = await this.#worker.calls.look();
    this.seen.value = seen;
    this.rows.value = seen.rows;
    return seen.detection.commonhv;
  }

  async #draw(count: number): Promise<void> {
    this.drawn.add(await this.#worker.calls.draw(count));
  }

  /** Beside the machine: it interrupts no operation, and a machine that is gone needs none. */
  async #check(): Promise<void> {
    const checked = await this.#worker.calls.check().catch((error) => {
      if (this.alive) this.detail.value = messageOf(error);
      return undefined;
    });
    if (checked === undefined) return;
    this.checked.value = checked;
    this.verified.value ??= { report: checked.report, by: 'hypervisor' };
  }

  /** One operation at a time; errors are shown beside the machine. */
  async #alone<T>(name: string, operation: () => Promise<T>): Promise<T | undefined> {
    if (this.busy.value !== '' || !this.alive) return undefined;
    this.busy.value = name;
    this.detail.value = '';
    try {
      return await operation();
    } catch (error) {
      this.detail.value = messageOf(error);
      return undefined;
    } finally {
      this.busy.value = '';
    }
  }

  #onMessage(message: Push): void {
    if (message.push === 'console') this.console.write(message.bytes, message.lost);
    else if (message.push === 'events') {
      this.store.add(message.events);
      this.grown.value++;
      this.#countSoon();
    } else if (message.push === 'values') this.read.add(message.values);
    else if (message.push === 'acknowledged') this.acknowledged.value = message.milliseconds;
    else this.#end(message.reason === 'failed' ? 'failed' : 'ended', message.detail ?? ENDS[message.reason]);
  }

  #end(state: 'ended' | 'failed', why: string): void {
    if (!this.alive) return;
    this.state.value = state;
    this.detail.value = why;
    this.busy.value = '';
    // The last counts are fetched before the worker ends.
    const terminate = () => this.#worker.terminate();
    this.#worker.calls.tally().then((counted) => {
      this.tally.value = counted;
      terminate();
    }, terminate);
  }

  #countSoon(): void {
    if (this.#counting) return;
    this.#counting = true;
    setTimeout(async () => {
      const begun = performance.now();
      const before = this.store.total;
      await this.count();
      // A guest that asks for everything there is has a long tally: the longer it takes, the rarer.
      setTimeout(
        () => {
          this.#counting = false;
          if (this.store.total !== before) this.#countSoon();
        },
        10 * (performance.now() - begun),
      );
    }, TALLY_MS);
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const ENDS = {
  quit: 'the guest ended by itself',
  halt: 'the guest halted for good',
  shutdown: 'the guest shut down: a triple fault',
  closed: 'stopped',
  failed: 'failed',
} as const;
