/** A machine's console in xterm.js, which is fetched once the first machine has something to say. */
import type { Terminal as XTerm } from '@xterm/xterm';
import { useEffect, useId, useRef } from 'preact/hooks';
import type { Session } from '../../state/session.ts';
import { colours, onScheme } from '../scheme.ts';

export function Terminal({ machine }: { machine: Session }) {
  const place = useRef<HTMLDivElement>(null);
  const spoken = useRef<HTMLDivElement>(null);
  const hint = useId();
  useEffect(() => {
    let close = () => {};
    let gone = false;
    void open(place.current!, spoken.current!, machine, hint).then((closeIt) => {
      if (gone) closeIt();
      else close = closeIt;
    });
    return () => {
      gone = true;
      close();
    };
  }, [machine]);
  return (
    <>
      <div class="tty" ref={place} />
      {!machine.probe && (
        <p class="hint" id={hint}>
          Tab is the guest’s here. <kbd>Ctrl</kbd>+<kbd>]</kbd>, then <kbd>Tab</kbd>, goes on to the next
          control; <kbd>Shift</kbd>+<kbd>Tab</kbd> goes back.
        </p>
      )}
      <div
        class="unseen"
        role="log"
        aria-live="off"
        aria-label={`The last lines of ${machine.name}`}
        ref={spoken}
      />
    </>
  );
}

async function open(
  place: HTMLElement,
  spoken: HTMLElement,
  machine: Session,
  hint: string,
): Promise<() => void> {
  // The first answer comes sooner where nothing else takes the page's time.
  await machine.looked;
  const [xterm, { FitAddon }, { strictDocument }] = await Promise.all([
    import('@xterm/xterm'),
    import('@xterm/addon-fit'),
    import('./csp-document.ts'),
    import('@xterm/xterm/css/xterm.css'),
  ]);
  const strict = strictDocument();
  const terminal = new xterm.Terminal({
    documentOverride: strict.document,
    convertEol: true,
    fontSize: 13,
    fontFamily: 'ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace',
    scrollback: 2000,
    minimumContrastRatio: 4.5, // whatever colours a guest chooses
    theme: theme(),
  });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  strict.during(() => terminal.open(place));
  terminal.textarea?.setAttribute('aria-label', `Console of ${machine.name}`);
  if (!machine.probe) terminal.textarea?.setAttribute('aria-describedby', hint);
  fit.fit();
  const sized = new ResizeObserver(() => fit.fit());
  sized.observe(place);
  const schemed = onScheme(() => {
    terminal.options.theme = theme();
  });
  await measured(terminal, place);
  const paced = pacer((bytes) => terminal.write(bytes));
  const detach = machine.console.attach(paced.write);
  const mirrored = mirror(terminal, spoken);
  const typed = terminal.onData(
    machine.probe ? lineOf(terminal, machine) : (text) => machine.type(encode(text)),
  );
  terminal.attachCustomKeyEventHandler(wayOut(machine.probe));
  return () => {
    sized.disconnect();
    schemed();
    detach();
    paced.close();
    mirrored();
    typed.dispose();
    terminal.dispose();
    strict.dispose();
  };
}

/**
 * Nobody is caught in here. The probe has no use for Tab; to a system of the reader's own it belongs, until Ctrl and ] were
 * pressed, telnet's old way out. Shift and Tab go back in both. Returns whether a key is the guest's.
 */
function wayOut(probe: boolean): (event: KeyboardEvent) => boolean {
  let leaving = false;
  return ({ type, key, ctrlKey, shiftKey }) => {
    if (key === 'Tab') return !(probe || shiftKey || leaving);
    if (type !== 'keydown' || probe || key === 'Control') return true;
    leaving = ctrlKey && key === ']';
    return !leaving;
  };
}

/**
 * xterm.js measures each character when it first shows it, by a layout of the page each: a kernel's first screen would hold
 * the page up with dozens. So all of them are shown once, out of sight, while there is nothing else to show.
 */
function measured(terminal: XTerm, place: HTMLElement): Promise<void> {
  place.style.visibility = 'hidden';
  return new Promise((resolve) => {
    const done = () => {
      rendered.dispose();
      clearTimeout(timer);
      terminal.write('\x1b[2J\x1b[H', () => {
        place.style.visibility = '';
        resolve();
      });
    };
    const rendered = terminal.onRender(done);
    const timer = setTimeout(done, 500); // a page that nobody looks at renders nothing
    terminal.write(String.fromCharCode(...Array.from({ length: 0x7f - 0x21 }, (_, i) => 0x21 + i)));
  });
}

/** At most so often a terminal is written to, in milliseconds: it paints itself each time, and a booting kernel never rests. */
const PACE = 100;

/** Hands bytes on at once after a rest, and together while more keep coming. */
function pacer(out: (bytes: Uint8Array) => void): { write(bytes: Uint8Array): void; close(): void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let held: Uint8Array[] = [];
  const turn = () => {
    timer = held.length > 0 ? setTimeout(turn, PACE) : undefined;
    for (const bytes of held) out(bytes);
    held = [];
  };
  return {
    write(bytes) {
      held.push(bytes);
      if (timer === undefined) turn();
    },
    close: () => clearTimeout(timer),
  };
}

/**
 * The last lines as text, for screen readers. xterm.js has a mode for them, which lays the page out anew for each line that
 * comes: a booting kernel then holds the page up.
 */
function mirror(terminal: XTerm, spoken: HTMLElement): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const write = () => {
    timer = undefined;
    const buffer = terminal.buffer.active;
    const last = buffer.baseY + buffer.cursorY;
    const lines: string[] = [];
    for (let i = Math.max(0, last - MIRRORED + 1); i <= last; i++) {
      lines.push(buffer.getLine(i)?.translateToString(true) ?? '');
    }
    spoken.textContent = lines.join('\n');
  };
  const parsed = terminal.onWriteParsed(() => {
    timer ??= setTimeout(write, MIRROR_EVERY);
  });
  return () => {
    clearTimeout(timer);
    parsed.dispose();
  };
}

/** Lines for a screen reader, and how often they are brought up to date, in milliseconds. */
const MIRRORED = 50;
const MIRROR_EVERY = 500;

/** The probe has no echo and takes whole lines, so a line is edited here. */
function lineOf(terminal: { write(text: string): void }, machine: Session): (text: string) => void {
  let line = '';
  return (text) => {
    for (const character of text) {
      if (character === '\r') {
        terminal.write('\r\x1b[K');
        machine.type(encode(`${line}\n`));
        line = '';
      } else if (character === '\x7f') {
        if (line !== '') terminal.write('\b \b');
        line = line.slice(0, -1);
      } else if (/[ -~]/.test(character) && line.length < 40) {
        line += character;
        terminal.write(character);
      }
    }
  };
}

const encode = (text: string) => new TextEncoder().encode(text);

function theme() {
  const names = ['--console', '--console-text', '--accent', '--selection', '--text-soft'];
  const [background, foreground, cursor, selectionBackground, brightBlack] = colours(...names);
  return {
    background: background!,
    foreground: foreground!,
    cursor: cursor!,
    selectionBackground: selectionBackground!,
    brightBlack: brightBlack!,
  };
}
