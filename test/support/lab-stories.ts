/** The three stories and the line of results: each story is started, stepped and left in the lab with its state. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressed, eventually, type InPage, press, reads, register, says } from './browser.ts';
import { misplaced, violations } from './lab-looks.ts';
import { settled, throughStory } from './lab-states.ts';

export function stories(inPage: InPage): void {
  test('two copies of a machine draw the same without CommonHV; with it they part, and both acknowledge', () =>
    inPage('', async (page) => {
      await press(page, 'Two copies, one secret');
      await throughStory(page);
      await eventually(async () => {
        const results = await page.locator('.story-pair .verdict').allTextContents();
        assert.match(results[0]!, /^The same secret twice\. All 64 values are alike/);
        assert.match(results[1]!, /^Two different secrets\..*Acknowledged after \d+ ms and \d+ ms/);
        const pictures = await page
          .locator('.story-picture canvas')
          .evaluateAll((all) => all.map((canvas) => (canvas as HTMLCanvasElement).toDataURL()));
        assert.equal(pictures.length, 4);
        assert.equal(pictures[0], pictures[1]);
        assert.notEqual(pictures[2], pictures[3]);
      });
      // The lab has the last two copies, and the address the story's name.
      assert.equal(await page.locator('.console').count(), 2);
      await reads(page, '[data-answer="copies"]', /✓ differ$/);
      await addressed(page, /#story=copies$/);
      await press(page, 'Back');
      await press(page, 'Next step');
      assert.deepEqual(await violations(page), []);
      assert.deepEqual(await misplaced(page), []);
      await press(page, 'Close');
      await page.waitForSelector('.stage', { state: 'detached' });
      assert.equal(await page.locator('.console').count(), 2);
      await addressed(page, /^((?!story).)*$/);
    }));

  test('a story that the address names plays by itself to its end: 261 questions without CommonHV, 7 with it', () =>
    inPage('#story=scan', async (page) => {
      // The next step comes without a hand.
      await says(page, '.stage', /7 questions instead of 261\./);
      await throughStory(page);
      await says(page, '.stage .hint', /step 3 of 3. The lab below is in this state/);
      await says(page, '#timeline .lead', /of them 7 for discovery, 256 steps of the scan/);
      await press(page, 'Replay');
      await says(page, '.stage .hint', /working|step 1/);
      await page.getByLabel('draft 2', { exact: true }).check();
      // The form's settings take the address over.
      await addressed(page, /#draft=2$/);
    }));

  test('a story is stepped with one key: the focus stays on its button', () =>
    inPage('#story=scan', async (page) => {
      const focused = () => page.evaluate(() => document.activeElement?.textContent);
      await page.getByRole('button', { name: 'Next step', exact: true }).focus();
      await eventually(async () => {
        if ((await focused()) === 'Next step') await page.keyboard.press('Enter');
        assert.equal(await focused(), 'Replay');
      });
      await settled(page);
      await says(page, '.stage .hint', /step 3 of 3. The lab below is in this state/);
    }));

  test('the fault that no guest sees is found, with its sentence; in a frame the story stands alone', () =>
    inPage('#story=fault&embed=1', async (page) => {
      await page.waitForSelector('.stage');
      assert.equal(await page.locator('#settings, header').count(), 0);
      const whole = page.getByRole('link', { name: /^The whole lab/ });
      assert.equal(await whole.getAttribute('href'), './#story=fault');
      await page.waitForSelector('.findings .well:nth-child(3)');
      await reads(page, '[data-answer="conformance"]', /not verified$|verifying$/);
      await throughStory(page);
      await reads(page, '.stage .verdict', /^The fault is found\. [1-3] failed, \d+ passed/);
      await reads(page, '.broken', /^generation\.restored MUST/);
      assert.match((await page.locator('.broken a').getAttribute('href')) ?? '', /^\.\/draft3\.html#./);
      await reads(page, '[data-answer="conformance"]', /✗ breaks generation\.restored( and \d more)?$/);
      await reads(page, '[data-answer="generation"]', /✗ wrong/);
      assert.deepEqual(await violations(page), []);
      assert.deepEqual(await misplaced(page), []);
    }));

  test('a hypervisor without CommonHV is found by the scan, and the results say so', () =>
    inPage('#commonhv=0', async (page) => {
      await settled(page);
      await reads(
        page,
        '#leaves .lead',
        /^The guest finds no CommonHV\. .* found 1 interface with 261 CPUIDs\.$/,
      );
      await says(
        page,
        '#timeline .lead',
        /^\d+ CPUIDs \(of them 261 for discovery with its 256 steps of the scan\), 0 RDMSRs, 0 WRMSRs\.$/,
      );
      assert.equal(await register(page, 'CPUID.4F000000H.0.EBX'), '00000000');
      await reads(page, '[data-answer="interfaces"]', /! VMware by scan$/);
      await reads(page, '[data-answer="conformance"]', /! no CommonHV$/);
      await reads(page, '#random figcaption span', 'no RNG is offered');
    }));
}
