// The Linux driver: builds for Debian's other kernels, and its DKMS package.
const build = (series) => ({
  name: `builds for Debian's ${series} (amd64)`,
  command: ['scripts/build-driver.sh', 'amd64', series],
  seconds: 300,
});

export const part = {
  title: 'the Linux driver',
  quick: "builds for Debian's 6.12 (amd64)",
  cells: [
    build('6.1'),
    build('6.12'),
    { name: 'DKMS package in a Debian 12 chroot', command: ['scripts/driver-package.sh'], seconds: 900 },
  ],
  note: (output) =>
    output
      .trim()
      .split('\n')
      .at(-1)
      .replace(/: \/.*$/, ': no warning with W=1 and sparse'),
};
