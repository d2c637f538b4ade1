/** The machine's buttons: start, pause, save, and copies of the saved one. */
import { KEEPS_GENERATION } from '../../model/faulty.ts';
import { whyNoGeneration } from '../../model/settings.ts';
import { type SavedMachine, writeStateFile } from '../../model/state-file.ts';
import {
  copies,
  machines,
  save,
  savedMachine,
  shown,
  start,
  validationError,
  whyNotKept,
} from '../../state/lab.ts';
import { download } from '../files.ts';
import { showResult } from '../results.tsx';

export function Toolbar() {
  const machine = shown.value;
  return (
    <div class="toolbar" role="group" aria-label="The machine">
      <button type="button" onClick={() => start()} disabled={validationError.value !== undefined}>
        {machine === undefined ? 'Start' : 'Restart'}
      </button>
      {machine?.hasMachine !== false && <PauseButton />}
      <button
        type="button"
        disabled={!machine?.alive}
        onClick={() => {
          for (const each of machines.value) each.stop();
        }}
      >
        Stop
      </button>
      {(machine?.hasMachine !== false || savedMachine.value) && <Copies />}
    </div>
  );
}

function PauseButton() {
  const machine = shown.value;
  const paused = machine?.state.value === 'paused';
  return (
    <button
      type="button"
      disabled={!canSave()}
      onClick={() => {
        for (const each of machines.value) void (paused ? each.unpause() : each.pause());
      }}
    >
      {paused ? 'Go on' : 'Pause'}
    </button>
  );
}

function canSave(): boolean {
  const machine = shown.value;
  const state = machine?.state.value;
  return machine !== undefined && machine.busy.value === '' && (state === 'running' || state === 'paused');
}

/** Saving, the saved machine as a file, and its copies. */
function Copies() {
  const saved = savedMachine.value;
  const copy = async (faulty: '' | typeof KEEPS_GENERATION) => {
    await Promise.all(copies(undefined, faulty).map(({ ready }) => ready));
    showResult('random');
  };
  return (
    <>
      {shown.value?.hasMachine !== false && (
        <button type="button" disabled={!canSave()} onClick={() => void save()}>
          Save
        </button>
      )}
      <button type="button" disabled={saved === undefined} onClick={() => void copy('')}>
        Resume two copies
      </button>
      {saved?.saved.probe && (
        <button
          type="button"
          disabled={whyNotKept.value !== undefined}
          aria-describedby="saved"
          onClick={() => void copy(KEEPS_GENERATION)}
        >
          … under the faulty hypervisor that keeps the generation
        </button>
      )}
      {saved && (
        <button
          type="button"
          onClick={() => download(writeStateFile(saved), 'machine.commonhv')}
          aria-describedby="saved"
        >
          Download it
        </button>
      )}
      <span role="status" class="hint" id="saved">
        {saved && savedText(saved)}
      </span>
    </>
  );
}

/** The saved machine, and the state in which its copies start. */
function savedText({ saved, settings }: SavedMachine): string {
  const size = `A machine is saved: ${sizeText(saved.state.length)}.`;
  if (!saved.probe) return size;
  const none = whyNoGeneration(settings);
  if (none !== undefined) return `${size} Its copies are not told that they are copies: ${none}.`;
  const [first, second] = machines.value;
  if (second !== undefined && first?.settings.faulty === KEEPS_GENERATION)
    return `${size} These copies find its generation: the faulty hypervisor keeps it.`;
  const refused = whyNotKept.value === undefined ? '' : ` Nothing can keep it: ${whyNotKept.value}.`;
  return `${size} Its copies find the generation renewed.${refused}`;
}

function sizeText(bytes: number): string {
  return bytes < 2 ** 20 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
