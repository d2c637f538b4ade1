/** The guest's side of CommonHV; everything that the hypervisor answers is taken for hostile. @module */
export * from './detect.ts';
export * from './discover.ts';
export * from './scan.ts';
export * from './seed.ts';
