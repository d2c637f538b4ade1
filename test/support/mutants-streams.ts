/** Generated faulty machines whose random values follow from others, in part or by a constant, or from what a guest wrote. */
import type { Hooks, Moment, ReferenceMachine, ReferenceOptions } from 'commonhv/conformance';
import { LOW, type Mutant, mixed, u64 } from './mutant.ts';

const reversed = (value: bigint): bigint => {
  let bytes = 0n;
  for (let i = 0n; i < 64n; i += 8n) bytes = (bytes << 8n) | ((value >> i) & 0xffn);
  return bytes;
};
const masked =
  (mask: bigint) =>
  (right: bigint, stream: bigint): bigint =>
    (right & ~mask) | (stream & mask);

/** A value that is made of the right one, of a stream that others have too, and of a number of the machine's own. */
const RELATIONS: Readonly<Record<string, (right: bigint, stream: bigint, own: bigint) => bigint>> = {
  'are the same': (_, stream) => stream,
  'differ by an exclusive or': (_, stream, own) => stream ^ own,
  'differ by a sum': (_, stream, own) => u64(stream + own),
  'share the low half': masked(LOW),
  'share the high half': masked(~LOW & 0xffff_ffff_ffff_ffffn),
  'share 16 bits': masked(0xffff_0000n),
  'share four bits': masked(0xfn),
  'share a byte': masked(0xff00_0000_0000_0000n),
  'are swapped by halves': (_, stream, own) =>
    (own & 1n) === 0n ? stream : u64(stream << 32n) | (stream >> 32n),
  'are inverted': (_, stream, own) => ((own & 1n) === 0n ? stream : u64(~stream)),
};

/** A number for each machine that arrives. */
const ownOf = ({ route, turn }: Moment): bigint =>
  mixed(BigInt(route.length * 100 + turn), 1) - (BigInt(turn) & 1n);
const isCopy = ({ route }: Moment): boolean => route === 'restore' || route === 'resume';

const values = (
  change: (right: bigint, moment: Moment, machine: ReferenceMachine) => bigint | '#GP',
): Hooks => ({
  read: (value, register, moment, machine) =>
    register === 'rng' && typeof value === 'bigint' ? change(value, moment, machine) : value,
});
const mutant = (
  kind: string,
  name: string,
  hooks: () => Hooks,
  options: ReferenceOptions = {},
  breaks: readonly string[] = ['rng', 'msrs'],
): Mutant => ({
  kind,
  name: `${kind}: ${name}`,
  breaks,
  options: () => ({ cpus: 3, ...options, hooks: hooks() }),
});

const related = Object.entries(RELATIONS).flatMap(([how, make]) => [
  ...[0, 7].map((shift) =>
    mutant(`values ${how}`, `of copies, each ${shift} values further`, () =>
      values((right, moment) =>
        isCopy(moment)
          ? make(right, mixed(BigInt(moment.cpu) + 5n, moment.count + shift * moment.turn), ownOf(moment))
          : right,
      ),
    ),
  ),
  mutant(`values ${how}`, 'of machines side by side', () =>
    values((right, moment) =>
      moment.route === 'another'
        ? make(right, mixed(BigInt(moment.cpu) + 6n, moment.count), ownOf(moment))
        : right,
    ),
  ),
  mutant(`values ${how}`, 'of CPU 0 and CPU 2', () =>
    values((right, moment) =>
      moment.route === 'start' && moment.cpu !== 1
        ? make(
            right,
            mixed(17n, moment.count),
            moment.cpu === 0 ? 0x1234_5678_9abc_def0n : 0x5a5a_1234_0f0f_7777n,
          )
        : right,
    ),
  ),
]);

