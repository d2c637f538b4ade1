/** The machine that the tests run on, asked in both ways; and the message where it cannot be asked. */
import assert from 'node:assert/strict';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Regs } from '../../cpu.ts';
import { MachineError } from '../../cpu.ts';
import { device, readCpuid, readMsr, writeMsr } from './devices.ts';
import { native } from './index.ts';
import { instruction } from './instruction.ts';

const skip = process.platform === 'linux' && process.arch === 'x64' ? false : 'not Linux on x64';

test('CPUID is executed: leaf 0 spells a vendor, its EAX bounds the basic leaves', { skip }, () => {
  const cpu = native({ through: 'instruction' });
  assert.equal(cpu.how, 'instruction');
  const { eax, ebx, ecx, edx } = cpu.cpuid(0, 0);
  assert.ok(eax >= 1 && eax < 0x100);
  const vendor = Buffer.from(Uint32Array.of(ebx, edx, ecx).buffer).toString('latin1');
  assert.match(vendor, /^[ -~]{12}$/);
  assert.equal(cpu.cpuid(0x8000_0000, 0).eax >>> 31, 1);
  cpu.close();
  cpu.close();
  assert.throws(() => cpu.cpuid(0, 0), TypeError);
});

test('the subleaf reaches ECX', { skip: skip || (hasXsave() ? false : 'no XSAVE: leaf DH is empty') }, () => {
  const cpu = native();
  assert.notDeepEqual(cpu.cpuid(0xd, 0), cpu.cpuid(0xd, 1));
  cpu.close();
});

/** CPUID.1:ECX bit 26: leaf DH describes the saved state, each component in a subleaf. */
function hasXsave(): boolean {
  if (skip) return false;
  const cpu = native();
  const { ecx } = cpu.cpuid(1, 0);
  cpu.close();
  return ((ecx >>> 26) & 1) === 1;
}

test('a chosen processor answers, and the thread may go back to where it was', { skip }, () => {
  const first = instruction(0);
  assert.ok(first.cpuid(0, 0).eax >= 1);
  first.close();
  assert.throws(() => instruction(1023), MachineError);
  for (const cpu of [-1, 1024, 0.5]) assert.throws(() => native({ cpu }), RangeError);
});

const driver = '/dev/cpu/0/cpuid';
const noDriver = canRead(driver) ? false : `${driver} cannot be opened for reading here`;
function canRead(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

// Only leaves that no host changes between CPL 3 and CPL 0: the vendor and the processor's signature. The hypervisor's leaves may
// differ (seen: "bhyve bhyve " by the instruction, KVMKVMKVM by the driver, on one machine).
test('driver and instruction name the same processor', { skip: skip || noDriver }, () => {
  const chosen = native();
  assert.equal(chosen.how, 'driver');
  assert.throws(() => native({ cpu: 1023, through: 'driver' }), MachineError);
  chosen.close();
  const direct = instruction(0);
  const through = device(driver, 'cpuid');
  const vendor = ({ ebx, ecx, edx }: Regs) => ({ ebx, ecx, edx });
  assert.deepEqual(vendor(readCpuid(through, 0, 0)), vendor(direct.cpuid(0, 0)));
  assert.equal(readCpuid(through, 1, 0).eax, direct.cpuid(1, 0).eax);
  assert.throws(() => readCpuid(through, 0, 0xffff_ffff), /subleaf 0xffffffff cannot be asked/);
  through.close();
  direct.close();
});

test('a device that is not there: what is missing, and what to do', () => {
  const msr = device('/dev/cpu/1023/msr', 'msr');
  assert.throws(
    () => readMsr(msr, 0x10),
    /^MachineError: \/dev\/cpu\/1023\/msr: it is not there: load .*modprobe msr/,
  );
  assert.throws(() => writeMsr(msr, 0x10, 1n), MachineError);
});

test('the msr driver is asked at the index, with eight bytes, little-endian', () => {
  const dir = mkdtempSync(join(tmpdir(), 'commonhv-'));
  const path = join(dir, 'msr');
  writeFileSync(path, Buffer.from([...Array(0x10).fill(0xff), 1, 2, 3, 4, 5, 6, 7, 0x88]));
  const msr = device(path, 'msr', true);
  assert.equal(readMsr(msr, 0x10), 0x8807060504030201n);
  assert.equal(writeMsr(msr, 8, 0x1122n), undefined);
  assert.equal(readMsr(msr, 8), 0x1122n);
  msr.close();
  rmSync(dir, { recursive: true });
});
