/** The library of `commonhv preload` on any machine: a stand-in VMM above it, a stand-in KVM below it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildStandIn, KVM_USER, type StandIn, skip, value } from './support/stand-in.ts';

let built: StandIn | undefined;
const run: StandIn['run'] = (script, env) => {
  built ??= buildStandIn();
  return built.run(script, env);
};

/** One machine with a vCPU whose CPUID is set; its lines are `vm`, `vcpu`, `ok`. */
const START = ['vm', 'vcpu 0', 'cpuid 0'];
const [RDMSR, WRMSR, CPUID, PORT, KICKED] = [1, 2, 3, 4, 5];
const RNG = `guest 0 ${RDMSR} 400000a0`;
const GENERATION = `guest 0 ${RDMSR} 400000a1`;
const leaf = (index: string, subleaf = 0, vcpu = 0): string => `guest ${vcpu} ${CPUID} ${index} ${subleaf}`;
/** The registers at the reset vector: RIP FFF0H, CS F000H with base FFFF0000H. */
const AT_RESET = 'regs 0 fff0 f000 ffff0000';
const AT_GUEST = 'regs 0 7c00 8 0';
/** The time-stamp counter, which only a reset and a restore write. */
const TSC = 'msr 0 10';

test('the guest has the leaves, the hypervisor bit and both MSRs', { skip }, () => {
  const { lines, events, stderr } = run([
    ...START,
    ...[leaf('4f000000'), leaf('4f000001', 0), leaf('4f000001', 1), leaf('4f000001', 2), leaf('4f000002')],
    ...[leaf('4f000003'), leaf('1'), RNG, RNG, GENERATION, GENERATION],
    ...[`guest 0 ${WRMSR} 400000a0 5`, `guest 0 ${WRMSR} 400000a1 5`],
  ]);
  const registers = (line: string): string => line.replace('ok exit 5 ', '');
  assert.equal(registers(lines[3]!), '4f000003 6d6d6f43 56486e6f 66746e49');
  assert.equal(registers(lines[4]!), '00000001 00000000 00000000 00000000');
  assert.equal(registers(lines[5]!), '40000000 4b4d564b 564b4d56 0000004d');
  assert.equal(registers(lines[6]!), '00000000 00000000 00000000 00000000');
  assert.equal(registers(lines[7]!), '00000015 00000003 00000000 00000000'); // RNG, generation, acknowledgement
  assert.equal(registers(lines[8]!), '400000a0 00000001 400000a1 00000000');
  assert.equal(registers(lines[9]!), '00000123 00000000 80000000 00000000');
  assert.notEqual(value(lines[10]), value(lines[11]));
  assert.equal(value(lines[12]), value(lines[13]));
  assert.match(lines[14]!, /done 1 fault 1/);
  assert.match(lines[15]!, /done 1 fault 1/);
  assert.deepEqual(
    events.map(({ event, generation }) => [event, generation]),
    [['started', value(lines[12])]],
  );
  assert.equal(stderr, '');
});

test('a vCPU thread that may make no system call reads, acknowledges and is restored', { skip }, () => {
  const { status, lines, events } = run([
    ...[...START, 'seal 0', ...Array(300).fill(RNG), GENERATION],
    ...[TSC, AT_GUEST, GENERATION],
  ]);
  assert.equal(status, 0);
  const values = lines.slice(4, 304).map(value);
  assert.equal(new Set(values).size, 300);
  assert.notEqual(value(lines[304]), value(lines[307]));
  assert.deepEqual(
    events.map(({ event, generation }) => [event, generation]),
    [
      ['started', value(lines[304])],
      ['restored', value(lines[307])],
    ],
  );
});

test('without userfaultfd the values come by polling', { skip }, () => {
  const { lines } = run([...START, 'seal 0', RNG, RNG, GENERATION], { FAKE_NO_USERFAULTFD: '1' });
  assert.notEqual(value(lines[4]), value(lines[5]));
  value(lines[6]);
});

