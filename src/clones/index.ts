/** Whether copies of one saved machine differ: reads the consoles that `c/sampler` printed to, and compares them. @module */
export { type CompareOptions, compare } from './compare.ts';
export * from './comparison.ts';
export { jsonReport, junitReport } from './formats.ts';
export { htmlReport } from './page.ts';
export { MAX_SAMPLES, type Recording, SampleReader } from './samples.ts';
export { textReport } from './text.ts';
