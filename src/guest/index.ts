/** The guest's side of CommonHV; no answer of the hypervisor is trusted. @module */
export * from './detect.ts';
export * from './discover.ts';
export * from './page.ts';
export * from './scan.ts';
export * from './seed.ts';