test('the first acknowledgement of a generation reaches the status file, repeats do not', { skip }, () => {
  const first = run([...START, GENERATION]);
  assert.equal(first.events.length, 1);
  // The value is not known before: the stand-in writes what the guest read last.
  const { lines, events } = run([
    ...[...START, GENERATION, 'acknowledge 0 400000a1', 'acknowledge 0 400000a1'],
    ...[TSC, AT_GUEST, 'acknowledge 0 400000a1', GENERATION, 'acknowledge 0 400000a1'],
  ]);
  const [before, after] = [value(lines[3]), value(lines[9])];
  assert.match(lines[4]!, /done 1 fault 0/);
  assert.match(lines[5]!, /done 1 fault 0/);
  assert.match(lines[8]!, /done 1 fault 1/, 'an acknowledgement of the generation before the restore');
  assert.deepEqual(
    events.map(({ event, generation }) => [event, generation]),
    [
      ['started', before],
      ['acknowledged', before],
      ['restored', after],
      ['acknowledged', after],
    ],
  );
});

/** Each with what the VMM writes between two reads of the generation, and whether it differs then. */
const WRITES: readonly (readonly [name: string, writes: readonly string[], renewed: boolean])[] = [
  ['nothing', [], false],
  ['info registers: registers, MSRs without the time-stamp counter', [AT_GUEST, 'msr 0 174'], false],
  ['a reset', ['lapic 0', TSC, AT_RESET], false],
  ['a reset after the registers were read', [AT_GUEST, 'lapic 0', TSC, AT_RESET], false],
  ['a restore', ['lapic 0', TSC, AT_GUEST], true],
  ['a restore whose registers come first', [AT_GUEST, TSC], true],
  ['a restore without a local APIC or its registers', [TSC], true],
  ['a restore of a local APIC alone', ['lapic 0', AT_GUEST], true],
  ['a reset and then a restore', [TSC, AT_RESET, 'khz 0', TSC, AT_GUEST], true],
  ['a restore of a machine that was saved at its reset vector', [TSC, AT_RESET, TSC, AT_RESET], true],
  ['the rate of the time-stamp counter', ['khz 0'], true],
];
for (const [name, writes, renewed] of WRITES) {
  test(`${renewed ? 'renews' : 'keeps'} the generation: ${name}`, { skip }, () => {
    const { lines, events } = run([...START, GENERATION, ...writes, GENERATION, GENERATION]);
    const [before, after, again] = [lines[3], lines.at(-2), lines.at(-1)].map(value);
    assert.equal(after !== before, renewed);
    assert.equal(again, after, 'once a restore');
    assert.equal(events.length, renewed ? 2 : 1);
    for (const part of [before!.slice(0, 8), before!.slice(8), after!.slice(0, 8), after!.slice(8)])
      assert.notEqual(part, '00000000');
    if (!renewed) return;
    assert.notEqual(after!.slice(0, 8), before!.slice(0, 8));
    assert.notEqual(after!.slice(8), before!.slice(8));
  });
}

test('before the first KVM_RUN nothing is a restore', { skip }, () => {
  const { events } = run([...START, TSC, AT_RESET, 'khz 0', TSC, AT_GUEST, GENERATION]);
  assert.deepEqual(
    events.map(({ event }) => event),
    ['started'],
  );
});

test('several vCPUs: one restore, one renewal, seen by whichever runs first', { skip }, () => {
  const two = ['vm', 'vcpu 0', 'cpuid 0', 'vcpu 0', 'cpuid 1'];
  const second = `guest 1 ${RDMSR} 400000a1`;
  const { lines, events } = run([
    ...[...two, GENERATION, second],
    // Only the second vCPU shows the restore: the first was waiting at its reset vector.
    ...[TSC, AT_RESET, 'msr 1 10', 'regs 1 7c00 8 0', GENERATION, second],
    // Both reset.
    ...[TSC, AT_RESET, 'msr 1 10', 'regs 1 fff0 f000 ffff0000', GENERATION, second],
  ]);
  assert.equal(value(lines[5]), value(lines[6]));
  assert.notEqual(value(lines[11]), value(lines[5]));
  assert.equal(value(lines[11]), value(lines[12]));
  assert.equal(value(lines[17]), value(lines[11]));
  assert.equal(value(lines[18]), value(lines[11]));
  assert.equal(events.length, 2);
});

test('a vCPU that is added to a running machine is no restore, and has the same leaves and generation', {
  skip,
}, () => {
  const { lines, events } = run([
    ...[...START, GENERATION, 'vcpu 0', 'cpuid 1', 'khz 1', 'msr 1 10', 'regs 1 fff0 f000 ffff0000'],
    ...['msr 1 10', `guest 1 ${RDMSR} 400000a1`, leaf('4f000003', 0, 1)],
  ]);
  assert.equal(value(lines[10]), value(lines[3]));
  assert.match(lines[11]!, /400000a0 00000001 400000a1/);
  assert.equal(events.length, 1);
});

