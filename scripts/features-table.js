// node scripts/features-table.js [--cpuid PROGRAM] [--write]: the names of feature bits here beside those of Todd Allen's cpuid
// (Debian's package cpuid). Each bit of each feature register is put into a dump alone and decoded by both. --write puts the bits
// that only one of them names into docs/dumps.md, with how often they are set in test/dumps.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { putTable } from './table.js';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const at = process.argv.indexOf('--cpuid');
const program = at < 0 ? 'cpuid' : process.argv[at + 1];
const version = spawnSync(program, ['--version'], { encoding: 'utf8' });
if (version.error) {
  console.error(`${program}: not found: install Debian's package cpuid, or name the program with --cpuid`);
  process.exit(2);
}
const load = (path) => import(pathToFileURL(join(process.cwd(), path)).href);
const { FEATURES } = await load('dist/cli/feature-data.js');
const { parseDump } = await load('dist/cpuid-dump.js');

const BASE = 0x4000_0000;
const REGISTERS = ['eax', 'ebx', 'ecx', 'edx'];
const hex = (value) => `0x${(value >>> 0).toString(16).padStart(8, '0')}`;
const row = (leaf, subleaf, regs) =>
  `   ${hex(leaf)} 0x${subleaf.toString(16).padStart(2, '0')}: ${REGISTERS.map((name) => `${name}=${hex(regs[name] ?? 0)}`).join(' ')}\n`;

function words(signature) {
  const text = signature === 'Hv#1' ? 'Microsoft Hv' : signature;
  const word = (i) => [0, 1, 2, 3].reduce((sum, k) => sum | (text.charCodeAt(i + k) << (8 * k)), 0) >>> 0;
  return { ebx: word(0), ecx: word(4), edx: word(8) };
}

/** What cpuid says of a register's value: its lines below the headings of hypervisors' leaves, without numbers of zero. */
function decode(signature, { offset, register, subleaf = 0 }, value) {
  const dump = [
    'CPU 0:\n',
    row(0, 0, { eax: 1 }),
    row(1, 0, { ecx: 0x8000_0000 }),
    row(BASE, 0, { eax: BASE + 0xc, ...words(signature) }),
    row(BASE + 1, 0, {
      eax: signature === 'Hv#1' ? 0x3123_7648 : offset === 1 && register === 'eax' ? value : 0,
      [register]: offset === 1 ? value : 0,
    }),
    ...(offset > 1 ? [...Array(subleaf).keys()].map((i) => row(BASE + offset, i, {})) : []),
    ...(offset > 1 ? [row(BASE + offset, subleaf, { [register]: value })] : []),
  ].join('');
  const { stdout } = spawnSync(program, ['-f', '-'], { input: dump, encoding: 'latin1' });
  return stdout.split('\n').slice(stdout.split('\n').findIndex((line) => line.includes('hypervisor_id')));
}

/** The names that appear when a bit is set. */
function theirName(signature, register, bit) {
  const before = new Set(decode(signature, register, 0));
  const after = decode(signature, register, (1 << bit) >>> 0).filter((line) => !before.has(line));
  const named = after
    .map((line) => /^\s+(.*\S)\s*= (?!false)/.exec(line)?.[1])
    .filter((name) => name !== undefined);
  return named[0];
}

const leaves = readdirSync('test/dumps')
  .filter((file) => file !== 'MANIFEST.tsv')
  .flatMap((file) => parseDump(readFileSync(join('test/dumps', file))).cpus.slice(0, 1));
function timesSet(signature, { offset, register, subleaf = 0 }, bit) {
  const { ebx, ecx, edx } = words(signature);
  return leaves.filter((dump) => {
    const root = dump.find(
      (one) => one.leaf >>> 16 === 0x4000 && one.ebx === ebx && one.ecx === ecx && one.edx === edx,
    );
    const found = root && dump.find((one) => one.leaf === root.leaf + offset && one.subleaf === subleaf);
    return found !== undefined && ((found[register] >>> bit) & 1) === 1;
  }).length;
}

const both = [];
const one = [];
for (const [signature, table] of Object.entries(FEATURES)) {
  for (const register of table.registers) {
    if (register.bits === undefined) continue;
    for (let bit = 0; bit < 32; bit++) {
      const inField = (register.fields ?? []).some(([, shift, width]) => bit >= shift && bit < shift + width);
      const mine = register.bits[bit];
      const theirs = inField ? undefined : theirName(signature, register, bit);
      const place = `${table.name} +${register.offset}.${register.register} bit ${bit}`;
      const count = (mine ?? theirs) ? timesSet(signature, register, bit) : 0;
      if (mine !== undefined && theirs !== undefined) both.push([place, mine, theirs, count]);
      else if (mine !== undefined || theirs !== undefined)
        one.push([place, mine ?? '-', theirs ?? '-', count]);
    }
  }
}
const line = (cells) => `| ${cells.join(' | ')} |`;
const name = version.stdout.trim().replace(/^cpuid version /, 'cpuid ');
if (process.argv.includes('--all')) console.log(both.map(line).join('\n'));
const text = [
  `${both.length} bits have a name in both; these in one:`,
  '',
  line(['bit', '`detect --features`', `\`${name}\``, 'dumps that set it']),
  line(['---', '---', '---', '---']),
  ...one.map(line),
].join('\n');
console.log(text);
if (process.argv.includes('--write')) putTable('docs/dumps.md', 'features', text);
