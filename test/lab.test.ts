/** The lab in a real browser, built and served as a reader gets it. One browser for all: `lab-*.ts` hold the tests. */
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import type { Browser } from 'playwright-core';
import { buildLab, CHROMIUM, type InPage, launch, type Served, serveLab, visit } from './support/browser.ts';
import { everybody } from './support/lab-accessibility.ts';
import { images } from './support/lab-images.ts';
import { hostile } from './support/lab-robustness.ts';
import { serving } from './support/lab-serving.ts';
import { stories } from './support/lab-stories.ts';
import { seeing } from './support/lab-views.ts';
import { skipUnless } from './support/require.ts';

const skip = skipUnless('chromium', CHROMIUM !== undefined, 'there is no Chromium here');

describe('the lab', { skip, timeout: 1_200_000 }, () => {
  let browser: Browser;
  let served: Served;
  before(async () => {
    await buildLab();
    [browser, served] = await Promise.all([launch(), serveLab()]);
  });
  after(async () => {
    await browser?.close();
    assert.equal(await served?.stop(), 0);
  });

  /** Runs `deed` in a page of its own, and holds it to a clean console and policy. */
  const inPage: InPage = async (fragment, control, options = {}) => {
    const { page, wrong, close } = await visit(browser, `${served.url}${fragment}`, options);
    try {
      await control(page);
      assert.deepEqual(wrong, []);
    } finally {
      await close();
    }
  };
  const address = () => served.url;

  stories(inPage);
  seeing(inPage);
  images(inPage);
  hostile(inPage);
  everybody(inPage);
  serving(address, () => browser);
});
