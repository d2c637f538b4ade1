/** `commonhv preload`: starts a dynamically linked KVM VMM under a library that offers CommonHV to its guests. */
import { spawn } from 'node:child_process';
import { open, readFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { basename, delimiter, join, resolve } from 'node:path';
import { bare, MachineError } from '../cpu.ts';
import type { Config } from '../hypervisor/index.ts';
import { DEFAULT_GENERATION_MSR, DEFAULT_RNG_MSR } from '../spec/index.ts';
import { type Io, UsageError } from './io.ts';
import { configFrom, layerFrom } from './layer.ts';
import { openLibrary } from './library.ts';
import { type LayerOptions, readSignature } from './options.ts';

export interface PreloadOptions extends Omit<LayerOptions, 'rngSource'> {
  readonly command: readonly string[];
  readonly status?: string | undefined;
  readonly require?: boolean | undefined;
  readonly library?: string | undefined;
  readonly print?: boolean | undefined;
}

/** The exit status is the VMM's, or 128 and the number of the signal that ended it. */
export async function preload(options: PreloadOptions, io: Io): Promise<number> {
  const [program, ...args] = options.command;
  if (program === undefined && !options.print)
    throw new UsageError(
      'preload: which VMM? for example: commonhv preload qemu-system-x86_64 -accel kvm ...',
    );
  const settings = await settingsOf(options);
  const library = await openLibrary(options.library, io);
  const status = options.status === undefined ? undefined : resolve(options.status);
  if (status !== undefined) await checkStatus(status, options.status!);
  const variables = {
    COMMONHV_PRELOAD: settings,
    ...(status !== undefined && { COMMONHV_PRELOAD_STATUS: status }),
    LD_PRELOAD: [library, ...(io.env.LD_PRELOAD ? [io.env.LD_PRELOAD] : [])].join(':'),
  };
  if (options.print) {
    const set = Object.entries(variables).map(([name, value]) => `${name}=${quoted(value)}`);
    await io.out(`${[...set, ...options.command.map(quoted)].join(' ')}\n`);
    return 0;
  }
  await refuseStatic(program!, io.env);
  noteEmulation(program!, args, options, io);
  return execute(program!, args, { ...io.env, ...variables }, io);
}

/** The words that c/host/commonhv-text.h reads. Contradictions are refused as for every other command. */
async function settingsOf(options: PreloadOptions): Promise<string> {
  if (options.rngInput === 'mix')
    throw new UsageError('--rng-input mix: preload hands out the kernel’s values; use ignore or none');
  const { prefer, ...rest } = { ...options, rngSource: 'os' as const };
  const layer: LayerOptions =
    options.interface === undefined ? rest : { ...rest, ...(prefer !== undefined && { prefer }) };
  // Without --interface the list is the VMM's, which is not known yet.
  (await layerFrom(layer, bare))(bare);
  const config = await configFrom(layer, bare);
  return [...words(config, options), ...preferWords(options)].join(' ');
}

function words({ draft, rng, generation, interfaces }: Config, options: PreloadOptions): string[] {
  const hex = (value: number): string => value.toString(16);
  const accepts = rng !== undefined && (rng.input ?? (draft === 1 ? 'ignore' : 'none')) !== 'none';
  const list = options.interface === undefined ? [] : (interfaces ?? []);
  return [
    `draft=${draft}`,
    `hypervisor-bit=${options.hypervisorBit ? 1 : 0}`,
    `rng=${rng === undefined ? 'none' : hex(rng.msr ?? DEFAULT_RNG_MSR)}`,
    `input=${accepts ? 'ignore' : 'none'}`,
    `generation=${generation ? hex(generation.msr ?? DEFAULT_GENERATION_MSR) : 'none'}`,
    `ack=${generation && options.acknowledgement !== false ? 1 : 0}`,
    `require=${options.require ? 1 : 0}`,
    ...(options.interface === undefined ? [] : ['list=1']),
    ...list.map(({ signature, location }) => `interface=${bytes(signature)}@${hex(location)}`),
  ];
}

function preferWords({ prefer }: PreloadOptions): string[] {
  if (prefer === undefined) return [];
  return [`prefer=${/^\d+$/.test(prefer) ? prefer : bytes(readSignature(prefer))}`];
}

function bytes(signature: string): string {
  return Buffer.from(signature, 'latin1').toString('hex');
}

function quoted(text: string): string {
  return /^[\w./:=@,+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

async function checkStatus(path: string, given: string): Promise<void> {
  try {
    await (await open(path, 'a')).close();
  } catch (error) {
    throw new UsageError(
      `--status ${given}: it cannot be written (${(error as NodeJS.ErrnoException).code})`,
    );
  }
}

/** The dynamic loader reads LD_PRELOAD, and a static program has none (ELF: no PT_INTERP, type 3). */
async function refuseStatic(program: string, env: Io['env']): Promise<void> {
  const paths = program.includes('/')
    ? [program]
    : (env.PATH ?? '').split(delimiter).map((p) => join(p, program));
  for (const path of paths) {
    const file = await readFile(path).catch(() => undefined);
    if (file === undefined) continue;
    if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2) return;
    const [at, size, count] = [
      Number(file.readBigUInt64LE(32)),
      file.readUInt16LE(54),
      file.readUInt16LE(56),
    ];
    for (let i = 0; i < count && at + i * size + 4 <= file.length; i++)
      if (file.readUInt32LE(at + i * size) === 3) return;
    throw new MachineError(
      `preload: ${program} is statically linked, and LD_PRELOAD reaches only dynamically linked programs: see docs/embedding.md`,
    );
  }
}

/** QEMU's default is its emulator, which makes no KVM machine; that is the first mistake to make here. */
function noteEmulation(program: string, args: readonly string[], options: PreloadOptions, io: Io): void {
  if (!/^qemu-system-/.test(basename(program)) || args.some((arg) => arg.includes('kvm'))) return;
  const why = `preload: ${program} emulates without -accel kvm, and its guests have no CommonHV`;
  if (options.require) throw new UsageError(`${why}, which --require asks for`);
  io.err(`commonhv: ${why}`);
}

function execute(program: string, args: readonly string[], env: Io['env'], io: Io): Promise<number> {
  return new Promise((done, fail) => {
    const child = spawn(program, args, { stdio: 'inherit', env });
    const forward = (): void => void child.kill(io.interrupted.reason as NodeJS.Signals);
    io.interrupted.addEventListener('abort', forward);
    child.on('error', (error: NodeJS.ErrnoException) => {
      io.interrupted.removeEventListener('abort', forward);
      fail(new MachineError(`preload: ${program} cannot be started (${error.code ?? error.message})`));
    });
    child.on('exit', (status, signal) => {
      io.interrupted.removeEventListener('abort', forward);
      done(status ?? 128 + constants.signals[signal!]);
    });
  });
}
