/** Faulty machines: the generation page. */
import { PAGE_SIZE } from '../../spec/index.ts';
import type { Rule } from '../rule.ts';
import { type FaultyMachine, fault, of, restored } from './fault.ts';
import type { Hooks, Moment } from './reference.ts';

/** Stores that are right but for `change`, where `when` says so. */
const stores = (
  when: (moment: Moment) => boolean,
  change: (bytes: Uint8Array, address: number) => readonly { address: number; bytes: Uint8Array }[],
): Hooks => ({
  store: (right, moment) =>
    when(moment) ? right.flatMap(({ address, bytes }) => change(bytes, address)) : right,
});
const always = (): boolean => true;

export const page: readonly FaultyMachine[] = [
  fault('page.exception', 'raises #GP at RDMSR on another CPU', () => ({
    read: of('page', (value, { cpu }) => (cpu === 1 ? '#GP' : value)),
  })),
  fault('page.value', 'reads its address without the enable bit', () => ({
    read: of('page', (value) => value & ~1n),
  })),
  fault('page.zero', 'keeps the page over a reset', () => ({
    arrived({ route }, machine) {
      if (route === 'reset') machine.pageValue = 0x2_0001n;
    },
  })),
  fault('page.zero', 'starts with a page of its own choice', () => ({
    arrived({ route }, machine) {
      if (route === 'another') machine.pageValue = 0x3_0001n;
    },
  })),
  fault('page.disable', 'raises #GP for 0', () => ({
    write: (answer, register, value) => (register === 'page' && value === 0n ? '#GP' : answer),
  })),
  fault('page.enable', 'raises #GP for a page of another CPU', () => ({
    write: (answer, register, value, { cpu }) =>
      register === 'page' && cpu === 1 && (value & 0xfffn) === 1n ? '#GP' : answer,
  })),
  accepts('page.reserved-bits', 'ignores bit 11', (value) => (value & 0x801n) === 0x801n),
  accepts('page.half', 'takes an address without bit 0', (value) => value !== 0n && (value & 0xfffn) === 0n),
  accepts('page.width', 'ignores bit 63', (value) => value >> 63n === 1n && (value & 0xfffn) === 1n),
  accepts(
    'page.ram',
    'takes a page that is no RAM',
    (value) => value > 0x1000_0000n && value < 1n << 39n && (value & 0xfffn) === 1n,
  ),
  fault('page.unchanged', 'disables the page at a value that it refuses', () => ({
    write(answer, register, _, __, machine) {
      if (register === 'page' && answer === '#GP') machine.pageValue = 0n;
      return answer;
    },
  })),
  fault('page.holds', 'stores the generation with its bytes reversed', () =>
    stores(
      ({ route }) => route === 'start',
      (bytes, address) => [{ address, bytes: bytes.slice().reverse() }],
    ),
  ),
  fault('page.holds', 'stores nothing when the page is enabled', () =>
    stores(
      ({ route }) => !restored({ route } as Moment) && route !== 'outer',
      () => [],
    ),
  ),
  fault('page.holds', 'stores the low half alone', () =>
    stores(
      ({ route }) => route === 'start',
      (bytes, address) => [{ address, bytes: bytes.slice(0, 4) }],
    ),
  ),
  fault('page.others', 'stores the generation into bytes 8 to 15 as well', () =>
    stores(always, (bytes, address) => [
      { address, bytes },
      { address: address + 8, bytes },
    ]),
  ),
  fault('page.others', 'clears the rest of the page at a restore', () =>
    stores(restored, (bytes, address) => {
      const whole = new Uint8Array(PAGE_SIZE);
      whole.set(bytes);
      return [{ address, bytes: whole }];
    }),
  ),
  fault('page.renewed', 'stores nothing in resumed copies', () =>
    stores(
      ({ route }) => route === 'resume',
      () => [],
    ),
  ),
  fault('page.renewed', 'stores nothing at the second restore in place', () =>
    stores(
      ({ route, turn }) => route === 'restore' && turn === 2,
      () => [],
    ),
  ),
  fault('page.renewed', 'stores nothing when it follows a change of the outer generation', () =>
    stores(
      ({ route }) => route === 'outer',
      () => [],
    ),
  ),
  fault('page.renewed', 'stores into the page at the next RDMSR', () => ({
    store: (right, moment) => (restored(moment) && moment.count === 1 ? [] : right),
    read(value, register, moment, machine) {
      if (register === 'generation' && restored(moment)) machine.storePage({ ...moment, count: 2 });
      return value;
    },
  })),
  fault('page.restored', 'forgets the page in resumed copies', () => ({
    read: of('page', (value, { route, count }) => (route === 'resume' && count < 3 ? 0n : value)),
  })),
];

/** Takes values that have to be refused. */
function accepts(rule: Rule['id'], title: string, wrongly: (value: bigint) => boolean): FaultyMachine {
  return fault(rule, title, () => ({
    write(answer, register, value) {
      return register === 'page' && answer === '#GP' && wrongly(value) ? undefined : answer;
    },
  }));
}
