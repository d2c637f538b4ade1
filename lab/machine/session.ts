/** One machine as the page knows it: its state as signals, and the operations of its buttons. */
import { type ReadonlySignal, signal } from '@preact/signals';
import type { Report } from 'commonhv/conformance';
import type { Tally } from 'commonhv/trace';
import type { Row } from '../leaves/row.ts';
import { type Picture, picture } from '../random/picture.ts';
import type { Settings } from '../settings/settings.ts';
import { type Store, store } from '../timeline/store.ts';
import type { Chosen, Push, Saved, Seen } from './protocol.ts';
import { remote } from './remote.ts';

export type State = 'starting' | 'running' | 'paused' | 'ended' | 'failed';

export interface Session {
  /** Told apart by this; counts up. */
  readonly id: number;
  readonly name: string;
  readonly settings: Settings;
  readonly chosen: Chosen | undefined;
  /** Whether the guest can be asked: the probe can, a system of the reader's own cannot. */
  readonly probe: boolean;
  readonly state: ReadonlySignal<State>;
  /** Why it ended or failed, or another problem. */
  readonly detail: ReadonlySignal<string>;
  /** The operation in progress; one at a time. */
  readonly busy: ReadonlySignal<string>;
  readonly seen: ReadonlySignal<Seen | undefined>;
  readonly rows: ReadonlySignal<readonly Row[]>;
  readonly report: ReadonlySignal<Report | undefined>;
  readonly tally: ReadonlySignal<Tally | undefined>;
  readonly store: Store;
  /** Counts up whenever the store has grown. */
  readonly grown: ReadonlySignal<number>;
  /** The values that the guest read from the RNG. */
  readonly read: Picture;
  /** The values that it drew from its own generator. */
  readonly drawn: Picture;
  /** Milliseconds from `start` to the probe's first answer. */
  readonly firstAnswer: ReadonlySignal<number | undefined>;
  /** Takes the console's bytes from now on, after all that came before. */
  attach(write: (bytes: Uint8Array) => void): () => void;
  type(bytes: Uint8Array): void;
  pause(): void;
  unpause(): void;
  stop(): void;
  save(): Promise<Saved | undefined>;
  look(): void;
  lookAll(): void;
  search(): void;
  readWords(count: number): void;
  drawWords(count: number): void;
  verify(): void;
}

/** Console bytes kept for a terminal that is not there yet. */
const BACKLOG = 256 * 1024;
/** How long a machine may take to end by itself before its worker is ended, in milliseconds. */
const SHUTDOWN_MS = 1000;
/** Words that a new machine reads and draws at once, so that there is something to see. */
const FIRST_WORDS = 64;
const TALLY_EVERY = 250;

let sessions = 0;

