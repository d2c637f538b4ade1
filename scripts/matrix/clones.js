// Copies of a stock Debian guest with each remedy, compared by `commonhv clones`. The note is its result.
const cell = (name, remedy) => ({ name, command: ['node', 'scripts/clones-cell.js', remedy], seconds: 600 });

export const part = {
  title: 'for how long copies are alike',
  quick: 'v86, nothing',
  cells: [
    cell('v86, nothing', 'nothing'),
    cell('v86, agent (polled MSR)', 'agent'),
    cell('v86, driver by RDMSR', 'driver-msr'),
    cell('v86, driver by page', 'driver-page'),
    cell('QEMU/TCG, nothing', 'qemu'),
    cell('QEMU/TCG, VMGenID', 'qemu-vmgenid'),
  ],
};
