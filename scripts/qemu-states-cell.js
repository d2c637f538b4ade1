// node scripts/qemu-states-cell.js [--same-values]: the checker on an unmodified QEMU/TCG with the plugin, whose states are QEMU's own:
// savevm, loadvm in place, and copies by -incoming. Exit status 0 where it conforms with each rule of restores checked; with
// --same-values, where every QEMU that starts draws the same values, 0 where the rules of copies fail. 3: something is missing.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const faulty = process.argv[2] === '--same-values';
const CONTROLS = ['saves', 'restores in place', 'resumed copies'];
const CHECKED = [
  'discovery.restored',
  'rng.saved',
  'generation.restored',
  'generation.fresh',
  'generation.halves-restored',
];
/** Broken where a copy begins with the values of the first machine. */
const BROKEN = ['rng.saved', 'generation.fresh'];
const LIMIT_MS = 150_000;

function end(status, text) {
  console.log(text);
  process.exit(status);
}
function build(command, args) {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: LIMIT_MS });
  if (status !== 0) end(3, `${command}: ${stderr?.trim().split('\n').at(-1) || 'is not installed'}`);
}

const { stdout: version } = spawnSync('qemu-system-x86_64', ['--version'], { encoding: 'utf8' });
if (!/version 7\./.test(version ?? '')) end(3, 'QEMU 7.2 is not installed');
const OUT = '.cache/qemu-states';
build('make', ['-s', '-C', 'c/qemu-plugin', `OUT=../../${OUT}`, 'API=1']);
const values = `${OUT}/same-values.so`;
if (faulty) build('cc', ['-shared', '-fPIC', '-o', values, 'test/support/same-values.c']);

/** Runs `commonhv verify`; its report. */
function verify(folder) {
  const [probe, disk, monitor] = ['probe.img', 'disk.qcow2', 'monitor'].map((name) => join(folder, name));
  const qemu = `exec env ${faulty ? `LD_PRELOAD=${values} ` : ''}qemu-system-x86_64 -accel tcg -m 16 -nodefaults -display none -serial stdio -plugin ${OUT}/commonhv-plugin.so -kernel ${probe}`;
  const states = (verb) => `node scripts/qemu-states.js ${verb} ${monitor} {state}`;
  const commands = {
    exec: `: {probe}; ${qemu} -drive if=none,file=${disk},format=qcow2 -monitor unix:${monitor},server=on,wait=off`,
    save: states('save'),
    restore: states('restore'),
    resume: `${qemu} -incoming 'exec:cat {state}'`,
  };
  const args = Object.entries(commands).flatMap(([name, command]) => [`--${name}`, command]);
  const cli = ['dist/cli/bin.cjs', 'verify', '--name', 'QEMU/TCG', '--timeout', '120', '--format', 'json'];
  const { stdout, stderr } = spawnSync(process.execPath, [...cli, ...args], {
    encoding: 'utf8',
    timeout: LIMIT_MS,
  });
  if (stdout === '') end(1, stderr.trim() || 'no report');
  return JSON.parse(stdout);
}

const folder = mkdtempSync(join(tmpdir(), 'commonhv-qemu-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
const { emptyQcow2 } = await import('../build/test/support/qemu-monitor.js');
writeFileSync(join(folder, 'disk.qcow2'), emptyQcow2());
build(process.execPath, ['dist/cli/bin.cjs', 'probe', '--write', join(folder, 'probe.img')]);
const { passed, failed, controls, rules } = verify(folder);
const missing = CONTROLS.filter((name) => !controls.includes(name));
const withOutcome = (outcome) => rules.filter((rule) => rule.outcome === outcome).map(({ id }) => id);
const broken = withOutcome('failed');
const unchecked = CHECKED.filter((id) => !broken.includes(id) && !withOutcome('passed').includes(id));
const expected = faulty ? BROKEN : [];
const right =
  missing.length + unchecked.length === 0 &&
  expected.every((id) => broken.includes(id)) &&
  (faulty || failed === 0);
const list = (names) => names.join(', ') || 'none';
if (missing.length + unchecked.length > 0)
  console.log(`no control: ${list(missing)}; not checked: ${list(unchecked)}`);
end(
  right ? 0 : 1,
  `${passed} passed, ${failed} failed${broken.length > 0 ? `: ${list(broken)}` : ''}; controls: ${controls.join(', ')}`,
);
