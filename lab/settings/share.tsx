/** The address holds all the settings: here it is copied. */
import { useState } from 'preact/hooks';

export function Share() {
  const [said, setSaid] = useState('');
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      setSaid('The link is copied.');
    } catch {
      // Without leave or a secure origin there is no clipboard; the address bar shows the same.
      setSaid('Copy the link from the address bar.');
    }
  };
  return (
    <>
      <button type="button" onClick={copy}>
        Copy link
      </button>
      <span role="status" class="hint">
        {said}
      </span>
    </>
  );
}
