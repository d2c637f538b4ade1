// node scripts/record-machines.js: writes anew the recorded machines in test/machines that QEMU can be (the probe guest asks
// each), with every slot of the old search, echoes included. Needs qemu-system-i386 and, for some, /dev/kvm.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { dump, formatDump } from 'commonhv/cpuid-dump';
import { overSerial, probeImage } from 'commonhv/probe';

const MACHINES = {
  'qemu-tcg-max': ['-cpu', 'max'], // absent leaves echo the highest basic one
  'qemu-tcg-hidden': ['-cpu', 'qemu64,-hypervisor'],
  'kvm-amd': ['-accel', 'kvm', '-cpu', 'EPYC'],
  'kvm-intel': ['-accel', 'kvm', '-cpu', 'Nehalem,vendor=GenuineIntel'], // echoes, too
  'kvm-off': ['-accel', 'kvm', '-cpu', 'EPYC,kvm=off'],
};

const image = fileURLToPath(new URL('../build/probe.bin', import.meta.url));
writeFileSync(image, probeImage());
for (const [name, args] of Object.entries(MACHINES)) {
  const qemu = spawn(
    'qemu-system-i386',
    [
      '-kernel',
      image,
      '-m',
      '16',
      '-display',
      'none',
      '-serial',
      'stdio',
      '-monitor',
      'none',
      '-no-reboot',
      ...args,
    ],
    { stdio: ['pipe', 'pipe', 'ignore'] },
  );
  const cpu = await overSerial({
    readable: Readable.toWeb(qemu.stdout),
    writable: Writable.toWeb(qemu.stdin),
  });
  const rows = [...(await dump(cpu))];
  const slots = Array.from({ length: 256 }, (_, i) => 0x4000_0000 + 0x100 * i);
  for (const leaf of [...slots, 0x4f00_0000, 0x4fff_ffff]) {
    if (rows.some((row) => row.leaf === leaf)) continue;
    const regs = await cpu.cpuid(leaf, 0);
    if (Object.values(regs).some((word) => word !== 0))
      rows.push({ leaf, subleaf: 0, indexed: false, ...regs });
  }
  rows.sort((a, b) => a.leaf - b.leaf || a.subleaf - b.subleaf);
  writeFileSync(fileURLToPath(new URL(`../test/machines/${name}.txt`, import.meta.url)), formatDump([rows]));
  qemu.kill();
  console.log(`${name}: ${rows.length} rows`);
}
