/** Multiboot kernels, built here byte by byte; the numbers are typed from the Multiboot Specification 0.6.96. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { type Loaded, load } from './index.ts';

const MiB = 2 ** 20;

/** A kernel that carries its own load addresses: header at `at`, `code` after it. */
function kernel({ at = 0, flags = 0x1_0000, fields = [] as number[], code = [0xf4] } = {}): Uint8Array {
  const words = [0x1bad_b002, flags, -(0x1bad_b002 + flags) >>> 0, ...fields];
  const view = new DataView(new ArrayBuffer(at + words.length * 4 + code.length));
  words.forEach((word, i) => {
    view.setUint32(at + i * 4, word, true);
  });
  const bytes = new Uint8Array(view.buffer);
  bytes.set(code, at + words.length * 4);
  return bytes;
}
const whole = (at = 0) => kernel({ at, fields: [0x10_0000 + at, 0x10_0000, 0, 0, 0x10_0020 + at] });

/** A guest's physical memory after the segments are copied. */
function memoryOf({ segments }: Loaded, size: number): DataView {
  const memory = new Uint8Array(size);
  for (const { address, bytes } of segments) memory.set(bytes, address);
  return new DataView(memory.buffer);
}
const text = (memory: DataView, at: number) => {
  let out = '';
  for (let i = at; memory.getUint8(i) !== 0; i++) out += String.fromCharCode(memory.getUint8(i));
  return out;
};

test('a kernel with load addresses is put where its header says, and entered with the magic number in EAX', () => {
  for (const at of [0, 4, 512, 8192 - 32]) {
    const image = whole(at);
    const loaded = load({ kernel: image }, 16 * MiB);
    assert.equal(loaded.kind, 'multiboot');
    assert.equal(loaded.entry, 0x10_0020 + at);
    assert.equal(loaded.registers.eax, 0x2bad_b002);
    const memory = memoryOf(loaded, 16 * MiB);
    assert.equal(memory.getUint8(loaded.entry), 0xf4);
    assert.equal(memory.getUint32(0x10_0000 + at, true), 0x1bad_b002);
  }
});

test('the information block tells memory, command line, module and map', () => {
  const initrd = Uint8Array.from([1, 2, 3, 4, 5]);
  const loaded = load({ kernel: whole(), initrd, commandLine: 'a=b c' }, 16 * MiB);
  const memory = memoryOf(loaded, 16 * MiB);
  const info = loaded.registers.ebx;
  const word = (at: number) => memory.getUint32(at, true);
  assert.equal(word(info), (1 << 0) | (1 << 2) | (1 << 3) | (1 << 6) | (1 << 9));
  assert.equal(word(info + 4), 639);
  assert.equal(word(info + 8), 15 * 1024);
  assert.equal(text(memory, word(info + 16)), 'a=b c');
  assert.equal(word(info + 20), 1);
  const [start, end] = [word(word(info + 24)), word(word(info + 24) + 4)];
  assert.deepEqual(new Uint8Array(memory.buffer, start, end - start), initrd);
  assert.equal(start % 4096, 0);
  const ranges = [];
  for (let at = word(info + 48); at < word(info + 48) + word(info + 44); at += word(at) + 4) {
    ranges.push([word(at + 4), word(at + 12), word(at + 20)]);
  }
  assert.deepEqual(ranges, [
    [0, 0x9_fc00, 1],
    [0x9_fc00, 0x400, 2],
    [0xf_0000, 0x1_0000, 2],
    [0x10_0000, 15 * MiB, 1],
  ]);
});

test('the segment table is in memory and flat', () => {
  const loaded = load({ kernel: whole() }, 2 * MiB);
  const memory = memoryOf(loaded, 2 * MiB);
  const { address, limit, code, data } = loaded.gdt;
  assert.deepEqual([limit, code, data], [31, 0x10, 0x18]);
  assert.equal(memory.getBigUint64(address + code, true), 0x00cf_9b00_0000_ffffn);
  assert.equal(memory.getBigUint64(address + data, true), 0x00cf_9300_0000_ffffn);
});

