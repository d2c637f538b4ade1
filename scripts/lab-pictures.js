// npm run pictures: takes pictures of the lab, into docs/. Needs Chromium.
import { existsSync } from 'node:fs';
import {
  buildLab,
  CHROMIUM,
  idle,
  launch,
  press,
  says,
  serveLab,
  visit,
} from '../build/test/support/browser.js';

if (CHROMIUM === undefined) {
  console.error('pictures: there is no Chromium here');
  process.exit(2);
}
await buildLab();
const browser = await launch();
const served = await serveLab();

/** One state of the page, or the part of it that `selector` names. */
async function picture(name, { fragment = '', selector, prepare = async () => {}, ...options }) {
  const { page, close } = await visit(browser, served.url + fragment, {
    width: 1200,
    height: 980,
    ...options,
  });
  await prepare(page);
  const path = `docs/lab-${name}.png`;
  await page.mouse.move(0, 0);
  if (selector === undefined) {
    await page.evaluate(() => scrollTo(0, 0));
    await page.screenshot({ path });
  } else await page.locator(selector).screenshot({ path });
  await close();
}

await picture('discovery', {
  fragment: '#compare=2',
  async prepare(page) {
    await idle(page);
    await says(page, '.xterm-rows', /c 80000000/);
  },
});
await picture('copies', {
  scheme: 'dark',
  selector: '#random',
  async prepare(page) {
    await idle(page);
    await press(page, 'Save');
    await says(page, '#machine', /A machine is saved/);
    await idle(page);
    await press(page, '… under the faulty hypervisor that keeps the generation');
    await page.waitForSelector('.verdict.ill');
    await idle(page);
  },
});
await picture('stuck', {
  fragment: '#rng-source=stuck',
  selector: '#random',
  prepare: (page) => says(page, '.state', /does not call itself seeded/),
});
await picture('faulty', {
  fragment: '#faulty=features.draft',
  selector: '#conformance',
  async prepare(page) {
    await idle(page);
    await press(page, 'Verify this machine');
    await page.waitForSelector('.rules.failed');
  },
});
await picture('narrow', { width: 360, height: 760, scheme: 'dark', prepare: idle });
if (existsSync('.cache/debian/vmlinuz')) {
  await picture('timeline', {
    selector: '#timeline',
    async prepare(page) {
      await idle(page);
      await page.locator('input[type=file]').setInputFiles(['.cache/debian/vmlinuz', '.cache/debian/initrd']);
      await says(page, '.chosen', /vmlinuz with initrd/);
      await press(page, 'Restart');
      await page.waitForFunction(
        () => /# ?$/.test((document.querySelector('.xterm-rows')?.textContent ?? '').trimEnd()),
        null,
        { timeout: 300_000 },
      );
      await press(page, 'The old search');
    },
  });
}
await browser.close();
await served.stop();