test('no read is pending when KVM_RUN returns, with immediate_exit set meanwhile', { skip }, () => {
  const { lines } = run([...START, `guest 0 ${KICKED} 400000a0`, 'immediate 0 0', RNG]);
  assert.match(lines[3]!, /^Interrupted system call exit \d+ done 1 fault 0 value (?!0000000000000000)/);
  assert.notEqual(lines[3]!.slice(-30), lines[5]!.slice(-30));
});

test('the VMM sees no MSR exit that it did not ask for, and each that it did', { skip }, () => {
  const unknown = `guest 0 ${RDMSR} 12345`;
  const { lines } = run([
    ...[...START, unknown, 'cap 0 2', unknown, 'fill 0 77', 'guest 0 0'],
    ...[
      'filter 0 1 300',
      `guest 0 ${RDMSR} 300`,
      'cap 0 4',
      `guest 0 ${RDMSR} 300`,
      'guest 0 0',
      RNG,
      GENERATION,
    ],
    `guest 0 ${PORT}`,
  ]);
  assert.match(lines[3]!, /^ok exit 5 done 1 fault 1/);
  assert.match(lines[5]!, /^ok exit 29 done 0/); // KVM_EXIT_X86_RDMSR, reason unknown
  assert.match(lines[7]!, /^ok exit 5 done 1 fault 0 value 0000000000000077/);
  assert.match(lines[9]!, /^ok exit 5 done 1 fault 1/, 'its filter denies, and it asked for no exit');
  assert.match(lines[11]!, /^ok exit 29 done 0/);
  value(lines[13]);
  value(lines[14]);
  assert.match(lines[15]!, /^ok exit 2 /);
});

test("the VMM's filter of 15 ranges is merged, one that denies these MSRs changes nothing", { skip }, () => {
  const { lines, stderr } = run([
    ...['vm', 'filter 0 f 400000a0', 'vcpu 0', 'cpuid 0', RNG, GENERATION, `guest 0 ${RDMSR} 400000a3`],
  ]);
  value(lines[4]);
  value(lines[5]);
  assert.match(lines[6]!, /fault 1/);
  assert.equal(stderr, '');
});

