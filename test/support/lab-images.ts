/** Systems of the reader's own in the lab: dropped or picked, told apart, and refused in the page where they are none. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import {
  addressed,
  dropFiles,
  eventually,
  type InPage,
  idle,
  press,
  reads,
  says,
  textOf,
} from './browser.ts';
import { HALT, kernel, SPIN, send } from './guests.ts';
import { skipUnless } from './require.ts';

const DEBIAN = '.cache/debian';

export function images(inPage: InPage): void {
  test('a kernel by drop is booted, and says so on its console', () =>
    inPage('', async (page) => {
      await idle(page);
      await dropFiles(page, { 'hello.bin': kernel([...send('h'), ...send('i'), ...HALT]) });
      await page.waitForSelector('.state.ended');
      await reads(page, '.state', /^ended: halted with interrupts off/);
      await says(page, '.xterm-rows', /hi/);
      assert.doesNotMatch(await textOf(page, '.chosen'), /restart/);
      for (const part of ['leaves', 'random']) {
        await reads(page, `#${part} .lead`, /^A system of your own cannot be asked/);
      }
      await press(page, 'Back to the probe');
      await idle(page);
    }));

  test('what is no image, or too large, is refused in one line, and the machine goes on', () =>
    inPage('', async (page) => {
      await idle(page);
      await dropFiles(page, { 'notes.txt': new TextEncoder().encode('not a kernel') });
      await says(page, '#machine .flaw', /^notes\.txt: /);
      assert.equal(await page.locator('.chosen').count(), 0);
      await dropFiles(page, { a: HALT_KERNEL, b: HALT_KERNEL, c: HALT_KERNEL });
      await says(
        page,
        '#machine .flaw',
        /expected a kernel, an initrd, or both, or a saved machine, got 3 files/,
      );
      // A file's size is known before a byte of it is read; nobody has to make one of four gigabytes.
      await page.evaluate(() => {
        const data = new DataTransfer();
        const file = new File(['x'], 'disk.img');
        Object.defineProperty(file, 'size', { value: 4 * 2 ** 30 });
        const event = new DragEvent('drop', { bubbles: true, cancelable: true });
        Object.defineProperty(event, 'dataTransfer', { value: { types: ['Files'], files: [file] } });
        document.querySelector('.drop')!.dispatchEvent(event);
        return data.files.length;
      });
      await says(page, '#machine .flaw', /^disk\.img: 4096 MiB is more than/);
      await dropFiles(page, { amd64: longMode() });
      await says(
        page,
        '#machine .flaw',
        /^amd64: a 64-bit kernel, and v86 is a 32-bit CPU: use one for i386$/,
      );
      await press(page, 'Look again');
      await idle(page);
    }));

  test('the model boots no image: it is refused where it was given, and where the engine was chosen', () =>
    inPage('#engine=model', async (page) => {
      await idle(page);
      for (const name of ['Pause', 'Save', 'Resume two copies'])
        assert.equal(await page.getByRole('button', { name, exact: true }).count(), 0, name);
      assert.equal(await page.locator('.tty, #machine input[type=file]').count(), 0);
      await reads(page, '#machine .image', 'The model boots no image: choose v86.');
      await dropFiles(page, { spins: kernel(SPIN) });
      await says(page, '#machine .flaw', /^the model boots no image: choose v86$/);
      await page.getByLabel('Engine').selectOption('v86');
      await dropFiles(page, { spins: kernel(SPIN) });
      await says(page, '.chosen', /spins/);
      await page.getByLabel('Engine').selectOption('model');
      await says(page, '#settings .flaw', /^the model boots no image: choose v86$/);
      await eventually(async () =>
        assert.ok(await page.getByRole('button', { name: 'Restart' }).isDisabled()),
      );
    }));

  test('the console of a system of one’s own keeps Tab, and says how the keyboard leaves it', () =>
    inPage('', async (page) => {
      await idle(page);
      await dropFiles(page, { spins: kernel(SPIN) });
      await says(page, '.chosen', /spins/);
      await page.waitForSelector('.state.running');
      // It is shown once it takes keys.
      await page.waitForSelector('.tty .xterm-screen');
      const console = page.locator('.xterm-helper-textarea');
      await console.focus();
      const hint = await console.getAttribute('aria-describedby');
      assert.match(
        await textOf(page, `[id="${hint}"]`),
        /^Tab is the guest’s here\. Ctrl\+\], then Tab, goes on/,
      );
      const inside = () => page.evaluate(() => document.activeElement?.closest('.tty') !== null);
      const after = async (...keys: readonly string[]) => {
        await console.focus();
        for (const key of keys) await page.keyboard.press(key);
        return inside();
      };
      assert.ok(await after('Tab'));
      assert.ok(await after('Control+]', 'a', 'Tab'), 'any other key stays in');
      assert.ok(!(await after('Shift+Tab')));
      assert.ok(!(await after('Control+]', 'Tab')));
      const at = () => page.evaluate(() => document.activeElement?.closest('section')?.id);
      assert.equal(await at(), 'leaves', 'forwards');
    }));

  test('a guest that never ends is stopped, and the page stays awake', () =>
    inPage('', async (page) => {
      await idle(page);
      await dropFiles(page, { spins: kernel(SPIN) });
      await says(page, '.chosen', /spins/);
      await page.waitForSelector('.state.running');
      await says(page, '.elapsed', /nothing on the console yet, \d+ s/);
      await press(page, 'Stop');
      await page.waitForSelector('.state.ended');
      await reads(page, '.state', 'ended: stopped');
    }));

  test('a guest that floods its console freezes nothing', () =>
    inPage('', async (page) => {
      await idle(page);
      const loop = [...send('x')];
      await dropFiles(page, { floods: kernel([...loop, 0xeb, 256 - loop.length - 2]) });
      await says(page, '.chosen', /floods/);
      await page.evaluate(() => {
        const longest = { task: 0 };
        Object.assign(window, { longest });
        new PerformanceObserver((list) => {
          for (const { duration } of list.getEntries()) longest.task = Math.max(longest.task, duration);
        }).observe({ type: 'longtask' });
      });
      await says(page, '.xterm-rows', /x{20}/);
      await page.getByLabel('draft 2', { exact: true }).check();
      // A click is taken while the flood lasts.
      await addressed(page, /draft=2/);
      await press(page, 'Stop');
      await page.waitForSelector('.state.ended');
    }));

  const stock = skipUnless(
    'debian',
    existsSync(`${DEBIAN}/vmlinuz`) && existsSync(`${DEBIAN}/initrd`),
    'scripts/debian-guest.sh has not been run',
  );
  test(
    'an initrd by drop and then its stock kernel boot, and the scan is on the timeline',
    { skip: stock },
    () =>
      inPage('', async (page) => {
        await idle(page);
        const input = await page.evaluateHandle(() => {
          const picker = document.createElement('input');
          Object.assign(picker, { type: 'file', multiple: true });
          document.body.append(picker);
          return picker;
        });
        await input.setInputFiles([`${DEBIAN}/initrd`]);
        await input.evaluate((picker) => {
          const data = new DataTransfer();
          for (const file of picker.files!) data.items.add(file);
          picker.remove();
          const event = new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: data });
          document.querySelector('.drop')!.dispatchEvent(event);
        });
        await says(page, '#machine .image', /initrd looks like an initrd: choose its kernel, and both boot/);
        await page.locator('#machine input[type=file]').setInputFiles([`${DEBIAN}/vmlinuz`]);
        await says(page, '.chosen', /^vmlinuz with initrd/);
        // Linux looks for each hypervisor that it knows, and walks all 256 places for the one that is not there.
        await says(page, '#timeline .lead', /(256|[3-9]\d\d|\d,\d+) steps of the scan/);
        await says(page, '.xterm-rows', /\[ +\d+\.\d{6}\]/);
      }),
  );
}

const HALT_KERNEL = kernel(HALT);

/** The header of a bzImage whose kernel runs in 64-bit mode alone (boot protocol 2.12, xloadflags bit 0). */
function longMode(): Uint8Array {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  view.setUint32(0x202, 0x5372_6448, true); // "HdrS"
  view.setUint16(0x206, 0x020c, true);
  view.setUint16(0x236, 1, true);
  return bytes;
}
