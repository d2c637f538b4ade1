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

/** The link to a sentence. The browser looks for the words themselves in a text that has no anchors. */
export function sentenceLink(draft: number | undefined, text: string): string {
  const commit = COMMITS[draft ?? 3];
  if (commit === undefined) return `./draft3.html#${sentenceId(text)}`;
  const words = text.split(/\s+/).slice(0, 8).join(' ');
  return `${REPOSITORY}/${commit}/commonhv.md#:~:text=${encodeURIComponent(words).replaceAll('-', '%2D')}`;
}
