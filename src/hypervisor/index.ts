/** The hypervisor side of CommonHV: a layer, the random sources to hand to it, and the layer that hides it. */
export * from './hide.ts';
export { commonhv } from './layer.ts';
export type { GenerationOptions, Input, Options, RngOptions } from './options.ts';
export * from './source.ts';
