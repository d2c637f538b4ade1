/** The KVM engine: what an MSR exit costs beside the same loop in C, the console, and the way to the first answer. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { type KvmMachine, kvm, type LayerModule } from 'commonhv/engines/kvm';
import { overSerial, probeImage } from 'commonhv/probe';
import { HALT, kernel, RECEIVE_AL, send, u32 } from '../test/support/guests.ts';
import { type Bench, type Figure, median } from './figure.ts';

const EXITS = 20_000;
const ROUNDS = 9;
const STARTS = 20;
const CHARACTERS = 20_000;

const layer: LayerModule = {
  module: 'commonhv/hypervisor',
  export: 'fromConfig',
  options: { rng: { source: 'os' } },
};
const engine = kvm({ memory: 2 ** 21 });

/** Waits for a character, reads the RNG many times, ends a line; again and again. */
const READS = [
  ...RECEIVE_AL,
  ...[0xbb, ...u32(EXITS)], // mov ebx, EXITS
  ...[0xb9, ...u32(0x4000_00a0)], // mov ecx, 400000a0h
  ...[0x0f, 0x32, 0x4b, 0x75, 0xfb], // rdmsr; dec ebx; jnz back to rdmsr
  ...send('\n'),
];
const READER = [...READS, 0xe9, ...u32(-(READS.length + 5))]; // jmp to the start

export const bench: Bench = async () => [...(await exits()), await consoleSpeed(), await firstAnswer()];

async function exits(): Promise<readonly Figure[]> {
  const machine = await engine.start(layer, { kernel: kernel(READER) });
  let child: ChildProcess | undefined;
  try {
    // Kept in .cache, which goes into the KVM bed: there is no compiler.
    const program = '.cache/bench/kvm-loop';
    mkdirSync('.cache/bench', { recursive: true });
    const { status, stderr } = spawnSync('cc', ['-O2', '-o', program, 'bench/kvm-loop.c'], {
      encoding: 'utf8',
    });
    if (status !== 0 && !(status === null && existsSync(program)))
      throw new Error(`the C loop cannot be compiled: ${stderr}`);
    child = spawn(program, [Buffer.from(READER).toString('hex')], { stdio: ['pipe', 'pipe', 'inherit'] });
    const c = yardstick(child);
    const ours = lineTimer(machine);
    const times: { ours: number[]; c: number[] } = { ours: [], c: [] };
    await ours(); // the first round of each warms up
    await c();
    for (let i = 0; i < ROUNDS; i++) {
      times.ours.push((await ours()) / EXITS);
      times.c.push((await c()) / EXITS);
    }
    const [own, other] = [median(times.ours), median(times.c)];
    return [
      { name: 'RDMSR exit, answered from TypeScript', value: own, unit: 'us' },
      { name: 'RDMSR exit, answered from C', value: other, unit: 'us' },
      {
        name: 'TypeScript beside C',
        value: median(times.ours.map((time, i) => time / times.c[i]!)),
        unit: 'times',
        most: 1.1,
      },
      { name: 'what TypeScript adds to an exit', value: own - other, unit: 'us' },
    ];
  } finally {
    child?.kill();
    await machine.close();
  }
}

/** Microseconds from a character into the guest to the line's end out of it. */
function lineTimer({ console }: KvmMachine): () => Promise<number> {
  const reader = console.readable.getReader();
  const writer = console.writable.getWriter();
  return async () => {
    const start = performance.now();
    await writer.write(Uint8Array.of(0x67));
    await reader.read();
    return (performance.now() - start) * 1000;
  };
}

function yardstick({ stdin, stdout }: ChildProcess): () => Promise<number> {
  const lines = createInterface(stdout!)[Symbol.asyncIterator]();
  return async () => {
    stdin!.write('go\n');
    const { value, done } = await lines.next();
    if (done) throw new Error('the C loop ended');
    return Number(value);
  };
}

async function consoleSpeed(): Promise<Figure> {
  const code = [
    ...RECEIVE_AL,
    ...[0xb9, ...u32(CHARACTERS)], // mov ecx, CHARACTERS
    ...[0x66, 0xba, 0xfd, 0x03], // 1: mov dx, 3fdh
    ...[0xec, 0xa8, 0x20, 0x74, 0xfb], // in al, dx; test al, 20h; jz back to in
    ...[0xb0, 0x78, 0xb2, 0xf8, 0xee], // mov al, 'x'; mov dl, f8h; out dx, al
    ...[0xe2, 0xf0], // loop 1b
    ...HALT,
  ];
  const machine = await engine.start(layer, { kernel: kernel(code) });
  const start = performance.now();
  await machine.console.writable.getWriter().write(Uint8Array.of(0x67));
  let length = 0;
  for await (const chunk of machine.console.readable) length += chunk.length;
  const seconds = (performance.now() - start) / 1000;
  await machine.close();
  if (length !== CHARACTERS) throw new Error(`expected ${CHARACTERS} characters, got ${length}`);
  return {
    name: 'console, polled, one character at a time',
    value: length / seconds,
    unit: '1/s',
    least: 5000,
  };
}

async function firstAnswer(): Promise<Figure> {
  const times: number[] = [];
  for (let i = 0; i < STARTS; i++) {
    const start = performance.now();
    const machine = await engine.start(layer, { kernel: probeImage() });
    await (await overSerial(machine.console)).cpuid(0x4f00_0000, 0);
    times.push(performance.now() - start);
    await machine.close();
  }
  return {
    name: 'from start to the first answer, in a warm worker',
    value: median(times),
    unit: 'ms',
    most: 20,
  };
}
