/** Layers that the KVM tests have built in a machine's home, by name. */
import type { GuestMemory, Layer } from 'commonhv';
import type { LayerModule } from 'commonhv/engines/kvm';
import {
  type Config,
  commonhv,
  countingSource,
  fromConfig,
  systemGeneration,
  systemSource,
} from 'commonhv/hypervisor';

export const url = import.meta.url;

/** CommonHV with words that can be foretold, from 1 on. */
export const counting = (): Layer => commonhv({ rng: { source: countingSource() } });

/** CommonHV with the operating system's words. */
export const random = ({ draft = 3 }: { draft?: 2 | 3 } = {}): Layer =>
  commonhv({ draft, rng: { source: systemSource() } });

export const throwing = (): Layer => (host) => ({
  ...host,
  rdmsr() {
    throw new RangeError('the layer broke');
  },
});

/** Never comes back from an RDMSR. */
export const stuck = (): Layer => (host) => ({
  ...host,
  rdmsr() {
    for (;;);
  },
});

/** Tells its owner of each MSR that is read. */
export const telling =
  (_options: unknown, tell: (event: unknown) => void): Layer =>
  (host) => ({
    ...host,
    rdmsr(index) {
      tell({ index });
      return 5n;
    },
  });

export const refusing = (): Layer => {
  throw new TypeError('these options contradict each other');
};

export const noLayer = (): number => 7;

/** CommonHV with all of its registers. */
export const whole = (): Layer =>
  commonhv({ rng: { source: systemSource() }, generation: { next: systemGeneration() } });

/** The same in both places where a layer can be: in the engine's thread, and in the machine's home. */
export const placements: Readonly<Record<string, () => Layer | LayerModule>> = {
  'a function': whole,
  'a module': () => ({ module: url, export: 'whole' }),
};

/**
 * A layer whose guests do not find KVM's paravirtual end of interrupt (Linux, Documentation/virt/kvm/x86/cpuid.rst: bit 6 of
 * 40000001H.EAX), with which they would not exit for it. Where the KVM runs on QEMU's TCG, an interrupt that was injected is
 * delivered once more, even with interrupts off, when a timer of QEMU expires before the guest's next exit: docs/bed.md.
 */
export const withoutPvEoi =
  (layer: Layer): Layer =>
  (host) =>
    layer({
      ...host,
      cpuid(leaf, subleaf) {
        const regs = host.cpuid(leaf, subleaf);
        return leaf === 0x4000_0001 ? { ...regs, eax: (regs.eax & ~(1 << 6)) >>> 0 } : regs;
      },
    });

/** The layer of a configuration, for Linux in the KVM bed. */
export const configuredForBed = (config: Config): Layer => withoutPvEoi(fromConfig(config));

export type PageFault = 'none' | 'not stored at a restore' | 'stored in the next page';

/** CommonHV with all of its registers, whose stores to the generation page go wrong in one way. */
export const pageFault =
  ({ fault }: { fault: PageFault }): Layer =>
  (host) => {
    let restoring = false;
    const store: GuestMemory['store'] = (address, offset, value) => {
      if (fault === 'not stored at a restore' && restoring) return;
      host.memory!.store(fault === 'stored in the next page' ? address + 4096 : address, offset, value);
    };
    const { memory } = host;
    const inner = whole()({
      ...host,
      memory: memory && {
        store,
        isRam: (address) => memory.isRam(address),
        load: (address, offset) => memory.load(address, offset),
      },
    });
    return {
      ...inner,
      restored(saved) {
        restoring = true;
        inner.restored?.(saved);
        restoring = false;
      },
    };
  };
