/** Saved machines in files: written so that only a complete one has the name, and opened to be mapped. */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';
import { MachineError } from '../../cpu.ts';
import { writeCompleteFile } from './complete-file.ts';
import type { GuestMemory } from './memory.ts';
import { memoryRuns } from './memory-runs.ts';
import { type Description, encodeHead, encodePacked, type ParsedState, parseState } from './saved-state.ts';

/** A saved state: bytes, or the path of a file. */
export type StateSource = Uint8Array | string;

/** An open, checked state. */
export class OpenState {
  readonly parsed: ParsedState;
  readonly #source: StateSource;
  readonly #fd: number | undefined;
  readonly #size: number;
  #closed = false;

  /** Throws a TypeError for a state that is not one, a `MachineError` for a file that cannot be read. */
  constructor(source: StateSource) {
    this.#source = source;
    if (typeof source === 'string') {
      const { fd, size } = openFile(source);
      this.#fd = fd;
      this.#size = size;
    } else {
      if (!(source instanceof Uint8Array)) throw new TypeError('state: expected a Uint8Array or a path');
      this.#size = source.length;
    }
    try {
      this.parsed = parseState(this.#size, (at, length) => this.#read(at, length));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The memory, where it can be mapped. */
  get image(): { readonly fd: number; readonly offset: number } | undefined {
    const { wholeAt } = this.parsed;
    return this.#fd === undefined || wholeAt === undefined ? undefined : { fd: this.#fd, offset: wholeAt };
  }

  /** Copies the memory, where it is not mapped, into memory that is zero. */
  loadInto(memory: GuestMemory): void {
    if (this.image !== undefined) return;
    const { wholeAt, memory: size, runs } = this.parsed;
    const all = wholeAt === undefined ? runs : [{ address: 0, length: size, at: wholeAt }];
    for (const { address, length, at } of all) {
      for (let done = 0; done < length; done += CHUNK) {
        const bytes = this.#read(at + done, Math.min(CHUNK, length - done));
        if (bytes.some((byte) => byte !== 0)) memory.load(address + done, bytes);
      }
    }
  }

  /** Why a mapped file cannot serve its pages any more; `undefined` where it can. */
  fault(): string | undefined {
    if (this.#fd === undefined || fstatSync(this.#fd).size >= this.#size) return undefined;
    return `the saved state ${this.#source} was truncated while the machine ran from it`;
  }

  /** Safe to call twice. */
  close(): void {
    if (this.#fd !== undefined && !this.#closed) closeSync(this.#fd);
    this.#closed = true;
  }

  #read(at: number, length: number): Uint8Array {
    if (this.#fd === undefined) return (this.#source as Uint8Array).subarray(at, at + length);
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, readSync(this.#fd, bytes, 0, length, at));
  }
}

const CHUNK = 2 ** 20;

function openFile(path: string): { fd: number; size: number } {
  let fd: number;
  try {
    // A FIFO must not block.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new MachineError(`state ${path}: ${code === 'ENOENT' ? 'there is no such file' : code}`, { cause });
  }
  const file = fstatSync(fd);
  if (file.isFile()) return { fd, size: file.size };
  closeSync(fd);
  throw new MachineError(`state ${path}: expected a file`);
}

/**
 * Writes a state next to `path` and renames it when it is complete and on disk; the name never stands for half a state.
 * `proceed` is awaited now and then, and throws where the machine has ended meanwhile. What fails leaves no file.
 */
export async function writeStateFile(
  path: string,
  description: Description,
  memory: GuestMemory,
  proceed: () => Promise<void>,
): Promise<void> {
  try {
    await writeCompleteFile(path, async (fd) => {
      const head = encodeHead(description, memory.size);
      ftruncateSync(fd, head.length + memory.size);
      for (const { address, bytes } of memoryRuns(memory)) {
        writeAll(fd, bytes, head.length + address);
        await proceed();
      }
      fsyncSync(fd);
      writeAll(fd, head, 0); // last: a file without it is no state
    });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === undefined || cause instanceof MachineError) throw cause;
    throw new MachineError(`state ${path}: cannot be written: ${REASONS[code] ?? code}`, { cause });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota is used up',
  ENOENT: 'there is no such folder',
  EISDIR: 'it is a folder',
};

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let at = 0; at < bytes.length; ) {
    at += writeSync(fd, bytes, at, bytes.length - at, position + at);
  }
}

/** A state as bytes. */
export async function packState(
  description: Description,
  memory: GuestMemory,
  proceed: () => Promise<void>,
): Promise<Uint8Array> {
  const runs = [];
  for (const run of memoryRuns(memory)) {
    runs.push(run);
    await proceed();
  }
  return encodePacked(description, memory.size, runs);
}
