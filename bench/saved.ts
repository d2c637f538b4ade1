/** Saved machines on KVM: the first answer after a resume beside a fresh start, and the cost of each of many copies. */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type KvmMachine, kvm, type LayerModule } from 'commonhv/engines/kvm';
import { probeImage } from 'commonhv/probe';
import { type Bench, type Figure, median } from './figure.ts';

const STARTS = 15;
/** COMMONHV_COPIES: fewer where memory or the processor is small, as in the KVM bed. */
const COPIES = Number(process.env.COMMONHV_COPIES ?? 100);
const MEMORY = 512 * 2 ** 20;
/** Memory of the saved guest that is not zero, as an operating system has it. */
const USED = 64 * 2 ** 20;
const MOST_PSS_MB = 30; // 3 GB for 100 copies

const layer: LayerModule = {
  module: 'commonhv/hypervisor',
  export: 'fromConfig',
  options: { rng: { source: 'os' }, generation: {} },
};

export const bench: Bench = async () => {
  const folder = mkdtempSync(join(tmpdir(), 'commonhv-bench-'));
  try {
    return [await firstAnswer(join(folder, 'probe')), ...(await copies(join(folder, 'copies')))];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

/** Asks for a leaf, and waits for the end of the answer; a fresh probe greets first. */
async function ask(machine: KvmMachine, lines: number): Promise<void> {
  const reader = machine.console.readable.getReader();
  const writer = machine.console.writable.getWriter();
  await writer.write(new TextEncoder().encode('c 4f000000 0\n'));
  for (let seen = 0; seen < lines; ) {
    const { value } = await reader.read();
    seen += value!.filter((byte) => byte === 0x0a).length;
  }
}

async function firstAnswer(file: string): Promise<Figure> {
  const engine = kvm({ memory: 2 ** 24 });
  const kernel = probeImage();
  const start = () => engine.start(layer, { kernel });
  const saved = await start();
  await ask(saved, 2);
  await saved.saveFile(file);
  await saved.close();
  const timed = async (make: () => Promise<KvmMachine>, lines: number): Promise<number> => {
    const before = performance.now();
    const machine = await make();
    await ask(machine, lines);
    const took = performance.now() - before;
    await machine.close();
    return took;
  };
  const times: { fresh: number[]; resumed: number[] } = { fresh: [], resumed: [] };
  for (let i = 0; i < STARTS; i++) {
    times.fresh.push(await timed(start, 2));
    times.resumed.push(await timed(() => kvm().resume(layer, file), 1));
  }
  const value = median(times.resumed) / median(times.fresh);
  return {
    name: 'first answer of the probe after a resume, beside a fresh start',
    value,
    unit: 'times',
    most: 1.2,
  };
}

/** The process's proportional set size in MB. */
const pss = (): number =>
  Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'))![1]) / 1024;

async function copies(file: string): Promise<readonly Figure[]> {
  const image = { kernel: probeImage(), initrd: new Uint8Array(USED).fill(0xa5) };
  const saved = await kvm({ memory: MEMORY }).start(layer, image);
  await ask(saved, 2);
  await saved.saveFile(file);
  await saved.close();
  const machines: KvmMachine[] = [];
  const times: number[] = [];
  const before = pss();
  try {
    for (let i = 0; i < COPIES; i++) {
      const start = performance.now();
      const machine = await kvm().resume(layer, file);
      machines.push(machine);
      await ask(machine, 1);
      await machine.pause();
      times.push(performance.now() - start);
    }
    const each = (pss() - before) / COPIES;
    const quarter = COPIES >> 2;
    const flat = median(times.slice(-quarter)) / median(times.slice(quarter, 2 * quarter));
    const title = `${COPIES} copies of a guest of 512 MB, 64 MB of it used`;
    return [
      { name: `${title}: proportional set size of each`, value: each, unit: 'MB', most: MOST_PSS_MB },
      {
        name: 'last quarter of the copies beside the second: time of each',
        value: flat,
        unit: 'times',
        most: 1.2,
      },
      { name: 'time of a copy to its first answer', value: median(times), unit: 'ms' },
      { name: 'the state on disk', value: (statSync(file).blocks * 512) / 2 ** 20, unit: 'MB' },
    ];
  } finally {
    await Promise.all(machines.map((machine) => machine.close()));
  }
}
