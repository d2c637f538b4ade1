/** Many machines on KVM that are resumed from one file: memory and time of each. */
import { readFileSync } from 'node:fs';
import { type KvmMachine, kvm, type LayerModule } from 'commonhv/engines/kvm';
import { type Figure, median } from './figure.ts';

/** COMMONHV_COPIES: fewer where memory or the processor is small, as in the KVM bed. */
export const COPIES = Number(process.env.COMMONHV_COPIES ?? 100);
const MOST_PSS_MB = 30; // 3 GB for 100 copies

export const layer: LayerModule = {
  module: 'commonhv/hypervisor',
  export: 'fromConfig',
  options: { rng: { source: 'os' }, generation: {} },
};

/** The process's proportional set size in MB. */
const pss = (): number =>
  Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'))![1]) / 1024;

/** Resumes `COPIES` machines from `file`; each answers once, by `ask`, and is paused. `title` names them in the figures. */
export async function copies(
  file: string,
  title: string,
  ask: (machine: KvmMachine) => Promise<void>,
): Promise<readonly Figure[]> {
  const machines: KvmMachine[] = [];
  const times: number[] = [];
  const before = pss();
  try {
    for (let i = 0; i < COPIES; i++) {
      const start = performance.now();
      const machine = await kvm().resume(layer, file);
      machines.push(machine);
      await ask(machine);
      await machine.pause();
      times.push(performance.now() - start);
    }
    const each = (pss() - before) / COPIES;
    const quarter = Math.max(1, COPIES >> 2);
    const flat = median(times.slice(-quarter)) / median(times.slice(quarter, 2 * quarter));
    return [
      { name: `${title}: proportional set size of each`, value: each, unit: 'MB', most: MOST_PSS_MB },
      {
        name: 'last quarter of the copies beside the second: time of each',
        value: flat,
        unit: 'times',
        most: 1.2,
      },
      { name: 'time of a copy to its first answer', value: median(times), unit: 'ms' },
    ];
  } finally {
    await Promise.all(machines.map((machine) => machine.close()));
  }
}
