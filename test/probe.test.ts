/** The probe's image: what its sources build to, what each loader reads of it, and what it answers in each mode. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { SyncCpu } from 'commonhv';
import { v86 } from 'commonhv/engines/v86';
import { type Form, overSerial, probeDisk, probeForm, probeImage } from 'commonhv/probe';
import { skipUnless } from './support/require.ts';

const has = (program: string): boolean => spawnSync(program, ['--version']).status === 0;
const hasAs = has('as') && has('ld');
const work = mkdtempSync(join(tmpdir(), 'commonhv-probe-test-'));
after(() => rmSync(work, { recursive: true, force: true }));

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer);
const u32 = (bytes: Uint8Array, at: number): number => view(bytes).getUint32(at, true);

test('the committed image is what GNU as and ld make of its sources', {
  skip: skipUnless('cc', hasAs, 'GNU as and ld are not installed (binutils)'),
}, () => {
  const built = execFileSync(process.execPath, ['scripts/build-probe.js', '--print'], { encoding: 'utf8' });
  assert.equal(built, readFileSync('src/probe/image.ts', 'utf8'));
});

test('the image is a boot sector, a multiboot kernel and an ELF64 file with a PVH note', () => {
  const image = probeImage();
  assert.equal(image.length, 2048);
  assert.deepEqual([...image.slice(510, 512)], [0x55, 0xaa]);
  const header = [...Array(128).keys()].map((i) => 4 * i).find((at) => u32(image, at) === 0x1bad_b002);
  assert.ok(header !== undefined);
  const at = (i: number): number => u32(image, header + 4 * i);
  assert.equal((at(0) + at(1) + at(2)) >>> 0, 0);
  assert.equal(at(1), 1 << 16);
  assert.equal(at(3) - at(4), header); // header_addr and load_addr agree about where the header lies
  assert.ok(at(7) >= at(4) && at(7) < at(5)); // the entry is inside of what is loaded

  assert.deepEqual([...image.slice(0, 7)], [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  const entry = u32(image, 24);
  assert.equal(entry, 0x10_0200); // the 64-bit entry, where a bzImage has it too
  const headers = u32(image, 32);
  const [load, note] = [headers, headers + 56];
  assert.deepEqual([u32(image, load), u32(image, load + 24), u32(image, load + 32)], [1, 0x10_0000, 2048]);
  const text = u32(image, note + 8);
  assert.deepEqual([u32(image, note), u32(image, note + 32)], [4, 20]);
  assert.deepEqual(
    [0, 4, 8, 12].map((i) => u32(image, text + i)),
    [4, 4, 18, 0x006e_6558],
  );
  assert.ok(u32(image, text + 16) > 0x10_0000 && u32(image, text + 16) < 0x10_0200);
});

test('the disk is the image, an MBR partition, and a CD that names the same', () => {
  const disk = probeDisk();
  assert.equal(disk.length, 516_096);
  assert.deepEqual(disk.slice(0, 446), probeImage().slice(0, 446));
  assert.deepEqual(disk.slice(510, 2048), probeImage().slice(510));
  assert.equal(disk[446 + 4], 0xef);
  assert.deepEqual([u32(disk, 446 + 8), u32(disk, 446 + 12)], [96, 912]);
  assert.deepEqual([...disk.slice(49_152 + 510, 49_152 + 512)], [0x55, 0xaa]);
  const text = (at: number, length: number): string => String.fromCharCode(...disk.slice(at, at + length));
  assert.equal(text(16 * 2048, 7), '\x01CD001\x01');
  assert.equal(text(17 * 2048, 30), '\0CD001\x01EL TORITO SPECIFICATION');
  const catalogue = u32(disk, 17 * 2048 + 71) * 2048;
  const words = [...Array(16).keys()].map((i) => view(disk).getUint16(catalogue + 2 * i, true));
  assert.equal(words.reduce((sum, word) => sum + word, 0) % 0x1_0000, 0);
  const probe = u32(disk, catalogue + 40) * 2048;
  assert.deepEqual(disk.slice(probe, probe + 2048), probeImage());
  assert.equal(u32(disk, catalogue + 96 + 8) * 2048, 49_152);
});

test('mtools reads the UEFI application out of the partition', {
  skip: skipUnless('mtools', has('mtype'), 'mtools is not installed'),
}, () => {
  const path = join(work, 'disk.img');
  writeFileSync(path, probeDisk());
  const file = execFileSync('mtype', ['-i', `${path}@@49152`, '::/EFI/BOOT/BOOTX64.EFI']);
  assert.deepEqual(new Uint8Array(file), probeForm('efi'));
});

test('a form alone lacks the headers of the others', () => {
  const kinds = (bytes: Uint8Array): readonly string[] => [
    ...(u32(bytes, 0) === 0x464c_457f ? ['elf'] : []),
    ...([...Array(128).keys()].some((i) => u32(bytes, 4 * i) === 0x1bad_b002) ? ['multiboot'] : []),
    ...(u32(bytes, 0) === 0x464c_457f && u32(bytes, 0x50 + 56) === 4 ? ['note'] : []),
    ...(u32(bytes, 0x202) === 0x5372_6448 ? ['linux'] : []),
    ...(bytes[0] === 0x4d && bytes[1] === 0x5a ? ['pe'] : []),
  ];
  const seen = (form: Form): string => kinds(probeForm(form)).join(' ');
  assert.equal(seen('all'), 'elf multiboot note');
  assert.equal(seen('multiboot'), 'multiboot');
  assert.equal(seen('pvh'), 'elf note');
  assert.equal(seen('elf'), 'elf');
  assert.equal(seen('bzimage'), 'linux');
  assert.equal(seen('efi'), 'pe');
  assert.deepEqual(probeForm('iso'), probeForm('all'));
  assert.throws(() => probeForm('disk' as Form), /form: expected one of all, .*, got disk/);
});

test('each caller gets a copy of its own', () => {
  probeImage().fill(0);
  assert.notEqual(probeImage()[0], 0);
});

/** Every leaf and MSR of it is known, and MSR 2 raises #UD. */
const known = (host: SyncCpu): SyncCpu => ({
  ...host,
  cpuid: (leaf, subleaf) => ({ eax: leaf, ebx: subleaf, ecx: 0x8765_4321, edx: 0xffff_ffff }),
  rdmsr: (index) => (index === 2 ? '#UD' : index === 1 ? '#GP' : 0x0123_4567_89ab_cdefn),
  wrmsr: (index) => (index === 1 ? '#GP' : undefined),
});

