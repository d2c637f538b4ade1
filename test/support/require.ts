/** What a test needs of its machine: a skip with its reason, or a failure where `COMMONHV_REQUIRE` promises the thing. */

/**
 * The `skip` option of a test that needs `name`: false when it is there, else the reason. Throws where the environment
 * variable COMMONHV_REQUIRE, a list by commas, names it: a promised thing that is missing is no skip.
 */
export function skipUnless(name: string, available: boolean, reason: string): false | string {
  if (available) return false;
  const promised = (process.env.COMMONHV_REQUIRE ?? '').split(',').includes(name);
  if (promised) throw new Error(`${name} is promised by COMMONHV_REQUIRE, but ${reason}`);
  return reason;
}
