/**
 * The hypervisor side of CommonHV: a layer, the random sources to hand to it, and the layer that hides it.
 *
 * For a newcomer. A guest meets its hypervisor in three instructions: CPUID, RDMSR and WRMSR. `commonhv(options)` is a
 * function from the host CPU to the processor that the guest sees. It answers CPUID leaves 4F000000H to
 * 4FFFFFFFH and two MSRs, sets or clears the hypervisor bit, and asks the host CPU for all else. Any engine runs any layer, so
 * nothing here knows of v86 or KVM; and an engine knows nothing of CommonHV.
 *
 *   options.ts  the options; contradictions are refused at once, by name
 *   leaves.ts   the options as leaves, constant for a machine's life
 *   layer.ts    the layer itself: who answers which leaf and which MSR, and the generation
 *   source.ts   where random bytes come from: the operating system, or a test's predictable values
 *   guard.ts    one draw from a source: did it fill the buffer, at once, with something believable?
 *   health.ts   the statistics behind "believable", SP 800-90B
 *   values.ts    the read-ahead, wiped as it is served, and the fallback when the source fails
 *   drbg.ts     the generator that goes on then, and that mixes (HMAC_DRBG, SP 800-90A)
 *   mix.ts      guest input, XORed over the values, and why that lowers nothing
 *   data.ts     the options as plain data, for configurations and other threads
 *   hide.ts     for a hypervisor that serves no CommonHV and runs on one that does
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
export { type Config, fromConfig, type SourceName } from './config.ts';
export { type Health, type HealthTest, health, proportionCutoff, repetitionCutoff } from './health.ts';
export { commonhv } from './layer.ts';
export * from './mask.ts';
export type { CommonhvOptions, GenerationOptions, RngInput, RngOptions } from './options.ts';
export * from './source.ts';
export type { SourceFailure } from './values.ts';
