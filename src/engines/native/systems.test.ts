/** The machine that we run on under FreeBSD, Windows and macOS: their calls are stand-ins, the machine code is executed for real. */
import assert from 'node:assert/strict';
import { openSync } from 'node:fs';
import { test } from 'node:test';
import { MachineError, type Regs } from '../../cpu.ts';
import { type Foreign, type ForeignValue, foreign } from '../ffi.ts';
import { type HostSystem, openNative } from './open.ts';

const skip =
  process.platform === 'linux' && process.arch === 'x64' ? false : 'the stand-ins need Linux on x64';
type Call = (...values: readonly ForeignValue[]) => number | bigint;

/** Functions by name; `calls` has each call with its arguments. */
function standIn(functions: Readonly<Record<string, Call>>, more: Partial<Foreign> = {}) {
  const calls: [name: string, ...values: ForeignValue[]][] = [];
  const stand: Foreign = {
    func(library, prototype) {
      const [, name] = /(\w+)\(/.exec(prototype)!;
      const call = functions[name!];
      assert.ok(call, `${library}: ${prototype}`);
      return (...values) => {
        calls.push([name!, ...values]);
        return call(...values);
      };
    },
    errno: () => 0,
    write: () => assert.fail('nothing is written'),
    callAt: () => assert.fail('nothing is called'),
    ...more,
  };
  return { calls, stand };
}

const system = (platform: string, stand: Foreign, arch = 'x64'): HostSystem => ({
  ...{ platform, arch, foreign: () => stand },
  open: () => openSync('/dev/null', 'r'),
});

/** Linux' own calls, for what the stand-ins pass on. */
function linuxCalls() {
  const real = foreign();
  const mmap = real.func(null, 'int64_t mmap(int64_t, size_t, int, int, int, int64_t)');
  return {
    real,
    /** A private anonymous page, readable and writable. */
    page: () => BigInt(mmap(0n, 4096, 3, 0x22, -1, 0n)),
    executable: real.func(null, 'int mprotect(int64_t, size_t, int)'),
    unmap: real.func(null, 'int munmap(int64_t, size_t)'),
  };
}

/** EAX of leaf 0 and the vendor, which no host changes between two questions. */
const vendor = ({ eax, ebx, ecx, edx }: Regs) => [eax, ebx, ecx, edx];
const here = (): readonly number[] => {
  const cpu = openNative({ platform: 'linux', arch: 'x64', foreign }, undefined, 'instruction');
  const answer = vendor(cpu.cpuid(0, 0));
  cpu.close();
  return answer;
};

test('macOS: a page of mmap, made executable by mprotect, executes CPUID; MSRs and --cpu are refused', {
  skip,
}, () => {
  const { real, page, executable, unmap } = linuxCalls();
  const { calls, stand } = standIn({ mmap: page, mprotect: executable, munmap: unmap }, passedOn(real));
  const cpu = openNative(system('darwin', stand), undefined, undefined);
  assert.equal(cpu.how, 'instruction');
  assert.deepEqual(vendor(cpu.cpuid(0, 0)), here());
  assert.notDeepEqual(cpu.cpuid(0, 0), cpu.cpuid(1, 0));
  // <sys/mman.h> of macOS and FreeBSD: PROT_READ 1, PROT_WRITE 2, PROT_EXEC 4, MAP_PRIVATE 2, MAP_ANON 1000H.
  assert.deepEqual(calls[0], ['mmap', 0n, 4096, 3, 0x1002, -1, 0n]);
  assert.deepEqual([calls[1]![0], calls[1]![3]], ['mprotect', 5]);
  assert.throws(() => cpu.rdmsr(0x10), /^MachineError: macOS has no driver/);
  cpu.close();
  cpu.close();
  assert.equal(calls.filter(([name]) => name === 'munmap').length, 1);
  assert.throws(
    () => openNative(system('darwin', stand), 3, undefined),
    /CPU 3: this system moves no thread/,
  );
  assert.throws(() => openNative(system('darwin', stand), undefined, 'driver'), /macOS has no driver/);
});

/** What the stand-ins take from the real calls. */
function passedOn({ write, callAt }: Foreign): Partial<Foreign> {
  return { write, callAt };
}

/** mov rcx, rdi: from the System V convention to Microsoft's. */
const PREFIX = [0x48, 0x89, 0xf9];

test('Windows: a page of VirtualAlloc executes the code of its convention, on a chosen processor too', {
  skip,
}, () => {
  const { real, page, executable, unmap } = linuxCalls();
  let mask = 0xffn;
  const { calls, stand } = standIn(
    {
      VirtualAlloc: page,
      VirtualProtect: (at, length) => (executable(at!, length!, 5) === 0 ? 1 : 0),
      VirtualFree: (at) => Number(unmap(at!, 4096) === 0),
      GetLastError: () => 5,
      GetCurrentThread: () => -2n,
      SetThreadAffinityMask(_, wanted) {
        const before = mask;
        mask = wanted as bigint;
        return (before & 0xffn) === 0n ? 0n : before;
      },
    },
    { ...passedOn(real), write: (at, bytes) => real.write(at, Uint8Array.of(...PREFIX, ...bytes)) },
  );
  const cpu = openNative(system('win32', stand), 2, undefined);
  assert.deepEqual(vendor(cpu.cpuid(0, 0)), here());
  assert.notDeepEqual(cpu.cpuid(0xd, 0), cpu.cpuid(1, 0));
  // <memoryapi.h>: MEM_COMMIT 1000H, MEM_RESERVE 2000H, PAGE_READWRITE 4, PAGE_EXECUTE_READ 20H, MEM_RELEASE 8000H.
  const call = (name: string) => calls.find(([one]) => one === name)!.slice(2);
  assert.deepEqual(call('VirtualAlloc'), [4096, 0x3000, 4]);
  assert.deepEqual(call('VirtualProtect').slice(0, 2), [4096, 0x20]);
  assert.deepEqual(call('SetThreadAffinityMask'), [4n]);
  assert.equal(mask, 0xffn); // restored
  assert.throws(() => cpu.wrmsr(0x10, 1n), /Windows has no driver/);
  cpu.close();
  assert.deepEqual(calls.at(-1)!.slice(2), [0, 0x8000]);
  assert.throws(
    () => openNative(system('win32', stand), 64, undefined),
    /moving to CPU 64: the system refuses/,
  );
});

test('a system that refuses memory: one line, and no page is left', { skip }, () => {
  const { real, page, unmap } = linuxCalls();
  const refusing = {
    VirtualProtect: () => 0,
    GetLastError: () => 5,
    GetCurrentThread: () => 0,
    SetThreadAffinityMask: () => 0,
  };
  const none = standIn({ ...refusing, VirtualAlloc: () => 0n, VirtualFree: () => 1 });
  assert.throws(
    () => openNative(system('win32', none.stand), undefined, undefined),
    /no CPUID: VirtualAlloc: error 5; Windows/,
  );
  const later = standIn(
    { mmap: page, mprotect: () => -1, munmap: unmap },
    { ...passedOn(real), errno: () => 13 },
  );
  assert.throws(
    () => openNative(system('darwin', later.stand), undefined, undefined),
    /making a page executable: error 13/,
  );
  assert.equal(later.calls.at(-1)![0], 'munmap');
});

const words = (bytes: ForeignValue) => new DataView((bytes as Uint8Array).buffer);

/** A FreeBSD with one MSR, whose leaves answer with their numbers. */
function freebsd() {
  let errno = 0;
  let value = 0x1122_3344_5566_7788n;
  const fail = (error: number): number => {
    errno = error;
    return -1;
  };
  return standIn(
    {
      ioctl(_, request, bytes) {
        const view = words(bytes!);
        // <sys/cpuctl.h>: _IOWR('c', 7, 24 bytes), _IOWR('c', 1 and 2, 16 bytes); <sys/errno.h>: EFAULT 14, EINVAL 22.
        if (request === 0xc018_6307 && view.byteLength === 24) {
          const [leaf, subleaf] = [view.getUint32(0, true), view.getUint32(4, true)];
          for (const [i, word] of [leaf, subleaf, 3, 0xffff_ffff].entries())
            view.setUint32(8 + 4 * i, word, true);
          return 0;
        }
        if (view.byteLength !== 16) return fail(22);
        if (view.getUint32(0, true) !== 0x4000_00a0) return fail(14);
        if (request === 0xc010_6301) view.setBigUint64(8, value, true);
        else if (request === 0xc010_6302) value = view.getBigUint64(8, true);
        else return fail(22);
        return 0;
      },
    },
    { errno: () => errno },
  );
}

test('FreeBSD: CPUID with its subleaf and MSRs through /dev/cpuctlN; EFAULT is #GP', { skip }, () => {
  const { stand } = freebsd();
  const opened: string[] = [];
  const open = (path: string, flags: string): number => {
    opened.push(`${path} ${flags}`);
    return openSync('/dev/null', 'r');
  };
  const cpu = openNative({ ...system('freebsd', stand), open }, 5, undefined);
  assert.equal(cpu.how, 'driver');
  assert.deepEqual(cpu.cpuid(0x4f00_0001, 9), { eax: 0x4f00_0001, ebx: 9, ecx: 3, edx: 0xffff_ffff });
  assert.equal(cpu.rdmsr(0x4000_00a0), 0x1122_3344_5566_7788n);
  assert.equal(cpu.rdmsr(0x4000_00a1), '#GP');
  assert.deepEqual(opened, ['/dev/cpuctl5 r']);
  assert.equal(cpu.wrmsr(0x4000_00a0, 0xffff_ffff_ffff_ffffn), undefined);
  assert.equal(cpu.wrmsr(1, 0n), '#GP');
  assert.equal(cpu.rdmsr(0x4000_00a0), 0xffff_ffff_ffff_ffffn);
  assert.deepEqual(opened, ['/dev/cpuctl5 r', '/dev/cpuctl5 r+']);
  assert.throws(() => cpu.cpuid(2 ** 32, 0), RangeError);
  cpu.close();
  cpu.close();
});

test('FreeBSD without the device: the instruction, and for MSRs the line that names the module', {
  skip,
}, () => {
  const { real, page, executable, unmap } = linuxCalls();
  const { stand } = standIn(
    { mmap: page, mprotect: executable, munmap: unmap, ioctl: () => -1 },
    passedOn(real),
  );
  const open = (): never => {
    throw Object.assign(new Error('no'), { code: 'ENOENT' });
  };
  const cpu = openNative({ ...system('freebsd', stand), open }, undefined, undefined);
  assert.equal(cpu.how, 'instruction');
  assert.deepEqual(vendor(cpu.cpuid(0, 0)), here());
  assert.throws(
    () => cpu.rdmsr(0x10),
    /^MachineError: \/dev\/cpuctl0: it is not there: load the module \(kldload cpuctl\)/,
  );
  cpu.close();
  assert.throws(() => openNative({ ...system('freebsd', stand), open }, 1, 'driver'), MachineError);
});

test('other processors and systems: one line with the way out', () => {
  const { stand } = standIn({});
  for (const [platform, arch] of [
    ['darwin', 'arm64'],
    ['linux', 'arm64'],
    ['win32', 'ia32'],
    ['sunos', 'x64'],
  ] as const) {
    const line = new RegExp(
      `x86 only, under Linux, FreeBSD, Windows or macOS, and this is ${platform} on ${arch}: use another --engine`,
    );
    assert.throws(() => openNative(system(platform, stand, arch), undefined, undefined), line);
  }
});
