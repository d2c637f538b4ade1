/** The lab in a real browser, built and served as a reader gets it. One browser for all: `lab-*.ts` hold the tests. */
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import type { Browser } from 'playwright-core';
import { buildLab, CHROMIUM, type InPage, launch, type Served, serveLab, visit } from './browser.ts';
import { everybody } from './lab-everybody.ts';
import { hostile } from './lab-hostile.ts';
import { images } from './lab-images.ts';
import { seeing } from './lab-seeing.ts';
import { serving } from './lab-serving.ts';
import { skipUnless } from './require.ts';

const skip = skipUnless('chromium', CHROMIUM !== undefined, 'there is no Chromium here');

describe('the lab', { skip, timeout: 240_000 }, () => {
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
  const inPage: InPage = async (fragment, deed, options = {}) => {
    const { page, wrong, close } = await visit(browser, `${served.url}${fragment}`, options);
    try {
      await deed(page);
      assert.deepEqual(wrong, []);
    } finally {
      await close();
    }
  };
  const address = () => served.url;

  seeing(inPage);
  images(inPage);
  hostile(inPage);
  everybody(inPage);
  serving(address, () => browser);
});