for (const form of ['multiboot', 'pvh'] as const) {
  test(`${form}: v86 boots it, and it answers at CPL 0 and CPL 3`, async () => {
    const machine = await v86({ memory: 4 * 2 ** 20 }).start(known, { kernel: probeForm(form) });
    try {
      const cpu = await overSerial(machine.console);
      assert.deepEqual(cpu.mode, { cpl: 0, bits: 32 });
      assert.deepEqual(cpu.modes, [
        { cpl: 0, bits: 32 },
        { cpl: 3, bits: 32 },
      ]);
      const user = cpu.inMode({ cpl: 3, bits: 32 });
      const regs = { eax: 0x4f00_0001, ebx: 7, ecx: 0x8765_4321, edx: 0xffff_ffff };
      for (let i = 0; i < 3; i++) {
        for (const asked of [cpu, user]) assert.deepEqual(await asked.cpuid(0x4f00_0001, 7), regs);
        assert.deepEqual(
          [await cpu.rdmsr(0), await cpu.rdmsr(1), await cpu.rdmsr(2)],
          [0x0123_4567_89ab_cdefn, '#GP', '#UD'],
        );
        assert.deepEqual([await user.rdmsr(0), await user.wrmsr(0, 0n)], ['#GP', '#GP']);
        assert.deepEqual([await cpu.wrmsr(0, 1n), await cpu.wrmsr(1, 1n)], [undefined, '#GP']);
      }
      assert.throws(
        () => cpu.inMode({ cpl: 0, bits: 64 }),
        /mode: expected one of CPL 0, 32-bit; CPL 3, 32-bit, got CPL 0, 64-bit/,
      );
    } finally {
      await machine.close();
    }
  });
}

test('any exception is an answer, at CPL 3 too: #VE and #VC, and one that means that the guest broke', async () => {
  // INT n is as long as RDMSR, and reaches every gate.
  for (const [vector, expected] of [
    [20, '#VE'],
    [29, '#VC'],
    [14, /RDMSR raised #PF in the guest \(CPL [03], 32-bit\)/],
  ] as const) {
    const kernel = probeImage();
    for (let at = 0; at < kernel.length; at++)
      if (kernel[at] === 0x0f && kernel[at + 1] === 0x32) kernel.set([0xcd, vector], at);
    const machine = await v86({ memory: 4 * 2 ** 20 }).start(known, { kernel });
    try {
      const cpu = await overSerial(machine.console);
      for (const asked of [cpu, cpu.inMode({ cpl: 3, bits: 32 })]) {
        if (typeof expected === 'string') assert.equal(await asked.rdmsr(0), expected);
        else await assert.rejects(async () => asked.rdmsr(0), expected);
      }
      assert.equal(await cpu.wrmsr(0, 1n), undefined); // it asks on
    } finally {
      await machine.close();
    }
  }
});
