/** `discover`: a guest in v86 finds its interfaces through CommonHV, and by the old search; CPUIDs and time, side by side. */
import type { Cpu } from 'commonhv';
import { v86 } from 'commonhv/engines/v86';
import { discover, scan } from 'commonhv/guest';
import { commonhv, systemSource } from 'commonhv/hypervisor';
import { overSerial, probeImage } from 'commonhv/probe';
import { type Figure, median } from './figure.ts';

const ROUNDS = 7;
const INTERFACES = [
  { signature: 'KVMKVMKVM\0\0\0', location: 0x4000_0100 },
  { signature: 'Microsoft Hv', location: 0x4000_0000 },
];

export async function bench(): Promise<readonly Figure[]> {
  const layer = commonhv({ interfaces: INTERFACES, rng: { source: systemSource() } });
  const machine = await v86({ memory: 16 * 2 ** 20 }).start(layer, { kernel: probeImage() });
  const cpu = await overSerial(machine.console);
  const found: Cost[] = [];
  const searched: Cost[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    found.push(await cost(cpu, discover));
    searched.push(await cost(cpu, scan));
  }
  await machine.close();
  const n = INTERFACES.length;
  const cpuids = (costs: readonly Cost[]): number => median(costs.map(({ cpuid }) => cpuid));
  const time = (costs: readonly Cost[]): number => median(costs.map(({ milliseconds }) => milliseconds));
  return [
    {
      name: `discover: CPUIDs for ${n} interfaces, each confirmed`,
      value: cpuids(found),
      unit: '',
      most: 2 * n + 5,
    },
    { name: 'scan: CPUIDs', value: cpuids(searched), unit: '', least: 256 },
    { name: 'discover, through the probe', value: time(found), unit: 'ms' },
    { name: 'scan, through the probe', value: time(searched), unit: 'ms' },
    { name: 'scan / discover', value: time(searched) / time(found), unit: 'x' },
  ];
}

interface Cost {
  readonly cpuid: number;
  readonly milliseconds: number;
}

async function cost(cpu: Cpu, ask: (cpu: Cpu) => Promise<unknown>): Promise<Cost> {
  let cpuid = 0;
  const counted: Cpu = {
    ...cpu,
    cpuid(leaf, subleaf) {
      cpuid += 1;
      return cpu.cpuid(leaf, subleaf);
    },
  };
  const start = performance.now();
  await ask(counted);
  return { cpuid, milliseconds: performance.now() - start };
}
