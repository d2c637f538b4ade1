/** The machine as `commonhv doctor` sees it: files, directories, and CPUID, each of which may be missing or forbidden. */
import { closeSync, constants, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import type { Detection } from '../../guest/index.ts';
import { detect } from '../../guest/index.ts';
import { openNative } from '../processor.ts';

/** A file's text; `absent`; or `denied`, where another user may see more. */
export type Seen = { readonly text: string } | 'absent' | 'denied';

/** A test hands in its own. Paths are absolute; nothing throws. */
export interface World {
  read(path: string): Seen;
  /** Names in a directory; none where it is not there. */
  list(path: string): readonly string[];
  /** A link's target. */
  link(path: string): Seen;
  /** The kernel's log as lines; `denied` without the right to read it. */
  log(): readonly string[] | 'denied';
  /** `uname -r`. */
  readonly release: string;
  /** The interfaces that the hypervisor offers, asked by CPUID; `undefined` where this processor cannot be asked. */
  detection(): Promise<Detection | undefined>;
}

/** More of a file than any check needs. */
const MAX_BYTES = 1 << 20;

/** This machine. */
export const thisMachine: World = {
  read: (path) => attempt(() => ({ text: readFileSync(path, 'latin1').slice(0, MAX_BYTES) })),
  list(path) {
    const names = attempt(() => readdirSync(path));
    return typeof names === 'string' ? [] : names;
  },
  link: (path) => attempt(() => ({ text: readlinkSync(path) })),
  log() {
    const lines = attempt(readKernelLog);
    return typeof lines === 'string' ? 'denied' : lines;
  },
  get release() {
    const release = this.read('/proc/sys/kernel/osrelease');
    return typeof release === 'string' ? '' : release.text.trim();
  },
  async detection() {
    try {
      const { cpu, close } = await openNative();
      try {
        return await detect(cpu);
      } finally {
        await close();
      }
    } catch {
      return undefined;
    }
  },
};

function attempt<T>(action: () => T): T | 'absent' | 'denied' {
  try {
    return action();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'EACCES' || code === 'EPERM' ? 'denied' : 'absent';
  }
}

/** /dev/kmsg, a record a read, to its present end. */
function readKernelLog(): readonly string[] {
  const fd = openSync('/dev/kmsg', constants.O_RDONLY | constants.O_NONBLOCK);
  const record = Buffer.alloc(8192);
  const lines: string[] = [];
  try {
    for (let i = 0; i < 100_000; i++) lines.push(record.toString('latin1', 0, readSync(fd, record)));
  } catch (error) {
    // EAGAIN: the end. EPIPE: a record was overwritten while it was read.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EAGAIN' && code !== 'EPIPE') throw error;
  } finally {
    closeSync(fd);
  }
  return lines;
}
