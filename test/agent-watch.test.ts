/** The agent's watch mode in a stock Debian i386 guest on v86: older kernels by a stand-in, hostile hooks, lockdown, a register that changes at every look. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { Layer, Machine } from 'commonhv';
import { v86 } from 'commonhv/engines/v86';
import { commonhv, systemGeneration, systemSource } from 'commonhv/hypervisor';
import { debianGuest, type Shell, shellOf } from './support/debian-guest.ts';
import { skipUnless } from './support/require.ts';

const OUT = '.cache/agent-watch';
const GENERATION = 0x400000a1;
/** Time limits of hooks in the agent that is built for this test: of each, and of all of a folder. */
const SHORT = '-Os -Wall -Wextra -Werror -DHOOK_MS=700 -DHOOKS_MS=1500';

function makeGuest() {
  mkdirSync(OUT, { recursive: true });
  const commands = [
    ['make', '-s', '-C', 'c/agent', `OUT=../../${OUT}`, 'agent32'],
    ['make', '-s', '-C', 'c/agent', `OUT=../../${OUT}/short`, `CFLAGS=${SHORT}`, 'agent32'],
    [
      ...'cc -m32 -O2 -Wall -Wextra -Werror -static -s -o'.split(' '),
      `${OUT}/old-kernel`,
      'test/support/old-kernel.c',
    ],
  ] as const;
  for (const [command, ...args] of commands) {
    const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
    const reason = `no C compiler for -m32: ${stderr?.trim().split('\n').at(-1) ?? 'make is not installed'}`;
    if (status !== 0) return { skip: skipUnless('cc', false, reason) as string };
  }
  const files = {
    [`${OUT}/commonhv-agent32`]: '/sbin/commonhv-agent',
    [`${OUT}/short/commonhv-agent32`]: '/sbin/agent-short',
    [`${OUT}/old-kernel`]: '/sbin/old-kernel',
  };
  return debianGuest([
    '--output',
    OUT,
    ...Object.entries(files).flatMap(([from, to]) => ['--add', `${from}=${to}`]),
  ]);
}

/** Acknowledgements that the host accepted, and a fault of the generation's register that a test switches on. */
let heard: bigint[] = [];
let fault: (() => bigint) | undefined;
const right = commonhv({ rng: { source: systemSource() }, generation: { next: systemGeneration() } });
const layer: Layer = (host) => {
  const cpu = right(host);
  return {
    ...cpu,
    rdmsr: (index) => (index === GENERATION && fault !== undefined ? fault() : cpu.rdmsr(index)),
    wrmsr(index, value) {
      const answer = cpu.wrmsr(index, value);
      if (index === GENERATION && answer === undefined) heard.push(value);
      return answer;
    },
  };
};

