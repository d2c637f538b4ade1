/** Processor time of one random value: run with the name of a way, it prints nanoseconds. */
import { bare, type SyncCpu } from 'commonhv';
import { commonhv, type Source, systemSource } from 'commonhv/hypervisor';

const RNG = 0x4000_00a0;

/** As the v86 engine. */
export const polledHost: SyncCpu = { ...bare, sliceMs: 1 };
/** Values that a guest reads between two polls. */
const SLICE = 10_000;

/** Processor time a value, the kernel's part included. */
function nanosecondsOf(cpu: Pick<SyncCpu, 'rdmsr' | 'poll'>, count: number): number {
  let last: unknown;
  const start = process.cpuUsage();
  for (let done = 0; done < count; done += SLICE) {
    for (let i = 0; i < SLICE; i++) last = cpu.rdmsr(RNG);
    cpu.poll?.();
  }
  const { user, system } = process.cpuUsage(start);
  if (typeof last !== 'bigint') throw new Error('no value');
  return ((user + system) * 1000) / count;
}

const webCrypto: Source = {
  name: 'WebCrypto',
  secure: true,
  fill: (bytes) => void globalThis.crypto.getRandomValues(bytes),
};

/** As version 0.1.0: 4 KiB of WebCrypto, tested a byte and a value at a time, kept for any time, read through a DataView. */
function firstWay(): Pick<SyncCpu, 'rdmsr'> {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  let at = bytes.length;
  return {
    rdmsr(index) {
      if (index !== RNG) return '#GP';
      if (at === bytes.length) {
        webCrypto.fill(bytes);
        if (bytesFail(bytes) || valuesFail(view)) throw new Error('an alarm');
        at = 0;
      }
      const value = view.getBigUint64(at, true);
      view.setFloat64(at, 0);
      at += 8;
      return value;
    },
  };
}

function bytesFail(bytes: Uint8Array): boolean {
  let [last, run, sample, count, left] = [-1, 0, 0, 0, 0];
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    run = byte === last ? run + 1 : 1;
    last = byte;
    if (run >= 6) return true;
    if (left-- === 0) [sample, count, left] = [byte, 1, 511];
    else if (byte === sample && ++count >= 19) return true;
  }
  return false;
}

function valuesFail(view: DataView): boolean {
  let [low, high, savedLow, savedHigh, power, steps] = [0, 0, 0, 0, 1, 0];
  for (let at = 0; at < view.byteLength; at += 8) {
    const differenceLow = low ^ view.getInt32(at, true);
    const differenceHigh = high ^ view.getInt32(at + 4, true);
    low ^= differenceLow;
    high ^= differenceHigh;
    if ((differenceLow | differenceHigh) === 0) return true;
    if (differenceLow === savedLow && differenceHigh === savedHigh) return true;
    if (++steps !== power) continue;
    [savedLow, savedHigh, power, steps] = [differenceLow, differenceHigh, power * 2, 0];
  }
  return false;
}

const WAYS = {
  first: firstWay,
  polled: () => commonhv({ rng: { source: systemSource() } })(polledHost),
  sameSource: () => commonhv({ rng: { source: webCrypto } })(polledHost),
  looking: () => commonhv({ rng: { source: systemSource() } })(bare),
  mixing: () => commonhv({ rng: { source: systemSource(), input: 'mix' } })(polledHost),
};
/** `first`: as version 0.1.0; `polled`: under an engine that polls; `sameSource`: so, over 0.1.0's source; `looking`: the clock read for each; `mixing`: input is mixed in. */
export type Way = keyof typeof WAYS;

const [, , way] = process.argv;
if (way !== undefined && Object.hasOwn(WAYS, way)) {
  const cpu = WAYS[way as Way]();
  const costs = Array.from({ length: 5 }, () => nanosecondsOf(cpu, way === 'mixing' ? 200_000 : 1_000_000));
  console.log(Math.min(...costs));
}
