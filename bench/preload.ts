/** `commonhv preload`: QEMU's own exits with and without the library, and an exit for a random value beside the cheapest of QEMU's. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { kernel, RECEIVE_AL, send, u32 } from '../test/support/guests.ts';
import { type Bench, median } from './figure.ts';

const EXITS = 5_000;
const ROUNDS = 20;
const START_MS = 120_000;
const ROUND_MS = 60_000;
const LIBRARY = resolve('c/preload/libcommonhv-preload.so');

/** EXITS times `exit`, then the end of a line. */
const loop = (exit: readonly number[]): number[] => [
  ...[0xbb, ...u32(EXITS)], // mov ebx, EXITS
  ...[...exit, 0x4b, 0x75, 256 - (exit.length + 3)], // exit; dec ebx; jnz back to exit
  ...send('\n'),
];
const PORTS = loop([0xe6, 0x80]); // out 80h, al: QEMU has a device there that does nothing
const VALUES = [0xb9, ...u32(0x4000_00a0), ...loop([0x0f, 0x32])]; // mov ecx, 400000a0h; rdmsr
const back = (bytes: number): number[] => [0xe9, ...u32(-bytes)]; // jmp
/** Waits for a character: r reads random values, any other writes to the port. */
const HEAD = [...RECEIVE_AL, 0x3c, 0x72, 0x0f, 0x84, ...u32(PORTS.length + 5)]; // cmp al, 'r'; je VALUES
const CODE = [
  ...[...HEAD, ...PORTS, ...back(HEAD.length + PORTS.length + 5)],
  ...[...VALUES, ...back(HEAD.length + PORTS.length + 5 + VALUES.length + 5)],
];
// The first character out says that the guest is there.
const GUEST = kernel([...send('!'), ...CODE]);

/** One QEMU, stopped while the other is measured: both guests poll their serial ports. */
class Vmm {
  readonly #child: ChildProcess;
  #wanted = '';
  #arrived: (() => void) | undefined;
  #failed: ((error: Error) => void) | undefined;

  constructor(image: string, environment: Readonly<Record<string, string>>) {
    const machine = `-accel kvm -cpu qemu64 -m 16 -nodefaults -display none -serial stdio -kernel ${image}`;
    this.#child = spawn('qemu-system-x86_64', machine.split(' '), {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: { ...process.env, ...environment },
    });
    this.#child.on('exit', () => this.#failed?.(new Error('QEMU ended')));
    this.#child.stdout!.on('data', (bytes: Buffer) => {
      if (this.#wanted !== '' && bytes.includes(this.#wanted)) this.#arrived?.();
    });
  }

  async started(): Promise<void> {
    await this.#wait('!', START_MS);
    this.#child.kill('SIGSTOP');
  }

  /** Microseconds an exit: by the clock, and of processor time, which a busy machine does not stretch. */
  async time(letter: 'p' | 'r'): Promise<{ clock: number; cpu: number }> {
    const cpu = this.#processorTime();
    const clock = performance.now();
    this.#child.kill('SIGCONT');
    this.#child.stdin!.write(letter);
    await this.#wait('\n', ROUND_MS);
    const took = performance.now() - clock;
    this.#child.kill('SIGSTOP');
    return { clock: (took * 1000) / EXITS, cpu: (this.#processorTime() - cpu) / 1000 / EXITS };
  }

  /** Nanoseconds of all threads (proc(5), schedstat). */
  #processorTime(): number {
    const tasks = `/proc/${this.#child.pid}/task`;
    const times = readdirSync(tasks).map((task) => readFileSync(`${tasks}/${task}/schedstat`, 'utf8'));
    return times.reduce((sum, line) => sum + Number(line.split(' ')[0]), 0);
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }

  #wait(text: string, milliseconds: number): Promise<void> {
    this.#wanted = text;
    return new Promise((done, fail) => {
      const timer = setTimeout(
        () => fail(new Error(`the guest did not answer in ${milliseconds} ms`)),
        milliseconds,
      );
      this.#failed = fail;
      this.#arrived = () => {
        clearTimeout(timer);
        done();
      };
    });
  }
}

export const bench: Bench = async () => {
  const { status, stderr } = spawnSync('make', ['-s', '-C', 'c/preload'], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`the library cannot be compiled: ${stderr}`);
  const work = mkdtempSync(join(tmpdir(), 'commonhv-bench-'));
  const image = join(work, 'guest.img');
  writeFileSync(image, GUEST);
  const vmms: Vmm[] = [];
  const open = async (environment: Readonly<Record<string, string>>): Promise<Vmm> => {
    const vmm = new Vmm(image, environment);
    vmms.push(vmm);
    await vmm.started();
    return vmm;
  };
  try {
    const plain = await open({});
    const ours = await open({ LD_PRELOAD: LIBRARY });
    type Times = Awaited<ReturnType<Vmm['time']>>;
    const rounds: { without: Times; own: Times; value: Times }[] = [];
    for (let i = -1; i < ROUNDS; i++) {
      // In turns, so that a slower second hits both alike; the first round warms up.
      const first = i % 2 === 0 ? await plain.time('p') : undefined;
      const own = await ours.time('p');
      const without = first ?? (await plain.time('p'));
      const value = await ours.time('r');
      if (i >= 0) rounds.push({ without, own, value });
    }
    const of = (figure: (round: (typeof rounds)[number]) => number): number => median(rounds.map(figure));
    return [
      {
        name: "QEMU's cheapest exit to user space, processor time",
        value: of(({ without }) => without.cpu),
        unit: 'us',
      },
      {
        name: 'the same exit with the library, processor time',
        value: of(({ without, own }) => own.cpu / without.cpu),
        unit: 'times',
        most: 1.02,
      },
      {
        name: 'an exit for a random value, by the clock',
        value: of(({ without, value }) => value.clock / without.clock),
        unit: 'times',
        most: 1.1,
      },
      {
        name: "the same with the library's thread, processor time",
        value: of(({ without, value }) => value.cpu / without.cpu),
        unit: 'times',
        most: 1.1,
      },
    ];
  } finally {
    for (const vmm of vmms) vmm.close();
    rmSync(work, { recursive: true });
  }
};
