/** The page's address: it names the settings or a story, so that a link shows the same to another reader. */
import { effect, signal } from '@preact/signals';
import { faultyNames } from '../model/faulty.ts';
import { DEFAULTS, fromFragment, toFragment } from '../model/settings.ts';
import type { StoryName } from '../model/stories.ts';
import { noWebAssembly, settings, shown, start } from './lab.ts';
import { jump, sectionOf } from './sections.ts';
import { named, player } from './stories.ts';

/** Errors in the address. */
export const problems = signal<readonly string[]>([]);
/** The page stands in a frame of another page, and shows only a story or the machine. */
export const embedded = signal(false);
/** The engine that the address asked for: where the model stands in for it, a link stays as it was. */
let asked = DEFAULTS.engine;

/** The part of the page that the address named when it was opened. */
export const initialSection = sectionOf(location.hash);

/** Takes the settings from an address, whatever stands in it; returns the story that it names. */
function read(fragment: string): StoryName | undefined {
  const reading = fromFragment(fragment, faultyNames);
  asked = reading.settings.engine;
  problems.value = reading.problems;
  embedded.value = reading.embedded;
  settings.value = noWebAssembly ? { ...reading.settings, engine: 'model' } : reading.settings;
  return reading.story;
}

/** The fragment of an address that shows the same as this page. */
export function fragment(embed = embedded.value): string {
  const all = noWebAssembly ? { ...settings.value, engine: asked } : settings.value;
  const parts = named.value === undefined ? toFragment(all) : `story=${named.value}`;
  return [parts, embed ? 'embed=1' : ''].filter((part) => part !== '').join('&');
}

function write(): void {
  const parts = fragment();
  history.replaceState(undefined, '', parts === '' ? location.pathname + location.search : `#${parts}`);
}

/** How long the page stays as it came, in milliseconds, where the first guest does not answer. */
const FIRST_ANSWER_MS = 1000;

/**
 * Starts the machine or plays the story that the address names; both follow it from then on. Resolves when the first guest
 * has answered, or will not soon: whatever the page does meanwhile holds that guest up.
 */
export async function open(): Promise<void> {
  const story = read(initialSection === undefined ? location.hash : '');
  begin(story);
  effect(write);
  addEventListener('hashchange', () => {
    const part = sectionOf(location.hash);
    if (part === undefined) begin(read(location.hash));
    else {
      jump(part);
      // A jump within the page leaves the address to the settings.
      write();
    }
  });
  const machine = shown.value;
  if (machine === undefined) return;
  const late = new Promise((resolve) => setTimeout(resolve, FIRST_ANSWER_MS));
  await Promise.race([machine.looked, machine.ready, late]);
}

function begin(story: StoryName | undefined): void {
  if (story !== undefined) player.play(story);
  else {
    player.close();
    start();
  }
}
