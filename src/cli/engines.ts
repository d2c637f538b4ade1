/** The engines by name, each imported when it is asked for, and the guest images from files. */
import { readFile } from 'node:fs/promises';
import type { Engine, Image } from '../cpu.ts';
import { UsageError } from './io.ts';
import type { GuestOptions } from './options.ts';

/** An engine that boots guests: `v86` or `kvm`. */
export async function openEngine({ engine = 'v86', memory }: GuestOptions): Promise<Engine> {
  if (engine === 'v86') {
    const { v86 } = await import('../engines/v86/index.ts');
    return v86(memory === undefined ? {} : { memory });
  }
  throw new UsageError(`--engine ${engine} runs no guests; v86 and kvm do`);
}

/** Reads a kernel, and the initrd where one is named. */
export async function readImage(kernel: string, { initrd, append }: GuestOptions): Promise<Image> {
  return {
    kernel: await read(kernel, 'image'),
    ...(initrd !== undefined && { initrd: await read(initrd, '--initrd') }),
    ...(append !== undefined && { commandLine: append }),
  };
}

async function read(path: string, what: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a folder' : code;
    throw new UsageError(`${what} ${path}: ${why}`, { cause });
  }
}
