/** The hook's exceptions under v86, a hundred thousand each: interpreted and compiled, prefixed, at page ends, in ring 3. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Layer } from 'commonhv';
import { v86 } from 'commonhv/engines/v86';
import { BASE, CODE, HALT, kernel, SEND_AL, send, u32, whole } from './support/guests.ts';
import { scaled } from './support/time.ts';

const TIMES = 100_000;
const HANDLER = BASE + 0x1000;
const IDT = BASE + 0x1800;
const TABLES = BASE + 0x1f00;
const GDT = BASE + 0x1f40;
const TSS = BASE + 0x2000;
const BODY = BASE + 0x3000;
const limit = { timeout: scaled(120_000) };

/** An interrupt gate of ring `dpl` in our code segment. */
const gate = (handler: number, dpl = 0) => [
  ...[handler & 0xff, (handler >> 8) & 0xff, 0x08, 0],
  ...[0, 0x8e | (dpl << 5), (handler >> 16) & 0xff, handler >>> 24],
];
const segment = (access: number) => [0xff, 0xff, 0, 0, 0, access, 0xcf, 0];
const idt = (bad: number, finish: number) => {
  const table: number[] = [];
  for (let vector = 0; vector <= 0x30; vector++) {
    if (vector === 13 || vector === 6) table.push(...gate(HANDLER + (vector === 13 ? 0 : 0x40)));
    else table.push(...gate(vector === 0x30 ? finish : bad, 3));
  }
  return table;
};

/**
 * A guest that runs `body` at `at`, in ring 0 or 3. EDI holds where the exception has to be, EBP how many bytes to skip,
 * ESI counts the loop, EBX the exceptions. It sends K when exactly TIMES came, each at the right place; else X.
 */
function faulting(
  body: readonly number[],
  at: number,
  fault: number,
  length: number,
  ring: 0 | 3,
): Uint8Array {
  const finish = HANDLER + 0x80;
  const bad = HANDLER + 0xc0;
  const handler = (code: boolean) => {
    const slot = code ? 4 : 0; // #GP pushes an error code below EIP
    const compare = [0x39, 0x7c, 0x24, slot, 0x0f, 0x85]; // cmp [esp+slot], edi; jne bad
    const after = HANDLER + (code ? 0 : 0x40) + compare.length + 4;
    return [
      ...compare,
      ...u32(bad - after),
      ...[0x43, 0x01, 0x6c, 0x24, slot], // inc ebx; add [esp+slot], ebp
      ...(code ? [0x83, 0xc4, 0x04] : []), // add esp, 4
      0xcf, // iretd
    ];
  };
  const enter =
    ring === 0
      ? [0xb8, ...u32(at), 0xff, 0xe0] // jmp to the body
      : [
          ...[0x6a, 0x23, 0x68, ...u32(0x7_0000), 0x6a, 0x02, 0x6a, 0x1b], // SS, ESP, EFLAGS, CS of ring 3
          ...[0x66, 0xb8, 0x23, 0, 0x8e, 0xd8, 0x8e, 0xc0], // DS, ES
          ...[0x68, ...u32(at), 0xcf], // EIP; iretd
        ];
  const code = [
    ...[0x0f, 0x01, 0x15, ...u32(TABLES), 0x0f, 0x01, 0x1d, ...u32(TABLES + 8)], // lgdt, lidt
    ...[0xbc, ...u32(0x8_0000)], // mov esp
    ...[0xea, ...u32(CODE + 26), 0x08, 0], // far jump into our code segment
    ...[0x66, 0xb8, 0x10, 0, 0x8e, 0xd8, 0x8e, 0xd0], // DS, SS
    ...[0xb8, 0x28, 0, 0, 0, 0x0f, 0x00, 0xd8], // ltr 28h
    ...[0xbf, ...u32(at + fault), 0xbd, ...u32(length), 0xbe, ...u32(TIMES), 0x31, 0xdb],
    ...enter,
  ];
  return kernel(code, {
    [HANDLER]: handler(true),
    [HANDLER + 0x40]: handler(false),
    [finish]: [0xb0, 0x4b, 0x81, 0xfb, ...u32(TIMES), 0x74, 0x02, 0xb0, 0x58, ...SEND_AL, ...HALT],
    [bad]: [...send('X'), ...HALT],
    [IDT]: idt(bad, finish),
    [TABLES]: [0x2f, 0, ...u32(GDT), 0, 0, 0x87, 1, ...u32(IDT)],
    [GDT]: [
      ...[0, 0, 0, 0, 0, 0, 0, 0],
      ...segment(0x9b),
      ...segment(0x93),
      ...segment(0xfb),
      ...segment(0xf3),
      ...[0x67, 0, TSS & 0xff, (TSS >> 8) & 0xff, TSS >> 16, 0x89, 0, 0],
    ],
    [TSS]: [0, 0, 0, 0, ...u32(0x8_0000), 0x10, 0, 0, 0],
    [at]: body,
  });
}

