/** A page has no view of the machine around its browser. */
export const hostGeneration = (): (() => bigint) | undefined => undefined;
