/** `commonhv(options)`: the layer that answers CommonHV and passes everything else down. */
import { GP, type Layer } from '../cpu.ts';
import { LEAF_BASIC, LEAF_LAST, LEAF_ROOT, withHypervisorBit } from '../spec/index.ts';
import { leaves } from './leaves.ts';
import { checkXen, describe, type GenerationOptions, type Options } from './options.ts';
import { words } from './words.ts';

/**
 * A hypervisor that offers CommonHV. Each call of the layer is one machine, with its own words, health and generation.
 * Options that contradict each other or the draft throw a TypeError or RangeError that names the option.
 */
export function commonhv(options: Options = {}): Layer {
  const described = describe(options);
  return (below) => {
    checkXen(described, below);
    const own = leaves(described);
    const { rng, generation, hypervisorBit } = described;
    const random = rng && words(rng);
    let current = generation && renew(generation, undefined);
    return {
      cpuid(leaf, subleaf) {
        if (leaf === LEAF_BASIC) return withHypervisorBit(below.cpuid(leaf, subleaf), hypervisorBit);
        if (leaf >= LEAF_ROOT && leaf <= LEAF_LAST) return own(leaf, subleaf);
        return below.cpuid(leaf, subleaf);
      },
      rdmsr(index) {
        if (random && index === rng.msr) return random.read();
        if (current !== undefined && index === generation?.msr) return current;
        return below.rdmsr(index);
      },
      wrmsr(index, value) {
        if (random && index === rng.msr) {
          // Draft 2: without the input feature a write "may result in #GP"; draft 3 says that it should.
          if (rng.input === 'none') return GP;
          random.write(value);
          return undefined;
        }
        if (generation && index === generation.msr) return GP;
        return below.wrmsr(index, value);
      },
      restored() {
        if (generation) current = renew(generation, current);
        below.restored?.();
      },
    };
  };
}

/** Copies of a machine tell themselves apart by this value alone, so a function that repeats itself is refused. */
function renew({ next }: Required<GenerationOptions>, before: bigint | undefined): bigint {
  const value: unknown = next();
  if (typeof value !== 'bigint')
    throw new TypeError(`generation.next: expected a bigint, got ${typeof value}`);
  if (BigInt.asUintN(64, value) !== value)
    throw new RangeError('generation.next: expected 64 bits, got more');
  if (value === before) throw new RangeError('generation.next: expected a new value, got the same again');
  return value;
}
