/** The page's state: the settings being edited, the machines that run, and a saved one to copy. */
import { computed, signal } from '@preact/signals';
import { KEEPS_GENERATION } from '../model/faulty.ts';
import { validationErrorOf } from '../model/faulty-layer.ts';
import type { BootImage } from '../model/protocol.ts';
import { DEFAULTS, type Settings, toFragment, whyNoGeneration } from '../model/settings.ts';
import type { SavedMachine } from '../model/state-file.ts';
import { Session } from './session.ts';

/** The browser cannot run v86: the model still shows a guest's view. */
export const noWebAssembly = typeof WebAssembly === 'undefined';

export const settings = signal<Settings>(DEFAULTS);

/** The image that the reader picked; `undefined` for the probe. */
export const image = signal<(BootImage & { readonly names: string }) | undefined>(undefined);

/** Why the settings make no machine. */
export const validationError = computed(
  () =>
    validationErrorOf(settings.value) ??
    (image.value === undefined ? undefined : whyNotBooted(settings.value)),
);

/** Why an image of the reader's own does not boot under the settings; `undefined` where it does. */
export function whyNotBooted({ engine }: Settings): string | undefined {
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

/** The machine that copies are made of. */
export const savedMachine = signal<SavedMachine | undefined>(undefined);

export function change(part: Partial<Settings>): void {
  settings.value = { ...settings.value, ...part };
}

/** A new machine of the settings in the place of those that run; `undefined` where the settings make none. */
export function start(options: { readonly check?: boolean } = {}): Session | undefined {
  if (validationError.value !== undefined) return undefined;
  const machine = new Session({
    name: 'the machine',
    settings: settings.value,
    image: image.value,
    ...options,
  });
  replace([machine]);
  return machine;
}

export async function save(): Promise<void> {
  const machine = shown.value;
  const saved = await machine?.save();
  if (machine && saved) {
    savedMachine.value = { saved, settings: machine.settings };
  }
}

/** Why copies of the saved machine cannot be made to keep the generation; `undefined` where they can. */
export const whyNotKept = computed(() => {
  const saved = savedMachine.value?.settings;
  if (saved === undefined) return 'no machine is saved';
  return whyNoGeneration(saved) ?? validationErrorOf({ ...saved, faulty: KEEPS_GENERATION });
});

/**
 * Machines from the saved one, by default two, under the settings that it was saved with: those of the form are for new machines.
 * Without a faulty hypervisor, whatever it ran under, they find the generation renewed; under the faulty one they find it unchanged.
 */
export function copies(
  names: readonly string[] = ['copy A', 'copy B'],
  faulty: '' | typeof KEEPS_GENERATION = '',
): readonly Session[] {
  const from = savedMachine.value;
  if (from === undefined) return [];
  const under = { ...from.settings, faulty };
  // Confirmed before a running machine is stopped.
  if (validationErrorOf(under) !== undefined) return [];
  const made = names.map((name) => new Session({ name, settings: under, saved: from.saved }));
  replace(made);
  return made;
}

function replace(next: readonly Session[]): void {
  for (const machine of machines.value) machine.stop();
  machines.value = next;
  selected.value = 0;
}

/** The part of the settings that makes a machine: the draft to compare with is only shown. */
export function machineOf(all: Settings): string {
  return toFragment({ ...all, compare: 0 });
}
