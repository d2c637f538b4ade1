/** Texts of `verify` beside its report: the rules, and the interfaces of a hypervisor that does not speak CommonHV. */
import { isChecked, isGuestRule, rulesOf } from '../conformance/index.ts';
import { type Cpu, hex, type Regs } from '../cpu.ts';
import { scan } from '../guest/index.ts';
import { type Draft, decodeSignature, SCAN_FIRST } from '../spec/index.ts';
import { fitted, type Io, printable, UsageError } from './io.ts';
import { flag } from './options.ts';

/** `--list`: the rules of a draft that `verify` reports, one a line; exit status 0. */
export async function listRules(
  {
    draft,
    format,
    given,
  }: { readonly draft: Draft; readonly format: string; readonly given: readonly string[] },
  io: Io,
): Promise<number> {
  const idle = given.find((name) => !['list', 'draft', 'format'].includes(name));
  if (idle !== undefined) throw new UsageError(`${flag(idle)} has no effect with --list`);
  if (format !== 'text' && format !== 'json')
    throw new UsageError(`--format ${format} has no effect with --list: text or json`);
  const rules = rulesOf(draft).filter((rule) => !isGuestRule(rule));
  if (format === 'json') {
    const all = rules.map((rule) => ({
      id: rule.id,
      level: rule.level,
      text: rule.text,
      checked: isChecked(rule),
    }));
    await io.out(`${JSON.stringify(all, undefined, 2)}\n`);
    return 0;
  }
  const rows = rules.map((rule) => [
    rule.id,
    rule.level,
    isChecked(rule) ? rule.text : `(not checked) ${rule.text}`,
  ]);
  await io.out(`${fitted(rows, io.width)}\n`);
  return 0;
}

/** What the leaf and the scan from before CommonHV show, and the command that shows more. */
export async function seenInstead(
  cpu: Cpu,
  {
    exec,
    serial,
    engine,
  }: {
    readonly exec?: string | undefined;
    readonly serial?: readonly string[] | undefined;
    readonly engine?: string | undefined;
  },
): Promise<readonly string[]> {
  const way =
    exec !== undefined
      ? `--exec ${quoted(exec)}`
      : serial !== undefined
        ? `--serial ${quoted(serial[0]!)}`
        : `--engine ${engine}`;
  const lines: string[] = [];
  try {
    const regs: Regs = await cpu.cpuid(SCAN_FIRST, 0);
    const names = await scan(cpu);
    lines.push(
      `CPUID 40000000H answers "${printable(decodeSignature(regs))}", EAX ${hex(regs.eax)}.`,
      names.length === 0
        ? 'The scan from there finds no interface.'
        : `The scan from there finds ${names.map(({ signature, location }) => `"${printable(signature)}" at ${hex(location)}`).join(', ')}.`,
    );
  } catch {
    lines.push('The machine no longer answers.');
  }
  return [...lines, `More: commonhv detect ${way}`];
}

const quoted = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
