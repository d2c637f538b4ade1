/** The commands and their options; each command's own file is imported when it is called. */
import { Argument, Command, CommanderError, type Option } from 'commander';
import { clonesOptions } from './clones-options.ts';
import { completion, manualPage, SHELLS, type Shell } from './completion.ts';
import { EXAMPLES } from './examples.ts';
import { type Io, UsageError } from './io.ts';
import {
  formatOption,
  guestOptions,
  imageOptions,
  layerOptions,
  openOption,
  portOption,
  preloadOptions,
  probeOptions,
  seedOptions,
  stateOptions,
} from './options.ts';
import { FORMS_HELP } from './probe-forms.ts';
import { checkProcessor, detectOptions, leafOptions, processorOptions } from './processor-options.ts';
import { checkQuotes } from './quotes.ts';
import { report } from './typed-errors.ts';
import { VERIFY_TIMEOUTS, verifyOptions } from './verify-options.ts';

const ABOUT =
  'CommonHV, a common interface between x86 hypervisors and their guests: run guests under it, verify hypervisors, detect interfaces.';

const STATUS = `
Exit status: 0 success; 1 negative result (does not conform, not found); 2 error, with one line on standard error.`;

/** Runs one command line, without the program's name; the exit status. Never throws. */
export async function main(argv: readonly string[], io: Io, version: string): Promise<number> {
  let status = 0;
  const program = build(io, version, (code) => {
    status = code;
  });
  try {
    checkQuotes(argv);
    await program.parseAsync(argv, { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2; // its line was printed
    return report(error, io);
  } finally {
    io.progress('');
  }
}

function build(io: Io, version: string, done: (status: number) => void): Command {
  const program = new Command('commonhv')
    .description(ABOUT)
    .version(version)
    .addHelpText('after', STATUS)
    .helpCommand(false)
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.out(text),
      writeErr: (text) => io.err(text.trimEnd()),
      outputError: (text, write) => write(text.replace(/^error: /, 'commonhv: ').replace(/\n(?=.)/g, ' ')),
    });
  command(
    program,
    'run',
    'boot a guest under CommonHV; without an image: the probe, what it saw, and its conformance',
    guestOptions(['v86', 'kvm'], 'v86'),
    imageOptions(),
    stateOptions(),
    layerOptions(),
    [formatOption(['text', 'json'])],
  )
    .argument('[image]', 'a multiboot kernel, a Linux bzImage, or an ELF kernel with a PVH note')
    .action(async (image, options) =>
      done(await (await import('./run.ts')).runGuest({ ...options, image }, io)),
    );
  command(
    program,
    'trace',
    'boot a guest, and show what it asked: which CPUIDs and MSRs, when, how often',
    guestOptions(['v86', 'kvm'], 'v86'),
    imageOptions(),
    layerOptions(),
    [formatOption(['text', 'json'])],
  )
    .argument('<image>', 'as for run')
    .option('--events', 'with text: each question as it comes, on standard output')
    .action(async (image, options) =>
      done(await (await import('./trace.ts')).runTrace({ ...options, image }, io)),
    );
  copies(program, io, done);
  verifyCommands(program, io, done);
  askOnly(program, io, done);
  preloaded(program, io, done);
  command(program, 'lab', 'serve the web page on this machine: see a hypervisor from inside, in a browser', [
    portOption(),
    openOption(),
  ]).action(async (options) => done(await (await import('./lab.ts')).runLab(options, io)));
  shellCommands(program, io, version);
  return program;
}

/** Another VMM, whose options come after its name. */
function preloaded(program: Command, io: Io, done: (status: number) => void): void {
  command(
    program,
    'preload',
    'start a dynamically linked KVM VMM, such as QEMU, whose guests then have CommonHV',
    preloadOptions(),
  )
    .passThroughOptions()
    .argument('[command...]', 'the VMM and its arguments, after all options; none is needed with --print')
    .action(async (words, options) =>
      done(await (await import('./preload.ts')).preload({ ...options, command: words }, io)),
    );
}

