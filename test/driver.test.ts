/** commonhv.ko in a stock Debian i386 guest on v86: what it offers to processes, its life, and hostile hypervisors. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { Layer, Machine, Regs } from 'commonhv';
import { v86 } from 'commonhv/engines/v86';
import { commonhv, systemGeneration, systemSource } from 'commonhv/hypervisor';
import { type Shell, shellOf } from './support/debian-guest.ts';
import { driverGuest, driverModule, testModule } from './support/driver.ts';

const RNG = 0x400000a0;
const GENERATION = 0x400000a1;

/** Faults that a test switches on while the guest runs: a module reads the leaves when it is loaded. */
interface Faults {
  leaves?: Readonly<Record<string, Partial<Regs>>>;
  rdmsr?: Readonly<Record<number, () => bigint | '#GP'>>;
  wrmsr?: Readonly<Record<number, (value: bigint, current: bigint) => '#GP' | undefined>>;
}
let fault: Faults = {};
/** RDMSRs of the RNG so far. */
let draws = 0;
const good = commonhv({
  interfaces: [{ signature: 'KVMKVMKVM\0\0\0', location: 0x40000000 }],
  rng: { source: systemSource() },
  generation: { next: systemGeneration(), page: false, ack: false },
});
const layer: Layer = (below) => {
  const right = good(below);
  return {
    ...right,
    cpuid: (leaf, subleaf) => ({
      ...right.cpuid(leaf, subleaf),
      ...fault.leaves?.[`${leaf.toString(16)}.${subleaf}`],
    }),
    rdmsr(index) {
      if (index === RNG) draws++;
      return fault.rdmsr?.[index]?.() ?? right.rdmsr(index);
    },
    wrmsr: (index, value) => {
      const write = fault.wrmsr?.[index];
      return write === undefined
        ? right.wrmsr(index, value)
        : write(value, right.rdmsr(GENERATION) as bigint);
    },
  };
};
const features = (eax: number): Record<string, Partial<Regs>> => ({ '4f000002.0': { eax } });

const hex = (value: bigint) => value.toString(16).padStart(16, '0');
/** WRMSR of the generation as bit 4 has it; tells the first acknowledgement of a generation. */
const acknowledge = (heard: bigint[]) => (value: bigint, current: bigint) => {
  if (value !== current) return '#GP';
  if (heard.at(-1) !== value) heard.push(value);
  return undefined;
};

test('the driver is at most 800 lines in three files, without a version check', () => {
  const sources = readdirSync('c/driver').filter((name) => /\.[ch]$/.test(name));
  assert.ok(sources.length <= 3, sources.join());
  const text = sources.map((name) => readFileSync(`c/driver/${name}`, 'utf8')).join('');
  assert.ok(text.split('\n').length <= 800);
  assert.doesNotMatch(text, /LINUX_VERSION_CODE|KERNEL_VERSION/);
});

const amd64 = driverModule('amd64');
test('it builds for amd64 without a warning', { skip: amd64.skip }, () => {
  assert.ok(amd64.skip === false && readFileSync(amd64.module).subarray(0, 4).equals(Buffer.from('\x7fELF')));
});

