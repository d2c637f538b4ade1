/** `discover`: what it asks and how long it takes, against the old search, by the probe guest on v86. */
import type { Cpu } from 'commonhv';
import { v86 } from 'commonhv/engines/v86';
import { discover, scan } from 'commonhv/guest';
import { commonhv, systemGeneration, systemSource } from 'commonhv/hypervisor';
import { overSerial, probeImage } from 'commonhv/probe';
import { type Figure, median } from './figure.ts';

const ROUNDS = 15;
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
    const found = await measure(discover, cpu);
    const searched = await measure(scan, cpu);
    const unconfirmed = found.cpuids - TUPLES;
    return [
      { name: `discover, ${TUPLES} tuples`, value: unconfirmed, unit: 'CPUIDs', most: TUPLES + 5 },
      { name: 'to confirm them', value: found.cpuids - unconfirmed, unit: 'CPUIDs', most: TUPLES },
      { name: 'scan', value: searched.cpuids, unit: 'CPUIDs', least: 256 },
      { name: 'discover, through the serial line', value: found.milliseconds, unit: 'ms' },
      { name: 'scan, through the serial line', value: searched.milliseconds, unit: 'ms' },
    ];
  } finally {
    await machine.close();
  }
}

async function measure(ask: (cpu: Cpu) => Promise<unknown>, cpu: Cpu) {
  let cpuids = 0;
  const counting: Cpu = {
    ...cpu,
    cpuid(leaf, subleaf) {
      cpuids++;
      return cpu.cpuid(leaf, subleaf);
    },
  };
  await ask(counting);
  const milliseconds: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const start = performance.now();
    await ask(cpu);
    milliseconds.push(performance.now() - start);
  }
  return { cpuids, milliseconds: median(milliseconds) };
}
