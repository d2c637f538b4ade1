/** How many values two copies have in common from the start. */
export function commonPrefix(a: readonly bigint[], b: readonly bigint[]): number {
  const most = Math.min(a.length, b.length);
  let same = 0;
  while (same < most && a[same] === b[same]) same++;
  return same;
}
