// Which hypervisors offer CommonHV: the checker's result of each. README's table is made of these rows (scripts/offers-table.js).
const QEMU = 'qemu-system-x86_64 -m 16 -nodefaults -display none -serial stdio';
const verify = (...args) => ['node', 'dist/cli/bin.cjs', 'verify', '--timeout', '200', ...args];
const exec = (command) => verify('--exec', command);
/** Exit status 1 of the checker is the result that is expected. */
const negative = (command) => ['sh', '-c', '"$@"; [ $? = 1 ]', 'negative', ...command];
/** Built first; status 3 where one of its tools is missing. */
const PLUGIN = [
  'for tool in make cc qemu-system-x86_64; do command -v $tool >/dev/null || { echo "$tool is not installed"; exit 3; }; done',
  'make -s -C c/qemu-plugin OUT=../../.cache/offers && exec "$@"',
].join('\n');

export const part = {
  title: 'who offers CommonHV',
  quick: 'QEMU/TCG with the plugin',
  cells: [
    { name: "v86, this project's engine", command: verify('--engine', 'v86') },
    { name: "KVM, this project's engine", command: verify('--engine', 'kvm') },
    {
      name: 'QEMU/KVM, unmodified, under commonhv preload',
      command: exec(`node dist/cli/bin.cjs preload -- ${QEMU} -accel kvm -cpu qemu64 -kernel {probe}`),
    },
    {
      name: 'QEMU/KVM without',
      command: negative(exec(`${QEMU} -accel kvm -cpu qemu64 -kernel {probe}`)),
    },
    {
      name: 'QEMU/TCG with the plugin',
      command: [
        ...['sh', '-c', PLUGIN, 'plugin'],
        ...exec(`${QEMU} -accel tcg -plugin .cache/offers/commonhv-plugin.so -kernel {probe}`),
      ],
    },
    { name: 'QEMU/TCG without', command: negative(exec(`${QEMU} -accel tcg -kernel {probe}`)) },
  ],
  note(output) {
    const [, result] = /^\S+ (conforms to [^,(\n]*|does not [^,(\n]*)/m.exec(output) ?? [];
    const [counts] = /\d+ passed, \d+ failed/.exec(output) ?? [];
    if (result === undefined) return output.trim().split('\n').at(-1);
    return [result.trim(), counts].filter((text) => text !== undefined).join('; ');
  },
};
