/** The engines by name, each imported when it is asked for, and the guest images from files. */
import { readFile, stat } from 'node:fs/promises';
import { isLinux } from '../boot/index.ts';
import { type Engine, hex, type Image, type LayerModule, type Machine } from '../cpu.ts';
import { type Config, fromConfig, type LayerEvent } from '../hypervisor/index.ts';
import { type Io, UsageError, unread } from './io.ts';
import type { GuestOptions, LayerOptions } from './options.ts';

/** An engine that boots guests: `v86` or `kvm`. */
export async function openEngine(options: GuestOptions): Promise<Engine> {
  const { engine = 'v86', memory, vcpus, hyperv, vmgenid } = options;
  const { rngMsr, generationMsr } = options as Partial<LayerOptions>;
  if (engine === 'kvm') {
    const { kvm } = await import('../engines/kvm/index.ts');
    return kvm({
      ...(memory !== undefined && { memory }),
      ...(vcpus !== undefined && { vcpus }),
      ...(hyperv !== undefined && { hyperv }),
      ...(vmgenid !== undefined && { vmgenid }),
      // The kernel may have an MSR of this index itself; the layer's goes first.
      msrs: [rngMsr, generationMsr].filter((msr) => msr !== undefined),
    });
  }
  for (const name of ['vcpus', 'hyperv', 'vmgenid'] as const) {
    if (options[name] !== undefined) throw new UsageError(`--${name} goes with --engine kvm`);
  }
  if (engine === 'v86') {
    const { v86 } = await import('../engines/v86/index.ts');
    return v86(memory === undefined ? {} : { memory });
  }
  throw new UsageError(`--engine ${engine} runs no guests; v86 and kvm do`);
}

/** Starts a guest under CommonHV. KVM runs its guests in threads of its own, where the layer is built from the data. */
export function startGuest(
  engine: Engine,
  config: Config,
  image: Image,
  io: Io,
  report = reporter(io),
): Promise<Machine> {
  if (engine.startModule === undefined) return engine.start(fromConfig(config, report), image);
  return engine.startModule(layerModule(config, io, report), image);
}

/** The layer of a configuration, as a module. */
export function layerModule(config: Config, io: Io, report = reporter(io)): LayerModule {
  return {
    module: 'commonhv/hypervisor',
    export: 'fromConfig',
    options: config,
    onEvent: (event) => report(event as LayerEvent),
  };
}

/** Reports a layer's events on standard error, each in one line. */
export function reporter(io: Io): (event: LayerEvent) => void {
  return (event) => io.err(`commonhv: ${eventText(event)}`);
}

/** A report of the layer in one line. */
function eventText(event: LayerEvent): string {
  switch (event.kind) {
    case 'source-failed': {
      const { source, detail, outcome } = event.failure;
      const then = {
        generator: 'a generator that it has seeded goes on',
        stopped: 'the machine ends',
        absent: 'no RNG is offered',
      };
      return `the random source ${source} failed: ${detail}; ${then[outcome]}`;
    }
    case 'acknowledged':
      return `the guest acknowledged its generation after ${Math.round(event.milliseconds)} ms`;
    case 'page-lost':
      return `the guest's generation page at ${hex(event.address)} is no RAM any more; the register was set to 0`;
    case 'renewed':
      return 'the generation of the outer hypervisor changed; the one of this machine was renewed';
  }
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

/** Names the file where an engine refuses what is in it; engines name their argument. */
export async function startNamed(path: string | undefined, started: Promise<Machine>): Promise<Machine> {
  try {
    return await started;
  } catch (cause) {
    const { name, message } = cause as Error;
    const refused = (name === 'TypeError' || name === 'RangeError') && message.startsWith('kernel: ');
    if (path === undefined || !refused) throw cause;
    throw new UsageError(`image ${path}: ${message.slice('kernel: '.length)}`, { cause });
  }
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
    throw new UsageError(`${what} ${path}: ${unread(cause as NodeJS.ErrnoException)}`, { cause });
  }
}
