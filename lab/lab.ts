/** The page's state: the settings being edited, the machines that run, and a saved one to copy. */
import { computed, effect, signal } from '@preact/signals';
import type { Chosen, Saved } from './machine/protocol.ts';
import { type Session, session } from './machine/session.ts';
import { jump, sectionOf } from './sections.ts';
import { faultyNames, KEEPER } from './settings/faulty.ts';
import { flawOf } from './settings/layer.ts';
import { DEFAULTS, fromFragment, type Settings, toFragment, whyNoGeneration } from './settings/settings.ts';

/** The browser cannot run v86: the model still shows a guest's view. */
export const noWebAssembly = typeof WebAssembly === 'undefined';

export const settings = signal<Settings>(DEFAULTS);
/** Errors in the address. */
export const problems = signal<readonly string[]>([]);
/** The engine that the address asked for: where the model stands in for it, a link stays as it was. */
let asked = DEFAULTS.engine;

/** The image that the reader picked; `undefined` for the probe. */
export const image = signal<(Chosen & { readonly names: string }) | undefined>(undefined);

/** Why the settings make no machine. */
export const flaw = computed(
  () => flawOf(settings.value) ?? (image.value === undefined ? undefined : notBooted(settings.value)),
);

/** Why an image of the reader's own does not boot under the settings; `undefined` where it does. */
export function notBooted({ engine }: Settings): string | undefined {
  if (engine !== 'model') return undefined;
  return noWebAssembly
    ? 'the model boots no image, and this browser has no WebAssembly for v86'
    : 'the model boots no image: choose v86';
}

export const machines = signal<readonly Session[]>([]);
export const selected = signal(0);
/** The machine whose leaves, timeline and report are shown. */
export const shown = computed<Session | undefined>(() => machines.value[selected.value] ?? machines.value[0]);
/** The settings are not those of the machine that runs. */
export const changed = computed(
  () => shown.value !== undefined && machineOf(shown.value.settings) !== machineOf(settings.value),
);

export interface Kept {
  readonly saved: Saved;
  readonly settings: Settings;
  readonly chosen: Chosen | undefined;
}
export const kept = signal<Kept | undefined>(undefined);

export function change(part: Partial<Settings>): void {
  settings.value = { ...settings.value, ...part };
}

export function start(): void {
  if (flaw.value !== undefined) return;
  replace([session('the machine', settings.value, image.value, undefined)]);
}

export async function save(): Promise<void> {
  const machine = shown.value;
  const saved = await machine?.save();
  if (machine && saved) kept.value = { saved, settings: machine.settings, chosen: machine.chosen };
}

/** Why copies of the saved machine cannot be made to keep the generation; `undefined` where they can. */
export const notKept = computed(() => {
  const saved = kept.value?.settings;
  if (saved === undefined) return 'no machine is saved';
  return whyNoGeneration(saved) ?? flawOf({ ...saved, faulty: KEEPER });
});

/**
 * Two machines from the saved one, under the settings that it was saved with: those of the form are for new machines.
 * Without a faulty hypervisor, whatever it ran under, the copies find the generation renewed; under the faulty one they find it unchanged.
 */
export function copy(faultyHypervisor: '' | typeof KEEPER): void {
  const state = kept.value;
  if (state === undefined) return;
  const under = { ...state.settings, faulty: faultyHypervisor };
  // Confirmed before a running machine is stopped.
  if (flawOf(under) !== undefined) return;
  replace(['copy A', 'copy B'].map((name) => session(name, under, state.chosen, state.saved)));
}

function replace(next: readonly Session[]): void {
  for (const machine of machines.value) machine.stop();
  machines.value = next;
  selected.value = 0;
}

/** The part of the settings that makes a machine: the draft to compare with is only shown. */
function machineOf(all: Settings): string {
  return toFragment({ ...all, compare: 0 });
}

/** Takes the settings from an address, whatever stands in it. */
function read(fragment: string): void {
  const reading = fromFragment(fragment, faultyNames);
  asked = reading.settings.engine;
  problems.value = reading.problems;
  settings.value = noWebAssembly ? { ...reading.settings, engine: 'model' } : reading.settings;
}

function address(): void {
  const fragment = toFragment(noWebAssembly ? { ...settings.value, engine: asked } : settings.value);
  const url = fragment === '' ? location.pathname + location.search : `#${fragment}`;
  history.replaceState(undefined, '', url);
}

/** The part of the page that the address named when it was opened. */
export const landing = sectionOf(location.hash);
read(landing === undefined ? location.hash : '');
effect(address);

addEventListener('hashchange', () => {
  const part = sectionOf(location.hash);
  if (part !== undefined) {
    jump(part);
    // A jump within the page leaves the address to the settings.
    return address();
  }
  read(location.hash);
  start();
});
