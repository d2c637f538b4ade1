// A shell at the other end of a machine's serial line: types commands, and reads what they print.

/** @param {import('commonhv').Machine} machine */
export function shellOf({ console: { readable, writable } }) {
  const writer = writable.getWriter();
  let text = '';
  let ended = false;
  /** @type {() => void} */
  let arrived = () => {};
  (async () => {
    for await (const bytes of readable) {
      text += new TextDecoder('latin1').decode(bytes);
      arrived();
    }
    ended = true;
    arrived();
  })();

  /** Resolves to what came before the match, and takes both away. Throws after `seconds`, or when the guest ends. */
  const until = async (/** @type {RegExp} */ pattern, seconds = 60) => {
    const deadline = performance.now() + seconds * 1000;
    for (;;) {
      const match = pattern.exec(text);
      if (match !== null) {
        const before = text.slice(0, match.index);
        text = text.slice(match.index + match[0].length);
        return before;
      }
      const left = deadline - performance.now();
      if (ended || left <= 0) {
        throw new Error(`the guest said no ${pattern} in ${seconds} s; its last words: ${text.slice(-200)}`);
      }
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        arrived = () => {
          clearTimeout(timer);
          resolve(undefined);
        };
      });
    }
  };
  const type = (/** @type {string} */ line) => writer.write(new TextEncoder().encode(`${line}\n`));
  /** What a command printed. The marks are typed in two parts, so that their echo does not look like them. */
  const run = async (/** @type {string} */ command, seconds = 60) => {
    await type(`echo '<'begin'>'; ${command}; echo '<'end'>'`);
    await until(/<begin>\r?\n/, seconds);
    return (await until(/<end>/, seconds)).replaceAll('\r', '').trim();
  };
  return { until, type, run };
}
