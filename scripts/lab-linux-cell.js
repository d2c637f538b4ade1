// A cell of the matrix: builds the lab with the small Linux beside it, presses its button in a real browser, and gives its
// shell a command. Exit status 3 where there is no Chromium, or the guest cannot be made.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { CHROMIUM, idle, launch, says, serveLab, visit } from '../build/test/support/browser.js';

function skip(why) {
  console.log(why);
  process.exit(3);
}

if (CHROMIUM === undefined) skip('there is no Chromium here');
const built = spawnSync(process.execPath, ['scripts/build-lab.js', '--linux'], { stdio: 'inherit' });
if (built.status !== 0) process.exit(1);
if (!existsSync('dist/lab/linux-kernel')) skip('the small Linux cannot be made here');
const notes = readFileSync('dist/lab/linux.txt', 'utf8');
if (/unknown/.test(notes) || !/apt-get source linux=\S+ busybox=\S+/.test(notes))
  throw new Error('linux.txt names no versions and sources');

const [browser, served] = await Promise.all([launch(), serveLab()]);
try {
  const { page, wrong } = await visit(browser, served.url);
  page.setDefaultTimeout(300_000); // a whole boot
  await idle(page);
  const begun = performance.now();
  await page.getByRole('button', { name: /^Boot Debian’s Linux \d/ }).click();
  await says(page, '.xterm-rows', /guest ready.*# ?$/s);
  const seconds = Math.round((performance.now() - begun) / 1000);
  await page.locator('.xterm-helper-textarea').focus();
  // The command does not hold the text of its answer.
  await page.keyboard.type('echo $((6 * 7)) of $(uname -r)\n');
  await says(page, '.xterm-rows', /42 of \d+\.\d+/);
  await says(page, '#timeline .lead', /(256|[3-9]\d\d|\d,\d+) steps of the scan/);
  if (wrong.length > 0) throw new Error(wrong.join('\n'));
  console.log(`a shell after ${seconds} s`);
} finally {
  await browser.close();
  await served.stop();
}
