/** The results on the running machine in one line at the top, each a link to its section. */
import { Fragment } from 'preact';
import { machines, shown } from '../state/lab.ts';
import { type Answer, answers } from '../state/results.ts';

const SIGNS = { well: '✓', ill: '✗', warned: '!', none: '–', waiting: '…' } as const;

export function Results() {
  return (
    <section class="results" id="results" aria-label="Results on the machine that runs">
      <div role="status">
        <ul>
          {answers(machines.value, shown.value).map((answer) => (
            <AnswerView key={answer.id} {...answer} />
          ))}
        </ul>
      </div>
    </section>
  );
}

function AnswerView({ id, title, text, standing, section }: Answer) {
  return (
    <li class={`answer ${standing}`} data-answer={id}>
      <a href={`#${section}`}>
        <span class="answer-title">{title}</span>
        <span class="answer-text">
          <span aria-hidden="true" class="sign">
            {SIGNS[standing]}
          </span>{' '}
          <Breakable text={text} />
        </span>
      </a>
    </li>
  );
}

/** A rule's name may go on in a second line after its dots. */
function Breakable({ text }: { text: string }) {
  const parts = text.split(/(?<=\.)(?=[a-z])/);
  return (
    <>
      {parts.map((part, i) => (
        <Fragment key={part}>
          {i > 0 && <wbr />}
          {part}
        </Fragment>
      ))}
    </>
  );
}

/** Brings a section's result, at its top, into view where it is not, once the page has drawn it. */
export function showResult(section: string): void {
  requestAnimationFrame(() => {
    const place = document.getElementById(section);
    const top = place?.getBoundingClientRect().top ?? 0;
    if (top < 0 || top > innerHeight / 2) place?.scrollIntoView();
  });
}
