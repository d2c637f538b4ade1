/** The three stories: a card each, and the stage on which the chosen one plays. */
import { STORIES, STORY_NAMES, type StoryName } from '../../model/stories.ts';
import { embedded } from '../../state/address.ts';
import { player } from '../../state/stories.ts';
import { CopiesFigure } from './copies.tsx';
import { FaultFigure } from './fault.tsx';
import { ScanFigure } from './scan.tsx';

const FIGURES = { copies: CopiesFigure, scan: ScanFigure, fault: FaultFigure } as const;

export function StoriesView() {
  const name = player.name.value;
  return (
    <section class="stories" aria-label="Stories">
      <ul class="cards">
        {STORY_NAMES.map((each) => (
          <Card key={each} name={each} current={each === name} />
        ))}
      </ul>
      {name && <Stage name={name} />}
    </section>
  );
}

function Card({ name, current }: { name: StoryName; current: boolean }) {
  const { title, lead } = STORIES[name];
  return (
    <li class={current ? 'card current' : 'card'}>
      <button
        type="button"
        aria-pressed={current}
        aria-describedby={`story-${name}`}
        onClick={() => player.play(name)}
      >
        <span aria-hidden="true">{current ? '↻' : '▶'}</span> {title}
      </button>
      <p id={`story-${name}`}>{lead}</p>
    </li>
  );
}

function Stage({ name }: { name: StoryName }) {
  const { title, steps } = STORIES[name];
  const at = player.at.value;
  const Figure = FIGURES[name];
  return (
    <div class="stage" role="group" aria-label={title}>
      <h2 class="unseen">{title}</h2>
      <div class="telling">
        <ol class="steps">
          {steps.map((step, i) => (
            <li
              key={step.title}
              aria-current={i === at ? 'step' : undefined}
              class={i < player.done.value ? 'done' : i === at ? 'now' : ''}
            >
              <strong>{step.title}</strong>
              {i === at && <p>{step.text}</p>}
            </li>
          ))}
        </ol>
        <Controls name={name} />
      </div>
      <div class="figure">
        <Figure />
        {player.problem.value !== '' && (
          <p class="flaw" role="alert">
            {player.problem.value}
          </p>
        )}
      </div>
    </div>
  );
}

function Controls({ name }: { name: StoryName }) {
  const { length } = STORIES[name].steps;
  const at = player.at.value;
  const last = at === length - 1;
  return (
    <div class="toolbar" role="group" aria-label="The story">
      <button type="button" disabled={at === 0} onClick={() => player.back()}>
        Back
      </button>
      {!last && (
        <button type="button" onClick={() => player.toggle()}>
          {player.playing.value ? 'Hold' : 'Play on'}
        </button>
      )}
      {/* One button that is never disabled: it keeps the focus of those who step by the keyboard. */}
      <button
        type="button"
        class="main"
        aria-disabled={!last && player.working.value}
        onClick={() => (last ? player.play(name) : player.step())}
      >
        {last ? 'Replay' : 'Next step'}
      </button>
      <button type="button" onClick={() => player.close()}>
        Close
      </button>
      <span role="status" class="hint">
        {player.working.value ? 'working …' : `step ${at + 1} of ${length}`}
        {last && player.finished.value && !embedded.value && '. The lab below is in this state.'}
      </span>
    </div>
  );
}
