/** `discover`: what it asks and how long it takes, against the old search, by the probe guest on v86. */
import type { Cpu } from 'commonhv';
import { v86 } from 'commonhv/engines/v86';
import { discover, scan } from 'commonhv/guest';
import { commonhv, systemGeneration, systemSource } from 'commonhv/hypervisor';
import { overSerial, probeImage } from 'commonhv/probe';
import { type Figure, median } from './figure.ts';

const ROUNDS = 60;
const TUPLES = 4;

export async function bench(): Promise<readonly Figure[]> {
  const interfaces = Array.from({ length: TUPLES }, (_, i) => ({
    signature: 'VMwareVMware',
    location: 0x4000_0000 + 0x100 * i,
  }));
  const layer = commonhv({
    interfaces,
    rng: { source: systemSource() },
    generation: { next: systemGeneration() },
  });
  const machine = await v86({ memory: 16 * 2 ** 20 }).start(layer, { kernel: probeImage() });
  try {
    const cpu = await overSerial(machine.console);
    const found = await count(discover, cpu);
    const searched = await count(scan, cpu);
    const unconfirmed = found - TUPLES;
    const times: Record<'discover' | 'scan', number[]> = { discover: [], scan: [] };
    // In turn: the first rounds are those in which everything is compiled.
    for (let i = 0; i < ROUNDS; i++) {
      times.discover.push(await milliseconds(discover, cpu));
      times.scan.push(await milliseconds(scan, cpu));
    }
    return [
      { name: `discover, ${TUPLES} tuples`, value: unconfirmed, unit: 'CPUIDs', most: TUPLES + 5 },
      { name: 'to confirm them', value: found - unconfirmed, unit: 'CPUIDs', most: TUPLES },
      { name: 'scan', value: searched, unit: 'CPUIDs', least: 256 },
      { name: 'discover, through the serial line', value: median(times.discover), unit: 'ms' },
      { name: 'scan, through the serial line', value: median(times.scan), unit: 'ms' },
    ];
  } finally {
    await machine.close();
  }
}

async function count(ask: (cpu: Cpu) => Promise<unknown>, cpu: Cpu): Promise<number> {
  let cpuids = 0;
  await ask({
    ...cpu,
    cpuid(leaf, subleaf) {
      cpuids++;
      return cpu.cpuid(leaf, subleaf);
    },
  });
  return cpuids;
}

async function milliseconds(ask: (cpu: Cpu) => Promise<unknown>, cpu: Cpu): Promise<number> {
  const start = performance.now();
  await ask(cpu);
  return performance.now() - start;
}
