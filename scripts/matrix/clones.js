// Copies of a stock Debian guest with each remedy, compared by `commonhv clones`. docs/clones.md has a table of the rows.
const cell = (name, remedy, seconds = 600) => ({
  name,
  command: ['node', 'scripts/clones-cell.js', remedy],
  seconds,
});

export const part = {
  title: 'for how long copies are alike',
  quick: 'v86, agent (polled MSR)',
  cells: [
    cell('v86, nothing', 'nothing', 900),
    cell('v86, agent (polled MSR)', 'agent'),
    cell('v86, driver by RDMSR', 'driver-msr'),
    cell('v86, driver by page', 'driver-page'),
    cell('v86, faulty: acknowledges, no reseed', 'acknowledges'),
    cell('v86, faulty: only writes to /dev/urandom', 'writes-only'),
    cell('QEMU/TCG with the plugin, faulty: no credit on Linux 5.10', 'no-credit'),
    cell('QEMU/TCG, nothing', 'qemu', 900),
    cell('QEMU/TCG, VMGenID', 'qemu-vmgenid'),
    cell('QEMU/TCG, VMGenID, Linux 6.12', 'qemu-vmgenid-6.12'),
    cell("KVM, this project's engine, agent", 'bed-kvm', 1800),
    cell("KVM, this project's engine, VMGenID", 'bed-kvm-vmgenid', 1800),
    cell('QEMU/KVM, nothing', 'bed-qemu', 1800),
    cell('QEMU/KVM under preload, agent', 'bed-preload', 1800),
  ],
};
