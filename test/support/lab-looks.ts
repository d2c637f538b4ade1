/** The looks of a page as far as they can be measured: contrast and roles by axe-core, text that is cut off, controls that are covered. */
import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';

const AXE = readFileSync('node_modules/axe-core/axe.min.js', 'utf8');

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

/** What axe-core finds; its own checks are evaluated from outside, past the page's policy. */
export async function violations(page: Page): Promise<readonly string[]> {
  await page.evaluate(AXE);
  const found = (await page.evaluate(
    'axe.run().then(({ violations }) => violations)',
  )) as readonly Violation[];
  return found.map(
    ({ id, nodes }) =>
      `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('; ')}`,
  );
}

/**
 * Elements whose text is cut off without a sign, that stick out of the page, or that lie over each other: one line for each.
 * Fields scroll in themselves, and a terminal draws its own text.
 */
export async function misplaced(page: Page): Promise<readonly string[]> {
  return page.evaluate(() => {
    const wrong: string[] = [];
    const nameOf = (element: Element) =>
      `${element.localName}.${element.className} "${element.textContent?.trim().slice(0, 40)}"`;
    const isShown = (element: Element) =>
      element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) &&
      element.closest('.unseen, .skip, .xterm, .u-wrap, [aria-hidden="true"]') === null;
    for (const element of document.querySelectorAll('#lab *')) {
      if (!isShown(element) || element.closest('svg, canvas, select, input') !== null) continue;
      const { overflowX } = getComputedStyle(element);
      const clips = overflowX === 'hidden' || overflowX === 'clip';
      if (clips && element.scrollWidth > element.clientWidth + 1) wrong.push(`cut off: ${nameOf(element)}`);
      const { left, right, width } = element.getBoundingClientRect();
      if (width > 0 && (left < -1 || right > innerWidth + 1)) wrong.push(`sticks out: ${nameOf(element)}`);
    }
    const controls = [...document.querySelectorAll('#lab :is(button, a, input, select, summary)')].filter(
      (element) => isShown(element) && element.closest('.card, #settings') === null,
    );
    const boxes = controls.map((element) => element.getBoundingClientRect());
    boxes.forEach((a, i) => {
      boxes.forEach((b, j) => {
        const apart =
          a.right <= b.left + 1 || b.right <= a.left + 1 || a.bottom <= b.top + 1 || b.bottom <= a.top + 1;
        const nested = controls[i]!.contains(controls[j]!) || controls[j]!.contains(controls[i]!);
        // The line of results stays over the page that scrolls beneath it.
        const sticky = [i, j].some((at) => controls[at]!.closest('.results, .bits') !== null);
        if (i < j && !apart && !nested && !sticky)
          wrong.push(`over each other: ${nameOf(controls[i]!)} and ${nameOf(controls[j]!)}`);
      });
    });
    return [...new Set(wrong)];
  });
}
