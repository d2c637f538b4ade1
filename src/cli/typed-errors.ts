/** Errors in the words of the command line, each in one line on standard error. */
import { MachineError } from '../cpu.ts';
import { type Io, UsageError } from './io.ts';

/** The words of the command line for the library's arguments. */
const TYPED: Readonly<Record<string, string>> = {
  'rng.msr': '--rng-msr',
  'rng.input': '--rng-input',
  generation: '--generation-msr',
  'generation.msr': '--generation-msr',
  'generation.pageMsr': '--generation-page-msr',
  memory: '--memory',
  interfaces: '--interface',
  preferred: '--prefer',
  values: '--values',
  only: '--only',
  kernel: 'image',
  initrd: '--initrd',
  commandLine: '--append',
};

/** The library names its argument at the head of a message, and another one with the same index; the user typed an option. */
function asTyped({ message, name }: Error): string {
  if (name !== 'TypeError' && name !== 'RangeError') return message;
  return message
    .replace(
      /^interfaces\[(\d+)\](?:\.\w+)?(?=: )/,
      (_, index) => `--interface ${Number(index) + 1} of the list`,
    )
    .replace(/(?<= got )interfaces\[(\d+)\]/, (_, index) => `number ${Number(index) + 1}`)
    .replace(/^([\w.]+)(?=: )/, (argument) => TYPED[argument] ?? argument)
    .replace(/(?<= is )([\w.]+)(?= already$)/, (argument) => TYPED[argument] ?? argument);
}

const WITHOUT_KVM =
  '; --engine v86 needs no KVM, and "npm run bed" in the repository makes a machine that has it (docs/bed.md)';

/** An error in one line; an internal one keeps its stack where COMMONHV_DEBUG is set. */
export function report(error: unknown, io: Io): number {
  io.progress('');
  const text = error instanceof Error ? asTyped(error) : String(error);
  const noKvm = error instanceof MachineError && error.code === 'unavailable' && text.includes('/dev/kvm');
  const line = noKvm ? `${text}${WITHOUT_KVM}` : text;
  io.err(`commonhv: ${line.replace(/\s*\n\s*/g, ' ')}`);
  const ours = error instanceof MachineError || error instanceof UsageError;
  if (!ours && io.env.COMMONHV_DEBUG !== undefined && error instanceof Error) io.err(error.stack ?? '');
  return 2;
}
