/** Files of the reader's own, picked or dropped: told apart, bounded and checked before any machine is made. */
import { load } from 'commonhv/boot';
import { change, image, notBooted, settings } from '../lab.ts';
import { MEMORY } from '../settings/settings.ts';

const MIB = 2 ** 20;
/** A stock kernel with its initrd wants this much, MiB; v86's memory is zeroed, so all of it is used. */
const USUAL = 256;
/** No file beyond this is read at all. */
const MOST = 512 * MIB;

export const USUAL_COMMAND_LINE = 'console=ttyS0 acpi=off';

/**
 * Takes one or two files: a kernel, and beside it an initrd. Throws an Error with one readable line where they are not
 * that; nothing leaves the page.
 */
export async function choose(files: readonly File[]): Promise<void> {
  if (files.length === 0) return;
  const refusal = notBooted(settings.value);
  if (refusal !== undefined) throw new Error(refusal);
  if (files.length > 2)
    throw new Error(`expected a kernel, or a kernel and an initrd, got ${files.length} files`);
  for (const file of files) {
    if (file.size > MOST) {
      throw new Error(
        `${file.name}: ${Math.round(file.size / MIB)} MiB is more than the ${MOST / MIB} MiB that are read`,
      );
    }
    if (file.size === 0) throw new Error(`${file.name}: the file is empty, or a folder`);
  }
  const read = await Promise.all(
    files.map(async (file) => ({ name: file.name, bytes: await bytesOf(file) })),
  );
  const least = Math.ceil((4 * read.reduce((sum, { bytes }) => sum + bytes.length, 0)) / MIB);
  const memory = Math.min(MEMORY.most, Math.max(settings.value.memory, small(read) ? 0 : USUAL, least));
  const flaws: string[] = [];
  // Which is the kernel shows in the bytes, whatever the files are called.
  for (const kernel of read) {
    const initrd = read.find((other) => other !== kernel);
    try {
      load(
        {
          kernel: kernel.bytes,
          commandLine: USUAL_COMMAND_LINE,
          ...(initrd ? { initrd: initrd.bytes } : {}),
        },
        memory * MIB,
      );
    } catch (error) {
      flaws.push(`${kernel.name}: ${error instanceof Error ? error.message : String(error)}`);
      continue;
    }
    change({ memory });
    image.value = {
      kernel: kernel.bytes,
      initrd: initrd?.bytes,
      commandLine: USUAL_COMMAND_LINE,
      names: initrd ? `${kernel.name} with ${initrd.name}` : kernel.name,
    };
    return;
  }
  throw new Error(flaws[0]!);
}

/** Multiboot kernels of this size are content with the memory as it is. */
function small(read: readonly { readonly bytes: Uint8Array }[]): boolean {
  return read.every(({ bytes }) => bytes.length < MIB);
}

async function bytesOf(file: File): Promise<Uint8Array> {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new Error(`${file.name}: the browser cannot read it`);
  }
}
