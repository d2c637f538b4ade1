import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MachineError } from '../cpu.ts';
import { check, ffi, MAP, OPEN, PROT } from './ffi.ts';

const skip = process.platform !== 'linux' || process.arch !== 'x64' ? 'needs Linux on x64' : false;

test('machine code in a page that was writable and is executable now runs', { skip }, () => {
  const sys = ffi();
  const page = sys.mmap(4096, PROT.read | PROT.write, MAP.private | MAP.anonymous, -1);
  sys.poke(
    page,
    Uint8Array.of(
      ...[0x8b, 0x07], // mov eax, [rdi]
      ...[0x03, 0x47, 0x04], // add eax, [rdi + 4]
      ...[0x89, 0x47, 0x08], // mov [rdi + 8], eax
      0xc3, // ret
    ),
  );
  assert.equal(sys.mprotect(page, 4096, PROT.read | PROT.exec), 0);
  const words = Uint32Array.of(0xffff_fff0, 0x21, 0);
  sys.callAt(page, words);
  assert.deepEqual([...words], [0xffff_fff0, 0x21, 0x11]);
  assert.equal(sys.munmap(page, 4096), 0);
});

test('memory reads back by peek and by a view', { skip }, () => {
  const sys = ffi();
  const at = sys.mmap(8192, PROT.read | PROT.write, MAP.private | MAP.anonymous, -1);
  sys.poke(at + 4094n, Uint8Array.of(1, 2, 3));
  const back = new Uint8Array(4);
  sys.peek(at + 4094n, back);
  assert.deepEqual([...back], [1, 2, 3, 0]);
  assert.deepEqual([...new Uint8Array(sys.view(at, 8192)).subarray(4093, 4098)], [0, 1, 2, 3, 0]);
  assert.equal(sys.munmap(at, 8192), 0);
});

test('a failure is the negative error number, and `check` names it', { skip }, () => {
  const sys = ffi();
  assert.equal(sys.close(-1), -9);
  assert.equal(sys.open('/nowhere/at/all', OPEN.readOnly), -2);
  assert.equal(check(7, 'seven'), 7);
  assert.throws(
    () => check(-9, 'closing'),
    (error) => error instanceof MachineError && error.message === 'closing: EBADF (9)',
  );
  assert.throws(() => sys.mmap(0, PROT.none, MAP.private | MAP.anonymous, -1), /mmap of 0 bytes: EINVAL/);
});

test('a blocked signal waits for its thread until it is drained', { skip }, () => {
  const sys = ffi();
  const signal = 23; // SIGURG: ignored where it is not blocked
  assert.equal(sys.block(signal), 0);
  assert.equal(sys.takeSignal(signal), false);
  assert.equal(sys.tgkill(sys.gettid(), signal), 0);
  assert.equal(sys.takeSignal(signal), true);
  assert.equal(sys.takeSignal(signal), false);
});
