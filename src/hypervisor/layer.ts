/** `commonhv(options)`: the layer that answers CommonHV and passes everything else down. */
import { inStartupSnapshot } from '#kernel-random';
import { GP, type Layer, lifecycle, MachineError, type SyncCpu } from '../cpu.ts';
import { LEAF_BASIC, LEAF_LAST, LEAF_ROOT, withHypervisorBit } from '../spec/index.ts';
import { checkXen } from './indices.ts';
import { LayerState } from './machine.ts';
import { type CommonhvOptions, type ResolvedOptions, resolve } from './options.ts';
import { outerMsrs, withoutOuter } from './outer.ts';

/**
 * A hypervisor that offers CommonHV. Each call of the layer is one machine, with its own random values, health tests and
 * generation. Options that contradict each other or the draft throw a TypeError or RangeError that names the option.
 */
export function commonhv(options: CommonhvOptions = {}): Layer {
  const resolved = resolve(options);
  return (host) => makeLayer(resolved, host);
}

/** The index of a register that is not provided: no guest can name it. */
const NONE = -1;

/** One machine's layer. The guest waits for `cpuid`, `rdmsr` and `wrmsr`; the rest is rare. */
function makeLayer(resolved: ResolvedOptions, host: SyncCpu): SyncCpu {
  if (inStartupSnapshot()) {
    throw new MachineError(
      'commonhv: a layer in a start-up snapshot of Node would be copied into every process; make it after the start',
    );
  }
  checkXen(resolved, host);
  const outer = outerMsrs(host);
  const state = new LayerState(resolved, host, outer);
  return {
    ...lifecycle(host),
    cpuid(leaf, subleaf) {
      if (leaf === LEAF_BASIC) return withHypervisorBit(host.cpuid(leaf, subleaf), resolved.hypervisorBit);
      if (leaf < LEAF_ROOT || leaf > LEAF_LAST) return host.cpuid(leaf, subleaf);
      state.keepWords(); // the guest has seen leaves that may not change any more
      return state.leaves.read(leaf, subleaf);
    },
    ...msrs(resolved, state, withoutOuter(host, outer)),
    saved: () => state.saved(),
    restored: (saved) => state.restored(saved),
    reset: () => state.reset(),
    poll: () => state.poll(),
  };
}

/** RDMSR and WRMSR: the registers of this machine, and `below` for all others. */
function msrs(
  resolved: ResolvedOptions,
  state: LayerState,
  below: Pick<SyncCpu, 'rdmsr' | 'wrmsr'>,
): typeof below {
  const { random, generation } = state;
  const rngMsr = random ? resolved.rng!.msr : NONE;
  const generationMsr = generation ? resolved.generation!.msr : NONE;
  const pageMsr = generation?.page ? resolved.generation!.pageMsr : NONE;
  return {
    rdmsr(index) {
      if (index === rngMsr) return random!.read(); // which looks, where it has to
      if (index === generationMsr) {
        state.look();
        return generation!.read();
      }
      return index === pageMsr ? generation!.readPage() : below.rdmsr(index);
    },
    wrmsr(index, value) {
      if (index === rngMsr) {
        // Draft 2: without the input feature a write "may result in #GP"; draft 3 says that it should.
        if (resolved.rng!.input === 'none') return GP;
        random!.write(value);
        return undefined;
      }
      if (index !== generationMsr && index !== pageMsr) return below.wrmsr(index, value);
      state.look();
      if (index === generationMsr) return generation!.write(value);
      const fault = generation!.writePage(value);
      state.keepWords();
      return fault;
    },
  };
}
