// The prose of a source file: its comments, and for the command line its string literals.

/** Comments, without inline code, and string literals of TypeScript, JavaScript or C. Regular expressions are read as code, which can only hide a comment. */
export function split(source) {
  const comments = [];
  const strings = [];
  // In order: comments, strings, templates without nesting. The first to match at a position wins.
  const token =
    /\/\*[\s\S]*?\*\/|(?<![:\\])\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;
  for (const { 0: text, index } of source.matchAll(token)) {
    const line = source.slice(0, index).split('\n').length;
    if (text.startsWith('/')) comments.push({ line, text: text.replace(/`[^`\n]*`/g, '``') });
    else strings.push({ line, text: text.replace(/\$\{[^}]*\}/g, '') });
  }
  return { comments, strings };
}

/** Markdown without fenced code and without inline code. */
export function markdown(source) {
  return source
    .replace(/^```[\s\S]*?^```/gm, (block) => block.replace(/[^\n]/g, ''))
    .split('\n')
    .map((line, i) => ({ line: i + 1, text: line.replace(/`[^`]*`/g, '``') }));
}