export function session(
  name: string,
  settings: Settings,
  chosen: Chosen | undefined,
  saved: Saved | undefined,
): Session {
  const state = signal<State>('starting');
  const detail = signal('');
  const busy = signal('');
  const seen = signal<Seen | undefined>(undefined);
  const rows = signal<readonly Row[]>([]);
  const report = signal<Report | undefined>(undefined);
  const tally = signal<Tally | undefined>(undefined);
  const grown = signal(0);
  const firstAnswer = signal<number | undefined>(undefined);
  const events = store();
  const read = picture();
  const drawn = picture();
  const probe = saved?.probe ?? chosen === undefined;
  const console = terminalFeed();
  const started = performance.now();

  const far = remote(take);
  const { calls } = far;

  function take(message: Push): void {
    if (message.push === 'console') {
      console.write(message.bytes);
      if (message.lost > 0)
        console.write(new TextEncoder().encode(`\r\n[${message.lost} bytes left out]\r\n`));
    } else if (message.push === 'events') {
      events.add(message.events);
      grown.value++;
      countSoon();
    } else if (message.push === 'words') read.add(message.words);
    else end(message.reason === 'failed' ? 'failed' : 'ended', message.detail ?? ENDS[message.reason]);
  }

  function end(how: 'ended' | 'failed', why: string): void {
    if (state.value === 'ended' || state.value === 'failed') return;
    state.value = how;
    detail.value = why;
    busy.value = '';
    // The last counts are fetched before the worker ends.
    const gone = () => far.terminate();
    calls.tally().then((counted) => {
      tally.value = counted;
      gone();
    }, gone);
  }

  let counting = false;
  function countSoon(): void {
    if (counting) return;
    counting = true;
    setTimeout(async () => {
      const begun = performance.now();
      const before = events.total;
      tally.value = await calls.tally().catch(() => tally.value);
      // A guest that asks for everything there is has a long tally: the longer it takes, the rarer.
      const rest = 10 * (performance.now() - begun);
      setTimeout(() => {
        counting = false;
        if (events.total !== before) countSoon();
      }, rest);
    }, TALLY_EVERY);
  }

  /** One operation at a time; errors are shown beside the machine. */
  async function doing<T>(what: string, control: () => Promise<T>): Promise<T | undefined> {
    if (busy.value !== '' || state.value === 'ended' || state.value === 'failed') return undefined;
    busy.value = what;
    detail.value = '';
    try {
      return await control();
    } catch (error) {
      detail.value = error instanceof Error ? error.message : String(error);
      return undefined;
    } finally {
      busy.value = '';
    }
  }

  const look = async () => {
    const what = await calls.look();
    seen.value = what;
    rows.value = what.rows;
    return what.detection.commonhv;
  };
  const draw = async (count: number) => drawn.add(await calls.draw(count));

  async function begin(): Promise<void> {
    try {
      await (saved ? calls.resume(settings, saved) : calls.start(settings, chosen));
    } catch (error) {
      end('failed', error instanceof Error ? error.message : String(error));
      return;
    }
    if (state.value === 'starting') state.value = 'running';
    if (!probe) return;
    await doing('looking for CommonHV', async () => {
      const commonhv = await look();
      firstAnswer.value = performance.now() - started;
      performance.mark('first-answer');
      if (!commonhv?.rng) return;
      await calls.read(FIRST_WORDS);
      await draw(FIRST_WORDS);
    });
  }
  void begin();

  return {
    id: ++sessions,
    name,
    settings,
    chosen,
    probe,
    state,
    detail,
    busy,
    seen,
    rows,
    report,
    tally,
    store: events,
    grown,
    read,
    drawn,
    firstAnswer,
    attach: console.attach,
    type: (bytes) => void calls.type(bytes).catch(() => {}),
    pause: () =>
      void doing('pausing', async () => {
        await calls.pause();
        state.value = 'paused';
      }),
    unpause: () =>
      void doing('resuming', async () => {
        await calls.unpause();
        state.value = 'running';
      }),
    stop() {
      calls.stop().catch(() => {});
      setTimeout(() => end('ended', ENDS.closed), SHUTDOWN_MS);
    },
    save: () => doing('saving', calls.save),
    look: () => void doing('looking for CommonHV', look),
    lookAll: () =>
      void doing('reading every leaf', async () => {
        rows.value = await calls.lookAll();
      }),
    search: () => void doing('searching the old way', calls.search),
    readWords: (count) => void doing('reading the RNG', () => calls.read(count)),
    drawWords: (count) => void doing('drawing', () => draw(count)),
    verify: () =>
      void doing('verifying', async () => {
        report.value = await calls.verify();
      }),
  };
}

const ENDS = {
  quit: 'the guest ended by itself',
  halt: 'the guest halted for good',
  shutdown: 'the guest shut down: a triple fault',
  closed: 'stopped',
  failed: 'failed',
} as const;

/** Console bytes on their way to a terminal that may come later, or change. */
function terminalFeed(): { write(bytes: Uint8Array): void; attach: Session['attach'] } {
  const past: Uint8Array[] = [];
  let size = 0;
  const sinks = new Set<(bytes: Uint8Array) => void>();
  return {
    write(bytes) {
      past.push(bytes);
      size += bytes.length;
      while (size > BACKLOG && past.length > 1) size -= past.shift()!.length;
      for (const sink of sinks) sink(bytes);
    },
    attach(sink) {
      for (const bytes of past) sink(bytes);
      sinks.add(sink);
      return () => void sinks.delete(sink);
    },
  };
}
