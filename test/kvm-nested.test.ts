/** A guest that is a hypervisor itself is saved while its own guest runs: AMD's SVM (APM volume 2, chapter 15). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Layer, SyncCpu } from 'commonhv';
import { type KvmMachine, kvm } from 'commonhv/engines/kvm';
import { CODE, HALT, kernel, RECEIVE_AL, send, u32 } from './support/guests.ts';
import { skip as noKvm } from './support/kvm-availability.ts';
import { skipUnless } from './support/require.ts';
import { scaled } from './support/time.ts';

const SVM = 1 << 2; // CPUID 80000001H, ECX
async function svm(): Promise<boolean> {
  if (noKvm !== false) return false;
  const cpu = (await kvm().hostCpu()) as SyncCpu;
  return (cpu.cpuid(0x8000_0001, 0).ecx & SVM) !== 0;
}
const skip = noKvm || skipUnless('svm', await svm(), 'this KVM offers its guests no SVM');

const memory = 4 * 2 ** 20;
const HSAVE = 0x12_0000;
const VMCB = 0x11_0000;
const DIRECTORY = 0x13_0000;
const NESTED = CODE + 0x100;

/** A control block by offset: VMRUN and VMMCALL are intercepted; flat 32-bit segments. */
function controlBlock(): readonly number[] {
  const bytes = new Uint8Array(0x700);
  const view = new DataView(bytes.buffer);
  view.setUint32(0x10, 3, true);
  view.setUint32(0x58, 1, true); // ASID
  for (const [at, attributes] of [
    [0x400, 0xc93],
    [0x410, 0xc9b],
    [0x420, 0xc93],
    [0x430, 0xc93],
  ] as const) {
    view.setUint16(at, at === 0x410 ? 0x10 : 0x18, true);
    view.setUint16(at + 2, attributes, true);
    view.setUint32(at + 4, 0xffff_ffff, true);
  }
  view.setUint32(0x4d0, 0x1000, true); // EFER.SVME
  view.setUint32(0x558, 0x11, true); // CR0: PE, ET
  view.setUint32(0x560, 0x400, true); // DR7
  view.setUint32(0x568, 0xffff_0ff0, true); // DR6
  view.setUint32(0x570, 2, true); // RFLAGS
  view.setUint32(0x578, NESTED, true); // RIP
  return [...bytes];
}

const SET_SVME = [0xb9, ...u32(0xc000_0080), 0x0f, 0x32, 0x0d, ...u32(0x1000), 0x0f, 0x30]; // rdmsr; or eax, 1000h; wrmsr
/** KVM wants paging for VMRUN: one page of 4 MiB at its own address. */
const SET_PAGING = [
  ...[0xb8, ...u32(0x10), 0x0f, 0x22, 0xe0], // mov eax, 10h; mov cr4, eax: PSE
  ...[0xb8, ...u32(DIRECTORY), 0x0f, 0x22, 0xd8], // mov cr3, eax
  ...[0xb8, ...u32(0x8000_0011), 0x0f, 0x22, 0xc0], // mov cr0, eax: PG, ET, PE
];
const SET_HSAVE = [0xb9, ...u32(0xc001_0117), 0xb8, ...u32(HSAVE), 0x31, 0xd2, 0x0f, 0x30];
const VMRUN = [0xb8, ...u32(VMCB), 0x0f, 0x01, 0xd8];
const VMMCALL = [0x0f, 0x01, 0xd9];
/** Each byte is answered by an n; a q goes to the outer guest. */
const ANSWER = [0x3c, 0x71, 0x74, send('n').length + 2, ...send('n'), 0xeb]; // cmp al, 'q'; je behind; send; jmp back
const nested = [
  ...RECEIVE_AL,
  ...ANSWER,
  -(RECEIVE_AL.length + ANSWER.length + 1) & 0xff,
  ...VMMCALL,
  ...send('!'), // VMMCALL was no exit to the outer guest
  ...HALT,
];
const image = {
  kernel: kernel([...SET_PAGING, ...SET_SVME, ...SET_HSAVE, ...VMRUN, ...send('h'), ...HALT], {
    [NESTED]: nested,
    [VMCB]: controlBlock(),
    [DIRECTORY]: u32(0x83),
  }),
};

const bare: Layer = (host) => host;
function talk({ console }: KvmMachine): (text: string) => Promise<string> {
  const [reader, writer] = [console.readable.getReader(), console.writable.getWriter()];
  return async (text) => {
    await writer.write(new TextEncoder().encode(text));
    return new TextDecoder().decode((await reader.read()).value);
  };
}

test('a nested guest runs on where it was: as a new machine, and in place', {
  skip,
  timeout: scaled(30_000),
}, async () => {
  const machine = await kvm({ memory }).start(bare, image);
  const machines = [machine];
  try {
    const say = talk(machine);
    assert.equal(await say('a'), 'n');
    const state = await machine.save();
    const copy = await kvm().resume(bare, state);
    machines.push(copy);
    const sayCopy = talk(copy);
    assert.equal(await sayCopy('b'), 'n');
    await copy.restore(state);
    assert.equal(await sayCopy('c'), 'n');
    assert.equal(await sayCopy('q'), 'h', 'the outer guest has the exit of VMMCALL');
    assert.equal((await copy.ended).reason, 'halt');
    assert.equal(await say('q'), 'h');
    assert.equal((await machine.ended).reason, 'halt');
  } finally {
    await Promise.all(machines.map((each) => each.close()));
  }
});
