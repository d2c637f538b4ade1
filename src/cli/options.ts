/** The options that commands share: how each is written, read and refused. */
import { InvalidArgumentError, Option } from 'commander';
import type { Draft, Tuple } from '../spec/index.ts';
import { parseSignature } from '../spec/index.ts';
import { DESCRIPTIONS } from './probe-forms.ts';

export type EngineName = 'v86' | 'kvm' | 'model' | 'native';

/** The layer's options from the command line; plain data, as a worker may need it. */
export interface LayerOptions {
  readonly draft: Draft;
  readonly hypervisorBit: boolean;
  /** Absent: the interfaces that a scan of the host CPU finds. */
  readonly interface?: readonly Tuple[] | undefined;
  /** A signature among the interfaces, padded with NULs, or an index from 1. */
  readonly prefer?: string | undefined;
  readonly rng: boolean;
  readonly rngMsr?: number | undefined;
  readonly rngSource: 'os' | 'stuck' | 'counting';
  readonly rngInput?: 'none' | 'ignore' | 'mix' | undefined;
  readonly generation: boolean;
  readonly generationPage?: boolean | undefined;
  readonly generationPageMsr?: number | undefined;
  readonly acknowledgement?: boolean | undefined;
  readonly generationMsr?: number | undefined;
}

export interface GuestOptions {
  readonly engine?: EngineName | undefined;
  /** With `kvm`: how many processors, and whether Hyper-V's leaves are offered too. */
  readonly vcpus?: number | undefined;
  readonly hyperv?: boolean | undefined;
  /** With `kvm` and an image: a VM generation device. */
  readonly vmgenid?: boolean | undefined;
  /** Bytes. */
  readonly memory?: number | undefined;
  /** Seconds. */
  readonly timeout?: number | undefined;
  readonly initrd?: string | undefined;
  readonly append?: string | undefined;
}

/** `64M`, `1G`, `512K` or bytes. */
export function parseSize(text: string): number {
  const match = /^(\d+)([KMG]?)$/i.exec(text);
  if (match === null) throw new InvalidArgumentError('Expected a size such as 64M.');
  return (
    Number(match[1]) *
    { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 }[match[2]!.toUpperCase() as '' | 'K' | 'M' | 'G']
  );
}

export function parseVcpus(text: string): number {
  const vcpus = Number(text);
  if (!/^\d+$/.test(text) || vcpus < 1 || vcpus > 16) throw new InvalidArgumentError('Expected 1 to 16.');
  return vcpus;
}

export function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (text.trim() === '' || !(seconds > 0 && seconds <= 86_400)) {
    throw new InvalidArgumentError('Expected seconds, above 0 and at most 86400.');
  }
  return seconds;
}

/** An unsigned 32-bit number in hexadecimal, `0x` or not. */
export function parseHex(text: string): number {
  if (!/^(0x)?[0-9a-f]{1,8}$/i.test(text))
    throw new InvalidArgumentError('Expected up to eight hexadecimal digits.');
  return Number.parseInt(text.replace(/^0x/i, ''), 16);
}

/** As `parseSignature` of the specification's room, with commander's error. */
export function readSignature(text: string): string {
  try {
    return parseSignature(text);
  } catch {
    throw new InvalidArgumentError(
      'Expected a signature of 1 to 12 one-byte characters (\\xHH for any byte).',
    );
  }
}

/** `SIG@LEAF`; the signature ends at the last @. */
export function parseInterface(text: string, before: readonly Tuple[] = []): readonly Tuple[] {
  const at = text.lastIndexOf('@');
  if (at < 0) throw new InvalidArgumentError('Expected SIG@LEAF, such as KVMKVMKVM@40000000.');
  return [...before, { signature: readSignature(text.slice(0, at)), location: parseHex(text.slice(at + 1)) }];
}

/** An option as it was typed, by its name in commander's object: those that are on by default can only have been switched off. */
export function flag(name: string): string {
  const text = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const on = ['rng', 'generation', 'hypervisorBit', 'generationPage', 'acknowledgement'];
  return on.includes(name) ? `--no-${text}` : `--${text}`;
}

/** The same option again adds a value. */
export const repeated = (flags: string, text: string): Option =>
  new Option(flags, text).argParser((value: string, before: readonly string[] = []) => [...before, value]);

export const choice = (flags: string, text: string, choices: readonly string[]): Option =>
  new Option(flags, text).choices(choices);

/** The same options under a heading of their own in the help. */
export const group = (heading: string, options: readonly Option[]): readonly Option[] =>
  options.map((option) => option.helpGroup(heading));

