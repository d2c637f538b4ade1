/**
 * Where a process of a Linux guest sees that its machine was restored: the driver's page (/dev/commonhv, both words of draft 3's
 * generation page), else the agent's file (/run/commonhv/generation, a u32 that changes only after the kernel's reseed).
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { ffi, MAP, OPEN, PROT } from '../engines/ffi.ts';

/** One look: the machine's generation, and whether the kernel's generator has been reseeded for it. */
export interface Look {
  readonly generation: bigint;
  readonly reseeded: boolean;
}

export interface View {
  /** The device or file. */
  readonly path: string;
  look(): Look;
  /** Asks the kernel to reseed now, where this view can; does not wait. */
  ask?(): void;
}

export const DRIVER = '/dev/commonhv';
export const AGENT_FILE = '/run/commonhv/generation';

/** The driver's page or the agent's file; `undefined` where neither is there. */
export function openView(driver = DRIVER, file = AGENT_FILE): View | undefined {
  return openPage(driver) ?? openFile(file);
}

let view: View | undefined;

/** The view of this process, opened at the first use; while there is none, each call looks again. */
export function currentView(): View | undefined {
  view ??= openView();
  return view;
}

/** Mapped through koffi, which costs nanoseconds a read; without koffi the driver is out of reach. */
function openPage(path: string): View | undefined {
  const words = mapped(path, 16);
  if (words === undefined) return undefined;
  const page = new BigUint64Array(words);
  return {
    path,
    look() {
      const generation = Atomics.load(page, 0);
      return { generation, reseeded: Atomics.load(page, 1) === generation };
    },
    ask() {
      const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      try {
        readSync(fd, new Uint8Array(8));
      } catch {
        // EAGAIN: the reseed is queued. The caller looks again, and bounds its wait.
      } finally {
        closeSync(fd);
      }
    },
  };
}

function openFile(path: string): View | undefined {
  const fd = opened(path, 4);
  if (fd === undefined) return undefined;
  const words = mapped(path, 4);
  const bytes = new Uint8Array(4);
  const value = words === undefined ? readFile : mappedValue(new Uint32Array(words));
  function readFile(): number {
    readSync(fd!, bytes, 0, 4, 0);
    return new DataView(bytes.buffer).getUint32(0, true);
  }
  return { path, look: () => ({ generation: BigInt(value()), reseeded: true }) };
}

const mappedValue = (words: Uint32Array) => (): number => Atomics.load(words, 0);

/** The descriptor of a file of at least `length` bytes; a device has no size. */
function opened(path: string, length: number): number | undefined {
  try {
    const fd = openSync(path, 'r');
    const stats = fstatSync(fd);
    if (stats.isCharacterDevice() || (stats.isFile() && stats.size >= length)) return fd;
    closeSync(fd);
  } catch {
    // Not there, or not ours to read.
  }
  return undefined;
}

/** The start of a file, shared and read-only, for the life of the process; `undefined` where that cannot be had. */
function mapped(path: string, length: number): ArrayBuffer | undefined {
  const fd = opened(path, length); // before koffi is loaded, which takes milliseconds
  if (fd === undefined) return undefined;
  closeSync(fd);
  try {
    const system = ffi();
    const own = system.open(path, OPEN.readOnly | OPEN.closeOnExec);
    if (own < 0) return undefined;
    try {
      return system.view(system.mmap(4096, PROT.read, MAP.shared, own), length);
    } finally {
      system.close(own);
    }
  } catch {
    return undefined;
  }
}
