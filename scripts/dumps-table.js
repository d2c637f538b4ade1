// node scripts/dumps-table.js [--cpuid PROGRAM] [--write]: which dumps of test/dumps this project and Todd Allen's cpuid (Debian's
// package cpuid, `cpuid -f`) read right, as a table; --write puts it into docs/benchmarks.md. Right is the manifest's value.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { putTable } from './table.js';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const FOLDER = 'test/dumps';
const at = process.argv.indexOf('--cpuid');
const program = at < 0 ? 'cpuid' : process.argv[at + 1];

const version = spawnSync(program, ['--version'], { encoding: 'utf8' });
if (version.error) {
  console.error(`${program}: not found: install Debian's package cpuid, or name the program with --cpuid`);
  process.exit(2);
}

/** The kind of a dump, by its name: the first that fits. */
const KINDS = [
  [
    'other tools',
    /^(06-|19|2[0-4]|26-|33-windows|lat-|libcpuid|xen-|vbox-|omnios|freebsd|cpuid-decoded|tycho-m|pytorch|libvirt|columns|acrn|bochs|cpu-z|cpuid-[3p]|ddcpuid|decoded-|firecracker-t|ftrace|gdb|rjcp|rust-debug|sde-|uefi|virtualbox|vmware|x86info|xend|xl-|none-)/,
  ],
  [
    'mail, web, logs, comparisons, encodings',
    /^(02b|15|16|18|28-|mail|rust-doc|java|xtf-st|utf16|ansi|html|markdown|numbered|dmesg|one-line|tycho-d|side|noise|ansible|c-[ad]|compose|grep|issue|journal|kubectl|mixed|multi|python|spaced|two-json|wrap[24]0|yaml|processor-h|cpu-headings)/,
  ],
  ['cpuid -r, as it was printed', /./],
];

/** Interfaces with a vendor string, as both can name them. */
const byVendor = (text) =>
  text
    .split(';')
    .filter((one) => one !== '' && !/=(?:Hv#1|VS#1|)$/.test(one))
    .sort()
    .join(';');

const rows = readFileSync(join(FOLDER, 'MANIFEST.tsv'), 'utf8').trimEnd().split('\n').slice(1);
const cases = rows.map((row) => {
  const [file, , , verdicts = '', , interfaces = ''] = row.split('\t');
  return {
    file,
    machines: verdicts === '' ? 0 : verdicts.split(' | ').length,
    expected: byVendor(interfaces),
  };
});

function ours(path) {
  const done = spawnSync(
    process.execPath,
    ['dist/cli/bin.cjs', 'detect', '--from', path, '--format', 'json'],
    { encoding: 'utf8' },
  );
  if (done.status !== 0) return { machines: 0, found: '' };
  const json = JSON.parse(done.stdout);
  const machines = json.machines ?? [json];
  return {
    machines: machines.length,
    found: byVendor(
      machines[0].interfaces.map(({ location, signature }) => `${location}=${signature}`).join(';'),
    ),
  };
}

/** `cpuid -f` names vendor strings as hypervisor_id; a string of NULs, or of what is no text, is none. Its first processor counts. */
function theirs(path) {
  const { status, stdout } = spawnSync(program, ['-f', path], { encoding: 'latin1' });
  const [head, first = head] = stdout.split(/^CPU(?: \d+)?:$/m);
  const found = [...first.matchAll(/hypervisor_id \((0x[\da-f]{8})\) = "(.*)"$/gm)]
    .map(([, location, text]) => [location, text.replaceAll('\\0', '').trim()])
    .filter(([, text]) => /^[^\\]+$/.test(text))
    .map(([location, text]) => `${location}=${text}`);
  return { read: status === 0 && first.trim() !== '', found: found.sort().join(';') };
}

const table = new Map(KINDS.map(([kind]) => [kind, { all: 0, ours: 0, theirs: 0 }]));
for (const { file, machines, expected } of cases) {
  const path = join(FOLDER, file);
  const counts = table.get(KINDS.find(([, pattern]) => pattern.test(file))[0]);
  const mine = ours(path);
  const other = theirs(path);
  counts.all++;
  if (mine.machines === machines && mine.found === expected) counts.ours++;
  if ((machines === 0 && !other.read) || (other.read && other.found === expected)) counts.theirs++;
}
const name = version.stdout.trim().replace(/^cpuid version /, 'cpuid ');
const lines = [...table].map(([kind, { all, ours, theirs }]) => `| ${kind} | ${all} | ${ours} | ${theirs} |`);
const sum = (key) => [...table.values()].reduce((total, counts) => total + counts[key], 0);
const text = [
  `| kind | dumps | \`commonhv detect --from\` | \`${name} -f\` |`,
  '| --- | --- | --- | --- |',
  ...lines,
  `| all | ${sum('all')} | ${sum('ours')} | ${sum('theirs')} |`,
].join('\n');
console.log(text);
if (process.argv.includes('--write')) putTable('docs/benchmarks.md', 'dumps', text);
