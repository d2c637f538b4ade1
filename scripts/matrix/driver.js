// The Linux driver: builds for Debian's other kernels, checkpatch, its DKMS package, kexec, other systems; and three copies of a stock 64-bit Debian guest
// under the KVM engine in the bed, of which docs/driver.md and docs/processes.md have the table.
const build = (series, more = '') => ({
  name: `builds for Debian's ${series} (amd64)${more}`,
  command: ['scripts/build-driver.sh', 'amd64', series],
  seconds: 300,
});
const SYSTEMS = {
  smp: 'two processors under TCG',
  wireguard: 'WireGuard with vmgenid=1',
  vmgenid: 'beside a VM generation device',
  lockdown: 'lockdown, enforced signatures',
  secureboot: 'Secure Boot, a signed module',
  hibernation: 'a complete hibernation, resumed twice',
};
const system = ([name, title]) => ({
  name: title,
  command: ['node', 'scripts/test.js', 'driver-systems'],
  env: { COMMONHV_SYSTEMS: name },
  seconds: 600,
});

/** The guest is made outside: in the bed is no apt. */
const PRELOAD = '.cache/driver/preload-guest';
const makeGuest =
  "import('./build/test/support/driver.js').then((the) => the.driverGuest('preload-guest', 'amd64'))";
const preload = (cpus) => ({
  name: `bed: under QEMU with preload, -smp ${cpus}`,
  command: [
    'sh',
    '-c',
    `node -e "${makeGuest}" && exec node scripts/bed.js --timeout 1700 --memory 4096 ${['vmlinux', 'initrd'].map((file) => `--add ${PRELOAD}/${file}=${PRELOAD}/${file}`).join(' ')} env COMMONHV_LONG=1 COMMONHV_CPUS=${cpus} node --test build/test/driver-preload.test.js`,
  ],
  seconds: 1800,
});

export const FOLLOWED_LAYER = 'a layer in a copied guest, beside ';

const COPIES = {
  'copies, bare': 'bare',
  'copies, agent': 'agent',
  'copies, driver by RDMSR': 'driver-msr',
  'copies, driver by page': 'driver-page',
};
export const copies = Object.keys(COPIES);

/** "kernel 0 ms; ...": the time until which the slowest copy shared a value with another. */
function copiesNote(output) {
  const line = output
    .trim()
    .split('\n')
    .findLast((text) => text.startsWith('{"getrandom"'));
  if (line === undefined) return output.trim().split('\n').at(-1).slice(0, 200);
  const { getrandom, follow, node, restored, step, acknowledged } = JSON.parse(line);
  const columns = { kernel: getrandom, process: follow, Node: node, 'Node with commonhv/restored': restored };
  const alike = Object.entries(columns).map(([name, time]) => `${name} ${time ?? 'none'}`);
  return [...alike, `a sample each ${step} ms`, `acknowledgements ${acknowledged.join(', ')}`].join('; ');
}

export const part = {
  title: 'the Linux driver, and copies with it, with the agent and bare',
  quick: "builds for Debian's 6.12 (amd64)",
  cells: [
    build('6.1'),
    build('6.12'),
    build('7', ', sid'),
    { name: 'checkpatch', command: ['scripts/checkpatch.sh'], seconds: 600 },
    { name: 'DKMS package in a Debian 12 chroot', command: ['scripts/driver-package.sh'], seconds: 900 },
    {
      name: 'kexec in v86',
      command: ['node', 'scripts/test.js', 'driver-kexec'],
      env: { COMMONHV_LONG: '1' },
      seconds: 600,
    },
    ...Object.entries(SYSTEMS).map(system),
    ...[1, 2].map(preload),
    ...['driver', 'agent', 'nothing'].map((remedy) => ({
      name: FOLLOWED_LAYER + remedy,
      command: ['node', 'scripts/copied-host/followed-cell.js', remedy],
      seconds: 1200,
    })),
    ...Object.entries(COPIES).map(([name, remedy]) => ({
      name,
      command: ['node', 'scripts/copies-cell.js', remedy],
      seconds: 1500,
    })),
  ],
  note(output, { name }) {
    if (copies.includes(name)) return copiesNote(output);
    const count = (word) => new RegExp(`^(?:#|ℹ) ${word} (\\d+)$`, 'm').exec(output)?.[1];
    const passed = count('pass');
    if (passed !== undefined && !name.includes('kexec'))
      return `${passed} passed, ${count('fail')} failed, ${count('skipped')} skipped`;
    if (passed !== undefined)
      return `${passed} passed: the register is clear before the next kernel runs, which registers its own page`;
    return output
      .trim()
      .split('\n')
      .at(-1)
      .replace(/: \/.*$/, `: no warning with W=1${name.includes('sid') ? '' : ' and sparse'}`);
  },
};
