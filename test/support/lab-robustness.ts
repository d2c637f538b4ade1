/** What the world may do to the lab: addresses that were tampered with, browsers that lack something. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addressed,
  dropFiles,
  eventually,
  type InPage,
  idle,
  reads,
  register,
  says,
  textOf,
} from './browser.ts';
import { kernel, SPIN } from './guests.ts';

export function hostile(inPage: InPage): void {
  test('an address that was tampered with is named part by part, and the rest of it counts', () =>
    inPage(
      '#draft=2&rng-msr=zz&interface=%3Cscript%3E&interface=Microsoft%20HvMore@40000000&memory=1e9&faulty=../../x&nonsense=1&rng-source=counting',
      async (page) => {
        const notices = await textOf(page, '.notice');
        for (const part of [
          'rng-msr: expected up to 8 hex digits, got “zz”',
          'interface: expected SIGNATURE@LEAF, got “<script>”',
          'interface: expected a signature of 1 to 12 characters of one byte each, got “Microsoft HvMore”',
          'memory: expected 4 to 1024 MiB, got “1e9”',
          'faulty: ',
          '“nonsense”: no such setting',
        ]) {
          assert.ok(notices.includes(part), `${part} in ${notices}`);
        }
        await says(page, '#leaves .lead', /finds draft 2/);
        assert.equal(await page.getByLabel('Source').inputValue(), 'counting');
      },
    ));

  test('an address that names a part of the page is a jump there, and nothing was wrong with it', () =>
    inPage('#conformance', async (page) => {
      await idle(page);
      assert.equal(await page.locator('.notice').count(), 0);
      assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Conformance');
      await eventually(async () => {
        const top = await page.locator('#conformance').evaluate((part) => part.getBoundingClientRect().top);
        assert.ok(top < 900, `it is in view: ${top}`);
      });
      await addressed(page, /^[^#]*$/);
    }));

  test('a page whose first guest does not answer is drawn all the same', () =>
    inPage(
      '',
      async (page) => {
        // As it came, and then by itself.
        assert.equal(await textOf(page, 'h1'), 'CommonHV lab');
        await reads(page, '.state', 'starting');
        assert.equal(await page.locator('h1').count(), 1);
      },
      {
        before: () => {
          const silent = class extends EventTarget {
            postMessage() {}
            terminate() {}
          };
          Object.assign(globalThis, { Worker: silent });
        },
      },
    ));

  test('a browser that makes no worker, and a worker that does not load, are told with the way out', async () => {
    const refusing = () => {
      const refuse = class {
        constructor() {
          throw new DOMException('not here', 'SecurityError');
        }
      };
      Object.assign(globalThis, { Worker: refuse });
    };
    const missing = () => {
      const broken = class {
        onerror: (event: Event) => void = () => {};
        constructor() {
          setTimeout(() => this.onerror(new Event('error')), 100);
        }
        postMessage() {}
        terminate() {}
      };
      Object.assign(globalThis, { Worker: broken });
    };
    for (const [before, told] of [
      [
        refusing,
        /failed: the browser makes no worker for the machine \(not here\): open the lab in a window of its own/,
      ],
      [
        missing,
        /failed: the machine’s worker could not be loaded: see that the lab is still served, and reload the page/,
      ],
    ] as const) {
      await inPage(
        '',
        async (page) => {
          await says(page, '.state', told);
        },
        { before },
      );
    }
  });

  test('settings that contradict are said beside the form, and make no machine', () =>
    inPage('#interface=KVMKVMKVM@40000000&rng-msr=4b564d01', async (page) => {
      await says(page, '#settings .flaw', /^rng\.msr: 0x4b564d01 belongs to "KVMKVMKVM/);
      assert.ok(await page.getByRole('button', { name: 'Start a new machine' }).isDisabled());
      const msr = page.getByLabel('MSR', { exact: true }).first();
      await msr.fill('xyz');
      await msr.blur();
      // A wrong value stays, and says so.
      await reads(page, '#settings .wrong', 'expected up to 8 hex digits; 4b564d01 counts');
      assert.equal(await msr.inputValue(), 'xyz');
      await msr.fill('400000a0');
      await page.waitForSelector('#settings .flaw', { state: 'detached' });
      await page.getByRole('button', { name: 'Start a new machine' }).click();
      await idle(page);
      assert.equal(await register(page, 'CPUID.4F000003H.0.EAX'), '400000a0');
    }));

  test('a browser without WebAssembly is told, sees the model, and keeps the address as it was', () =>
    inPage(
      '#draft=2',
      async (page) => {
        assert.match(await textOf(page, '.notice'), /This browser has no WebAssembly/);
        await idle(page);
        await reads(page, '#leaves .lead', /finds draft 2/);
        await addressed(page, /#draft=2$/);
        await page.evaluate(() => {
          location.hash = '#draft=1&engine=v86';
        });
        await says(page, '#leaves .lead', /finds draft 1/);
        await addressed(page, /#draft=1$/);
        await dropFiles(page, { spins: kernel(SPIN) });
        await says(page, '#machine .flaw', /^the model boots no image, and this browser has no WebAssembly/);
      },
      { before: () => Reflect.deleteProperty(globalThis, 'WebAssembly') },
    ));
}
