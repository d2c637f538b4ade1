/** The options of `clones` beside those of a built-in hypervisor. */
import { InvalidArgumentError, Option } from 'commander';
import { choice, group, parseCount, parseSeconds } from './options.ts';

/** Where the copies come from, and how they are compared. */
export const clonesOptions = (): readonly Option[] =>
  group('Copies:', [
    new Option('--from <files...>', 'consoles that were recorded elsewhere, one file a copy'),
    new Option(
      '--save <command>',
      'save your machine, in which commonhv-sampler runs; {state} is a free path',
    ),
    new Option('--resume <command>', 'resume one copy: {copy} is its number, standard output its console'),
    new Option(
      '--console <address>',
      'where a copy has its console instead: unix:PATH, tcp:HOST:PORT or /dev/pts/N',
    ),
    new Option('--copies <n>', 'how many copies, 2 to 100').default(3).argParser((text) => {
      const value = parseCount(text);
      if (value < 2 || value > 100) throw new InvalidArgumentError('Expected 2 to 100 copies.');
      return value;
    }),
    new Option('--seconds <s>', 'how long each copy is recorded after its first sample')
      .default(3)
      .argParser(parseSeconds),
    new Option(
      '--allow-window <[source=]ms>',
      'for how long a source may be alike, or any; repeat it',
    ).argParser(parseWindow),
    new Option(
      '--sampler <file>',
      'only write the sampler program, as an initrd where FILE ends in .cpio; - for standard output',
    ),
    new Option(
      '--companions <folder>',
      'only write programs with generators of their own for the sampler: Node, Python, OpenSSL, Go',
    ),
    choice('--arch <name>', 'with --sampler and --companions: for which guest', ['i386', 'amd64']).default(
      'amd64',
    ),
  ]);

/** `getrandom=100`, `100` for all sources, `any` for a source that may repeat. */
function parseWindow(
  text: string,
  before: ReadonlyMap<string, number> = new Map(),
): ReadonlyMap<string, number> {
  const [, name = '*', time] = /^(?:([a-z0-9-]{1,32})=)?(\d{1,7}|any)$/.exec(text) ?? [];
  if (time === undefined) throw new InvalidArgumentError('Expected [SOURCE=]MS, such as getrandom=100.');
  return new Map([...before, [name, time === 'any' ? Infinity : Number(time)]]);
}
