// The agent on stock Debian kernels under QEMU's TCG; generators of other languages in copies of a guest with it, of which
// docs/processes.md has the table; `commonhv/restored` on each Node.
const kernel = (series, name) => ({
  name: `agent on ${name}`,
  command: ['node', 'scripts/test.js', 'agent-kernels'],
  env: { COMMONHV_KERNELS: series },
});

export const LANGUAGES = ['openssl', 'python', 'go', 'java', 'node', 'node-tls'];
const recipes = (language) => ({
  name: `copies: ${language}`,
  command: ['node', 'scripts/recipes-cell.js', language],
  seconds: 900,
});
const restored = (node) => ({
  name: `commonhv/restored on Node ${node}`,
  command: ['sh', 'scripts/machines.sh', `node-${node}`, 'node', 'scripts/test.js', 'restored'],
  seconds: 400,
});

export const part = {
  title: 'the agent, and processes in copies',
  quick: 'agent on Debian 12, Linux 6.1',
  cells: [
    kernel('5.10', 'Debian 11, Linux 5.10'),
    kernel('6.1', 'Debian 12, Linux 6.1'),
    kernel('6.12', 'Debian 12, Linux 6.12'),
    ...[20, 22, 24].map(restored),
    ...LANGUAGES.map(recipes),
    {
      name: 'agent in a whole Debian system with systemd',
      command: ['node', 'scripts/test.js', 'agent-systemd'],
      env: { COMMONHV_LONG: '1', COMMONHV_TIME_SCALE: '4' },
      seconds: 1500,
    },
  ],
  /** "getrandom 0 ms; python-random to the end; ...": the time until which the slowest copy shared a value with another. */
  note(output, { name }) {
    const lines = output.trim().split('\n');
    const line = lines.findLast((text) => text.startsWith('{"getrandom"'));
    if (line !== undefined) {
      const { step, ...alike } = JSON.parse(line);
      const times = Object.entries(alike).map(([source, time]) => `${source} ${time ?? 'none'}`);
      return [...times, `a sample each ${step} ms`].join('; ');
    }
    const count = (word) => new RegExp(`^(?:#|ℹ) ${word} (\\d+)$`, 'm').exec(output)?.[1] ?? '?';
    if (name.startsWith('copies')) return lines.at(-1).slice(0, 200);
    return `${count('pass')} passed, ${count('fail')} failed, ${count('skipped')} skipped`;
  },
};
