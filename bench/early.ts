/**
 * `early`: when a stock kernel that does not trust RDRAND (`random.trust_cpu=off`) has a seeded generator, by its own clock: with
 * the agent run first by its initramfs, and without. Needs what scripts/debian-guest.sh needs, make, and gcc with -m32.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { v86 } from 'commonhv/engines/v86';
import { commonhv, systemGeneration, systemSource } from 'commonhv/hypervisor';
import type { Figure } from './figure.ts';

const WORK = '.cache/early';
/** Seconds of our time until a boot that says nothing is given up. */
const TIMEOUT_S = 240;

export async function bench(): Promise<readonly Figure[]> {
  execFileSync('make', ['-s', '-C', 'c/agent', `OUT=${process.cwd()}/${WORK}/agent`, 'agent32']);
  const withAgent = await boot('with', '#!/bin/sh\ncommonhv-agent --once\n');
  const without = await boot('without', '#!/bin/sh\n:\n');
  return [
    { name: 'crng init done, with the agent', value: withAgent.seeded, unit: 's' },
    { name: 'the shell, with the agent', value: withAgent.ready, unit: 's' },
    { name: 'crng init done, without (NaN: not before the end)', value: without.seeded, unit: 's' },
    { name: 'the shell, without', value: without.ready, unit: 's' },
  ];
}

/** Seconds since the guest's start: of the kernel's line, and of the first moment at the shell. */
async function boot(name: string, rc: string): Promise<{ seeded: number; ready: number }> {
  const output = `${WORK}/${name}`;
  mkdirSync(output, { recursive: true });
  writeFileSync(`${output}/rc`, rc);
  chmodSync(`${output}/rc`, 0o755);
  const agent = `${WORK}/agent/commonhv-agent32=/sbin/commonhv-agent`;
  execFileSync('scripts/debian-guest.sh', [
    '--output',
    output,
    '--add',
    agent,
    '--add',
    `${output}/rc=/etc/rc`,
  ]);
  const layer = commonhv({ rng: { source: systemSource() }, generation: { next: systemGeneration() } });
  const machine = await v86({ memory: 128 * 2 ** 20 }).start(layer, {
    kernel: readFileSync(`${output}/vmlinuz`),
    initrd: readFileSync(`${output}/initrd`),
    commandLine: 'console=ttyS0 random.trust_cpu=off',
  });
  const timer = setTimeout(() => machine.close(), TIMEOUT_S * 1000);
  let text = '';
  let asked = false;
  const writer = machine.console.writable.getWriter();
  for await (const bytes of machine.console.readable) {
    text += new TextDecoder('latin1').decode(bytes);
    if (!asked && text.includes('guest ready')) {
      asked = true;
      await writer.write(
        new TextEncoder().encode('echo "guest"-up $(cat /proc/uptime); sleep 60; poweroff -f\n'),
      );
    }
    if (/guest-up \d/.test(text) && (text.includes('crng init done') || text.includes('reboot: '))) break;
  }
  clearTimeout(timer);
  await machine.close();
  return {
    seeded: Number(/\[ *([\d.]+)\] random: crng init done/.exec(text)?.[1] ?? Number.NaN),
    ready: Number(/guest-up ([\d.]+)/.exec(text)?.[1] ?? Number.NaN),
  };
}
