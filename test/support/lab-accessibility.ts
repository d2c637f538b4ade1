/** The lab for everybody: by keyboard alone, for screen readers, narrow and wide, light and dark. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressed, eventually, type InPage, idle, press, reads, says } from './browser.ts';
import { misplaced, violations } from './lab-looks.ts';
import { settled } from './lab-states.ts';

/** From the top of the page to its last button; a table is one stop. */
const MAX_STOPS = 60;

export function everybody(inPage: InPage): void {
  for (const scheme of ['light', 'dark'] as const) {
    for (const width of [360, 1440]) {
      test(`axe-core finds nothing, and nothing sticks out: ${width} pixels, ${scheme}`, () =>
        inPage(
          '#compare=2&faulty=features.draft',
          async (page) => {
            await idle(page);
            await press(page, 'Verify this machine');
            await page.waitForSelector('.rules.failed');
            await page.locator('#timeline summary').click();
            // On a narrow page the form is folded away at first.
            if (width < 900) await page.locator('#settings summary').click();
            assert.deepEqual(await violations(page), []);
            await press(page, 'Save');
            await says(page, '#machine', /A machine is saved/);
            await idle(page);
            await press(page, 'Resume two copies');
            await page.waitForSelector('.verdict.well, .verdict.ill');
            await settled(page);
            assert.deepEqual(await violations(page), []);
            assert.deepEqual(await misplaced(page), []);
            const sideways = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
            assert.ok(sideways <= 0, `${sideways} pixels stick out`);
          },
          { width, height: 900, scheme },
        ));
    }
  }

  test('everything is reached and worked by keyboard alone', () =>
    inPage('', async (page) => {
      await idle(page);
      const focused = () =>
        page.evaluate(() => {
          const { activeElement: at } = document;
          return `${at?.getAttribute('aria-label') ?? at?.textContent ?? ''}`.trim();
        });
      const seen: string[] = [];
      for (let i = 0; i < MAX_STOPS && !seen.includes('Verify this machine'); i++) {
        await page.keyboard.press('Tab');
        seen.push(await focused());
      }
      for (const control of [
        'Skip to the machine',
        'Add an interface',
        'Start a new machine',
        'Pause',
        'Save',
        'Console of the machine',
        'CPUID.4F000002H.0.EAX: 0000001d',
        'bit 0: 1, RNG',
        'Zoom in',
        'Export JSON',
        'Read 64 values',
        'Verify this machine',
      ]) {
        assert.ok(seen.includes(control), `${control} among ${seen.join(' | ')}`);
      }
      await page.keyboard.press('Enter');
      await says(page, '#conformance .lead', /^Conforms to draft 3: [^.]*\. ?$/);
    }));

  test('interfaces are put in order by drag', () =>
    inPage('#interface=KVMKVMKVM@40000100&interface=VMwareVMware@40000000', async (page) => {
      await idle(page);
      await page
        .getByRole('button', { name: /^Move VMwareVMware: drag/ })
        .dragTo(page.locator('.interfaces li').first());
      await addressed(page, /interface=VMwareVMware@40000000&interface=KVMKVMKVM@40000100/);
    }));

  test('interfaces are put in order by buttons, and the focus stays with them to the last', () =>
    inPage('#interface=KVMKVMKVM@40000100&interface=VMwareVMware@40000000', async (page) => {
      await idle(page);
      const focus = (name: string) =>
        page.waitForFunction(
          (wanted) =>
            (document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent) ===
            wanted,
          name,
        );
      await press(page, 'Move VMwareVMware up');
      await addressed(page, /interface=VMwareVMware@40000000&interface=KVMKVMKVM@40000100/);
      await focus('Move VMwareVMware down');
      await press(page, 'Remove KVMKVMKVM');
      await focus('Remove VMwareVMware');
      await press(page, 'Remove VMwareVMware');
      await focus('Add an interface');
    }));

  test('what starts a machine is in view on a usual screen, wherever the form is', () =>
    inPage(
      '',
      async (page) => {
        await idle(page);
        const bottom = () =>
          page
            .getByRole('button', { name: 'Start a new machine' })
            .evaluate((button) => button.getBoundingClientRect().bottom);
        const inView = async () => assert.ok((await bottom()) <= 900);
        await eventually(inView);
        await page.evaluate(() => scrollTo(0, 600));
        await eventually(inView);
      },
      { width: 1440, height: 900 },
    ));

  test('interfaces are put in order with the arrow keys, and bits are read with them', () =>
    inPage('#interface=KVMKVMKVM@40000100&interface=VMwareVMware@40000000', async (page) => {
      await idle(page);
      await page.getByRole('button', { name: /^Move VMwareVMware: drag/ }).focus();
      await page.keyboard.press('ArrowUp');
      await addressed(page, /interface=VMwareVMware@40000000&interface=KVMKVMKVM@40000100/);
      await eventually(async () =>
        assert.match(
          (await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))) ?? '',
          /^Move VMwareVMware/,
          'the focus goes with it',
        ),
      );
      // The table is one stop; inside of it the arrow keys go from register to register.
      await eventually(async () => assert.equal(await page.locator('.register[tabindex="0"]').count(), 1));
      await page.locator('.register[tabindex="0"]').focus();
      await page.keyboard.press('ArrowRight');
      await reads(page, '.bits h3', 'CPUID.4F000002H.0.EBX = 00000003H');
      await page.keyboard.press('ArrowLeft');
      await reads(page, '.bits h3', /^CPUID\.4F000002H\.0\.EAX/);
      await page.locator('.bit[tabindex="0"]').focus();
      await page.keyboard.press('ArrowLeft');
      await page.keyboard.press('ArrowLeft');
      await reads(page, '.words', /^bit 2: generation.*MUST be set where the generation is provided/);
    }));
}
