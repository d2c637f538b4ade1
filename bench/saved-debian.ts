/**
 * A stock 64-bit Debian on KVM: its first answer at the shell after a resume, beside a boot; and the cost of each of many copies,
 * each paused after its first answer. Needs scripts/debian-guest.sh --amd64.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type KvmMachine, kvm, type LayerModule } from 'commonhv/engines/kvm';
import { type Bench, type Figure, median } from './figure.ts';

const GUEST = '.cache/debian-amd64';
const COMMAND_LINE =
  'console=ttyS0 quiet mitigations=off nokaslr cryptomgr.notests tsc=reliable no_timer_check noxsave 8250.nr_uarts=1';
const MEMORY = 512 * 2 ** 20;
const RESUMES = 3;
/** COMMONHV_COPIES: fewer where memory or the processor is small, as in the KVM bed. */
const COPIES = Number(process.env.COMMONHV_COPIES ?? 100);
const MOST_PSS_MB = 30; // 3 GB for 100 copies
/** The prompt; busybox asks the terminal for the cursor's position after it. */
const PROMPT = String.raw`# (\x1b\[6n)?$`;

const layer: LayerModule = {
  module: 'commonhv/hypervisor',
  export: 'fromConfig',
  options: { rng: { source: 'os' }, generation: {} },
};

/** Reads the console until its text matches. */
async function until({ console, ended }: KvmMachine, pattern: RegExp): Promise<void> {
  const reader = console.readable.getReader();
  let text = '';
  while (!pattern.test(text)) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`the guest ended: ${(await ended).detail}; ${text.slice(-200)}`);
    text += new TextDecoder('latin1').decode(value);
  }
  reader.releaseLock();
}

async function ask(machine: KvmMachine): Promise<void> {
  const writer = machine.console.writable.getWriter();
  await writer.write(new TextEncoder().encode('echo $((40+2))\n'));
  writer.releaseLock();
  await until(machine, new RegExp(String.raw`\n42\r?\n[^]*${PROMPT}`));
}

export const bench: Bench = async () => {
  const folder = mkdtempSync(join(tmpdir(), 'commonhv-bench-'));
  const file = join(folder, 'debian');
  const [kernel, initrd] = ['vmlinux', 'initrd'].map((name) => readFileSync(join(GUEST, name)));
  try {
    const start = performance.now();
    const image = { kernel: kernel!, initrd: initrd!, commandLine: COMMAND_LINE };
    const machine = await kvm({ memory: MEMORY }).start(layer, image);
    await until(machine, new RegExp(PROMPT));
    await ask(machine);
    const booted = performance.now() - start;
    await machine.saveFile(file);
    await machine.close();
    const times: number[] = [];
    for (let i = 0; i < RESUMES; i++) {
      const before = performance.now();
      const copy = await kvm().resume(layer, file);
      await ask(copy);
      times.push(performance.now() - before);
      await copy.close();
    }
    const value = median(times) / booted;
    return [
      {
        name: "a stock Debian's first answer after a resume, beside a boot",
        value,
        unit: 'times',
        most: 0.1,
      },
      ...(await copies(file)),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

/** The process's proportional set size in MB. */
const pss = (): number =>
  Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'))![1]) / 1024;

async function copies(file: string): Promise<readonly Figure[]> {
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
    const title = `${COPIES} copies of a Debian with ${MEMORY / 2 ** 20} MB, each paused after its first answer`;
    return [
      { name: `${title}: proportional set size of each`, value: each, unit: 'MB', most: MOST_PSS_MB },
      { name: 'last quarter of them beside the second: time of each', value: flat, unit: 'times', most: 1.2 },
      { name: 'time of a copy to its first answer', value: median(times), unit: 'ms' },
    ];
  } finally {
    await Promise.all(machines.map((machine) => machine.close()));
  }
}
