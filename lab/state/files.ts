/** Files of the reader's own, picked or dropped in any order: told apart by their bytes, checked, and booted at once. */
import { signal } from '@preact/signals';
import { isLongMode, load } from 'commonhv/boot';
import { checkState } from 'commonhv/engines/v86';
import { MEMORY } from '../model/settings.ts';
import { isState, readStateFile } from '../model/state-file.ts';
import { change, copies, image, savedMachine, settings, start, whyNotBooted } from './lab.ts';

const MIB = 2 ** 20;
/** A stock kernel with its initrd wants this much, MiB; v86's memory is zeroed, so all of it is used. */
const USUAL = 256;
/** No file beyond this is read at all. */
const MAX_BYTES = 512 * MIB;

export const USUAL_COMMAND_LINE = 'console=ttyS0 acpi=off';

interface Named {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** An initrd that was given before its kernel. */
export const waitingInitrd = signal<Named | undefined>(undefined);
/** The kernel that was booted last, for an initrd that comes after it. */
let lastKernel: Named | undefined;

/**
 * Takes one or two files, a kernel and its initrd, together or one after the other, and boots as soon as there is a kernel; or the
 * state of a saved machine, which is resumed. Throws an Error with one readable line for anything else. Nothing leaves the page.
 */
export async function take(files: readonly File[]): Promise<void> {
  if (files.length === 0) return;
  const refusal = whyNotBooted(settings.value);
  if (refusal !== undefined) throw new Error(refusal);
  if (files.length > 2)
    throw new Error(`expected a kernel, an initrd, or both, or a saved machine, got ${files.length} files`);
  for (const { name, size } of files) {
    if (size > MAX_BYTES)
      throw new Error(
        `${name}: ${Math.round(size / MIB)} MiB is more than the ${MAX_BYTES / MIB} MiB that are read`,
      );
    if (size === 0) throw new Error(`${name}: the file is empty, or a folder`);
  }
  const read = await Promise.all(
    files.map(async (file) => ({ name: file.name, bytes: await bytesOf(file) })),
  );
  const state = read.find(({ bytes }) => isState(bytes));
  if (state !== undefined) return resume(state);
  const { kernel, initrd } = sorted(read);
  if (kernel === undefined) waitingInitrd.value = initrd;
  else boot(kernel, initrd);
}

/** Boots a kernel, with its initrd where it has one; throws an Error where it is none for this machine. */
export function boot(kernel: Named, initrd: Named | undefined): void {
  const total = kernel.bytes.length + (initrd?.bytes.length ?? 0);
  // Multiboot kernels below this size are content with the memory as it is.
  const usual = total < MIB ? 0 : USUAL;
  const least = Math.max(settings.value.memory, usual, Math.ceil((4 * total) / MIB));
  const memory = Math.min(MEMORY.most, least);
  loadable(kernel, initrd, memory);
  change({ memory });
  lastKernel = kernel;
  waitingInitrd.value = undefined;
  image.value = {
    kernel: kernel.bytes,
    initrd: initrd?.bytes,
    commandLine: USUAL_COMMAND_LINE,
    names: initrd ? `${kernel.name} with ${initrd.name}` : kernel.name,
  };
  start();
}

/** Back to the probe. */
export function forget(): void {
  lastKernel = undefined;
  waitingInitrd.value = undefined;
  image.value = undefined;
  change({ memory: 16 });
  start();
}

/** Which of the files is the kernel shows in the bytes, whatever they are called; the other one is its initrd. */
function sorted(read: readonly Named[]): { kernel: Named | undefined; initrd: Named | undefined } {
  const kernel = read.find((file) => whyNoKernel(file) === undefined);
  const initrd = read.find((file) => file !== kernel);
  if (kernel !== undefined) return { kernel, initrd: initrd ?? waitingInitrd.value };
  const wrong = read.find((file) => !isArchive(file.bytes));
  if (wrong !== undefined) throw new Error(`${wrong.name}: ${whyNoKernel(wrong)}`);
  if (read.length > 1) throw new Error(`${read.map(({ name }) => name).join(' and ')}: neither is a kernel`);
  return { kernel: lastKernel, initrd };
}

function whyNoKernel(file: Named): string | undefined {
  try {
    loadable(file, undefined, MEMORY.most);
    return undefined;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    // Too little memory is no reason: with its initrd it gets more, or is refused by its own name.
    return error instanceof RangeError ? undefined : message.replace(/^.*?: /, '');
  }
}

function loadable({ name, bytes }: Named, initrd: Named | undefined, memory: number): void {
  if (isLongMode(bytes) || isElf64(bytes)) {
    throw new TypeError(`${name}: a 64-bit kernel, and v86 is a 32-bit CPU: use one for i386`);
  }
  try {
    const rest = initrd === undefined ? {} : { initrd: initrd.bytes };
    load({ kernel: bytes, commandLine: USUAL_COMMAND_LINE, ...rest }, memory * MIB);
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof TypeError)) throw error;
    const Kind = error instanceof RangeError ? RangeError : TypeError;
    throw new Kind(`${name}: ${error.message.replace(/^kernel: /, '')}`);
  }
}

/** ELF's class, byte 4, is 2 for 64 bits. */
function isElf64(bytes: Uint8Array): boolean {
  return [0x7f, 0x45, 0x4c, 0x46, 2].every((byte, i) => bytes[i] === byte);
}

/** The beginnings of what initrds are: cpio (newc), gzip, xz, zstd, bzip2, LZ4 as Linux has it, LZMA. */
const ARCHIVES = [
  '070701',
  '070702',
  '\x1f\x8b',
  '\xfd7zXZ',
  '\x28\xb5\x2f\xfd',
  'BZh',
  '\x02\x21\x4c\x18',
  ']\0\0',
];

function isArchive(bytes: Uint8Array): boolean {
  return ARCHIVES.some((magic) => [...magic].every((character, i) => bytes[i] === character.charCodeAt(0)));
}

function resume({ name, bytes }: Named): void {
  try {
    const read = readStateFile(bytes);
    checkState(read.saved.state);
    savedMachine.value = read;
  } catch (error) {
    throw new Error(`${name}: ${(error as Error).message.replace(/^state: /, '')}`);
  }
  settings.value = savedMachine.value.settings;
  image.value = undefined;
  copies(['the machine']);
}

async function bytesOf(file: File): Promise<Uint8Array> {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new Error(`${file.name}: the browser cannot read it`);
  }
}
