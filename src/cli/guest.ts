/** A guest with its console at ours: until it ends, the time is up, or somebody stops it. */
import type { End, Machine } from '../cpu.ts';
import type { Io } from './io.ts';

/** Ctrl-], as in telnet: in a raw terminal every other key is the guest's. */
const ESCAPE = 0x1d;

export interface Attachment {
  /** Seconds until the guest is ended. */
  readonly timeout: number | undefined;
  /** Where the guest's output goes. */
  readonly output: (bytes: Uint8Array) => Promise<void>;
  /** Text of the guest's output at which it is stopped. */
  readonly until?: string | undefined;
  /** Called where the guest still runs when it is stopped. */
  readonly onStop?: ((machine: Machine) => Promise<void>) | undefined;
}

/** How the guest ended, or who ended it. */
export type Outcome = End['reason'] | 'timeout' | 'interrupted' | 'escape' | 'until';

/** How the guest ended, in one line. */
export function endText(outcome: Outcome, { detail }: End, timeout: number | undefined): string {
  switch (outcome) {
    case 'timeout':
      return `the guest still ran after ${timeout} s, and was ended`;
    case 'interrupted':
      return 'interrupted';
    case 'escape':
      return 'the guest was ended by Ctrl-]';
    case 'until':
    case 'closed':
      return 'the guest was ended';
    case 'quit':
      return detail ?? 'the guest powered off';
    case 'halt':
      return `the guest halted: ${detail ?? 'HLT with interrupts off'}`;
    case 'shutdown':
      return `the guest shut down: ${detail ?? 'a triple fault'}`;
    case 'failed':
      return `the guest failed: ${detail ?? 'the engine says no more'}`;
  }
}

/** Runs until the end, closes the machine, and leaves the terminal as it was. */
export async function attach(
  machine: Machine,
  io: Io,
  { timeout, output, until, onStop }: Attachment,
): Promise<{ outcome: Outcome; end: End }> {
  let stop: (outcome: Outcome) => void = () => {};
  const stopped = new Promise<Outcome>((resolve) => {
    stop = resolve;
  });
  const interrupt = (): void => stop('interrupted');
  const timer = timeout === undefined ? undefined : setTimeout(() => stop('timeout'), timeout * 1000);
  if (io.interrupted.aborted) stop('interrupted');
  io.interrupted.addEventListener('abort', interrupt);
  if (io.interactive) io.raw(true);
  const found = finder(until, () => stop('until'));
  const shown = show(machine, (bytes) => {
    found(bytes);
    return output(bytes);
  });
  type(machine, io, () => stop('escape'));
  try {
    const outcome = await Promise.race([machine.ended.then(({ reason }) => reason), stopped]);
    if (outcome === 'until' || outcome === 'timeout' || outcome === 'interrupted' || outcome === 'escape') {
      await onStop?.(machine);
    }
    await machine.close();
    await shown;
    return { outcome, end: await machine.ended };
  } finally {
    clearTimeout(timer);
    io.interrupted.removeEventListener('abort', interrupt);
    if (io.interactive) io.raw(false);
    await machine.close();
  }
}

/** Calls `onFound` when a text has come, in however many pieces. */
function finder(text: string | undefined, onFound: () => void): (bytes: Uint8Array) => void {
  if (text === undefined || text === '') return () => {};
  const decoder = new TextDecoder('latin1');
  let tail = '';
  return (bytes) => {
    tail += decoder.decode(bytes);
    if (tail.includes(text)) onFound();
    tail = tail.slice(1 - text.length || tail.length);
  };
}

async function show(machine: Machine, output: (bytes: Uint8Array) => Promise<void>): Promise<void> {
  const reader = machine.console.readable.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) await output(next.value);
}

/** Bytes typed at a terminal that the guest has not taken yet; more is dropped, as a terminal's own queue does. */
const MAX_TYPED = 65_536;

/**
 * Copies our input to the guest for as long as both are there; its end is not the guest's. At a terminal nothing waits for
 * the guest, which may never read its line: Ctrl-] is found in whatever is typed.
 */
async function type(machine: Machine, io: Io, onEscape: () => void): Promise<void> {
  const writer = machine.console.writable.getWriter();
  let typed = 0;
  try {
    for await (const bytes of io.input()) {
      if (io.interactive && bytes.includes(ESCAPE)) return onEscape();
      if (!io.interactive) await writer.write(bytes);
      else if (typed + bytes.length <= MAX_TYPED) {
        typed += bytes.length;
        writer.write(bytes).then(
          () => {
            typed -= bytes.length;
          },
          () => {},
        );
      }
    }
  } catch {
    // The guest is gone, or the input is: either way there is nobody to tell.
  }
}
