/**
 * The hypervisor side of CommonHV: a layer, the random sources to hand to it, and the layer that hides it.
 *
 * For a newcomer. A guest meets its hypervisor in three instructions: CPUID, RDMSR and WRMSR. `commonhv(options)` is a
 * function from the host CPU to the processor that the guest sees. It answers CPUID leaves 4F000000H to
 * 4FFFFFFFH and up to three MSRs, sets or clears the hypervisor bit, and asks the host CPU for all else. Any engine runs any layer, so
 * nothing here knows of v86 or KVM; and an engine knows nothing of CommonHV.
 *
 *   options.ts     the options, and the refusal of values that contradict each other or the draft, by name
 *   indices.ts     MSR indices that have another owner
 *   leaves.ts      the options as leaves, constant for a machine's life
 *   layer.ts       the layer itself: who answers which leaf and which MSR
 *   machine.ts     the state of one machine's layer
 *   generation.ts  the generation, its acknowledgement, and the page in guest memory
 *   saved.ts       the layer's part of a saved machine, and the refusal of states with other leaves
 *   outer.ts       CommonHV of the hypervisor that runs this one: hidden, and its generation followed; and that of this machine
 *   source.ts      where random bytes come from: the kernel (kernel-node.ts, kernel-web.ts), or a test's predictable values
 *   start-up.ts    patterns of a whole draw, when a machine starts
 *   guard.ts       one draw from a source: did it fill the buffer, at once, with something believable?
 *   health.ts      the statistics behind "believable", SP 800-90B (cutoffs.ts)
 *   values.ts      the read-ahead, wiped as it is served, and the reaction to a source that fails
 *   drbg.ts        the generator that goes on then, and that mixes (HMAC_DRBG, SP 800-90A)
 *   mix.ts         guest input, laid over the values that the guest reads (chacha.ts), and why that lowers nothing
 *   notify.ts      calls of the owner's functions
 *   config.ts      the options as plain data, for configurations and other threads
 *   mask.ts        for a hypervisor that serves no CommonHV and runs on one that does
 *
 * A source and a generation function are handed in, never found. Everything else is per machine: one options object
 * gives one layer, each call of the layer makes one machine, and two machines share neither values nor state. None of that
 * state lies in the guest's memory or registers, so no saved machine holds it, and a machine resumed twice reads
 * different values at its first read.
 *
 * A guest is hostile here: it may read and write for ever, and costs its own machine only. A source is trusted to be as it
 * says, not to stay well.
 * @module
 */
export {
  type Config,
  fromConfig,
  type GenerationConfig,
  type LayerEvent,
  optionsOf,
  type RngConfig,
  resolveConfig,
  type SourceName,
} from './config.ts';
export type { DrawFailure } from './guard.ts';
export { type Health, type HealthTest, health, proportionCutoff, repetitionCutoff } from './health.ts';
export { commonhv } from './layer.ts';
export * from './mask.ts';
export {
  type CommonhvOptions,
  type GenerationOptions,
  type ResolvedGeneration,
  type ResolvedOptions,
  type ResolvedRng,
  type RngInput,
  type RngOptions,
  resolve,
} from './options.ts';
export * from './source.ts';
export type { SourceFailure } from './values.ts';
