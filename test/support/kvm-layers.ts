/** Layers that the KVM tests have built in a machine's home, by name. */
import type { Layer } from 'commonhv';
import type { LayerModule } from 'commonhv/engines/kvm';
import { commonhv, countingSource, systemGeneration, systemSource } from 'commonhv/hypervisor';

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
