/** The machine, or the two copies of one: its controls, its console, and an image of the reader's own. */
import { useEffect, useRef, useState } from 'preact/hooks';
import {
  copy,
  flaw,
  image,
  type Kept,
  kept,
  machines,
  notKept,
  save,
  selected,
  shown,
  start,
} from '../lab.ts';
import { Section } from '../section.tsx';
import { KEEPER } from '../settings/faulty.ts';
import { whyNoGeneration } from '../settings/settings.ts';
import { onFiles } from './drop.ts';
import { choose } from './image.ts';
import type { Session } from './session.ts';
import { Terminal } from './terminal.tsx';

export function MachineView() {
  const [wrong, setWrong] = useState('');
  const [over, setOver] = useState(false);
  const place = useRef<HTMLDivElement>(null);
  const take = (files: readonly File[]) =>
    void choose(files).then(
      () => setWrong(''),
      (error: Error) => setWrong(error.message),
    );
  useEffect(
    () =>
      onFiles(setOver, (files) => {
        take(files);
        place.current?.scrollIntoView({ block: 'nearest' });
      }),
    [],
  );
  return (
    <Section
      id="machine"
      title="Machine"
      lead={
        image.value
          ? 'A system of your own. It stays in this page.'
          : 'The probe guest: 512 bytes that execute what they are asked to. Type c 4f000000 0 in its console.'
      }
    >
      <div
        class={over ? 'drop over' : 'drop'}
        role="group"
        aria-label="The machine, and where a dropped image goes"
        ref={place}
      >
        <Toolbar />
        <ImageBar take={take} />
        {wrong !== '' && (
          <p class="flaw" role="alert">
            {wrong}
          </p>
        )}
        <div class={machines.value.length > 1 ? 'consoles two' : 'consoles'}>
          {machines.value.map((machine, i) => (
            <ConsoleView key={machine.id} machine={machine} at={i} />
          ))}
        </div>
      </div>
    </Section>
  );
}

function Toolbar() {
  const machine = shown.value;
  const state = machine?.state.value;
  const busy = machine === undefined || machine.busy.value !== '';
  const alive = state === 'running' || state === 'paused';
  const all = machines.value;
  const halted = state === 'paused';
  return (
    <div class="toolbar" role="group" aria-label="The machine">
      <button type="button" onClick={start} disabled={flaw.value !== undefined}>
        {machine === undefined ? 'Start' : 'Restart'}
      </button>
      <button
        type="button"
        disabled={busy || !alive}
        onClick={() => {
          for (const each of all) halted ? each.unpause() : each.pause();
        }}
      >
        {halted ? 'Go on' : 'Pause'}
      </button>
      <button
        type="button"
        disabled={machine === undefined || state === 'ended' || state === 'failed'}
        onClick={() => {
          for (const each of all) each.stop();
        }}
      >
        Stop
      </button>
      <button type="button" disabled={busy || !alive} onClick={() => void save()}>
        Save
      </button>
      <button type="button" disabled={kept.value === undefined} onClick={() => copy('')}>
        Resume two copies
      </button>
      {kept.value?.saved.probe && (
        <button
          type="button"
          disabled={notKept.value !== undefined}
          aria-describedby="saved"
          onClick={() => copy(KEEPER)}
        >
          … under the faulty hypervisor that keeps the generation
        </button>
      )}
      <span role="status" class="hint" id="saved">
        {kept.value && savedText(kept.value)}
      </span>
    </div>
  );
}

function ImageBar({ take }: { take(files: readonly File[]): void }) {
  const chosen = image.value;
  return (
    <div class="image">
      <label class="file">
        <span>Boot a system of your own: kernel and initrd</span>
        <input
          type="file"
          multiple
          onChange={(event) => {
            take([...(event.currentTarget.files ?? [])]);
            event.currentTarget.value = '';
          }}
        />
      </label>
      <span class="hint">or drop them anywhere (bzImage, vmlinux, multiboot)</span>
      {chosen && (
        <div class="chosen">
          <p>
            <strong>{chosen.names}</strong>
            {shown.value?.chosen === chosen ? '' : ': restart to boot it.'}
          </p>
          <label class="field wide">
            <span>Command line</span>
            <input
              type="text"
              spellcheck={false}
              value={chosen.commandLine}
              onChange={(event) => {
                image.value = { ...chosen, commandLine: event.currentTarget.value };
              }}
            />
          </label>
          <button
            type="button"
            onClick={() => {
              image.value = undefined;
            }}
          >
            Back to the probe
          </button>
        </div>
      )}
    </div>
  );
}

function ConsoleView({ machine, at }: { machine: Session; at: number }) {
  const many = machines.value.length > 1;
  const state = machine.state.value;
  const first = machine.firstAnswer.value;
  return (
    <div class="console">
      <div class="console-head">
        {many ? (
          <label class="check">
            <input
              type="radio"
              name="shown"
              checked={selected.value === at}
              onChange={() => {
                selected.value = at;
              }}
            />
            <span>{machine.name}</span>
          </label>
        ) : (
          <strong>{machine.settings.engine}</strong>
        )}
        <span role="status" class={`state ${state}`}>
          {STATES[state]}
          {machine.busy.value !== '' && `, ${machine.busy.value}`}
          {machine.detail.value !== '' && `: ${machine.detail.value}`}
        </span>
        {first !== undefined && !many && (
          <span class="hint">asked and answered after {Math.round(first)} ms</span>
        )}
      </div>
      {machine.settings.engine === 'model' ? (
        <p class="hint">The model has no machine and no console: it is the hypervisor, asked directly.</p>
      ) : (
        <Terminal machine={machine} />
      )}
    </div>
  );
}

const STATES = {
  starting: 'starting',
  running: 'running',
  paused: 'paused',
  ended: 'ended',
  failed: 'failed',
} as const;

/** The saved machine, and the state in which its copies start. */
function savedText({ saved, settings }: Kept): string {
  const what = `A machine is saved: ${size(saved.state.length)}.`;
  if (!saved.probe) return what;
  const none = whyNoGeneration(settings);
  if (none !== undefined) return `${what} Its copies are not told that they are copies: ${none}.`;
  const [first, second] = machines.value;
  if (second !== undefined && first?.settings.faulty === KEEPER)
    return `${what} These copies find its generation: the faulty hypervisor keeps it.`;
  const refused = notKept.value === undefined ? '' : ` Nothing can keep it: ${notKept.value}.`;
  return `${what} Its copies find the generation renewed.${refused}`;
}

function size(bytes: number): string {
  return bytes < 2 ** 20 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
