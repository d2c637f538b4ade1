/** A stock 64-bit Debian kernel on KVM: it is entered by its PVH note, and names its command line and the hypervisor. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Layer } from 'commonhv';
import { kvm } from 'commonhv/engines/kvm';
import { commonhv, systemGeneration, systemSource } from 'commonhv/hypervisor';
import { skip as noKvm } from './support/kvm-availability.ts';
import { skipUnless } from './support/require.ts';
import { scaled } from './support/time.ts';

const TIMEOUT_MS = scaled(240_000);

/** Some KVMs emulate their guests' privileged code, and lack an instruction that CPUID promises. */
const without: Layer = (host) => ({
  ...host,
  cpuid(leaf, subleaf) {
    const regs = host.cpuid(leaf, subleaf);
    return leaf === 1 ? { ...regs, ecx: (regs.ecx & ~(1 << 13)) >>> 0 } : regs; // CMPXCHG16B
  },
});

/** The path of the kernel, or why there is none. */
function stockKernel(): { path?: string; missing?: string } {
  const { status, stdout, stderr } = spawnSync('sh', ['scripts/debian-vmlinux.sh'], {
    encoding: 'utf8',
    timeout: 300_000,
  });
  if (status === 3) return { missing: stderr.trim() };
  assert.equal(status, 0, stderr);
  return { path: stdout.trim().split(': ').at(-1)! };
}

test('a stock Debian kernel finds two processors and its hypervisor', {
  skip: noKvm,
  timeout: TIMEOUT_MS + 300_000,
}, async (t) => {
  const { path, missing } = stockKernel();
  if (path === undefined) {
    const reason = skipUnless('debian', false, missing ?? 'no kernel');
    return t.skip(String(reason));
  }
  const layer = commonhv({ rng: { source: systemSource() }, generation: { next: systemGeneration() } });
  const commandLine = 'earlyprintk=ttyS0 console=ttyS0 noxsave commonhv.test=1';
  const started = performance.now();
  const machine = await kvm({ memory: 128 * 2 ** 20, vcpus: 2 }).start((host) => layer(without(host)), {
    kernel: readFileSync(path),
    commandLine,
  });
  let text = '';
  const late = setTimeout(() => void machine.close(), TIMEOUT_MS);
  try {
    for await (const chunk of machine.console.readable) {
      text += new TextDecoder('latin1').decode(chunk);
      if (/Allowing \d+ CPUs/.test(text)) break;
    }
  } finally {
    clearTimeout(late);
    await machine.close();
  }
  t.diagnostic(`${Math.round((performance.now() - started) / 1000)} s until it allowed two processors`);
  assert.match(text, /Linux version 6\.1\.\d+-\d+-amd64 \(debian-kernel@/, text.slice(-500));
  assert.match(text, new RegExp(`Command line: ${commandLine.replace(/\./g, '\\.')}\r?\n`));
  assert.match(text, /Hypervisor detected: KVM\r?\n/);
  assert.match(text, /MPTABLE: OEM ID: COMMONHV\r?\n/);
  assert.match(text, /smpboot: Allowing 2 CPUs/);
});
