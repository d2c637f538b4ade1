/** The drafts' numbers and codecs, and the facts about other interfaces that they need. @module */
export * from './architectural.ts';
export * from './known.ts';
export * from './leaves.ts';
export * from './msr.ts';
export * from './other-interfaces.ts';
export * from './page.ts';
export * from './signature.ts';
export * from './values.ts';
export * from './which.ts';