/** Completion for shells, and the manual page for the package. */
function shellCommands(program: Command, io: Io, version: string): void {
  command(program, 'completion', 'print completion for a shell')
    .addArgument(new Argument('[shell]', `one of ${SHELLS.join(', ')}`).choices(SHELLS))
    .action((shell?: Shell) => {
      if (shell === undefined) throw new UsageError(`completion: for which shell? ${SHELLS.join(', ')}`);
      return io.out(completion(program, shell));
    });
  program.command('manual', { hidden: true }).action(() => io.out(manualPage(program, version)));
  program.command('help [command]', { hidden: true }).action((name?: string) => {
    const named = program.commands.find((one) => one.name() === name);
    if (name !== undefined && named === undefined)
      throw new UsageError(`help ${name}: there is no command of that name`);
    (named ?? program).outputHelp();
  });
  program.command('version', { hidden: true }).action(() => io.out(`${version}\n`));
}

/** The test that copies of a saved machine differ. */
function copies(program: Command, io: Io, done: (status: number) => void): void {
  command(
    program,
    'clones',
    'whether copies of one saved machine differ: by your own commands, recorded consoles, or an image',
    clonesOptions(),
    guestOptions(['v86', 'kvm'], 'v86', ' (default: 120)'),
    imageOptions(),
    layerOptions(),
    [formatOption(['text', 'json', 'junit', 'html'])],
  )
    .argument('[image]', 'a kernel to boot; without --initrd the sampler is its only program')
    .action(async (image, options, self) =>
      done(await (await import('./clones.ts')).runClones({ ...options, image, given: given(self) }, io)),
    );
  command(
    program,
    'doctor',
    'in a Linux guest: what protects it when it is copied, with evidence and remedies',
    [formatOption(['text', 'json', 'prometheus'])],
  ).action(async (options) => done(await (await import('./doctor.ts')).runDoctor(options, io)));
}

/** The commands of the machine that we run on, and of others without an image. */
function askOnly(program: Command, io: Io, done: (status: number) => void): void {
  command(
    program,
    'detect',
    'show the interfaces that the hypervisor offers, in their order',
    [formatOption(['text', 'json', 'nfd', 'prometheus'])],
    detectOptions(),
    processorOptions(),
    layerOptions(),
  ).action(async (options, self) => {
    checkProcessor(options, given(self));
    done(await (await import('./detect.ts')).runDetect(options, io));
  });
  command(
    program,
    'dump',
    'write the CPUID leaves of a processor, as cpuid -r or another tool does',
    [formatOption(['cpuid', 'json', 'aida64', 'kcpuid'])],
    leafOptions(),
    processorOptions(),
    layerOptions(),
  ).action(async (options, self) => {
    checkProcessor(options, given(self));
    done(await (await import('./dump.ts')).runDump(options, io));
  });
  program
    .command('snapshot', { hidden: true })
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      throw new UsageError('snapshot is now dump: commonhv dump');
    });
  command(
    program,
    'seed',
    'in a Linux guest: mix random values of the RNG into the kernel, credit them as far as they are vouched for',
    seedOptions(),
    [formatOption(['text', 'json'])],
  ).action(async (options, self) => {
    if (options.watch !== true && given(self).includes('interval'))
      throw new UsageError('--interval goes with --watch');
    done(await (await import('./seed.ts')).runSeed(options, io));
  });
}

/** The conformance suite, and the guest that it asks. */
function verifyCommands(program: Command, io: Io, done: (status: number) => void): void {
  command(
    program,
    'verify',
    'the conformance suite, against --engine, or any hypervisor by --serial ADDR or --exec CMD',
    verifyOptions(),
    guestOptions(['v86', 'kvm', 'model', 'native'], 'v86', VERIFY_TIMEOUTS),
    layerOptions(
      'which draft to serve, and whose rules to check (default: the draft that the machine shows)',
    ),
    [formatOption(['text', 'json', 'ktap', 'junit'])],
  ).action(async (options, made: Command) =>
    done(await (await import('./verify.ts')).runVerify({ ...options, given: given(made) }, io)),
  );
  command(program, 'probe', "hand out the probe guest's image", probeOptions())
    .addHelpText('after', FORMS_HELP)
    .action(async (options) => done(await (await import('./probe.ts')).runProbe(options, io)));
}

/** The options that the command line names, without those that have their defaults. */
function given(command: Command): readonly string[] {
  return Object.keys(command.opts()).filter((name) => command.getOptionValueSource(name) === 'cli');
}

/** A command with its options; the caller adds arguments and the action. */
export function command(
  program: Command,
  name: string,
  about: string,
  ...options: (readonly Option[])[]
): Command {
  const made = program.command(name).description(about);
  for (const option of options.flat()) made.addOption(option);
  const examples = EXAMPLES[name];
  if (examples !== undefined) made.addHelpText('after', `\nExamples:\n  ${examples.join('\n  ')}`);
  return made;
}
