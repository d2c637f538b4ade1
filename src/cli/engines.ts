/** The engines by name, each imported when it is asked for, and the guest images from files. */
import { readFile, stat } from 'node:fs/promises';
import { isLinux } from '../boot/index.ts';
import type { Engine, Image, Machine } from '../cpu.ts';
import { type Config, fromConfig, type SourceFailure } from '../hypervisor/index.ts';
import { type Io, UsageError } from './io.ts';
import type { GuestOptions, LayerOptions } from './options.ts';

/** An engine that boots guests: `v86` or `kvm`. */
export async function openEngine(options: GuestOptions): Promise<Engine> {
  const { engine = 'v86', memory, vcpus, hyperv } = options;
  const { rngMsr, generationMsr } = options as Partial<LayerOptions>;
  if (engine === 'kvm') {
    const { kvm } = await import('../engines/kvm/index.ts');
    return kvm({
      ...(memory !== undefined && { memory }),
      ...(vcpus !== undefined && { vcpus }),
      ...(hyperv !== undefined && { hyperv }),
      // The kernel may have an MSR of this index itself; the layer's goes first.
      msrs: [rngMsr, generationMsr].filter((msr) => msr !== undefined),
    });
  }
  for (const name of ['vcpus', 'hyperv'] as const) {
    if (options[name] !== undefined) throw new UsageError(`--${name} goes with --engine kvm`);
  }
  if (engine === 'v86') {
    const { v86 } = await import('../engines/v86/index.ts');
    return v86(memory === undefined ? {} : { memory });
  }
  throw new UsageError(`--engine ${engine} runs no guests; v86 and kvm do`);
}

/** Starts a guest under CommonHV. KVM runs its guests in threads of its own, where the layer is built from the data. */
export function startGuest(engine: Engine, data: Config, image: Image, io: Io): Promise<Machine> {
  const onFailure = ({ source, detail, outcome }: SourceFailure): void => {
    const then = {
      generator: 'a generator that it has seeded goes on',
      stopped: 'the machine ends',
      absent: 'no RNG is offered',
    };
    io.err(`commonhv: the random source ${source} failed: ${detail}; ${then[outcome]}`);
  };
  if (engine.startModule === undefined) return engine.start(fromConfig(data, onFailure), image);
  return engine.startModule(
    {
      module: 'commonhv/hypervisor',
      export: 'fromConfig',
      options: data,
      onEvent: (failure) => onFailure(failure as SourceFailure),
    },
    image,
  );
}

/** Reads a kernel, and the initrd where one is named. At a terminal a Linux kernel prints to it unless `--append` says otherwise. */
export async function readImage(
  path: string,
  { initrd, append }: GuestOptions,
  { interactive }: Pick<Io, 'interactive'>,
): Promise<Image> {
  const kernel = await read(path, 'image');
  return {
    kernel,
    initrd: initrd === undefined ? undefined : await read(initrd, '--initrd'),
    commandLine: append ?? (interactive && isLinux(kernel) ? 'console=ttyS0' : undefined),
  };
}

/** More than any engine has memory for. */
const MAX_BYTES = 2 ** 31;

async function read(path: string, what: string): Promise<Uint8Array> {
  try {
    const file = await stat(path);
    if (file.isDirectory()) throw new UsageError(`${what} ${path}: it is a folder`);
    // A file that never ends, or never begins, is refused before it is opened.
    if (!file.isFile())
      throw new UsageError(`${what} ${path}: expected a file, got a device, pipe or socket`);
    if (file.size > MAX_BYTES) {
      throw new UsageError(
        `${what} ${path}: expected at most ${MAX_BYTES / 2 ** 20} MiB, got ${file.size} bytes`,
      );
    }
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof UsageError) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'there is no such file' : code;
    throw new UsageError(`${what} ${path}: ${why}`, { cause });
  }
}
