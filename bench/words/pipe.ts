/** Gives a stream to a program that judges random bytes, until it has had enough or `bytes` are gone. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

export interface Judged {
  readonly text: string;
  readonly code: number;
  /** Bytes that the program took. */
  readonly bytes: number;
}

/** Piped, never a file: dieharder rewinds a short one, which then fails it falsely. A MachineError-like Error without it. */
export async function pipe(
  stream: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  command: readonly string[],
  bytes = Number.POSITIVE_INFINITY,
): Promise<Judged> {
  const child = spawn(command[0]!, command.slice(1), { stdio: 'pipe' });
  let text = '';
  for (const out of [child.stdout, child.stderr])
    out.setEncoding('latin1').on('data', (more) => (text += more));
  let open = true;
  child.stdin.on('error', () => (open = false)); // EPIPE: it has had enough
  child.on('exit', () => (open = false));
  const closed = once(child, 'close');
  let written = 0;
  for await (const chunk of stream) {
    const part = Buffer.from(chunk.subarray(0, bytes - written));
    // once() would wait for ever where the program ends instead of reading on.
    if (open && !child.stdin.write(part))
      await Promise.race([once(child.stdin, 'drain'), closed]).catch(() => {});
    if (!open) break;
    written += part.length;
    if (written >= bytes) break;
  }
  child.stdin.end();
  const [code] = (await closed) as [number];
  return { text, code, bytes: written };
}
