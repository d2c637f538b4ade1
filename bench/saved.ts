/** Saved machines on KVM: the first answer after a resume beside a fresh start, and the cost of each of many copies. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type KvmMachine, kvm } from 'commonhv/engines/kvm';
import { probeImage } from 'commonhv/probe';
import { type Bench, type Figure, median } from './figure.ts';
import { COPIES, copies, layer } from './saved-copies.ts';

const STARTS = 15;
const MEMORY = 512 * 2 ** 20;
/** Memory of the saved guest that is not zero, as an operating system has it. */
const USED = 64 * 2 ** 20;

export const bench: Bench = async () => {
  const folder = mkdtempSync(join(tmpdir(), 'commonhv-bench-'));
  try {
    return [await firstAnswer(join(folder, 'probe')), ...(await savedCopies(join(folder, 'copies')))];
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

async function savedCopies(file: string): Promise<readonly Figure[]> {
  const image = { kernel: probeImage(), initrd: new Uint8Array(USED).fill(0xa5) };
  const saved = await kvm({ memory: MEMORY }).start(layer, image);
  await ask(saved, 2);
  await saved.saveFile(file);
  await saved.close();
  const title = `${COPIES} copies of a guest of 512 MB, 64 MB of it used`;
  return [
    ...(await copies(file, title, (machine) => ask(machine, 1))),
    { name: 'the state on disk', value: (statSync(file).blocks * 512) / 2 ** 20, unit: 'MB' },
  ];
}
