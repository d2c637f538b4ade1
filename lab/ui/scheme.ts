/** The page's colours for canvases and the terminal, which know no CSS variables. */

/** The values of CSS variables as they are now. */
export function colours(...names: readonly string[]): readonly string[] {
  const style = getComputedStyle(document.documentElement);
  return names.map((name) => style.getPropertyValue(name).trim());
}

/** Calls back when the reader's system changes between light and dark; returns the function that stops it. */
export function onScheme(changed: () => void): () => void {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  dark.addEventListener('change', changed);
  return () => dark.removeEventListener('change', changed);
}
