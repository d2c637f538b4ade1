/** Real input: a stock Debian 12 i386 kernel, unmodified, finds CommonHV through its own cpuid and msr drivers. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Machine, SyncCpu } from 'commonhv';
import { v86 } from 'commonhv/engines/v86';
import { commonhv, countingSource } from 'commonhv/hypervisor';
import { debianGuest, type Shell, shellOf } from './support/debian-guest.ts';
import { cpuid, rdmsr } from './support/guest-drivers.ts';

const debian = debianGuest();
const engine = v86({ memory: 128 * 2 ** 20 });
/** Each machine's words start at a number of their own. */
const layer = (first: bigint, generation: bigint) =>
  commonhv({
    interfaces: [{ location: 0x4000_0000, signature: 'VMwareVMware' }],
    rng: { source: countingSource(first) },
    // Each half differs from those of the value before.
    // No page: the layer over the host CPU alone, to which the leaves are compared, has no guest memory.
    generation: { next: () => (generation += 0x1_0000_0001n), page: false },
  });

describe('stock Debian 12 on v86', { skip: debian.skip, timeout: 600_000 }, () => {
  let machine: Machine;
  let shell: Shell;
  let said: SyncCpu;

  before(async () => {
    if (debian.skip !== false) return;
    said = layer(1n, 7n)((await engine.hostCpu()) as SyncCpu);
    machine = await engine.start(layer(1n, 7n), debian.image);
    // Long before anybody reads it.
    const typed = machine.console.writable.getWriter();
    void typed.write(new TextEncoder().encode("echo typed''-ahead-of-everything\n"));
    typed.releaseLock();
    shell = await shellOf(machine, { ahead: '\ntyped-ahead-of-everything\r\n' });
  });
  after(() => machine?.close());

  test('it booted to a shell with the drivers of its own package', async () => {
    assert.match(await shell.run('uname -r'), /^6\.1\.\d+-\d+-686$/);
    assert.equal(await shell.run('cut -d" " -f1 /proc/modules | sort | tr "\\n" " "'), 'cpuid msr');
    assert.match(await shell.run('ls /dev/cpu/0'), /cpuid +msr/);
  });

  test('what was typed before it listened is not lost', () => {
    assert.match(shell.heard, /^typed-ahead-of-everything\r$/m);
  });

  test('the leaves that it reads are those of the layer', async () => {
    for (const [leaf, subleaf] of [
      [0x4f00_0000, 0],
      [0x4f00_0001, 0],
      [0x4f00_0001, 1],
      [0x4f00_0001, 2],
      [0x4f00_0002, 0],
      [0x4f00_0003, 0],
      [0x4000_0000, 0],
      [1, 0],
    ] as const) {
      assert.deepEqual(await cpuid(shell, leaf, subleaf), said.cpuid(leaf, subleaf), leaf.toString(16));
    }
    const { ebx, ecx, edx } = await cpuid(shell, 0x4f00_0000);
    assert.deepEqual([ebx, ecx, edx], [0x6d6d_6f43, 0x5648_6e6f, 0x6674_6e49]);
  });

  test('the words that it reads are those of the RNG, each once, and the generation is its own', async () => {
    assert.deepEqual([await rdmsr(shell, 0x4000_00a0), await rdmsr(shell, 0x4000_00a0)], [1n, 2n]);
    assert.equal(await rdmsr(shell, 0x4000_00a1), 0x1_0000_0008n);
    assert.equal(await rdmsr(shell, 0x4000_00a0), 3n);
  });

  test('a write that nobody takes is an error of the driver, not the end of the kernel', async () => {
    const write = 'printf 12345678 | dd of=/dev/cpu/0/msr bs=8 count=1 seek=1073741984 oflag=seek_bytes 2>&1';
    assert.match(await shell.run(write), /Input\/output error/);
    assert.equal(await shell.run('echo $((6 * 7))'), '42');
  });

  test('16 KiB pasted at once arrive whole', async () => {
    const lines = Array.from({ length: 256 }, (_, i) => `echo ${String(i).padStart(58, '.')} >>/tmp/pasted`);
    await shell.run(lines.join('\n'));
    assert.match(await shell.run('wc /tmp/pasted'), /^256 +256 +15104 /);
  });

  test('a saved machine that is resumed goes on at its shell, under a layer of its own', async () => {
    await shell.run('echo kept >/tmp/kept');
    const state = await machine.save!();
    const copy = await engine.resume(layer(1000n, 0x80_0000_0000n), state);
    const its = await shellOf(copy, { plain: true });
    try {
      assert.equal(await its.run('cat /tmp/kept'), 'kept');
      assert.deepEqual(
        [await rdmsr(its, 0x4000_00a0), await rdmsr(its, 0x4000_00a1)],
        [1000n, 0x82_0000_0002n],
      );
    } finally {
      await copy.close();
    }
    assert.equal(await rdmsr(shell, 0x4000_00a0), 4n);
  });

  test('its end is the machine’s end', async () => {
    await shell.type('exit\n');
    assert.equal((await machine.ended).reason, 'halt');
  });
});