const guest = makeGuest();
describe('in a stock Debian guest', { skip: guest.skip, timeout: 600_000 }, () => {
  let machine: Machine;
  let shell: Shell;
  let state: Uint8Array;

  before(async () => {
    if (guest.skip !== false) return;
    machine = await v86({ memory: 128 * 2 ** 20 }).start(layer, guest.image);
    shell = await shellOf(machine);
    await shell.run(
      'echo 1 >/proc/sys/kernel/printk; mkdir -p /etc/commonhv/restored.d; cd /etc/commonhv/restored.d',
    );
    state = await machine.save!();
  });
  after(() => machine?.close());

  const until = (condition: string) =>
    shell.run(
      `for i in $(seq 300); do ${condition} && break; sleep 0.1; done; ${condition} || echo timeout: '${condition}'`,
    );
  const hook = (path: string, code: string, mode = '755') =>
    shell.run(`printf '#!/bin/sh\\n${code}\\n' >${path}; chmod ${mode} ${path}`);
  const status = async () => JSON.parse(await shell.run('cat /run/commonhv/status'));
  /** The guest as it was before any agent ran, then an agent in watch mode. */
  async function watching(command: string, prepare = async (): Promise<unknown> => undefined): Promise<void> {
    fault = undefined;
    await machine.restore!(state);
    await prepare();
    heard = [];
    await shell.run(`${command} --watch >/tmp/log 2>&1 &`);
    await until('[ -e /run/commonhv/status ]');
  }
  /** A restore in place, until the agent is through with it: restore number `restores` of the watch; `last`: in the status then. */
  async function restored(restores = 1, last = '"hooks"'): Promise<void> {
    await machine.restore!(await machine.save!());
    await until(`grep -q '"restores":${restores},.*${last}' /run/commonhv/status`);
    const handled = '[ "$(cat /run/commonhv/acknowledged 2>&1)" = "$(cat /run/commonhv/generation.text)" ]';
    await until(`{ ${handled} || [ $(grep -c ': not acknowledged' /tmp/log) -ge ${restores} ]; }`);
  }

  test('Linux 4.9: says that it did not reseed, acknowledges nothing, and goes on watching', async () => {
    await watching('old-kernel 4.9.0 /sbin/commonhv-agent');
    for (const restores of [1, 2]) {
      await restored(restores);
      const { generation, reseeded, why, failures } = await status();
      assert.deepEqual([reseeded, failures], [false, restores]);
      assert.equal(why, 'Linux before 4.14 has no forced reseed');
      assert.equal(await shell.run('cat /run/commonhv/generation.text'), generation.slice(2));
    }
    const log = await shell.run('cat /tmp/log; ls /run/commonhv');
    assert.equal(
      log.match(/credited 512.*; not reseeded: Linux before 4\.14 has no forced reseed$/gm)?.length,
      3,
    );
    assert.match(log, /not acknowledged: the kernel was not reseeded/);
    assert.doesNotMatch(log, /; reseeded|^generation$|acknowledged$|RNDRESEEDCRNG/m);
    assert.deepEqual(heard, []);
  });

  test('the stand-in for 4.9 refuses the request where it is made; Linux before 4.8 takes a write; a refusal is said', async () => {
    const once = (release: string) =>
      shell.run(`old-kernel ${release} /sbin/commonhv-agent --once 2>&1; echo status $?`);
    await machine.restore!(state);
    assert.match(await once('4.13.9'), /; not reseeded: Linux before 4\.14 has no forced reseed\nstatus 0$/);
    assert.match(await once('4.4.0'), /^old-kernel: 64 bytes written\n.*; reseeded\nstatus 0$/);
    const refuses =
      /^old-kernel: RNDRESEEDCRNG refused\n.*; not reseeded: the kernel refuses the forced reseed\nstatus 0$/;
    assert.match(await once('6.1.0-refuses'), refuses);
    assert.match(await once('4.14.0'), /; reseeded\nstatus 0$/);
  });

  test('hooks run below Linux 4.11 too, which has no statx(2)', async () => {
    await watching('old-kernel 4.4.0 /sbin/commonhv-agent', () => hook('10-a', 'echo ran >/tmp/hook'));
    await restored(1, '10-a');
    assert.deepEqual((await status()).hooks, { '10-a': 0 });
    assert.equal(await shell.run('cat /tmp/hook'), 'ran');
  });

  test('a hook that another may change, a link, a folder and a plain file are refused; the environment is fixed', async () => {
    await watching('SECRET=1 commonhv-agent', async () => {
      await hook('10-good', 'tr "\\\\0" "\\\\n" </proc/$$/environ >/tmp/environment');
      await hook('20-owner', 'echo ran >>/tmp/hostile');
      await shell.run('for name in 30-group 40-other 70-plain; do cp 20-owner $name; done');
      await shell.run('chmod 775 30-group; chmod 757 40-other; chmod 644 70-plain; chown 1000 20-owner');
      await shell.run('ln -s 10-good 50-link; mkdir 60-folder; cp 10-good "80 space"; cp 10-good .90-hidden');
    });
    await restored(1, '70-plain');
    const refused = ['20-owner', '30-group', '40-other', '50-link', '60-folder', '70-plain'];
    assert.deepEqual((await status()).hooks, {
      '10-good': 0,
      ...Object.fromEntries(refused.map((name) => [name, 126])),
    });
    assert.equal(await shell.run('ls /tmp/hostile 2>/dev/null'), '');
    const generation = await shell.run('cat /run/commonhv/generation.text');
    const environment = ['PATH=/usr/sbin:/usr/bin:/sbin:/bin', `COMMONHV_GENERATION=${generation}`];
    assert.deepEqual((await shell.run('cat /tmp/environment')).split('\n'), environment);
    assert.equal(await shell.run('stat -c "%a %u" /run/commonhv /run/commonhv/* | sort -u'), '644 0\n755 0');
  });

  test('no hook runs in a folder that another may change, or that is a link', async () => {
    await watching('commonhv-agent', () => hook('10-a', 'echo ran >/tmp/hostile'));
    const changes = [
      ['chmod 777 /etc/commonhv/restored.d', 'chmod 755 /etc/commonhv/restored.d'],
      ['chown 1000 /etc/commonhv/restored.d', 'chown 0 /etc/commonhv/restored.d'],
      ['chmod 775 /etc/commonhv', 'chmod 755 /etc/commonhv'],
      ['cd /etc/commonhv; mv restored.d x; ln -s x restored.d', 'rm restored.d; mv x restored.d'],
      ['cd /etc; mv commonhv x; ln -s x commonhv', 'rm commonhv; mv x commonhv'],
    ] as const;
    for (const [i, [change, back]] of changes.entries()) {
      await shell.run(change);
      await restored(i + 1);
      assert.deepEqual((await status()).hooks, {}, change);
      await shell.run(back);
    }
    assert.equal(await shell.run('ls /tmp/hostile 2>/dev/null'), '');
    await restored(changes.length + 1, '10-a');
    assert.equal(await shell.run('cat /tmp/hostile'), 'ran');
  });

  test('a hook that takes too long is killed with its children, and all hooks of a folder have one limit', async () => {
    await watching('agent-short', async () => {
      for (const name of ['10-a', '20-b', '30-c', '40-d']) await hook(name, 'sleep 777');
    });
    await restored(1, '40-d');
    assert.deepEqual((await status()).hooks, { '10-a': 124, '20-b': 124, '30-c': 124, '40-d': 124 });
    assert.equal(await shell.run('ps | grep "[s]leep 777"'), '');
    // Neither is lost by it: without --strict a failing hook withholds nothing.
    assert.equal(heard.length, 1);
  });

  test('--strict: a failing hook withholds the acknowledgement, and is in the status', async () => {
    await watching('commonhv-agent --strict', () => hook('10-a', '[ -e /tmp/well ]'));
    await restored(1, '10-a');
    assert.deepEqual([(await status()).hooks, heard.length], [{ '10-a': 1 }, 0]);
    assert.match(await shell.run('cat /tmp/log'), /not acknowledged: a hook failed \(--strict\)/);
    await shell.run('touch /tmp/well');
    await restored(2, '10-a');
    assert.deepEqual([(await status()).hooks, heard.length], [{ '10-a': 0 }, 1]);
  });

  test('a restore during hooks ends them, and starts them again with the new generation', async () => {
    await watching('commonhv-agent', () =>
      hook(
        '10-slow',
        'echo begin $COMMONHV_GENERATION >>/tmp/hook; sleep 2; echo end $COMMONHV_GENERATION >>/tmp/hook',
      ),
    );
    await machine.restore!(await machine.save!());
    await until('grep -q begin /tmp/hook 2>/dev/null');
    const first = await shell.run('cat /run/commonhv/generation.text');
    await machine.restore!(await machine.save!());
    await until('grep -q end /tmp/hook && [ -e /run/commonhv/acknowledged ]');
    const second = await shell.run('cat /run/commonhv/acknowledged');
    assert.notEqual(second, first);
    assert.deepEqual((await shell.run('cat /tmp/hook')).split('\n'), [
      `begin ${first}`,
      `begin ${second}`,
      `end ${second}`,
    ]);
    assert.deepEqual(heard, [BigInt(`0x${second}`)]);
    assert.deepEqual((await status()).hooks, { '10-slow': 0 });
  });

  test('lockdown: MSRs are read, no acknowledgement is sent, which is said, and hooks run', async () => {
    const tainted = 'echo $(($(cat /proc/sys/kernel/tainted) & 4))';
    await watching('commonhv-agent', () => hook('10-a', 'true'));
    assert.equal(await shell.run(tainted), '0');
    await restored();
    assert.deepEqual([heard.length, await shell.run(tainted)], [1, '4']); // the module msr taints at a write: S
    await watching('commonhv-agent', async () => {
      await hook('10-a', 'true');
      await shell.run(
        'mount -t securityfs s /sys/kernel/security; echo integrity >/sys/kernel/security/lockdown',
      );
    });
    await restored(1, '10-a');
    const { reseeded, hooks } = await status();
    assert.deepEqual([reseeded, hooks, heard, await shell.run(tainted)], [true, { '10-a': 0 }, [], '0']);
    assert.match(await shell.run('cat /tmp/log'), /no acknowledgement is sent: lockdown/);
  });

  test('a register that changes at every read, or at every look, gives some lines and not thousands', async () => {
    let value = 2n ** 40n;
    const next = () => (value += 2n ** 32n + 1n);
    const everyLook = () => BigInt(Math.floor(Date.now() / 40)) * (2n ** 32n + 1n);
    for (const changing of [next, everyLook]) {
      await watching('commonhv-agent --interval 50');
      fault = changing;
      await shell.run('sleep 2');
      const lines = Number(await shell.run('wc -l </tmp/log'));
      assert.ok(lines <= 12, await shell.run('cat /tmp/log'));
      fault = undefined;
      await until('grep -q \'"restores":0,\' /run/commonhv/status || [ -e /run/commonhv/acknowledged ]');
      await shell.run('sleep 1');
      assert.match(await shell.run('cat /tmp/log'), /the generation changes at every look/);
      await machine.restore!(await machine.save!());
      await until(`[ $(grep -c '; reseeded' /tmp/log) -ge 2 ]`);
    }
  });
});
