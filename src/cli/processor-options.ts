/** The options of `detect` and `dump`: whose processor is asked, and for which answer. */
import { InvalidArgumentError, Option } from 'commander';
import { UsageError } from './io.ts';
import {
  choice,
  type EngineName,
  guestOptions,
  layerOptions,
  parseCount,
  parseHex,
  repeated,
} from './options.ts';

/** Options of `detect` beside those of the processor. */
export const detectOptions = (): readonly Option[] => [
  repeated(
    '--require <name>',
    'exit 1 unless it is there, 2 if that cannot be told: a signature, a product, commonhv, rng, rng=secure, generation; may be given again',
  ),
  new Option('--features', 'with text or JSON: the feature leaves of each interface, in names'),
  new Option(
    '--diff <files...>',
    'compare two dumps, or this machine with one: exit 0 where they agree, 1 where they differ, 2 on trouble',
  ),
  new Option(
    '--quiet',
    'print nothing: exit 0 if there is a hypervisor, or what is required; 1 if not, 2 if that cannot be told',
  ),
];

/** Which leaf `dump` writes; all by default. */
export const leafOptions = (): readonly Option[] => [
  new Option('--leaf <hex>', 'write this leaf only').argParser(parseHex),
  new Option('--subleaf <hex>', 'with --leaf: the value of ECX').argParser(parseHex),
];

/** Whose processor `detect` and `dump` ask. */
export const processorOptions = (): readonly Option[] => [
  ...guestOptions(['native', 'v86', 'kvm', 'model'], 'native'),
  new Option('--cpu <n>', 'the logical processor, with the native engine').argParser(parseCount),
  choice(
    '--through <view>',
    "with the native engine: ask the kernel's driver /dev/cpu/N/cpuid, or execute the instruction",
    ['driver', 'instruction'],
  ),
  repeated(
    '--from <file>',
    'a CPUID dump, of cpuid -r, other tools, or commonhv dump; - for standard input; may be given again',
  ),
  new Option(
    '--exec <command>',
    "start a hypervisor: {probe} is the probe image's path, its standard streams the serial line",
  ),
  new Option('--serial <address>', 'one that runs the probe already: unix:PATH, tcp:HOST:PORT or /dev/pts/N'),
  choice('--cpl <n>', 'with --exec or --serial: ask as a kernel, 0, or as a process, 3 (default: 0)', [
    '0',
    '3',
  ]).argParser(chosen([0, 3])),
  choice(
    '--bits <n>',
    'with --exec or --serial: ask in 32-bit or 64-bit code (default: as the guest was entered)',
    ['32', '64'],
  ).argParser(chosen([32, 64])),
];

/** A choice among numbers; commander knows texts alone. */
const chosen =
  (choices: readonly number[]) =>
  (text: string): number => {
    const found = choices.find((value) => `${value}` === text);
    if (found === undefined) throw new InvalidArgumentError(`Allowed choices are ${choices.join(', ')}.`);
    return found;
  };

/** Throws a UsageError where an option on the command line is about another processor than the chosen one. */
export function checkProcessor(
  { engine, from }: { readonly engine: EngineName; readonly from?: readonly string[] | undefined },
  given: readonly string[],
): void {
  const ways = ['from', 'exec', 'serial', 'engine'].filter((name) => given.includes(name));
  const [way = 'engine', second] = ways;
  if (second !== undefined && second !== 'engine')
    throw new UsageError(`--${way} and --${second}: expected one of them`);
  const ofLayer = new Map(layerOptions().map((option) => [option.attributeName(), option.long]));
  const ours = way === 'engine';
  const foreign = given.find((name) => {
    if (name === 'engine') return !ours;
    if (name === 'cpu' || name === 'through') return !ours || engine !== 'native';
    if (name === 'cpl' || name === 'bits') return way !== 'exec' && way !== 'serial';
    if (name === 'timeout') return way === 'from' || (ours && !['v86', 'kvm'].includes(engine));
    if (name === 'memory') return !ours || !['v86', 'kvm'].includes(engine);
    if (name === 'vcpus' || name === 'hyperv') return !ours || engine !== 'kvm';
    return ofLayer.has(name) && (!ours || engine === 'native');
  });
  if (foreign === undefined) return;
  const flag = ofLayer.get(foreign) ?? `--${foreign}`;
  throw new UsageError(
    `${flag} has no effect with ${ours ? `--engine ${engine}` : from === undefined ? `--${way}` : '--from FILE'}`,
  );
}
