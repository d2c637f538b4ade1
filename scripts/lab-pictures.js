// npm run pictures [-- STATE...]: takes a picture of every story and state of the lab at three widths, light and dark, into
// build/pictures/NAME-WIDTH-SCHEME.png. Arguments narrow by a part of the state's name. Needs Chromium.
import { mkdirSync } from 'node:fs';
import { buildLab, CHROMIUM, launch, serveLab, visit } from '../build/test/support/browser.js';
import { STATES } from '../build/test/support/lab-states.js';

const spoken = () =>
  [...document.querySelectorAll('.tty')].every((tty) =>
    /\S/.test(tty.querySelector('.xterm-rows')?.textContent),
  );
/** A terminal outside of the window is not drawn, or not to its end. */
const drawn = async () => {
  for (const tty of document.querySelectorAll('.tty')) {
    tty.scrollIntoView();
    for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
  }
};

const WIDTHS = [360, 900, 1440];
const FOLDER = 'build/pictures';

if (CHROMIUM === undefined) {
  console.error('pictures: there is no Chromium here');
  process.exit(2);
}
const wanted = process.argv.slice(2);
const states = STATES.filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
if (states.length === 0) {
  console.error(
    `pictures: expected parts of ${STATES.map(({ name }) => name).join(', ')}, got ${wanted.join(' ')}`,
  );
  process.exit(2);
}
await buildLab();
const browser = await launch();
const served = await serveLab();
mkdirSync(FOLDER, { recursive: true });
let count = 0;
try {
  for (const { name, fragment, prepare } of states) {
    for (const scheme of ['light', 'dark']) {
      // A visitor each: a narrow page begins with its form folded away.
      for (const width of WIDTHS) {
        const { page, close } = await visit(browser, served.url + fragment, { width, height: 900, scheme });
        await prepare(page);
        // The consoles' terminals come last; a system of the reader's own may say nothing.
        await page.evaluate(drawn);
        await page.waitForFunction(spoken, null, { timeout: 5000 }).catch(() => {});
        await page.mouse.move(0, 0);
        await page.evaluate(() => {
          scrollTo(0, 0);
          // It sticks to the foot of a screen; on a picture of the whole page it would lie over the table.
          document.querySelector('.bits')?.style.setProperty('position', 'static');
        });
        await page.screenshot({ path: `${FOLDER}/${name}-${width}-${scheme}.png`, fullPage: true });
        await close();
        count++;
      }
    }
  }
} finally {
  await browser.close();
  await served.stop();
}
console.log(`${count} pictures in ${FOLDER}`);
