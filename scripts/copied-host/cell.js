// node scripts/copied-host/cell.js: a machine of the bed with a stock Debian kernel, in which a layer runs, is resumed twice: with
// VMGenID, after its kernel was reseeded, no random value and no generation of the layer is in both copies; without it, they are.
// The last line is the row's note. Exit status 0, 1 where that is not so, 3 where something is missing on this machine.
import { spawnSync } from 'node:child_process';

const FOLDER = '/tmp/layer';
const MESSAGE = 'crng reseeded due to virtual machine fork';
/** Starts the layer; the pipe of its output would end with this line. */
const PREPARE = [
  `mkdir ${FOLDER}`,
  `node scripts/copied-host/layer.js ${FOLDER} >${FOLDER}/output 2>&1 </dev/null &`,
  `until test -e ${FOLDER}/ready; do sleep 0.1; done`,
];
/** Waits in tenths of a second, at most 60 s, for the command to succeed. */
const until = (command) => `n=0; until ${command} || test $((n += 1)) -gt 600; do sleep 0.1; done`;
const RESULT = [
  `touch ${FOLDER}/go`,
  until(`test -e ${FOLDER}/result`),
  `cat ${FOLDER}/output ${FOLDER}/result`,
];

/** The results of two copies. */
function copies(vmgenid) {
  const told = [until(`dmesg | grep -q '${MESSAGE}'`), `dmesg | grep -q '${MESSAGE}' || exit 9`];
  const { status, stdout, stderr, error } = spawnSync(
    process.execPath,
    [
      ...['scripts/bed.js', '--full', '--timeout', '400', ...(vmgenid ? ['--vmgenid'] : [])],
      ...['--prepare', PREPARE.join('\n'), '--copies', '2', [...(vmgenid ? told : []), ...RESULT].join('\n')],
    ],
    { cwd: new URL('../..', import.meta.url), encoding: 'utf8', maxBuffer: 2 ** 24 },
  );
  if (status === 0)
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
  const why = status === 9 ? `no "${MESSAGE}" within 60 s` : stderr.trim() || stdout.trim() || error?.message;
  console.error(`copied-host: ${why}`);
  process.exit(status === 3 ? 3 : 1);
}

/** "N of M" of one list that are in the other. */
function shared([one, other], name) {
  const count = one[name].filter((value) => other[name].includes(value)).length;
  return { count, text: `${count} of ${one[name].length} ${name}` };
}

const found = [true, false].map((vmgenid) => {
  const both = copies(vmgenid);
  return ['values', 'generations'].map((name) => shared(both, name));
});
const [told, untold] = found.map((each) => each.map(({ text }) => text).join(', '));
console.log(`with VMGenID both copies have ${told}; without it ${untold}`);
const [after, without] = found.map((each) => each.map(({ count }) => count));
// Equal generations come only where both kernels are asked in the same order: the values decide.
if (after.some((count) => count > 0) || without[0] === 0) process.exitCode = 1;
