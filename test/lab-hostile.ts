/** What the world may do to the lab: addresses that were tampered with, browsers that lack something. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type InPage, idle, register, says, textOf } from './browser.ts';

export function hostile(inPage: InPage): void {
  test('an address that was tampered with is named part by part, and the rest of it counts', () =>
    inPage(
      '#draft=2&rng-msr=zz&interface=%3Cscript%3E&memory=1e9&liar=../../x&nonsense=1&rng-source=counting',
      async (page) => {
        const notices = await textOf(page, '.notice');
        for (const part of [
          'rng-msr: expected up to 8 hex digits, got “zz”',
          'interface: expected SIGNATURE@LEAF, got “<script>”',
          'memory: expected 4 to 1024 MiB, got “1e9”',
          'liar: ',
          '“nonsense”: no such setting',
        ]) {
          assert.ok(notices.includes(part), `${part} in ${notices}`);
        }
        await says(page, '#leaves .lead', /finds draft 2/);
        assert.equal(await page.getByLabel('Source').inputValue(), 'counting');
      },
    ));

  test('settings that contradict are said beside the form, and make no machine', () =>
    inPage('#interface=KVMKVMKVM@40000000&rng-msr=4b564d01', async (page) => {
      await says(page, '#settings .flaw', /^rng\.msr: 0x4b564d01 belongs to "KVMKVMKVM/);
      assert.ok(await page.getByRole('button', { name: 'Start a new machine' }).isDisabled());
      await page.getByLabel('MSR', { exact: true }).first().fill('400000a0');
      assert.equal(await page.locator('#settings .flaw').count(), 0);
      await page.getByRole('button', { name: 'Start a new machine' }).click();
      await idle(page);
      assert.equal(await register(page, 'CPUID.4F000003H.0.EAX'), '400000a0');
    }));

  test('a browser without WebAssembly is told, and sees the model', () =>
    inPage(
      '',
      async (page) => {
        assert.match(await textOf(page, '.notice'), /This browser has no WebAssembly/);
        await idle(page);
        assert.match(await textOf(page, '#leaves .lead'), /finds draft 3/);
      },
      { before: () => Reflect.deleteProperty(globalThis, 'WebAssembly') },
    ));
}