/** Each with its environment, its commands after the machine was made, and the reason on standard error. */
const DECLINED: readonly (readonly [
  name: string,
  Readonly<Record<string, string>>,
  readonly string[],
  RegExp,
])[] = [
  ['a full filter', {}, ['filter 0 10 300'], /the VMM's MSR filter has no free range/],
  ['no MSR exits', { FAKE_KVM_FAILS: 'cap' }, [], /KVM_CAP_X86_USER_SPACE_MSR/],
  ['no MSR filter', { FAKE_KVM_FAILS: 'filter' }, [], /KVM_X86_SET_MSR_FILTER/],
  ['no random values', { FAKE_RANDOM_FAILS: '/' }, [], /the kernel gives no random values/],
  ['no status file', { COMMONHV_PRELOAD_STATUS: '/nowhere/x' }, [], /the status file cannot be opened/],
  ['wrong settings', { COMMONHV_PRELOAD: 'draft=3 rng=xyz' }, [], /cannot read "rng=xyz"/],
  ['a page', { COMMONHV_PRELOAD: 'page=400000a2' }, [], /a generation page needs a VMM that saves/],
  ['a contradiction', { COMMONHV_PRELOAD: 'rng=400000a1' }, [], /expected a different MSR/],
  [
    'an MSR of a listed interface',
    { COMMONHV_PRELOAD: 'rng=4b564d01' },
    ['vcpu 0', 'cpuid 0'],
    /an MSR belongs to/,
  ],
  ['leaves of its own', {}, ['vcpu 0', 'cpuid 0 2 4f000000'], /the VMM has these leaves itself/],
  ['a full table', {}, ['vcpu 0', 'cpuid 0 fb 80000000'], /its CPUID table has no room/],
  [
    'a preference that is not there',
    { COMMONHV_PRELOAD: 'prefer=2' },
    ['vcpu 0', 'cpuid 0'],
    /the preferred interface/,
  ],
];
for (const [name, env, script, reason] of DECLINED) {
  const alone = script.some((line) => line.startsWith('vcpu')) ? [] : ['vcpu 0', 'cpuid 0'];
  const commands = ['vm', ...script, ...alone, leaf('4f000000'), leaf('1'), RNG, `guest 0 ${PORT}`];
  test(`${name}: CommonHV is not offered, in one line, and the VMM goes on`, { skip }, () => {
    const { status, lines, stderr } = run(commands, env);
    assert.equal(status, 0);
    assert.match(stderr, /^commonhv: CommonHV is not offered to this machine: [^\n]*\n$/);
    assert.match(stderr, reason);
    const own = name === 'leaves of its own';
    assert.equal(lines.at(-4), `ok exit 5 ${own ? '00000007' : '00000000'} 00000000 00000000 00000000`);
    assert.equal(lines.at(-3), 'ok exit 5 00000123 00000000 00000000 00000000');
    assert.match(lines.at(-2)!, /^ok exit 5 done 1 fault 1/);
    assert.match(lines.at(-1)!, /^ok exit 2 /);
  });
  test(`${name}: with require the VMM ends`, { skip }, () => {
    if (name === 'wrong settings') return;
    const settings = `${env.COMMONHV_PRELOAD ?? ''} require=1`;
    const { status, stderr } = run(commands, { ...env, COMMONHV_PRELOAD: settings });
    assert.equal(status, 2);
    assert.match(stderr, /^commonhv: CommonHV cannot be offered, and --require was given: [^\n]*\n$/);
  });
}

test('a confidential machine is left alone', { skip }, () => {
  const { lines, stderr } = run(['vm 4', 'vcpu 0', 'cpuid 0', leaf('4f000000')]);
  assert.match(stderr, /its type is a confidential machine's/);
  assert.equal(lines[3], 'ok exit 5 00000000 00000000 00000000 00000000');
});

test('what a machine has it keeps: a full filter and a full table are then refused', { skip }, () => {
  const { lines, stderr } = run([
    ...[...START, 'filter 0 10 300', 'vcpu 0', 'cpuid 1 fb 80000000', 'cpuid 1', RNG],
  ]);
  assert.equal(lines[3], 'Invalid argument');
  assert.equal(lines[5], 'Argument list too long');
  assert.equal(lines[6], 'ok');
  value(lines[7]);
  assert.match(stderr, /^commonhv: an MSR filter [^\n]*\ncommonhv: a vCPU's CPUID table [^\n]*\n$/);
});

test('KVM_GET_CPUID2 answers the table that the VMM set', { skip }, () => {
  const { lines } = run([...START, 'getcpuid 0 3', 'getcpuid 0 2', 'getcpuid 0 50']);
  assert.equal(lines[3], 'ok 0:0 1:0 40000000:564b4d56');
  assert.equal(lines[4], 'Argument list too long nent 3');
  assert.equal(lines[5], lines[3]);
});

test('descriptors are forgotten at close, used again, and keep no mapping', { skip }, () => {
  const { lines } = run([
    ...[...START, GENERATION, 'mappings', 'closevcpu 0', 'closevm 0', 'mappings'],
    ...['vm', 'vcpu 1', 'cpuid 1', `guest 1 ${RDMSR} 400000a1`, 'mappings'],
  ]);
  const fds = (index: number): string => /fd (\d+)/.exec(lines[index]!)![1]!;
  assert.deepEqual([fds(8), fds(9)], [fds(0), fds(1)], 'the kernel gives the lowest free descriptors');
  assert.notEqual(value(lines[11]), value(lines[3]), 'another machine has another generation');
  // The stand-in KVM keeps one mapping a vCPU for ever; the VMM and the library have one each while it is open.
  assert.deepEqual([lines[4], lines[7], lines[12]], ['mappings 3', 'mappings 1', 'mappings 4']);
});

for (const way of [0, 1, 2, 3]) {
  const name = ['dup', 'fcntl', 'dup2', 'dup3'][way];
  test(`a VMM that goes on with duplicates of its descriptors, by ${name}`, { skip }, () => {
    const { lines, stderr } = run([
      ...[...START, GENERATION, `dupvm 0 ${way}`, `dupvcpu 0 ${way}`, RNG, GENERATION, leaf('4f000000')],
      ...['filter 0 f 400000a0', RNG, `guest 0 ${RDMSR} 400000a3`, TSC, AT_GUEST, GENERATION],
      ...['closevcpu 0', 'closevm 0', 'mappings'],
    ]);
    assert.deepEqual(lines.slice(4, 6), ['ok', 'ok']);
    assert.notEqual(value(lines[6]), value(lines[10]));
    assert.equal(value(lines[7]), value(lines[3]), 'a duplicate is the same machine');
    assert.match(lines[8]!, /^ok exit 5 4f000003 /);
    assert.deepEqual([lines[9], lines[11]?.replace(/ value.*/, '')], ['ok', 'ok exit 5 done 1 fault 1']);
    assert.notEqual(value(lines[14]), value(lines[3]), 'a restore is seen');
    assert.equal(lines.at(-1), 'mappings 1', 'the last descriptor takes the mapping away');
    assert.equal(stderr, '');
  });
}

test('a child that closes every descriptor leaves the machine to its parent, and holds no mapping of it', {
  skip,
}, () => {
  const { lines, stderr } = run([
    ...[...START, GENERATION, 'fork', RNG, 'vfork', RNG, GENERATION, TSC, AT_GUEST, GENERATION, 'mappings'],
  ]);
  // The VMM's and the stand-in KVM's mapping; the library's is the third.
  assert.deepEqual([lines[4], lines[6], lines[12]], ['child 2', 'child 0', 'mappings 3']);
  assert.notEqual(value(lines[5]), value(lines[7]));
  assert.equal(value(lines[8]), value(lines[3]));
  assert.notEqual(value(lines[11]), value(lines[3]), 'a restore is seen');
  assert.equal(stderr, '');
});

test('a library that comes by dlopen, and a vCPU that changes its thread', { skip }, () => {
  const { lines } = run([
    ...START,
    GENERATION,
    `dlopen ${KVM_USER}`,
    'thread 0',
    RNG,
    GENERATION,
    'thread 0',
    RNG,
  ]);
  assert.deepEqual([lines[4], lines[5], lines[8]], ['ok', 'ok', 'ok']);
  assert.notEqual(value(lines[6]), value(lines[9]));
  assert.equal(value(lines[7]), value(lines[3]));
});

test('machines that come and go leave nothing behind', { skip }, () => {
  const { lines, events, status } = run([
    ...['many 1f4', 'mappings', ...START, RNG, 'closerange 0', 'mappings', 'many 1', 'mappings'],
  ]);
  assert.equal(status, 0);
  assert.equal(events.length, 502);
  assert.equal(new Set(events.map(({ generation }) => generation)).size, 502);
  value(lines[5]);
  // The stand-in KVM keeps one mapping a vCPU for ever; the VMM's own mapping stays, as it only closed the descriptor.
  assert.deepEqual([lines[1], lines[7], lines[9]], ['mappings 500', 'mappings 502', 'mappings 503']);
});

test('a source that fails stops the vCPUs, and the pending read completes when it works again', {
  skip,
}, () => {
  const work = mkdtempSync(join(tmpdir(), 'commonhv-source-'));
  const file = join(work, 'fails');
  try {
    const { lines, stderr } = run(
      [
        // The thread sleeps by then, so the failure shows only when the read needs a value. Numbers are hexadecimal.
        ...[...START, RNG, 'sleep 200', `create ${file}`, RNG, 'guest 0 0'],
        ...[`remove ${file}`, 'sleep 200', 'guest 0 0'],
      ],
      { FAKE_RANDOM_FAILS: file },
    );
    value(lines[3]);
    assert.match(lines[6]!, /^Input\/output error exit 29 done 0/);
    assert.match(lines[7]!, /^Input\/output error exit 29 done 0/);
    assert.match(lines[10]!, /^ok exit \d+ done 1 fault 0 value (?!0000000000000000)/);
    assert.match(stderr, /^commonhv: the kernel gives no random values, the vCPUs are stopped: [^\n]*\n/);
    assert.match(stderr, /\ncommonhv: the kernel gives random values again\n$/);
  } finally {
    rmSync(work, { recursive: true });
  }
});

test('a restore while the source fails is renewed when it works again', { skip }, () => {
  const work = mkdtempSync(join(tmpdir(), 'commonhv-source-'));
  const file = join(work, 'fails');
  try {
    const { lines } = run(
      [
        ...[...START, GENERATION, `create ${file}`, 'sleep 20', TSC, AT_GUEST, GENERATION],
        ...[`remove ${file}`, 'sleep 300', GENERATION],
      ],
      { FAKE_RANDOM_FAILS: file },
    );
    assert.match(lines[8]!, /^Input\/output error/);
    assert.notEqual(value(lines[11]), value(lines[3]));
  } finally {
    rmSync(work, { recursive: true });
  }
});