/** Options of the layer, for every command that puts one over a guest. */
export const layerOptions = (draft = 'which draft to serve'): readonly Option[] =>
  group('CommonHV options:', [
    choice('--draft <n>', draft, ['1', '2', '3'])
      .default(3 as never, '3')
      .argParser(parseDraft),
    new Option('--no-hypervisor-bit', 'clear CPUID.1.ECX bit 31'),
    new Option(
      '--interface <sig@leaf>',
      'advertise an interface; repeat it, preferred first (default: those of the host CPU)',
    ).argParser(parseInterface),
    new Option('--prefer <sig|index>', 'which interface is preferred'),
    new Option('--rng-msr <hex>', 'the MSR of the RNG (default: 400000a0)').argParser(parseHex),
    new Option('--no-rng', 'offer no RNG'),
    choice(
      '--rng-source <name>',
      'where the random values come from; stuck and counting are wrong on purpose',
      ['os', 'stuck', 'counting'],
    ).default('os'),
    choice('--rng-input <what>', 'guest writes: refused with #GP, dropped, or mixed in', [
      'none',
      'ignore',
      'mix',
    ]),
    new Option('--generation-msr <hex>', 'the MSR of the generation (default: 400000a1)').argParser(parseHex),
    new Option('--no-generation', 'offer no generation register'),
    new Option('--generation-page-msr <hex>', 'the MSR of the generation page (default: 400000a2)').argParser(
      parseHex,
    ),
    new Option('--no-generation-page', 'offer no generation page'),
    new Option('--no-acknowledgement', 'do not take acknowledgements of a generation'),
  ]);

/** Options of `preload`: the layer's, but for the source, which is the kernel, and the page, which no VMM saves for it. */
export const preloadOptions = (): readonly Option[] => [
  ...layerOptions().filter(({ long }) => !/^--(rng-source|.*page.*)$/.test(long ?? '')),
  new Option('--status <file>', 'append restores and acknowledgements as JSON lines'),
  new Option('--require', 'end the VMM where CommonHV cannot be offered: wherever saved states are kept'),
  new Option(
    '--library <file>',
    'the library, built by make -C c/preload (default: compiled into the cache)',
  ),
  new Option('--print', 'print the command line with its environment, and start nothing'),
];

/** Options of the guest, for every command that boots one. */
export const guestOptions = (
  engines: readonly EngineName[],
  fallback: EngineName,
  timeout = '',
): readonly Option[] =>
  group('Guest options:', [
    choice(
      '--engine <name>',
      fallback === 'native'
        ? 'whose processor: of this machine, of a guest, or the layer itself'
        : 'what runs the guest',
      engines,
    ).default(fallback),
    new Option('--memory <size>', "the guest's memory, such as 64M").argParser(parseSize),
    new Option('--timeout <seconds>', `end after this long${timeout}`).argParser(parseSeconds),
    ...(engines.includes('kvm')
      ? [
          new Option('--vcpus <n>', 'with kvm: how many processors').argParser(parseVcpus),
          new Option('--hyperv', "with kvm: Hyper-V's leaves at 40000000H, KVM's at 40000100H"),
        ]
      : []),
  ]);

export const imageOptions = (): readonly Option[] =>
  group('Image options:', [
    new Option('--initrd <file>', 'an initial RAM disk for a Linux kernel'),
    new Option('--append <text>', "the kernel's command line"),
    new Option('--vmgenid', 'with kvm: ACPI tables with a VM generation device, renewed with the generation'),
  ]);

/** Saved machines, of `run`. */
export const stateOptions = (): readonly Option[] => [
  new Option('--save <file>', 'save the guest when --timeout, Ctrl-] or a signal stops it'),
  new Option('--save-at <text>', 'with --save: stop and save it as soon as it prints this'),
  new Option('--resume <file>', 'go on with a saved guest, in place of an image'),
  new Option(
    '--copies <n>',
    'with --resume: so many copies; each line of output begins with its number',
  ).argParser((text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < 1 || value > 1000)
      throw new InvalidArgumentError('Expected 1 to 1000.');
    return value;
  }),
];

export const probeOptions = (): readonly Option[] => [
  new Option('--write <file>', 'where to, or - for standard output (required)').makeOptionMandatory(),
  choice(
    '--form <name>',
    'which form (default: all; iso or efi where the file ends so)',
    Object.keys(DESCRIPTIONS),
  ),
];

export const formatOption = (formats: readonly string[]): Option =>
  choice('--format <name>', 'how to print', formats).default(formats[0]);

export const seedOptions = (): readonly Option[] => [
  choice(
    '--through <view>',
    "execute CPUID through the kernel's driver /dev/cpu/N/cpuid (the default where it is), or as an instruction",
    ['driver', 'instruction'],
  ),
  new Option('--credit <bits>', 'credit so many bits, whatever the hypervisor says of its values').argParser(
    parseCount,
  ),
  new Option('--values <n>', 'how many 64-bit values to read, 2 to 512').default(8).argParser(parseCount),
  new Option('--watch', 'stay, and seed again when the machine was resumed from a saved state'),
  new Option('--interval <ms>', 'with --watch: milliseconds between two looks, 1 to 60000')
    .default(100)
    .argParser((text) => {
      const value = parseCount(text);
      if (value < 1 || value > 60_000) throw new InvalidArgumentError('Expected 1 to 60000 milliseconds.');
      return value;
    }),
];

/** A whole number from 0, up to six digits. */
export function parseCount(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('Expected a whole number.');
  return Number(text);
}

/** Where the lab listens. 4F00H in decimal, unless it is taken. */
export const portOption = (): Option =>
  new Option('--port <number>', 'where to listen; 0 for any free port').default(0x4f00).argParser(parsePort);
export const openOption = (): Option => new Option('--open', 'open the page in the browser');

function parsePort(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535)
    throw new InvalidArgumentError('Expected a port from 0 to 65535.');
  return Number(text);
}

function parseDraft(text: string): Draft {
  if (text !== '1' && text !== '2' && text !== '3')
    throw new InvalidArgumentError('Allowed choices are 1, 2, 3.');
  return Number(text) as Draft;
}
