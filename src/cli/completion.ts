/** Shell completion and the manual page, made from the commands and options of the program itself. */
import type { Command, Option } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** A script for the shell to source; completes commands, options and the choices of options. */
export function completion(program: Command, shell: Shell): string {
  if (shell === 'bash') return bash(program);
  if (shell === 'zsh')
    return `#compdef commonhv\nautoload -U +X bashcompinit && bashcompinit\n${bash(program)}`;
  return fish(program);
}

const visible = (program: Command): readonly Command[] =>
  program.commands.filter(
    (one) => !(one as unknown as { _hidden: boolean })._hidden && one.name() !== 'help',
  );
const flags = ({ short, long }: Option): readonly string[] =>
  [short, long].filter((flag) => flag !== undefined && flag !== null) as string[];

function bash(program: Command): string {
  const cases = visible(program).flatMap((one) => [
    `    ${one.name()}) words="${one.options.flatMap(flags).join(' ')} --help" ;;`,
  ]);
  const choices = new Map<string, readonly string[]>();
  for (const one of visible(program))
    for (const option of one.options)
      if (option.argChoices !== undefined) choices.set(`${one.name()}:${option.long}`, option.argChoices);
  return `# commonhv completion bash: source this, or put it into /etc/bash_completion.d
_commonhv() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} words=
  case "\${COMP_WORDS[1]}:$previous" in
${[...choices].map(([key, values]) => `    ${key}) COMPREPLY=($(compgen -W "${values.join(' ')}" -- "$current")); return ;;`).join('\n')}
  esac
  if [ "$COMP_CWORD" = 1 ]; then words="${visible(program)
    .map((one) => one.name())
    .join(' ')} --help --version"
  else case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
  esac; fi
  if [[ $current = -* || $COMP_CWORD = 1 ]]; then COMPREPLY=($(compgen -W "$words" -- "$current"))
  else COMPREPLY=($(compgen -f -- "$current")); fi
}
complete -o filenames -F _commonhv commonhv
`;
}

function fish(program: Command): string {
  const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const lines = visible(program).flatMap((one) => [
    `complete -c commonhv -n __fish_use_subcommand -a ${one.name()} -d ${quoted(one.description())}`,
    ...one.options.map((option) => {
      const choices = option.argChoices === undefined ? '' : ` -xa ${quoted(option.argChoices.join(' '))}`;
      const argument = option.required && choices === '' ? ' -r' : '';
      return `complete -c commonhv -n '__fish_seen_subcommand_from ${one.name()}' -l ${option.long?.slice(2)}${argument}${choices} -d ${quoted(option.description)}`;
    }),
  ]);
  return `# commonhv completion fish: put this into ~/.config/fish/completions/commonhv.fish\n${lines.join('\n')}\n`;
}

/** The manual page in section 1, as troff. */
export function manualPage(program: Command, version: string): string {
  const text = (words: string): string =>
    words
      .replaceAll('\\', '\\e')
      .replaceAll('-', '\\-')
      .replace(/^([.'])/gm, '\\&$1');
  const option = (one: Option): string => `.TP\n.B ${text(one.flags)}\n${text(one.description)}`;
  const section = (one: Command): string =>
    [
      `.SS ${text(`commonhv ${one.name()} ${one.usage()}`)}`,
      text(one.description()),
      ...one.options.map(option),
    ].join('\n');
  return [
    `.TH COMMONHV 1 "" "commonhv ${version}"`,
    '.SH NAME',
    'commonhv \\- run, verify and detect CommonHV, a common interface between x86 hypervisors and their guests',
    '.SH SYNOPSIS',
    '.B commonhv\n.I COMMAND\n[\\fIOPTIONS\\fR]',
    '.SH COMMANDS',
    ...visible(program).map(section),
    '.SH EXIT STATUS',
    '0 success; 1 negative result; 2 error, with one line on standard error.',
    '',
  ].join('\n');
}