/** mov ecx, index; the instruction; dec esi; jnz back; int 30h. */
const loop = (index: number, instruction: readonly number[]) => [
  ...[0xb9, ...u32(index), ...instruction],
  ...[0x4e, 0x75, (-(5 + instruction.length + 3) & 0xff) >>> 0, 0xcd, 0x30],
];
const GP_MSR = 0x100;
const UD_MSR = 0x101;
const layer: Layer = (host) => {
  const fault = (index: number) =>
    index === GP_MSR ? ('#GP' as const) : index === UD_MSR ? ('#UD' as const) : undefined;
  return {
    ...host,
    rdmsr: (index) => fault(index) ?? host.rdmsr(index),
    wrmsr: (index, value) => fault(index) ?? host.wrmsr(index, value),
  };
};

const RDMSR = [0x0f, 0x32];
const WRMSR = [0x0f, 0x30];
const cases: [string, number, readonly number[], number, (0 | 3)?][] = [
  ['RDMSR', GP_MSR, RDMSR, BODY],
  ['WRMSR', GP_MSR, WRMSR, BODY],
  ['RDMSR raising #UD', UD_MSR, RDMSR, BODY],
  ['RDMSR with prefixes', GP_MSR, [0x66, 0x2e, ...RDMSR], BODY],
  ['RDMSR in the last bytes of a page', GP_MSR, RDMSR, BODY + 0x1000 - 7],
  ['WRMSR across a page’s end', GP_MSR, WRMSR, BODY + 0x1000 - 6],
  ['RDMSR in ring 3 of a register that is there', 0x10, RDMSR, BODY, 3],
  ['WRMSR in ring 3 across a page’s end', 0x174, WRMSR, BODY + 0x1000 - 6, 3],
];
for (const [name, index, instruction, at, ring = 0] of cases) {
  test(`${name} faults at its own address, every time`, limit, async () => {
    const guest = faulting(loop(index, instruction), at, 5, instruction.length, ring);
    const machine = await v86({ memory: 4 * 2 ** 20 }).start(layer, { kernel: guest });
    assert.equal(await whole(machine.console.readable), 'K');
    assert.equal((await machine.ended).reason, 'halt');
  });
}

test('CPUID in ring 3 asks the layer, in compiled code too', limit, async () => {
  let asked = 0;
  const counting: Layer = (host) => ({
    ...layer(host),
    cpuid(leaf, subleaf) {
      asked++;
      return { eax: leaf, ebx: subleaf, ecx: subleaf, edx: 0 };
    },
  });
  // TIMES CPUIDs and the comparison of what they gave; EBX is where the handler counts, so it is set right at the end.
  const body = [
    ...[0xb8, ...u32(0x4f00_0000), 0x89, 0xf1, 0x0f, 0xa2], // mov eax, leaf; mov ecx, esi; cpuid
    ...[0x39, 0xf3, 0x75, 0x0a, 0x4e, 0x75, 0xf0], // cmp ebx, esi; jne out; dec esi; jnz back
    ...[0xbb, ...u32(TIMES), 0xcd, 0x30, 0x90], // mov ebx, TIMES; int 30h
    ...[0x31, 0xdb, 0xcd, 0x30], // out: xor ebx, ebx; int 30h
  ];
  const machine = await v86({ memory: 4 * 2 ** 20 }).start(counting, {
    kernel: faulting(body, BODY, 0, 0, 3),
  });
  assert.equal(await whole(machine.console.readable), 'K');
  assert.equal(asked, TIMES);
});
