/** Where a sentence of a draft can be read: drafts 1 and 2 in their author's repository, draft 3 beside this page. */

const REPOSITORY = 'https://github.com/amluto/CommonHV/blob';
const COMMITS: Readonly<Record<number, string>> = {
  1: 'e1c191e0216891deccdbdbb5e456eaade4107320',
  2: 'b915ffc412399623ff3720ad3be39ae0ed5bbab8',
};

/** The name of a sentence of draft 3 within its page. */
export function sentenceId(sentence: string): string {
  return sentence
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 120);
}

/** The link to a sentence. Where it has no name of its own, the browser looks for its words. */
export function sentenceLink(draft: number, text: string): string {
  const words = encodeURIComponent(text.split(/\s+/).slice(0, 8).join(' ')).replaceAll('-', '%2D');
  const commit = COMMITS[draft];
  if (commit !== undefined) return `${REPOSITORY}/${commit}/commonhv.md#:~:text=${words}`;
  // In draft 3 every sentence that binds is an item of a list, and has a name; MAY, and explanations, stand in the text.
  const binding = text.split(/(?<=\.) (?=[A-Z])/).find((sentence) => /MUST|SHOULD/.test(sentence));
  return binding === undefined ? `./draft3.html#:~:text=${words}` : `./draft3.html#${sentenceId(binding)}`;
}
