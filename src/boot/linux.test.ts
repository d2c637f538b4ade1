/** Linux images, built here; offsets are typed from the kernel's boot protocol and the PVH start information. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { load } from './index.ts';

const MiB = 2 ** 20;

/** A bzImage of protocol 2.15 with one sector of setup and `body` as its protected-mode part. */
function bzImage(body = Uint8Array.from([0xfa, 0xf4]), change?: (view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(1024 + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0x1f1, 1);
  view.setUint32(0x1f4, Math.ceil(body.length / 16), true);
  view.setUint16(0x1fe, 0xaa55, true);
  bytes.set([0xeb, 0x66, 0x48, 0x64, 0x72, 0x53], 0x200); // jump over the header; "HdrS"
  view.setUint16(0x206, 0x020f, true);
  view.setUint8(0x211, 1); // loaded high
  view.setUint32(0x214, 0x10_0000, true);
  view.setUint32(0x22c, 0x7fff_ffff, true);
  view.setUint32(0x238, 2047, true);
  view.setBigUint64(0x258, 0x100_0000n, true);
  view.setUint32(0x260, 0x40_0000, true);
  bytes.set(body, 1024);
  change?.(view);
  return bytes;
}

function memoryOf(segments: readonly { address: number; bytes: Uint8Array }[], size: number): DataView {
  const memory = new Uint8Array(size);
  for (const { address, bytes } of segments) memory.set(bytes, address);
  return new DataView(memory.buffer);
}
const ascii = (memory: DataView, at: number, size: number) =>
  String.fromCharCode(...new Uint8Array(memory.buffer, at, size));

test('a bzImage goes to 1 MiB with a zero page that tells map, command line and initrd', () => {
  const initrd = new Uint8Array(5000).fill(7);
  const loaded = load({ kernel: bzImage(), initrd, commandLine: 'console=ttyS0' }, 64 * MiB, {
    rsdp: 0xe_0000,
  });
  assert.equal(loaded.kind, 'linux');
  assert.equal(loaded.entry, 0x10_0000);
  const memory = memoryOf(loaded.segments, 64 * MiB);
  const page = loaded.registers.esi;
  const word = (at: number) => memory.getUint32(page + at, true);
  assert.equal(memory.getUint8(0x10_0000), 0xfa);
  assert.equal(ascii(memory, page + 0x202, 4), 'HdrS');
  assert.equal(memory.getUint8(page + 0x210), 0xff);
  assert.equal(word(0x070), 0xe_0000);
  assert.equal(word(0x1e0), 63 * 1024);
  assert.equal(ascii(memory, word(0x228), 14), 'console=ttyS0\0');
  assert.equal(word(0x21c), 5000);
  assert.equal(memory.getUint8(word(0x218) + 4999), 7);
  assert.equal(word(0x218) % 4096, 0);
  assert.ok(word(0x218) >= 0x140_0000, 'clear of what the kernel unpacks itself into');
  const map = Array.from({ length: memory.getUint8(page + 0x1e8) }, (_, i) =>
    [0, 8, 16].map((at) => word(0x2d0 + i * 20 + at)),
  );
  assert.deepEqual(map, [
    [0, 0x9_fc00, 1],
    [0x9_fc00, 0x400, 2],
    [0xf_0000, 0x1_0000, 2],
    [0x10_0000, 63 * MiB, 1],
  ]);
});

test('an initrd stays below the highest address that the kernel takes', () => {
  const kernel = bzImage(undefined, (view) => view.setUint32(0x22c, 0x1ff_ffff, true));
  const { segments } = load({ kernel, initrd: new Uint8Array(MiB).fill(9) }, 64 * MiB);
  const initrd = segments.find(({ bytes }) => bytes[0] === 9)!;
  assert.equal(initrd.address, 0x1f0_0000);
});

test('a broken or hostile bzImage is refused in one line', () => {
  const cases: [Uint8Array, RegExp, object?][] = [
    [bzImage(undefined, (view) => view.setUint8(0x1f1, 255)), /truncated: its setup part/],
    [
      bzImage(undefined, (view) => view.setUint32(0x1f4, 0xffff_ffff, true)),
      /truncated: its header declares/,
    ],
    [bzImage().subarray(0, 0x230), /truncated/],
    [bzImage(undefined, (view) => view.setUint16(0x206, 0x0201, true)), /2\.1 is older than 2\.2/],
    [bzImage(undefined, (view) => view.setUint8(0x211, 0)), /zImage/],
    [bzImage(undefined, (view) => view.setUint32(0x214, 0x20_0000, true)), /expected an entry at 0x100000/],
    [bzImage(undefined, (view) => view.setUint32(0x260, 0xffff_ffff, true)), /needs at least 4112 MiB/],
    [bzImage(undefined, (view) => view.setBigUint64(0x258, 2n ** 63n, true)), /needs at least/],
    [bzImage(new Uint8Array(48 * MiB)), /beyond the 32 MiB/],
    [bzImage(undefined, (view) => view.setUint32(0x22c, 0x100, true)), /initrd: 16 bytes do not fit/],
    [bzImage(undefined, (view) => view.setUint32(0x238, 3, true)), /command line: 4 characters.*at most 3/],
  ];
  for (const [kernel, message] of cases) {
    const image = { kernel, initrd: new Uint8Array(16), commandLine: 'ro 1' };
    assert.throws(
      () => load(image, 32 * MiB),
      (error: Error) => {
        assert.ok(error instanceof TypeError || error instanceof RangeError, String(error.stack));
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      },
    );
  }
});

/** A 64-bit ELF with one segment at 1 MiB and a PVH note (type 18, "Xen") after it in the file. */
function vmlinux(entry: bigint, change?: (view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(0x300);
  const view = new DataView(bytes.buffer);
  const header = (
    i: number,
    type: number,
    offset: number,
    physical: number,
    size: number,
    memory: number,
  ) => {
    const at = 64 + i * 56;
    view.setUint32(at, type, true);
    [offset, 0xffff_ffff_8000_0000, physical, size, memory].forEach((value, field) => {
      view.setBigUint64(at + 8 + field * 8, BigInt(value), true);
    });
  };
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, 62, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 2, true);
  header(0, 1, 0x200, 0x10_0000, 0x80, 0x10_0000);
  header(1, 4, 0x280, 0, 24, 24);
  [4, 8, 18].forEach((word, i) => {
    view.setUint32(0x280 + i * 4, word, true);
  });
  bytes.set([0x58, 0x65, 0x6e, 0], 0x28c);
  view.setBigUint64(0x290, entry, true);
  bytes[0x240] = 0x90;
  change?.(view);
  return bytes;
}

test('an ELF with a PVH note is entered by it, with the start information in EBX', () => {
  const initrd = Uint8Array.from([1, 2, 3]);
  const loaded = load({ kernel: vmlinux(0x10_0040n), initrd, commandLine: 'quiet' }, 8 * MiB, {
    rsdp: 0xe_1000,
  });
  assert.equal(loaded.kind, 'pvh');
  assert.equal(loaded.entry, 0x10_0040);
  const memory = memoryOf(loaded.segments, 8 * MiB);
  assert.equal(memory.getUint8(loaded.entry), 0x90);
  const start = loaded.registers.ebx;
  const word = (at: number) => memory.getUint32(start + at, true);
  assert.deepEqual([word(0), word(4), word(8), word(12)], [0x336e_c578, 1, 0, 1]);
  const module = word(16);
  assert.equal(memory.getUint8(memory.getUint32(module, true) + 2), 3);
  assert.equal(memory.getUint32(module + 8, true), 3);
  assert.equal(ascii(memory, word(24), 6), 'quiet\0');
  assert.equal(word(32), 0xe_1000);
  assert.equal(word(48), 4);
  assert.deepEqual(
    [72, 80, 88].map((at) => memory.getUint32(word(40) + at, true)),
    [0x10_0000, 7 * MiB, 1],
  );
});

test('a broken or hostile ELF file is refused in one line', () => {
  const cases: [Uint8Array, RegExp][] = [
    [vmlinux(0x10_0040n, (view) => view.setUint16(18, 183, true)), /not for x86/],
    [vmlinux(0x10_0040n, (view) => view.setUint16(16, 1, true)), /not an executable/],
    [vmlinux(0x10_0040n, (view) => view.setUint16(56, 0xffff, true)), /65535 program headers/],
    [vmlinux(0x10_0040n, (view) => view.setUint16(54, 8, true)), /of 8 bytes/],
    [vmlinux(0x10_0040n, (view) => view.setBigUint64(32, 2n ** 60n, true)), /truncated or broken/],
    [vmlinux(0x10_0040n, (view) => view.setBigUint64(64 + 8, 2n ** 63n, true)), /truncated or broken/],
    [vmlinux(0x10_0040n, (view) => view.setBigUint64(64 + 32, 2n ** 40n, true)), /truncated or broken/],
    [vmlinux(0x10_0040n, (view) => view.setBigUint64(64 + 24, 2n ** 40n, true)), /beyond the 8 MiB/],
    [vmlinux(0x10_0040n, (view) => view.setBigUint64(64 + 40, 2n ** 40n, true)), /beyond the 8 MiB/],
    [vmlinux(0x10_0040n, (view) => view.setBigUint64(64 + 40, 1n, true)), /larger in the file/],
    [vmlinux(0x1_0010_0040n), /PVH entry is outside/],
    [vmlinux(0n), /PVH entry is outside/],
    [vmlinux(0n, (view) => view.setUint32(0x288, 17, true)), /an ELF file with neither/],
    [vmlinux(0n, (view) => view.setUint32(0x284, 0xffff_ffff, true)), /an ELF file with neither/],
    [vmlinux(0n, (view) => view.setUint32(0x284, 2, true)), /PVH note: truncated/],
  ];
  for (const [kernel, message] of cases) {
    assert.throws(
      () => load({ kernel }, 8 * MiB),
      (error: Error) => {
        assert.ok(error instanceof TypeError || error instanceof RangeError, String(error.stack));
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      },
    );
  }
});

test('what is no image is refused with what it looks like', () => {
  const cases: [number[], RegExp][] = [
    [[], /an empty file/],
    [[0x1f, 0x8b, 8], /gzip/],
    [[...new Array(510).fill(0), 0x55, 0xaa], /boot sector/],
    [new Array(100).fill(0x41), /100 bytes of something else/],
  ];
  for (const [bytes, message] of cases) {
    assert.throws(() => load({ kernel: Uint8Array.from(bytes) }, MiB), { name: 'TypeError', message });
  }
});

test('memory and command line are checked', () => {
  for (const memory of [0, MiB - 1, 2 ** 32, Number.NaN, 1.5 * MiB + 0.5]) {
    assert.throws(() => load({ kernel: bzImage() }, memory), { name: 'RangeError', message: /^memory:/ });
  }
  for (const commandLine of ['a\nb', 'a\0b', 'ä', 7 as unknown as string]) {
    assert.throws(() => load({ kernel: bzImage(), commandLine }, 64 * MiB), {
      name: 'TypeError',
      message: /ASCII/,
    });
  }
});

test('no bytes at all make the loader do anything but refuse, or lay out what the memory holds', () => {
  const seeds = [bzImage(), vmlinux(0x10_0040n)];
  const change = fc.tuple(fc.nat(0x2ff), fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255)));
  const hostile = fc.tuple(fc.constantFrom(...seeds), fc.array(change, { maxLength: 12 }), fc.nat(0x500));
  fc.assert(
    fc.property(hostile, fc.uint8Array({ maxLength: 64 }), ([seed, changes, cut], initrd) => {
      const kernel = seed.slice(0, cut < 0x400 ? seed.length : cut);
      for (const [at, value] of changes) if (at < kernel.length) kernel[at] = value;
      try {
        const { segments, entry, registers } = load({ kernel, initrd }, 32 * MiB);
        for (const { address, bytes } of segments) {
          assert.ok(address >= 0 && address + bytes.length <= 32 * MiB);
          assert.ok(address >= 0x10_0000 || address + bytes.length <= 0xa_0000);
        }
        for (const value of [entry, ...Object.values(registers)])
          assert.ok(value >= 0 && value <= 0xffff_ffff);
      } catch (error) {
        assert.ok(error instanceof TypeError || error instanceof RangeError, String(error));
        assert.match(error.message, /^(kernel|initrd|command line|memory)\b.{10,}$/);
      }
    }),
    { numRuns: 3000 },
  );
});
