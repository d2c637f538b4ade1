/** The plugin of QEMU's TCG: the checker, and a generation that every loadvm renews. Debian 12's QEMU 7.2, or another that exports the same. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { probeDisk } from 'commonhv/probe';
import { emptyQcow2, type Qemu, startQemu } from './support/qemu-monitor.ts';
import { skipUnless } from './support/require.ts';
import { scaled } from './support/time.ts';

const QEMU = 'qemu-system-x86_64';
const OUT = resolve('.cache/preload');
const MACHINE = '-accel tcg -m 16 -nodefaults -display none -serial stdio';
const { status, stdout } = spawnSync(QEMU, ['--version'], { encoding: 'utf8' });
const cc = spawnSync('cc', ['--version']).status === 0;
/** The two ways to reach registers: API 1 by exports that 7.2 has; from 10.1 the plugin interface, whose newest form is API 7. */
const [, major = '0', minor = '0'] = /version (\d+)\.(\d+)/.exec(stdout ?? '') ?? [];
const version = 100 * Number(major) + Number(minor);
const api = version >= 1101 ? 7 : version >= 1001 ? 5 : version < 800 ? 1 : undefined;
const skip =
  skipUnless('qemu', status === 0, `${QEMU} is not installed`) ||
  skipUnless('cc', cc, 'no C compiler') ||
  (api === undefined && `QEMU ${major}.${minor} has neither way to registers`);
const limit = { timeout: scaled(200_000), skip };
const work = mkdtempSync(join(tmpdir(), 'commonhv-plugin-'));
after(() => rmSync(work, { recursive: true, force: true }));

function plugin(version: number): string {
  const folder = join(OUT, `api${version}`);
  const args = ['-s', '-C', 'c/qemu-plugin', `OUT=${folder}`, `API=${version}`];
  const made = spawnSync('make', args, { encoding: 'utf8' });
  assert.equal(made.status, 0, made.stderr);
  return join(folder, 'commonhv-plugin.so');
}

test('each form of the plugin compiles', { skip: skipUnless('cc', cc, 'no C compiler') }, () => {
  for (const form of [1, 5, 7]) plugin(form);
});

test('verify finds no failure, and the only advisory is that WRMSR cannot raise #GP', limit, () => {
  const command = `${QEMU} ${MACHINE} -plugin ${plugin(api!)} -kernel {probe}`;
  const args = ['dist/cli/bin.cjs', 'verify', '--exec', command, '--format', 'json'];
  const made = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: scaled(100_000) });
  const { failed, passed, draft, rules } = JSON.parse(made.stdout);
  assert.deepEqual({ failed, draft }, { failed: 0, draft: 3 });
  assert.ok(passed >= 30);
  const others = rules.filter(({ outcome }: { outcome: string }) => !['passed', 'skipped'].includes(outcome));
  assert.deepEqual(
    others.map(({ id }: { id: string }) => id),
    ['generation.write'],
  );
});

test('a wrong word is one line, and QEMU does not start', limit, () => {
  const machine = [...MACHINE.split(' '), '-plugin', `${plugin(api!)},rng=xyz`];
  const { status: ended, stderr } = spawnSync(QEMU, machine, { encoding: 'utf8', timeout: scaled(60_000) });
  assert.equal(ended, 1);
  assert.match(stderr, /^commonhv: the plugin cannot serve: rng=xyz\n/);
});

test('the generation is renewed by loadvm, running or paused, and by nothing else', limit, async () => {
  const [kernel, disk] = [join(work, 'probe.img'), join(work, 'disk.qcow2')];
  writeFileSync(kernel, probeDisk());
  writeFileSync(disk, emptyQcow2());
  const drive = ['-drive', `if=none,id=d,file=${disk},format=qcow2`, '-device', 'virtio-blk-pci,drive=d'];
  const machine = [...MACHINE.split(' '), '-kernel', kernel, '-plugin', plugin(api!), ...drive];
  const qemu = await startQemu([QEMU, ...machine], join(work, 'monitor'));
  const generation = (): Promise<string> => (qemu as Qemu).ask('r 400000a1', /r (\w{8} \w{8})\r?\n/);
  try {
    await qemu.greeting();
    const first = await generation();
    for (const commands of [['stop', 'cont'], ['stop', 'info registers', 'cont'], ['savevm a']]) {
      for (const command of commands) await qemu.monitor(command);
      assert.equal(await generation(), first, commands.join(', '));
    }
    await new Promise((done) => setTimeout(done, 300));
    const values = [first];
    for (const commands of [['loadvm a'], ['loadvm a'], ['stop', 'loadvm a', 'cont']]) {
      for (const command of commands) await qemu.monitor(command);
      values.push(await generation());
    }
    assert.equal(new Set(values).size, 4, values.join(', '));
    await qemu.monitor('system_reset');
    await qemu.greeting();
    assert.equal(await generation(), values[3], 'system_reset');
  } finally {
    await qemu.close();
  }
});
