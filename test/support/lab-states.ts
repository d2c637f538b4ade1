/** Every story and state of the lab, as the pictures and the tests of its looks visit them. */
import type { Page } from 'playwright-core';
import { dropFiles, idle, press, says } from './browser.ts';
import { kernel, SPIN } from './guests.ts';

export interface LabState {
  readonly name: string;
  readonly fragment: string;
  /** Brings a fresh page into the state. */
  prepare(page: Page): Promise<void>;
}

/** Steps through a story to its last step. */
export async function throughStory(page: Page): Promise<void> {
  // In one go: a story that plays may take its last step between a look at the button and a click.
  const step = () =>
    page.evaluate(() => {
      const buttons = [...document.querySelectorAll<HTMLButtonElement>('.stage button')];
      const next = buttons.find(({ textContent }) => textContent === 'Next step');
      next?.click();
      return next !== undefined;
    });
  await page.waitForSelector('.stage');
  for (;;) {
    await page.waitForFunction(
      () => !/working/.test(document.querySelector('.stage [role="status"].hint')?.textContent ?? 'working'),
    );
    if (!(await step())) break;
  }
  await page.waitForFunction(() => document.querySelectorAll('.answer.waiting').length === 0);
  // The dots of a count come one by one.
  await page.waitForFunction(() =>
    [...document.querySelectorAll('.dots')].every(
      (dots) => `${dots.childElementCount} CPUIDs` === dots.getAttribute('aria-label'),
    ),
  );
}

/** The machine runs, and the check beside it is over. */
export async function settled(page: Page): Promise<void> {
  await idle(page);
  await page.waitForFunction(() => document.querySelectorAll('.answer.waiting').length === 0);
}

const copies = (button: string) => async (page: Page) => {
  await idle(page);
  await press(page, 'Save');
  await says(page, '#saved', /A machine is saved/);
  await press(page, button);
  await page.waitForSelector('#random .verdict.well, #random .verdict.ill');
  await settled(page);
};

export const STATES: readonly LabState[] = [
  { name: 'story-copies', fragment: '#story=copies', prepare: throughStory },
  { name: 'story-scan', fragment: '#story=scan', prepare: throughStory },
  { name: 'story-fault', fragment: '#story=fault', prepare: throughStory },
  { name: 'start', fragment: '', prepare: settled },
  { name: 'compare', fragment: '#draft=2&compare=1', prepare: settled },
  { name: 'copies', fragment: '', prepare: copies('Resume two copies') },
  {
    name: 'copies-alike',
    fragment: '',
    prepare: copies('… under the faulty hypervisor that keeps the generation'),
  },
  {
    name: 'stuck',
    fragment: '#rng-source=stuck',
    prepare: (page) => says(page, '.state', /does not call itself seeded/),
  },
  {
    name: 'faulty',
    fragment: '#faulty=features.draft',
    async prepare(page) {
      await idle(page);
      await press(page, 'Verify this machine');
      await page.waitForSelector('.rules.failed');
      await settled(page);
    },
  },
  { name: 'no-commonhv', fragment: '#commonhv=0', prepare: settled },
  { name: 'model', fragment: '#engine=model', prepare: settled },
  {
    name: 'own-system',
    fragment: '',
    async prepare(page) {
      await idle(page);
      await dropFiles(page, { spins: kernel(SPIN) });
      await says(page, '.chosen', /spins/);
      await settled(page);
    },
  },
  {
    name: 'wrong',
    fragment:
      '#rng-msr=zz&faulty=nothing&interface=KVMKVMKVM@40000000&interface=Microsoft%20Hv\\x01\\x02@40000100',
    prepare: settled,
  },
  {
    name: 'embedded',
    fragment: '#story=copies&embed=1',
    prepare: throughStory,
  },
];
