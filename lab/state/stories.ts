/** Plays the three stories: each step works on the lab's own machines, so that a story ends in a lab with that state. */
import { computed, signal } from '@preact/signals';
import { KEEPS_GENERATION } from '../model/faulty.ts';
import { DEFAULTS } from '../model/settings.ts';
import type { StoryName } from '../model/stories.ts';
import { change, copies, image, machineOf, noWebAssembly, save, settings, start } from './lab.ts';
import type { Session } from './session.ts';

/** How long a step stays before the next one begins by itself, in milliseconds: the time to read it. */
const READING_MS = 4500;

/** Machines that the steps made, for the pictures beside the text. They stay when the lab has others. */
export interface StoryMachines {
  readonly first?: Session | undefined;
  /** Copies without CommonHV, and with it. */
  readonly without?: readonly Session[] | undefined;
  readonly with?: readonly Session[] | undefined;
  readonly second?: Session | undefined;
}

type Step = (before: StoryMachines) => Promise<StoryMachines>;

class StoryError extends Error {}

export class StoryPlayer {
  readonly name = signal<StoryName | undefined>(undefined);
  /** The step that is shown, from 0, and how many were done. */
  readonly at = signal(0);
  readonly done = signal(0);
  readonly working = signal(false);
  /** Goes on by itself. */
  readonly playing = signal(false);
  readonly machines = signal<StoryMachines>({});
  /** Why a step could not be done. */
  readonly problem = signal('');
  /** All steps were done. */
  readonly finished = computed(() => this.length > 0 && this.done.value === this.length);
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Another run of a story makes the steps of the one before give up. */
  #run = 0;

  play(name: StoryName): void {
    this.#reset();
    this.name.value = name;
    this.playing.value = true;
    image.value = undefined;
    settings.value = { ...DEFAULTS, engine: noWebAssembly ? 'model' : 'v86' };
    void this.#do(0);
  }

  /** Ends the story; the lab keeps its machines. */
  close(): void {
    this.#reset();
    this.name.value = undefined;
  }

  toggle(): void {
    this.playing.value = !this.playing.value;
    clearTimeout(this.#timer);
    if (this.playing.value && !this.working.value) this.next();
  }

  back(): void {
    this.#hold();
    this.at.value = Math.max(0, this.at.value - 1);
  }

  /** Shows the next step, and does it if it was not done yet. */
  next(): void {
    clearTimeout(this.#timer);
    const next = this.at.value + 1;
    if (this.working.value || next >= this.length) return;
    this.at.value = next;
    if (next >= this.done.value) void this.#do(next);
    else this.#later();
  }

  /** By the reader, who then reads at their own pace. */
  step(): void {
    this.#hold();
    this.next();
  }

  get length(): number {
    return this.name.value === undefined ? 0 : STEPS[this.name.value].length;
  }

  async #do(index: number): Promise<void> {
    const run = this.#run;
    this.working.value = true;
    try {
      const made = await STEPS[this.name.value!][index]!(this.machines.value);
      if (run !== this.#run) return;
      this.machines.value = { ...this.machines.value, ...made };
      this.done.value = index + 1;
      if (this.finished.value) this.playing.value = false;
      this.#later();
    } catch (error) {
      if (run !== this.#run) return;
      this.playing.value = false;
      this.problem.value = error instanceof Error ? error.message : String(error);
    } finally {
      if (run === this.#run) this.working.value = false;
    }
  }

  #later(): void {
    if (this.playing.value) this.#timer = setTimeout(() => this.next(), READING_MS);
  }

  #hold(): void {
    clearTimeout(this.#timer);
    this.playing.value = false;
  }

  #reset(): void {
    this.#run++;
    this.#hold();
    this.at.value = 0;
    this.done.value = 0;
    this.working.value = false;
    this.machines.value = {};
    this.problem.value = '';
  }
}

/** A machine of the story's own settings, when its guest has looked and drawn. */
async function started(part: Parameters<typeof change>[0], options?: { check: boolean }): Promise<Session> {
  change(part);
  const machine = start(options);
  await machine?.ready;
  if (machine === undefined || !machine.alive)
    throw new StoryError(machine?.detail.value ?? 'no machine starts');
  return machine;
}

/** Saves the machine that runs, and resumes it twice. */
async function copied(): Promise<readonly Session[]> {
  await save();
  const pair = copies();
  await Promise.all(pair.map(({ ready }) => ready));
  const [first] = pair;
  const gone = pair.find(({ alive }) => !alive);
  if (first === undefined || gone !== undefined)
    throw new StoryError(gone?.detail.value || 'the machine could not be copied');
  return pair;
}

const STEPS: Readonly<Record<StoryName, readonly Step[]>> = {
  copies: [
    async () => ({ first: await started({ commonhv: false }) }),
    async () => ({ without: await copied() }),
    async () => {
      await started({ commonhv: true });
      return { with: await copied() };
    },
    async () => ({}),
  ],
  scan: [
    async () => ({ first: await started({ commonhv: false }) }),
    async () => ({ second: await started({ commonhv: true }) }),
    async ({ second }) => {
      await second?.scan();
      return {};
    },
  ],
  fault: [
    async () => ({ first: await started({ faulty: KEEPS_GENERATION }, { check: false }) }),
    async ({ first }) => {
      await first?.verify();
      return {};
    },
    async () => ({}),
  ],
};

export const player = new StoryPlayer();

/** The settings that the story left; another choice in the form ends its name in the address. */
const own = computed(() => {
  const name = player.name.value;
  if (name === undefined) return [];
  const engine = noWebAssembly ? 'model' : 'v86';
  const parts = name === 'fault' ? [{ faulty: KEEPS_GENERATION }] : [{ commonhv: false }, { commonhv: true }];
  return [{}, ...parts].map((part) => machineOf({ ...DEFAULTS, engine, ...part }));
});

/** The story that the address names: the one that plays, while the settings are its own. */
export const named = computed(() =>
  own.value.includes(machineOf(settings.value)) ? player.name.value : undefined,
);
