// The probe, booted by what is not this project's: the checker's answer, and the same leaves at CPL 0 and CPL 3.
const boots = (...args) => ['node', 'scripts/boots.js', ...args];
const NAMES = [
  'QEMU, multiboot',
  'QEMU, PVH',
  'QEMU, bzImage',
  'QEMU microvm, PVH',
  'SeaBIOS, disk',
  'SeaBIOS, CD',
  'OVMF, disk',
  'OVMF, CD',
  'Bochs, disk',
  'Bochs, CD',
  'Xen, PVH dom0',
  'GRUB, multiboot from a CD',
];

export const part = {
  title: 'who boots the probe',
  quick: 'one of each kind, verify alone',
  cells: [
    ...NAMES.map((name) => ({ name, command: boots(name), seconds: 600 })),
    {
      name: 'one of each kind, verify alone',
      command: boots('--quick', 'OVMF, CD', 'Bochs, disk', 'Xen, PVH dom0', 'GRUB, multiboot from a CD'),
      seconds: 600,
    },
  ],
  note: (output) =>
    output
      .trim()
      .split('\n')
      .at(-1)
      ?.replace(/^.*?: /, ''),
};