test('what is put beside a kernel never lies on it, however low it loads', () => {
  for (const start of [0x1000, 0x7c00, 0x9000]) {
    const image = kernel({ fields: [start, start, 0, start + 0x4000, start + 32] });
    const loaded = load({ kernel: image, commandLine: 'x' }, 16 * MiB);
    const ranges = loaded.segments
      .map(({ address, bytes }) => [address, address + bytes.length])
      .sort((a, b) => a[0]! - b[0]!);
    ranges.forEach(([from], i) => {
      if (i > 0) assert.ok(from! >= ranges[i - 1]![1]!);
    });
    assert.ok(ranges.every(([from]) => from === start || from! >= start + 0x4000 || from! < start));
  }
});

test('an ELF kernel is loaded by its physical addresses and its entry is translated', () => {
  const bytes = new Uint8Array(0x1100);
  bytes.set(kernel({ flags: 3 }), 0x200);
  const view = new DataView(bytes.buffer);
  const put32 = (at: number, ...words: number[]) => {
    words.forEach((word, i) => {
      view.setUint32(at + i * 4, word, true);
    });
  };
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, 3, true);
  put32(24, 0xc010_0010, 52);
  view.setUint16(42, 32, true);
  view.setUint16(44, 1, true);
  put32(52, 1, 0x1000, 0xc010_0000, 0x10_0000, 0x100, 0x4000, 5, 0x1000);
  bytes[0x1010] = 0xfa;
  const loaded = load({ kernel: bytes }, 4 * MiB);
  assert.equal(loaded.entry, 0x10_0010);
  assert.equal(memoryOf(loaded, 4 * MiB).getUint8(loaded.entry), 0xfa);
});

test('a broken or hostile header is refused in one line', () => {
  const cases: [Uint8Array, RegExp][] = [
    [kernel({ flags: 0x1_0004, fields: [0x10_0000, 0x10_0000, 0, 0, 0x10_0020] }), /video mode/],
    [
      kernel({ flags: 0x1_0008, fields: [0x10_0000, 0x10_0000, 0, 0, 0x10_0020] }),
      /version 1 does not define/,
    ],
    [kernel({ fields: [0x10_0000, 0x20_0000, 0, 0, 0x10_0020] }), /before what it loads/],
    [kernel({ fields: [0x10_0010, 0x10_0000, 0, 0, 0x10_0020] }), /before what it loads/],
    [kernel({ fields: [0x10_0000, 0x10_0000, 0x1000_0000, 0, 0x10_0020] }), /truncated or broken/],
    [kernel({ fields: [0x10_0000, 0x10_0000, 0xf_0000, 0, 0x10_0020] }), /ends before it starts/],
    [kernel({ fields: [0x10_0000, 0x10_0000, 0, 0x10_0004, 0x10_0020] }), /bss ends before/],
    [kernel({ fields: [0x10_0000, 0x10_0000, 0, 0xffff_ffff, 0x10_0020] }), /beyond the 16 MiB of memory/],
    [kernel({ fields: [0x9_fff0, 0x9_fff0, 0, 0, 0x9_fff0] }), /overlaps the device hole/],
    [kernel({ fields: [0xffff_fff0, 0xffff_fff0, 0, 0, 0xffff_fff0] }), /beyond the 16 MiB of memory/],
    [kernel({ fields: [0x10_0000, 0x10_0000, 0, 0, 0x20_0000] }), /entry point is outside/],
    [kernel(), /names 4 bytes/],
    [kernel({ flags: 0 }), /must be an ELF file/],
  ];
  for (const [bytes, message] of cases) {
    assert.throws(
      () => load({ kernel: bytes }, 16 * MiB),
      (error: Error) => {
        assert.ok(error instanceof TypeError || error instanceof RangeError, String(error.stack));
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      },
    );
  }
});

test('an initrd that does not fit is refused with the memory it had', () => {
  assert.throws(() => load({ kernel: whole(), initrd: new Uint8Array(2 * MiB) }, 2 * MiB), {
    name: 'RangeError',
    message: /initrd: 2097152 bytes do not fit .* 2 MiB/,
  });
});
