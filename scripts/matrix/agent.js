// The agent on stock Debian kernels under QEMU's TCG.
const kernel = (series, name) => ({
  name: `agent on ${name}`,
  command: ['node', 'scripts/test.js', 'agent-kernels'],
  env: { COMMONHV_KERNELS: series },
});

export const part = {
  title: 'the agent, and processes in copies',
  quick: 'agent on Debian 12, Linux 6.1',
  cells: [
    kernel('5.10', 'Debian 11, Linux 5.10'),
    kernel('6.1', 'Debian 12, Linux 6.1'),
    kernel('6.12', 'Debian 12, Linux 6.12'),
  ],
};
