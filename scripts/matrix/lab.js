// The lab with the small Linux beside it, in a real browser.
export const part = {
  title: 'the lab',
  quick: 'the small Linux of --linux, to a shell',
  cells: [
    {
      name: 'the small Linux of --linux, to a shell',
      command: ['node', 'scripts/lab-linux-cell.js'],
      seconds: 400,
    },
  ],
};
