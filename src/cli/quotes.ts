/** A command of the user's that the shell has split, since its quotes were left out. */
import { UsageError } from './io.ts';

/** Options whose value is a command of the user's, and the placeholders of such commands. */
const OF_COMMANDS = ['--exec', '--save', '--restore', '--resume', '--migrate'];
const OF_ADDRESSES = ['--console', '--serial'];
const PLACE = /\{(?:probe|state|copy)\}/;

/** Throws a UsageError for a command that the shell has split, since its quotes were left out. */
export function checkQuotes(argv: readonly string[]): void {
  for (const [i, flag] of argv.entries()) {
    if (!OF_COMMANDS.includes(flag)) continue;
    const rest = argv.slice(i + 1);
    const end = rest.findIndex((word) => OF_COMMANDS.includes(word) || OF_ADDRESSES.includes(word));
    const words = end < 0 ? rest : rest.slice(0, end);
    const last = words.findLastIndex((word) => PLACE.test(word));
    const split = words.slice(0, last + 1);
    if (last > 0 && !/\s/.test(words[0]!))
      throw new UsageError(
        `${flag}: the shell has split the command; put it in quotes: ${flag} '${split.join(' ')}'`,
      );
  }
}
