/** `commonhv probe`: hands out the probe guest's image, for a hypervisor of one's own. */
import { writeFile } from 'node:fs/promises';
import { type Form, probeForm } from '../probe/index.ts';
import { type Io, UsageError, unwritten } from './io.ts';
import { DESCRIPTIONS } from './probe-forms.ts';

export interface ProbeOptions {
  /** The file, or `-` for standard output. */
  readonly write: string;
  /** By default `iso` or `efi` for a file that ends so, else `all`. */
  readonly form?: Form | undefined;
}

export async function runProbe({ write, form }: ProbeOptions, io: Io): Promise<number> {
  const [, ending] = /\.(iso|efi)$/i.exec(write) ?? [];
  const chosen = form ?? ((ending?.toLowerCase() as 'iso' | 'efi' | undefined) || 'all');
  const bytes = probeForm(chosen);
  if (write === '-') await io.out(bytes);
  else {
    await put(write, bytes);
    io.err(`${write}: ${DESCRIPTIONS[chosen]}; its guest waits for verify on the first serial port`);
  }
  return 0;
}

async function put(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await writeFile(path, bytes);
  } catch (cause) {
    throw new UsageError(`--write ${path}: ${unwritten(cause as NodeJS.ErrnoException)}`, { cause });
  }
}
