/** The stock Debian guest for tests and benchmarks: made once by its script, booted, and talked to at its shell. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Image, Machine } from 'commonhv';
import { skipUnless } from './require.ts';

/** The kernel and the initial file system, or why they cannot be had here. `more` are options of the script. */
export function debianGuest(more: readonly string[] = []): { skip: false; image: Image } | { skip: string } {
  try {
    const said = execFileSync('scripts/debian-guest.sh', [...more], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [, kernel, initrd] = /: (.*\/vmlinu[xz]) (.*\/initrd)$/.exec(said.trim())!;
    return {
      skip: false,
      image: {
        kernel: readFileSync(kernel!),
        initrd: readFileSync(initrd!),
        commandLine: 'console=ttyS0 quiet noisapnp cryptomgr.notests',
      },
    };
  } catch (error) {
    const { status, stderr } = error as { status?: number; stderr?: string };
    const reason = String(stderr).trim().split('\n').at(-1) ?? 'the script failed';
    if (status !== 3) throw new Error(reason, { cause: error });
    return { skip: skipUnless('debian', false, reason) as string };
  }
}

export interface Shell {
  /** What the guest has said so far. */
  readonly heard: string;
  /** Types; resolves when the guest has taken it. */
  type(text: string): Promise<void>;
  /** Runs a command and gives back what it printed. */
  run(command: string, milliseconds?: number): Promise<string>;
  /** Waits until the guest has said `text`, after what was waited for before. */
  until(text: string, milliseconds?: number): Promise<string>;
}

/** Commands as they come, one a line, without prompt, echo and line editing. */
const PLAIN = `stty -echo; echo pla''in; while read -r line; do eval "$line"; done; exit\n`;

/**
 * The shell on a machine's console. `plain`: the machine was saved when it had been made plain already. `ahead`: the output
 * of what has been typed already, waited for before anything else is typed: the guest echoes into it otherwise.
 */
export async function shellOf(
  { console }: Pick<Machine, 'console'>,
  { plain = false, ahead = '' } = {},
): Promise<Shell> {
  const reader = console.readable.getReader();
  const writer = console.writable.getWriter();
  const decoder = new TextDecoder('latin1');
  let heard = '';
  let taken = 0;
  let commands = 0;

  async function until(text: string, milliseconds = 300_000): Promise<string> {
    const late = Date.now() + milliseconds;
    for (;;) {
      const at = heard.indexOf(text, taken);
      if (at >= 0) {
        const between = heard.slice(taken, at);
        taken = at + text.length;
        return between;
      }
      let timer: ReturnType<typeof setTimeout> | undefined;
      const expired = new Promise<never>((_, reject) => {
        timer = setTimeout(
          () => reject(new Error(`the guest did not say ${text}; last: ${heard.slice(-300)}`)),
          late - Date.now(),
        );
      });
      const next = await Promise.race([reader.read(), expired]).finally(() => clearTimeout(timer));
      if (next.done) throw new Error(`the guest ended; last: ${heard.slice(-300)}`);
      heard += decoder.decode(next.value, { stream: true });
    }
  }

  const type = (text: string) => writer.write(new TextEncoder().encode(text));
  if (!plain) {
    await until('guest ready: Linux');
    await until(ahead);
    await until('/ # ');
    await type(PLAIN);
    await until('plain\r\n');
  }
  return {
    get heard() {
      return heard;
    },
    type,
    until,
    async run(command, milliseconds) {
      const mark = `done-${++commands}`;
      await type(`${command}\necho ${mark}\n`);
      return (await until(`${mark}\r\n`, milliseconds)).replaceAll('\r', '').trim();
    },
  };
}
