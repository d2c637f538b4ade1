/**
 * A stock 64-bit Debian on KVM: its first answer at the shell after a resume, beside a boot; and the cost of each of many copies,
 * each paused after its first answer. Needs scripts/debian-guest.sh --amd64.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type KvmMachine, kvm } from 'commonhv/engines/kvm';
import { type Bench, median } from './figure.ts';
import { COPIES, copies, layer } from './saved-copies.ts';

const GUEST = '.cache/debian-amd64';
const COMMAND_LINE =
  'console=ttyS0 quiet mitigations=off nokaslr cryptomgr.notests tsc=reliable no_timer_check noxsave 8250.nr_uarts=1';
const MEMORY = 512 * 2 ** 20;
const RESUMES = 3;
/** The prompt; busybox asks the terminal for the cursor's position after it. */
const PROMPT = String.raw`# (\x1b\[6n)?$`;

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
    const title = `${COPIES} copies of a Debian with ${MEMORY / 2 ** 20} MB, each paused after its first answer`;
    return [
      {
        name: "a stock Debian's first answer after a resume, beside a boot",
        value,
        unit: 'times',
        most: 0.1,
      },
      ...(await copies(file, title, ask)),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};
