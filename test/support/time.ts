/** Time limits of tests: COMMONHV_TIME_SCALE, a number of at least 1, stretches them on a slow machine such as the KVM bed. */
const value = Number(process.env.COMMONHV_TIME_SCALE ?? 1);
if (!(value >= 1))
  throw new Error(
    `COMMONHV_TIME_SCALE: expected a number of at least 1, got ${process.env.COMMONHV_TIME_SCALE}`,
  );

/** A time limit in milliseconds, stretched by the scale. */
export const scaled = (milliseconds: number): number => milliseconds * value;

/** How often a test repeats something: fewer times where the machine is slow, and never fewer than `least`. */
export const repetitions = (most: number, least: number): number => Math.max(least, Math.round(most / value));
