/** The address holds the settings or the story: here it is copied, as a link or as a frame for another page. */
import { useState } from 'preact/hooks';
import { fragment } from '../../state/address.ts';

export function Share() {
  const [said, setSaid] = useState('');
  const copy = async (text: string, copied: string, otherwise: string) => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid(copied);
    } catch {
      // Without leave or a secure origin there is no clipboard.
      setSaid(otherwise);
    }
  };
  const frame = () => {
    const address = new URL(`#${fragment(true)}`, location.href).href.replaceAll('&', '&amp;');
    return `<iframe src="${address}" title="CommonHV lab" width="100%" height="640"></iframe>`;
  };
  return (
    <>
      <button
        type="button"
        onClick={() => void copy(location.href, 'The link is copied.', 'Copy the link from the address bar.')}
      >
        Copy link
      </button>
      <button
        type="button"
        onClick={() => void copy(frame(), 'The frame is copied, for a page of your own.', frame())}
      >
        Embed
      </button>
      <span role="status" class="hint said">
        {said}
      </span>
    </>
  );
}
