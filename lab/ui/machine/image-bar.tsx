/** A system of the reader's own: its files, its command line, and the small Linux that may stand beside the page. */
import { useState } from 'preact/hooks';
import { sentence } from '../../model/text.ts';
import { boot, forget, waitingInitrd } from '../../state/files.ts';
import { image, settings, shown, whyNotBooted } from '../../state/lab.ts';

export function ImageBar({ take }: { take(files: readonly File[]): void }) {
  const waiting = waitingInitrd.value;
  const refusal = whyNotBooted(settings.value);
  return (
    <div class="image">
      {refusal === undefined ? (
        <>
          <FileField take={take} />
          {__LINUX__ && <SmallLinux {...__LINUX__} />}
        </>
      ) : (
        <span class="hint">{sentence(refusal)}.</span>
      )}
      {waiting && (
        <p class="notice" role="status">
          {waiting.name} looks like an initrd: choose its kernel, and both boot.
        </p>
      )}
      <ImageView />
    </div>
  );
}

function FileField({ take }: { take(files: readonly File[]): void }) {
  return (
    <>
      <label class="file">
        <span>Boot a system of your own, or open a saved machine</span>
        <input
          type="file"
          multiple
          onChange={(event) => {
            take([...(event.currentTarget.files ?? [])]);
            event.currentTarget.value = '';
          }}
        />
      </label>
      <span class="hint">
        Kernel and initrd, in any order, here or dropped on the page (bzImage, vmlinux, multiboot; 32 bits).
      </span>
    </>
  );
}

function ImageView() {
  const booted = image.value;
  if (booted === undefined) return null;
  const stale = shown.value?.image !== booted;
  return (
    <div class="chosen">
      <p>
        <strong>{booted.names}</strong>
        {stale && ': restart to boot it with this command line.'}
      </p>
      <label class="field wide">
        <span>Command line</span>
        <input
          type="text"
          spellcheck={false}
          value={booted.commandLine}
          onChange={(event) => {
            image.value = { ...booted, commandLine: event.currentTarget.value };
          }}
        />
      </label>
      <button type="button" onClick={forget}>
        Back to the probe
      </button>
    </div>
  );
}

/** Built with `npm run build:lab -- --linux`. */
function SmallLinux({ title, kernel, initrd, notes }: LabLinux) {
  const [said, setSaid] = useState('');
  const load = async () => {
    setSaid('Loading …');
    try {
      const [first, second] = await Promise.all([bytesAt(kernel), bytesAt(initrd)]);
      boot({ name: title, bytes: first }, { name: 'its initrd', bytes: second });
      setSaid('');
    } catch (error) {
      setSaid((error as Error).message);
    }
  };
  return (
    <p class="linux">
      <button type="button" onClick={() => void load()}>
        Boot {title}
      </button>{' '}
      <a href={notes}>versions and sources</a>{' '}
      <span role="status" class="hint">
        {said}
      </span>
    </p>
  );
}

async function bytesAt(address: string): Promise<Uint8Array> {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
