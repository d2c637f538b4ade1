import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ports } from './ports.ts';
import { Uart } from './uart.ts';

function line(input = '') {
  const waiting = [...input].map((letter) => letter.charCodeAt(0));
  const sent: number[] = [];
  const levels: boolean[] = [];
  const device = new Uart(
    { put: (byte) => void sent.push(byte), take: () => waiting.shift(), ready: () => waiting.length > 0 },
    (level) => void levels.push(level),
  );
  return { device, waiting, sent, levels };
}
const DATA = 0;
const IER = 1;
const IIR = 2;
const LCR = 3;
const MCR = 4;
const LSR = 5;
const MSR = 6;
const SCRATCH = 7;

test('a polling guest sends at once, and takes what waits', () => {
  const { device, sent } = line('ab');
  device.write(DATA, 0x78);
  assert.deepEqual(sent, [0x78]);
  assert.equal(device.read(LSR), 0x61);
  assert.deepEqual([device.read(DATA), device.read(DATA)], [0x61, 0x62]);
  assert.equal(device.read(LSR), 0x60);
  assert.equal(device.read(DATA), 0);
});

test('the divisor latch hides data and interrupt enable', () => {
  const { device, sent } = line('a');
  device.write(LCR, 0x83);
  device.write(DATA, 12);
  device.write(IER, 1);
  assert.deepEqual([device.read(DATA), device.read(IER)], [12, 1]);
  device.write(LCR, 0x03);
  assert.deepEqual([device.read(IER), device.read(DATA), sent.length], [0, 0x61, 0]);
});

test('it is told from an 8250 by its scratch register, and shows FIFOs when they are on', () => {
  const { device } = line();
  device.write(SCRATCH, 0xa5);
  assert.equal(device.read(SCRATCH), 0xa5);
  assert.equal(device.read(IIR), 0x01);
  device.write(IIR, 0x07);
  assert.equal(device.read(IIR), 0xc1);
});

test('loopback: what is sent comes back, not out, and the modem lines meet', () => {
  const { device, sent } = line('x');
  device.write(MCR, 0x1a);
  assert.equal(device.read(MSR) & 0xf0, 0x90);
  assert.equal(device.read(LSR) & 1, 0);
  device.write(DATA, 0x55);
  assert.equal(device.read(LSR) & 1, 1);
  assert.equal(device.read(DATA), 0x55);
  assert.deepEqual(sent, []);
  device.write(MCR, 0x0b);
  assert.equal(device.read(MSR) & 0xf0, 0xb0);
  assert.equal(device.read(DATA), 0x78);
});

test('an interrupt for input: while there is some, while it is enabled, and through OUT2 alone', () => {
  const { device, waiting, levels } = line();
  device.write(IER, 1);
  waiting.push(1);
  device.poll();
  assert.deepEqual(levels, []);
  device.write(MCR, 0x08);
  assert.deepEqual(levels, [true]);
  assert.equal(device.read(IIR), 0x04);
  device.read(DATA);
  assert.deepEqual(levels, [true, false]);
});

test('an interrupt for an empty transmitter: at its enabling and after each byte, until it is read', () => {
  const { device, levels } = line();
  device.write(MCR, 0x08);
  device.write(IER, 2);
  assert.deepEqual(levels, [true]);
  assert.equal(device.read(IIR), 0x02);
  assert.equal(device.read(IIR), 0x01);
  device.write(DATA, 0x61);
  assert.equal(device.read(IIR), 0x02);
  assert.deepEqual(levels, [true, false, true, false]);
});

test('ports: ones where nothing is, wide accesses within one device, and a clock in BCD', () => {
  const { device, sent } = line();
  const ends: unknown[] = [];
  const date = new Date(Date.UTC(2031, 11, 9, 23, 45, 6));
  const ports = new Ports({ uart: device, onEnd: (end) => void ends.push(end), now: () => date });
  assert.equal(ports.in(0xcfc, 4), 0xffff_ffff);
  assert.equal(ports.in(0x3fd, 2), 0xb060);
  assert.equal(ports.in(0x3ff, 2), 0xff00);
  ports.out(0x3f8, 1, 0x61);
  assert.deepEqual(sent, [0x61]);
  const clock = (register: number): number => {
    ports.out(0x70, 1, register);
    return ports.in(0x71, 1);
  };
  assert.deepEqual([0, 2, 4, 6, 7, 8, 9, 0x32].map(clock), [0x06, 0x45, 0x23, 3, 0x09, 0x12, 0x31, 0x20]);
  assert.equal(clock(0x0a) & 0x80, 0);
  ports.out(0x604, 2, 0x0001);
  ports.out(0x64, 1, 0xd1);
  ports.out(0xcf9, 1, 0x02);
  assert.deepEqual(ends, []);
  const off = { reason: 'quit', detail: 'the guest powered off' };
  ports.out(0x604, 2, 0x2000);
  ports.out(0x604, 4, 0x2000);
  ports.out(0x605, 1, 0x20);
  assert.deepEqual(ends, [off, off, off]);
});

test('ports: a wide access that begins beside a device does not reach it', () => {
  const { device, sent } = line();
  const ends: unknown[] = [];
  const ports = new Ports({ uart: device, onEnd: (end) => void ends.push(end) });
  // PCI's address register, whose second byte lies where the reset control is (Linux, pci_check_type1).
  for (const size of [1, 2, 4]) ports.out(0xcf8, size, 0xffff_ffff);
  ports.out(0xcf6, 4, 0xffff_ffff);
  ports.out(0x603, 4, 0xffff_ffff);
  ports.out(0x63, 2, 0xfefe);
  ports.out(0x3f7, 2, 0x6161);
  assert.deepEqual([ends, sent], [[], []]);
  assert.equal(ports.in(0xcf8, 4), 0xffff_ffff);
  assert.equal(ports.in(0x3f7, 2), 0xffff);
  ports.out(0xcf9, 2, 0x0006);
  ports.out(0x64, 4, 0xfe);
  const reset = { reason: 'quit', detail: 'the guest asked for a reset' };
  assert.deepEqual(ends, [reset, reset]);
});