const guest = driverGuest('driver-test', 'i386', () => ({
  [testModule('i386', 'test/support/other-hwrng.c')]: '/lib/modules/other-hwrng.ko',
}));
describe('in a stock Debian guest', { skip: guest.skip, timeout: 900_000 }, () => {
  let machine: Machine;
  let shell: Shell;
  let state: Uint8Array;

  before(async () => {
    if (guest.skip !== false) return;
    machine = await v86({ memory: 128 * 2 ** 20 }).start(layer, {
      ...guest.image,
      commandLine: `${guest.image.commandLine} nowatchdog`,
    });
    shell = await shellOf(machine);
    await shell.run('echo 1 >/proc/sys/kernel/printk; cd /sys/devices/platform');
    state = await machine.save!();
  });
  after(() => machine?.close());

  /** The guest as it was before the first load, with other faults; loads the module and gives back insmod's words. */
  async function load(parameters = '', faults: Faults = {}): Promise<string> {
    fault = {};
    await machine.restore!(state);
    fault = faults;
    return shell.run(`insmod /lib/modules/commonhv.ko ${parameters} 2>&1; echo status $?`);
  }
  const lines = async (command: string) => (await shell.run(command)).split('\n');
  /** Restores the machine in place `times` times; gives back what a process in it then prints, from `begin` to a full stop. */
  async function copies(begin: string, times: number): Promise<string[]> {
    const saved = await machine.save!();
    const found: string[] = [];
    for (let i = 0; i < times; i++) {
      await machine.restore!(saved);
      await shell.until(begin, 60_000);
      found.push(await shell.until('.', 60_000));
    }
    return found;
  }
  /** Starts the test's process in the foreground, until it prints `ready`. */
  async function start(command: string, ready: string): Promise<void> {
    await shell.type(`driver ${command}\n`);
    await shell.until(ready);
  }

  test('sysfs shows draft, interfaces, preference, RNG and generation', async () => {
    assert.equal(await load(), 'status 0');
    const shown = await lines('grep . commonhv/draft commonhv/preferred commonhv/interfaces commonhv/rng');
    assert.deepEqual(shown, [
      'commonhv/draft:3',
      'commonhv/preferred:0',
      'commonhv/interfaces:40000000 KVMKVMKVM',
      'commonhv/rng:secure hwrng',
    ]);
    const [generation, reseeded, read] = await lines(
      'cat commonhv/generation; driver read; cat commonhv/reseeded',
    );
    assert.match(generation!, /^[0-9a-f]{16}$/);
    assert.deepEqual([reseeded, read], [generation, generation]);
  });

  test('the RNG is the kernel’s current hwrng where the hypervisor vouches for it, and gives different bytes', async () => {
    await load();
    const [current, quality, one, two] = await lines(
      'cat /sys/class/misc/hw_random/rng_current /sys/class/misc/hw_random/rng_quality; for i in 1 2; do head -c 64 /dev/hwrng | md5sum; done',
    );
    assert.deepEqual([current, quality], ['commonhv', '1024']);
    assert.notEqual(one, two);
  });

  test('where another hwrng is the current one, values are mixed in at load and at each change all the same', async () => {
    fault = {};
    await machine.restore!(state);
    await shell.run('insmod /lib/modules/other-hwrng.ko; sleep 0.2');
    const before = draws;
    const load =
      'insmod /lib/modules/commonhv.ko; cat /sys/class/misc/hw_random/rng_current commonhv/rng; driver read';
    const [current, offered, generation] = await lines(load);
    assert.deepEqual([current, offered], ['other', 'secure hwrng']);
    const loaded = draws;
    assert.ok(loaded - before >= 8, `${loaded - before} values at load`);
    await machine.restore!(await machine.save!());
    assert.notEqual(await shell.run('driver read'), generation);
    assert.ok(draws - loaded >= 8, `${draws - loaded} values at the change`);
    assert.equal(await shell.run('cat /sys/class/misc/hw_random/rng_current'), 'other');
  });

  test('it registers no hwrng without a statement, without trust of the administrator, or where the values are flawed', async () => {
    const rng = 'cat commonhv/rng; cat /sys/class/misc/hw_random/rng_current; dmesg | grep -c "not used"';
    let count = 0n;
    const cases: readonly (readonly [string, Faults, string, string])[] = [
      ['', { leaves: { '4f000003.0': { ebx: 0 } } }, 'unstated', '0'],
      ['', { leaves: { '4f000003.0': { ebx: 3 } } }, 'unstated', '0'],
      ['', { leaves: { '4f000003.0': { ebx: 2 } } }, 'insecure', '0'],
      ['quality=0', {}, 'secure', '0'],
      ['', { rdmsr: { [RNG]: () => 0n } }, 'secure', '1'],
      ['', { rdmsr: { [RNG]: () => count++ } }, 'secure', '1'],
      ['', { rdmsr: { [RNG]: () => '#GP' } }, 'secure', '1'],
      ['', { leaves: features(4) }, 'none', '0'],
    ];
    for (const [parameters, faults, state, refused] of cases) {
      assert.equal(await load(parameters, faults), 'status 0');
      assert.deepEqual(
        await lines(rng),
        [state, 'none', refused],
        JSON.stringify([parameters, faults.leaves]),
      );
    }
  });

  test('/dev/commonhv and /dev/sysgenid map one page, read-only for good', async () => {
    await load();
    const maps = (device: string) => [
      `${device} write Permission denied`,
      `${device} writable Permission denied`,
      `${device} private Permission denied`,
      `${device} offset Invalid argument`,
      `${device} far Invalid argument`,
      `${device} long Invalid argument`,
      `${device} read mapped`,
      `${device} mprotect Permission denied`,
      `${device} remap Bad address`,
    ];
    assert.deepEqual(await lines('driver maps'), [...maps('/dev/commonhv'), ...maps('/dev/sysgenid')]);
    const modes = await lines('stat -c %a /dev/commonhv /dev/sysgenid');
    assert.deepEqual(modes, ['644', '444']);
    const [first, second, count] = (await shell.run('driver page')).split(' ');
    assert.match(first!, /^[0-9a-f]{16}$/);
    assert.deepEqual([second, count], [first, '1']);
  });

  test('reads and writes of a wrong length, position or address fail', async () => {
    await load();
    assert.deepEqual(await lines('driver io'), [
      'short Invalid argument',
      'pread Illegal seek',
      'null Bad address',
      'long 8',
      'write 7 Operation not supported',
      'write null Operation not supported',
    ]);
    await load('ack=user');
    assert.deepEqual((await lines('driver io')).slice(-2), [
      'write 7 Invalid argument',
      'write null Bad address',
    ]);
  });

  test('it is refused where there is no CommonHV, and with parameters out of range', async () => {
    const absent = /No such device\nstatus \d+$/;
    for (const root of [{ ebx: 0 }, { ecx: 0 }, { edx: 0 }, { eax: 0x4effffff }, { eax: 0x50000000 }])
      assert.match(await load('', { leaves: { '4f000000.0': root } }), absent);
    for (const parameters of ['quality=1025', 'quality=65536', 'quality=-1', 'ack=nobody', 'ack='])
      assert.match(
        await load(parameters),
        /(Invalid argument|No such device|range).*\nstatus \d+$/,
        parameters,
      );
    assert.deepEqual(
      await lines('ls; ls /dev/commonhv 2>&1; lsmod | grep -c ^commonhv').then((all) =>
        all.filter((line) => /^commonhv|^0$/.test(line)),
      ),
      ['0'],
    );
  });

  test('a hostile list of interfaces is bounded, and its signatures are escaped', async () => {
    const tuple = { eax: 0xffffffff, ebx: 0x0a0d1b00, ecx: 0xffffffff, edx: 0x5c22273c };
    const leaves = Object.fromEntries(Array.from({ length: 256 }, (_, i) => [`4f000001.${i + 1}`, tuple]));
    await load('', { leaves: { ...leaves, '4f000001.0': { eax: 0xffffffff, ebx: 0xffffffff } } });
    const shown = await lines('cat commonhv/interfaces; cat commonhv/preferred');
    assert.equal(shown.length, 65);
    assert.equal(shown.at(-1), '0');
    for (const line of shown.slice(0, -1))
      assert.match(line, /^ffffffff \\x00\\x1b\\x0d\\x0a\\xff\\xff\\xff\\xff<'"\\x5c$/);
  });

  test('drafts 1 and 2 have no generation: interfaces are shown, no device is made, nothing is credited', async () => {
    const second = { '4f000002.0': { eax: 1, ebx: 0 } };
    const first = {
      '4f000000.0': { eax: 0x4f000002 },
      '4f000002.0': { eax: RNG, ebx: 0 },
      '4f000001.0': { eax: 0x40000000, ebx: 0x4b4d564b, ecx: 0x564b4d56, edx: 0x4d },
      '4f000001.1': { eax: 0, ebx: 0, ecx: 0, edx: 0 },
    };
    for (const [draft, leaves] of [
      [2, second],
      [1, first],
    ] as const) {
      assert.equal(await load('', { leaves }), 'status 0');
      const shown = await lines(
        'cat commonhv/draft commonhv/rng commonhv/interfaces; cat commonhv/generation 2>&1; ls /dev/commonhv 2>&1',
      );
      assert.deepEqual(shown.slice(0, 3), [String(draft), 'unstated', '40000000 KVMKVMKVM']);
      assert.match(shown[3]!, /No data available/);
      assert.match(shown[4]!, /No such file/);
    }
  });

  test('a generation that faults or is 0 is not followed; one that faults later is waited for', async () => {
    for (const value of ['#GP', 0n] as const) {
      assert.equal(await load('', { rdmsr: { [GENERATION]: () => value } }), 'status 0');
      assert.match(
        await shell.run('dmesg | tail -n 2; ls /dev/commonhv 2>&1'),
        /not followed[\s\S]*No such file/,
      );
    }
    await load();
    await shell.run('driver read');
    fault = { rdmsr: { [GENERATION]: () => '#GP' } };
    assert.equal(await shell.run('driver read'), 'Connection timed out');
    assert.equal(await shell.run('driver read nonblock'), 'Resource temporarily unavailable');
    fault = {};
    assert.match(await shell.run('driver read'), /^[0-9a-f]{16}$/);
  });

  test('a generation that changes at every read neither hangs the guest nor fills its log', async () => {
    let value = 2n ** 40n;
    await load('', { rdmsr: { [GENERATION]: () => (value += 2n ** 32n + 1n) } });
    const said = await shell.run('driver read; driver read; sleep 1; dmesg | grep -c commonhv');
    assert.ok(Number(said.split('\n').at(-1)) < 20, said);
    assert.equal(await shell.run('rmmod commonhv; echo $?'), '0');
  });

  test('it is loaded and unloaded 20 times, and leaves nothing', async () => {
    await load();
    await shell.run('rmmod commonhv');
    const trace =
      'ls /dev | sort | md5sum; ls -R /sys/devices /sys/class/misc /sys/bus/platform 2>/dev/null | md5sum; wc -l </proc/interrupts; cat /sys/class/misc/hw_random/rng_current';
    const before = await shell.run(trace);
    assert.equal(
      await shell.run(
        'for i in $(seq 20); do insmod /lib/modules/commonhv.ko && driver read >/dev/null && rmmod commonhv || echo failed $i; done',
      ),
      '',
    );
    assert.equal(await shell.run(trace), before);
    assert.equal(await shell.run('dmesg | grep -E "BUG|WARNING|Oops|leak"'), '');
  });

  test('a mapping holds the module', async () => {
    await load();
    assert.match(
      await shell.run(
        'driver hold & sleep 0.3; rmmod commonhv 2>&1; kill $!; wait $! 2>/dev/null; rmmod commonhv; echo $?',
      ),
      /temporarily unavailable[\s\S]*0$/,
    );
  });

  test('after a restore in place poll(2), the uevent, sysfs and read(2) tell the new generation', async () => {
    await load();
    await shell.type('driver poll &\n');
    await shell.until(' 0\r\n');
    await shell.type('driver event &\n');
    await shell.until('listening');
    const before = await shell.run('cat commonhv/generation');
    const [event] = await copies('event ', 1);
    const generation = await shell.run('cat commonhv/generation');
    assert.notEqual(generation, before);
    assert.equal(event, `change@/devices/platform/commonhv COMMONHV_GENERATION=${generation}`);
    assert.match(shell.heard, new RegExp(`polling ${before} 0\r\n[^]*polled 1 ${generation}\\.`));
    assert.deepEqual(await lines('driver read; cat commonhv/reseeded; driver page'), [
      generation,
      generation,
      `${generation} ${generation} 2`,
    ]);
  });

  test('read(2) has the kernel reseed at once, whatever the interval is', async () => {
    await load('interval=60000');
    await shell.run('driver read');
    const saved = await machine.save!();
    const seen = new Set<string>();
    for (let i = 0; i < 4; i++) {
      await machine.restore!(saved);
      const [generation, reseeded, bytes] = await lines(
        'driver read; cat commonhv/reseeded; head -c 16 /dev/urandom | md5sum',
      );
      assert.equal(reseeded, generation);
      seen.add(generation!).add(bytes!);
    }
    assert.equal(seen.size, 8);
  });

  test('a process that draws as soon as it sees a change draws different bytes in every copy, 100 copies', async () => {
    await load();
    await start('draw', 'drawing');
    const drawn = (await copies('drew ', 100)).map((said) => said.split(' '));
    assert.equal(new Set(drawn.map(([generation]) => generation)).size, 100);
    assert.equal(new Set(drawn.map(([, bytes]) => bytes)).size, 100);
  });

  test('a process that compares the u32 of /dev/sysgenid draws different bytes too', async () => {
    await load();
    await start('sysgenid', 'drawing');
    const drawn = (await copies('drew ', 10)).map((said) => said.split(' '));
    assert.deepEqual(new Set(drawn.map(([count]) => count)), new Set(['2']));
    assert.equal(new Set(drawn.map(([, bytes]) => bytes)).size, 10);
  });

  test('it acknowledges once after its reseed, at load and at each restore', async () => {
    const heard: bigint[] = [];
    const acknowledging = { leaves: features(0b10101), wrmsr: { [GENERATION]: acknowledge(heard) } };
    await load('', acknowledging);
    const before = await shell.run('driver read');
    await machine.restore!(await machine.save!());
    const after = await shell.run('driver read; sleep 0.3').then((said) => said.split('\n')[0]!);
    assert.deepEqual(heard.map(hex), [before, after]);
  });

  test('with ack=user a write(2) of the current generation acknowledges; any other is ESTALE', async () => {
    const heard: bigint[] = [];
    await load('ack=user', { leaves: features(0b10101), wrmsr: { [GENERATION]: acknowledge(heard) } });
    const before = await shell.run('driver read');
    const stale = 'Stale file handle';
    assert.deepEqual(await lines(`driver ack 1; driver ack 0; sleep 0.2; driver ack ${before}`), [
      stale,
      stale,
      'acknowledged',
    ]);
    await machine.restore!(await machine.save!());
    const after = await shell.run('driver read');
    assert.deepEqual(await lines(`driver ack ${before}; driver ack ${after}`), [stale, 'acknowledged']);
    assert.deepEqual(heard.map(hex), [before, after]);
  });

  test('with ack=user the agent follows the driver, runs its hooks, and acknowledges after them', async () => {
    const heard: bigint[] = [];
    await load('ack=user', { leaves: features(0b10101), wrmsr: { [GENERATION]: acknowledge(heard) } });
    const hook = '/etc/commonhv/restored.d/10-slow';
    await shell.run(
      `mkdir -p /etc/commonhv/restored.d; printf '#!/bin/sh\\nsleep 0.5; cat /proc/uptime >/tmp/hook\\n' >${hook}; chmod 755 ${hook}`,
    );
    await shell.run('commonhv-agent --watch 2>/tmp/log & sleep 0.5');
    assert.match(await shell.run('cat /tmp/log'), /following the driver at \/dev\/commonhv/);
    await machine.restore!(await machine.save!());
    const waiting = 'for i in $(seq 200); do [ -e /run/commonhv/acknowledged ] && break; sleep 0.1; done';
    await shell.run(waiting);
    const generation = await shell.run('driver read');
    assert.equal(await shell.run('cat /run/commonhv/acknowledged; ls /tmp/hook'), `${generation}\n/tmp/hook`);
    assert.equal(hex(heard.at(-1)!), generation);
    // A restore during hooks ends them, and starts them again.
    await shell.run(`printf '#!/bin/sh\\necho begin >>/tmp/log2; sleep 2; echo end >>/tmp/log2\\n' >${hook}`);
    await machine.restore!(await machine.save!());
    await shell.run('for i in $(seq 200); do grep -q begin /tmp/log2 && break; sleep 0.1; done');
    await machine.restore!(await machine.save!());
    await shell.run('for i in $(seq 200); do grep -q end /tmp/log2 && break; sleep 0.1; done; sleep 0.5');
    const last = await shell.run('driver read');
    assert.deepEqual(await lines('cat /tmp/log2 /run/commonhv/acknowledged'), [
      'begin',
      'begin',
      'end',
      last,
    ]);
    assert.deepEqual(heard.slice(-2).map(hex), [generation, last]);
  });

  test('a page that is refused, not kept or never stored to is not relied on', async () => {
    const PAGE = 0x400000a2;
    let register = 0n;
    const kept = () => register;
    const cases: readonly (readonly [string, Faults])[] = [
      ['refused', { rdmsr: { [PAGE]: () => 0n }, wrmsr: { [PAGE]: () => '#GP' } }],
      ['not kept', { rdmsr: { [PAGE]: () => 0n }, wrmsr: { [PAGE]: () => undefined } }],
      [
        'never stored to',
        {
          rdmsr: { [PAGE]: kept },
          wrmsr: {
            [PAGE](value) {
              register = value;
              return undefined;
            },
          },
        },
      ],
    ];
    for (const [name, faults] of cases) {
      const leaves = { ...features(0b1101), '4f000003.0': { edx: PAGE } };
      assert.equal(await load('', { ...faults, leaves }), 'status 0', name);
      const before = await shell.run('driver read');
      assert.equal(await shell.run('driver page'), `${before} ${before} 1`, name);
      await machine.restore!(await machine.save!());
      const after = await shell.run('driver read');
      assert.notEqual(after, before, name);
      assert.equal(
        await shell.run('driver page; dmesg | grep -c "does not keep"; rmmod commonhv'),
        `${after} ${after} 2\n1`,
        name,
      );
      assert.equal(register, 0n, name);
    }
  });

  test('suspend and a hibernation that is called off keep the generation followed', async () => {
    await load();
    for (const sleep of ['freeze', 'disk']) {
      const command = `echo devices >/sys/power/pm_test; echo ${sleep} >/sys/power/state; echo $?`;
      assert.equal(await shell.run(command), '0', sleep);
    }
    const before = await shell.run('driver read');
    await machine.restore!(await machine.save!());
    assert.notEqual(await shell.run('driver read'), before);
  });
});
