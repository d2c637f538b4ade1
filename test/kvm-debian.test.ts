/** Stock 64-bit Debian under the KVM engine, up to its user space: both privilege levels see the layer's leaves and MSRs. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { Machine, Regs, SyncCpu } from 'commonhv';
import { kvm } from 'commonhv/engines/kvm';
import { commonhv, countingSource } from 'commonhv/hypervisor';
import { cpuidProgram } from './support/cpuid-program.ts';
import { debianGuest, type Shell, shellOf } from './support/debian-guest.ts';
import { cpuid, rdmsr } from './support/guest-drivers.ts';
import { skip as noKvm } from './support/kvm-availability.ts';
import { withoutPvEoi } from './support/kvm-layers.ts';
import { skipUnless } from './support/require.ts';
import { scaled } from './support/time.ts';

const OUT = '.cache/kvm-debian';
const AGENT = '.cache/agent/commonhv-agent64';
const BOOT_MS = scaled(30_000);
const COMMAND_LINE =
  'console=ttyS0 quiet mitigations=off cryptomgr.notests tsc=reliable no_timer_check noxsave';

const LEAVES = [
  [0x4000_0000, 0],
  [0x4f00_0000, 0],
  [0x4f00_0001, 0],
  [0x4f00_0001, 1],
  [0x4f00_0001, 2],
  [0x4f00_0002, 0],
  [0x4f00_0003, 0],
] as const;
const GENERATION = 0x0000_0008_0000_0007n; // neither half is 0
/** A new one for each machine: its values count from 1. */
const makeLayer = () =>
  withoutPvEoi(
    commonhv({
      interfaces: [{ location: 0x4000_0000, signature: 'KVMKVMKVM\0\0\0' }],
      rng: { source: countingSource(1n) },
      generation: { next: () => GENERATION, page: false },
    }),
  );

/** The guest with the CPUID program, and with the agent where that was built; or why there is none. */
function makeGuest() {
  mkdirSync(OUT, { recursive: true });
  writeFileSync(`${OUT}/cpuid`, cpuidProgram(LEAVES), { mode: 0o755 });
  spawnSync('make', ['-s', '-C', 'c/agent', 'OUT=../../.cache/agent', 'agent64']);
  const agent = existsSync(AGENT) ? ['--add', `${AGENT}=/sbin/commonhv-agent`] : [];
  return debianGuest(['--amd64', '--output', OUT, '--add', `${OUT}/cpuid=/bin/cpl3-cpuid`, ...agent]);
}
const debian = noKvm === false ? makeGuest() : { skip: noKvm };
const cc = skipUnless('cc', existsSync(AGENT), 'the agent was not built: no C compiler for -m64');

/** A machine at its shell; undefined where this KVM is too slow, as one that emulates its guests' privileged code. */
async function boot(vcpus: number): Promise<{ machine: Machine; shell: Shell } | undefined> {
  if (debian.skip !== false) return undefined;
  const image = { ...debian.image, commandLine: COMMAND_LINE };
  const machine = await kvm({ memory: 256 * 2 ** 20, vcpus }).start(makeLayer(), image);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    void machine.close();
  }, BOOT_MS);
  try {
    return { machine, shell: await shellOf(machine) };
  } catch (error) {
    await machine.close();
    if (!late) throw error;
    skipUnless('kvm-linux', false, `no shell within ${BOOT_MS / 1000} s`);
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}
const SLOW = `stock Linux reached no shell within ${BOOT_MS / 1000} s on this KVM`;

for (const vcpus of [1, 2]) {
  describe(`stock 64-bit Debian on KVM, ${vcpus} vCPU`, {
    skip: debian.skip,
    timeout: scaled(240_000),
  }, () => {
    let guest: Awaited<ReturnType<typeof boot>>;
    let expected: SyncCpu;
    let seconds = 0;

    before(async () => {
      expected = makeLayer()((await kvm().hostCpu()) as SyncCpu);
      const started = performance.now();
      guest = await boot(vcpus);
      seconds = Math.round((performance.now() - started) / 1000);
    });
    after(() => guest?.machine.close());

    test('it has the drivers of its own package, and all its processors', async (t) => {
      if (!guest) return t.skip(SLOW);
      t.diagnostic(`${seconds} s to the shell`);
      assert.match(await guest.shell.run('uname -rm'), /^6\.1\.\d+-\d+-amd64 x86_64$/);
      assert.equal(await guest.shell.run('nproc'), `${vcpus}`);
    });

    test('CPUID shows the same leaves at CPL 3 and at CPL 0, the layer’s', async (t) => {
      if (!guest) return t.skip(SLOW);
      const bytes = await guest.shell.run('cpl3-cpuid | od -An -v -t x4 -w16');
      const rows = bytes.split('\n').map((line) =>
        line
          .trim()
          .split(/\s+/)
          .map((word) => Number.parseInt(word, 16)),
      );
      for (const [i, [leaf, subleaf]] of LEAVES.entries()) {
        const regs: Regs = expected.cpuid(leaf, subleaf);
        const name = `${leaf.toString(16)}.${subleaf}`;
        assert.deepEqual(rows[i], [regs.eax, regs.ebx, regs.ecx, regs.edx], `CPL 3, ${name}`);
        for (let cpu = 0; cpu < vcpus; cpu++) {
          assert.deepEqual(await cpuid(guest.shell, leaf, subleaf, cpu), regs, `CPL 0, ${name}, CPU ${cpu}`);
        }
      }
    });

    test('the RNG counts on from processor to processor, and the generation is one', async (t) => {
      if (!guest) return t.skip(SLOW);
      const { shell } = guest;
      const values = [await rdmsr(shell, 0x4000_00a0), await rdmsr(shell, 0x4000_00a0, vcpus - 1)];
      assert.deepEqual(values, [1n, 2n]);
      for (let cpu = 0; cpu < vcpus; cpu++) assert.equal(await rdmsr(shell, 0x4000_00a1, cpu), GENERATION);
      assert.equal(await rdmsr(shell, 0x4000_00af), undefined);
    });

    test('the agent finds the RNG, and refuses values that count', { skip: cc }, async (t) => {
      if (!guest) return t.skip(SLOW);
      const said = await guest.shell.run('commonhv-agent 2>&1; echo status $?');
      assert.match(said, /follow a pattern: not used\nstatus 1$/);
    });

    test('its halt ends the machine', async (t) => {
      if (!guest) return t.skip(SLOW);
      await guest.shell.type('exit\n');
      assert.equal((await guest.machine.ended).reason, 'halt');
    });
  });
}
