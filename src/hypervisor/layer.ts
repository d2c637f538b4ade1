/** `commonhv(options)`: the layer that answers CommonHV and passes everything else down. */
import { GP, type Layer, MachineError } from '../cpu.ts';
import { type Draft, LEAF_BASIC, LEAF_LAST, LEAF_ROOT, withHypervisorBit } from '../spec/index.ts';
import { leaves } from './leaves.ts';
import {
  type CommonhvOptions,
  checkXen,
  type GenerationOptions,
  type ResolvedRng,
  resolve,
} from './options.ts';
import { openSource, type RandomValues } from './values.ts';

/**
 * A hypervisor that offers CommonHV. Each call of the layer is one machine, with its own words, health and generation.
 * Options that contradict each other or the draft throw a TypeError or RangeError that names the option.
 */
export function commonhv(options: CommonhvOptions = {}): Layer {
  const described = resolve(options);
  return (host) => {
    checkXen(described, host);
    const { rng, generation, hypervisorBit } = described;
    const random = rng && openRng(rng, described.draft);
    const own = leaves(random ? described : { ...described, rng: undefined });
    let current = generation && renew(generation, undefined);
    return {
      cpuid(leaf, subleaf) {
        if (leaf === LEAF_BASIC) return withHypervisorBit(host.cpuid(leaf, subleaf), hypervisorBit);
        if (leaf >= LEAF_ROOT && leaf <= LEAF_LAST) return own(leaf, subleaf);
        return host.cpuid(leaf, subleaf);
      },
      rdmsr(index) {
        if (random && index === rng.msr) return random.read();
        if (current !== undefined && index === generation?.msr) return current;
        return host.rdmsr(index);
      },
      wrmsr(index, value) {
        if (random && index === rng.msr) {
          // Draft 2: without the input feature a write "may result in #GP"; draft 3 says that it should.
          if (rng.input === 'none') return GP;
          random.write(value);
          return undefined;
        }
        if (generation && index === generation.msr) return GP;
        return host.wrmsr(index, value);
      },
      restored() {
        if (generation) current = renew(generation, current);
        host.restored?.();
      },
    };
  };
}

/** "It MUST NOT be offered without a source": `undefined` where the source does not work, and the draft can say so. */
function openRng(rng: ResolvedRng, draft: Draft): RandomValues | undefined {
  const { source, input, fallback, onFailure } = rng;
  const values = openSource({ source, mix: input === 'mix', fallback, onFailure });
  if ('read' in values) return values;
  if (draft !== 3) {
    const { detail, cause } = values;
    throw new MachineError(`rng.source: ${source.name} does not work: ${detail}`, { cause });
  }
  onFailure?.({ ...values, source: source.name, outcome: 'absent' });
  return undefined;
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