/** Poor values, each a function of a right one and of its number. */
const POOR: Readonly<Record<string, () => (right: bigint, count: number) => bigint | '#GP'>> = {
  'count in 4 bits': () => (right, count) => (right & ~(15n << 17n)) | (BigInt(count & 15) << 17n),
  'count in 8 bits at every second read': () => (right, count) =>
    (right & ~(255n << 5n)) | (BigInt((count >> 1) & 255) << 5n),
  'have a bit that is 1 in seven of eight': () => (right, count) =>
    (mixed(3n, count) & 7n) !== 0n ? right | (1n << 40n) : right & ~(1n << 40n),
  'have bytes below 200': () => (right) =>
    Array.from({ length: 8 }, (_, i) => (right >> BigInt(8 * i)) & 0xffn).reduce(
      (all, byte, i) => all | ((byte % 200n) << BigInt(8 * i)),
      0n,
    ),
  'have a parity bit': () => (right) => {
    const ones = (right >> 1n).toString(2).replaceAll('0', '').length;
    return ((right >> 1n) << 1n) | BigInt(ones & 1);
  },
  'are a clock that is multiplied': () => {
    let clock = 10n ** 15n;
    return (right) => {
      clock += 2000n + (right & 31n);
      return u64(clock * 0x9e37_79b9_7f4a_7c15n);
    };
  },
  'are a congruential generator': () => {
    let state = 12_345n;
    return () => {
      state = u64(state * 6_364_136_223_846_793_005n + 1_442_695_040_888_963_407n);
      return state;
    };
  },
  'are hashes of 20 bits': () => (right) => mixed(right & 0xf_ffffn, 1),
  'go round after 1000': () => (_, count) => mixed(4n, count % 1000),
  'are a float': () => (right) => (right & ((1n << 52n) - 1n)) | (0x3ffn << 52n),
  'have the bits of a UUID': () => (right) => (right & ~0xf000n) | 0x4000n,
  'are an error code once': () => (right, count) => (count === 30 ? 5n : right),
  'are all ones once': () => (right, count) => (count === 31 ? 0xffff_ffff_ffff_ffffn : right),
  'are a value before, one in 500': () => {
    let last = 1n;
    return (right, count) => {
      if (count % 500 === 499) return last;
      last = right;
      return right;
    };
  },
  'fail at the 400th read': () => (right, count) => (count === 400 ? '#GP' : right),
};
const poor = Object.entries(POOR).map(([what, make]) =>
  mutant('poor values', `they ${what}`, () => {
    const change = make();
    return values((right, { cpu, count }) => (cpu === 0 ? change(right, count) : right));
  }),
);

/** Values after a write, by how many reads ago it was. */
const FOLLOWING: Readonly<Record<string, (right: bigint, written: bigint, n: number) => bigint>> = {
  'ninth is the written one': (right, written, n) => (n === 9 ? written : right),
  'tenth is the written one': (right, written, n) => (n === 10 ? written : right),
  'first has all its bits': (right, written, n) => (n === 1 ? right | written : right),
  'first has no other bits': (right, written, n) => (n === 1 ? right & written : right),
  'first has none of its bits': (right, written, n) => (n === 1 ? right & ~written : right),
  'third is a secret and the written one': (right, written, n) =>
    n === 3 ? written ^ 0x7766_5544_3322_1100n : right,
  'first has a byte of it': (right, written, n) => (n === 1 ? (right & ~0xffn) | (written & 0xffn) : right),
  'second has a byte of it reversed': (right, written, n) =>
    n === 2 ? (right & ~0xffn) | (reversed(written) & 0xffn) : right,
  'next eight count in a half': (right, _, n) =>
    n <= 8 ? (right & LOW) | (BigInt(0x1000 + n) << 32n) : right,
};
const following = Object.entries(FOLLOWING).flatMap(([what, make]) =>
  [true, false].map((input) =>
    mutant(
      'values after a write',
      `the ${what}, ${input ? 'accepted' : 'refused'}`,
      () => {
        const last = new Map<ReferenceMachine, { readonly written: bigint; n: number }>();
        return {
          write(answer, register, written, _, machine) {
            if (register === 'rng') last.set(machine, { written, n: 0 });
            return answer;
          },
          ...values((right, _, machine) => {
            const write = last.get(machine);
            if (write === undefined) return right;
            write.n++;
            return make(right, write.written, write.n);
          }),
        };
      },
      { input },
    ),
  ),
);

export const followingStreams: readonly Mutant[] = [...related, ...poor, ...following];
