/** What a reader of the lab sees: the guest's discovery, drafts, sources, conformance, copies, the timeline. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import {
  addressed,
  dropFiles,
  eventually,
  type InPage,
  idle,
  press,
  reads,
  register,
  says,
  textOf,
} from './browser.ts';
import { settled } from './lab-states.ts';

export function seeing(inPage: InPage): void {
  test('a visitor sees a guest find CommonHV, draft 3, without touching anything', () =>
    inPage('', async (page) => {
      await idle(page);
      await reads(
        page,
        '#leaves .lead',
        /^The guest finds draft 3 with 7 CPUIDs\. The hypervisor bit is set\. VMware at 40000000H\. RNG at MSR 400000A0H, said to be secure\. Generation at MSR 400000A1H\.$/,
      );
      assert.equal(await register(page, 'CPUID.4F000000H.0.EBX'), '6d6d6f43');
      assert.equal(await register(page, 'CPUID.4F000002H.0.EAX'), '0000001d');
      await says(page, '#timeline .lead', /^\d+ CPUIDs \(of them 7 for discovery\), \d+ RDMSRs, 1 WRMSRs\.$/);
      await reads(page, '#random figcaption', /values✓ health tests: nothing found✓ (\d+) different of \1$/);
      // What the guest said is on its console, and so is what it was asked.
      await says(page, '.xterm-rows', /r 400000a0/);
      // The results come by themselves.
      await settled(page);
      await eventually(async () => {
        const answers = await page.locator('.answer').allTextContents();
        assert.deepEqual(
          answers.map((text) => text.replace(/\d+/g, 'N')),
          [
            'Draft✓ draft N',
            'Interfaces✓ VMware',
            'RNG✓ said to be secure',
            'Generation✓ acknowledged, N ms',
            'Conformance✓ conforms, N rules',
            'Copies– none made',
          ],
        );
      });
    }));

  test('another draft is a new machine, and the address holds it', () =>
    inPage('', async (page) => {
      await idle(page);
      await page.getByLabel('draft 1', { exact: true }).check();
      await reads(page, '.apply', /the machine that runs keeps its own settings/);
      assert.match(
        await textOf(page, '#leaves .lead'),
        /finds draft 3/,
        'the machine that runs is as it was',
      );
      await press(page, 'Start a new machine');
      await says(page, '#leaves .lead', /finds draft 1/);
      assert.equal(await register(page, 'CPUID.4F000002H.0.EAX'), '400000a0');
      await addressed(page, /#draft=1$/);
      await page.reload();
      await says(page, '#leaves .lead', /finds draft 1/);
    }));

  test('what two drafts say differently is marked', () =>
    inPage('#draft=2&compare=1', async (page) => {
      await idle(page);
      const changed = '.register[data-name="CPUID.4F000002H.0.EAX"]';
      await reads(page, changed, 'CPUID.4F000002H.0.EAX: 00000001, draft 1: 400000a0');
      const same = page.locator('.register[data-name="CPUID.4F000000H.0.EBX"]');
      assert.equal(await same.getAttribute('class'), 'register');
    }));

  test('a register that the pointer passes is shown, one that was clicked or focused stays', () =>
    inPage('', async (page) => {
      await idle(page);
      const place = (name: string) => page.locator(`.register[data-name="CPUID.${name}"]`);
      const shows = (what: RegExp) => reads(page, '.bits h3', what);
      await place('4F000000H.0.EBX').hover();
      await shows(/^CPUID\.4F000000H\.0\.EBX/);
      await page.locator('.bits h3').hover();
      await shows(/^CPUID\.4F000002H\.0\.EAX/);
      await place('4F000000H.0.EDX').click();
      await place('4F000002H.0.EAX').hover();
      await page.locator('.bit').first().hover();
      await shows(/^CPUID\.4F000000H\.0\.EDX/);
      await place('1H.0.ECX').focus();
      await shows(/^CPUID\.1H\.0\.ECX/);
    }));

  test('on a narrow page the bits are in view beside the leaf that was chosen, a byte a row', () =>
    inPage(
      '',
      async (page) => {
        await idle(page);
        await page.locator('.register[data-name="CPUID.1H.0.ECX"]').click();
        assert.equal(await page.locator('.bit').first().isVisible(), false, 'folded at first');
        await page.locator('.bits summary').click();
        await eventually(async () => {
          const boxes = await page
            .locator('.bit')
            .evaluateAll((bits) => bits.map((bit) => bit.getBoundingClientRect().toJSON() as DOMRect));
          assert.ok(boxes.every(({ width, height }) => width >= 24 && height >= 24));
          assert.ok(boxes.every(({ top, bottom }) => top >= 0 && bottom <= 740));
          assert.ok(
            boxes.slice(8).every(({ left, top }, i) => left === boxes[i]!.left && top > boxes[i]!.top),
          );
        });
      },
      { width: 360, height: 740 },
    ));

  test('a stuck source is seen: on the picture’s tests, and by the guest, which does not call itself seeded', () =>
    inPage('#rng-source=stuck', async (page) => {
      await says(page, '.state', /does not call itself seeded/);
      await reads(
        page,
        '#random figcaption',
        /✗ health tests: repetition of bytes, within \d+ values✗ 1 different of \d+$/,
      );
      await eventually(async () => {
        const tall = await page
          .locator('canvas.bitmap')
          .evaluateAll((all) => all.map(({ clientHeight }) => clientHeight));
        assert.equal(tall[0], tall[1]);
        const colours = await page
          .locator('canvas.bitmap')
          .first()
          .evaluate((canvas: HTMLCanvasElement) => {
            const { data } = canvas.getContext('2d')!.getImageData(0, 0, 128, 8);
            const row = (y: number) => data.slice(y * 512, (y + 1) * 512).join();
            return [row(1), row(2), row(3)].every((other) => other === row(0)) && new Set(data).size > 2;
          });
        assert.ok(colours, 'each row of the picture is like the one above');
      });
    }));

  test('a counting source is seen, though each of its values is different', () =>
    inPage('#rng-source=counting', async (page) => {
      await says(page, '.state', /does not call itself seeded/);
      await reads(
        page,
        '#random figcaption',
        /✗ health tests: [a-z ]+, within \d+ values(\d+) different of \1$/,
      );
    }));

  test('the suite runs against the machine, and it conforms', () =>
    inPage('', async (page) => {
      await idle(page);
      await press(page, 'Verify this machine');
      await says(
        page,
        '#conformance .lead',
        /^Conforms to draft 3: \d+ passed, 0 failed, 0 warned, \d+ skipped\. ?$/,
      );
      assert.equal(await page.locator('.rules.failed, .rules.warned').count(), 0);
    }));

  test('under a faulty hypervisor the rule that it breaks fails, and links to its sentence', () =>
    inPage('#faulty=features.draft', async (page) => {
      await idle(page);
      await press(page, 'Verify this machine');
      await page.waitForSelector('.rules.failed');
      await reads(page, '#conformance .lead', /^Does not conform/);
      const rule = page.locator('.rules.failed li').first();
      assert.equal(await rule.locator('code').first().textContent(), 'features.draft');
      const link = await rule.getByRole('link').getAttribute('href');
      await page.goto(new URL(link!, page.url()).href);
      const sentence = await page.locator(':target').textContent();
      assert.equal(sentence?.trim(), 'CPUID.4F000002H.0.EBX MUST be 3, the number of this draft.');
    }));

  test('two copies of a saved machine differ; under the faulty hypervisor that keeps the generation they draw alike', () =>
    inPage('', async (page) => {
      await idle(page);
      await press(page, 'Save');
      await says(page, '#machine', /A machine is saved/);
      await idle(page);
      await press(page, 'Resume two copies');
      await page.waitForSelector('.verdict.well');
      assert.equal(await page.locator('.console').count(), 2);
      await reads(page, '.verdict', /^The copies differ from their first value on/);
      await press(page, '… under the faulty hypervisor that keeps the generation');
      await page.waitForSelector('.verdict.ill');
      await reads(page, '.verdict', /the first 64 values are the same in both\. The generation was kept/);
      // It is brought into view, and nothing beside it says otherwise.
      await page.waitForFunction(() => {
        const { top } = document.querySelector('#random .verdict')!.getBoundingClientRect();
        return top >= 0 && top < innerHeight;
      });
      await settled(page);
      const answer = (id: string, wanted: RegExp | string) => reads(page, `[data-answer="${id}"]`, wanted);
      await answer('copies', 'Copies✗ draw the same 64 values');
      await answer('conformance', /^Conformance✗ breaks generation\.restored/);
      await answer('generation', /✗ wrong/);
      await reads(page, '#saved', /These copies find its generation/);
      const drawn = page.locator('figure', { hasText: 'Drawn by the guest' });
      assert.equal(await drawn.locator('.well').count(), 0);
      assert.match((await drawn.first().textContent()) ?? '', /✗ the first 64 are the other copy’s too/);
      await press(page, 'Resume two copies');
      await page.waitForSelector('.verdict.well');
      await reads(page, '#saved', /Its copies find the generation renewed/);
      assert.equal(await drawn.locator('.ill').count(), 0);
      // The saved machine as a file, and back: another copy.
      const [file] = await Promise.all([page.waitForEvent('download'), press(page, 'Download it')]);
      const bytes = await readFile(await file.path());
      await dropFiles(page, { 'machine.commonhv': bytes });
      await page.waitForFunction(() => document.querySelectorAll('.console').length === 1);
      await settled(page);
      await reads(page, '#leaves .lead', /^The guest finds draft 3/);
      await dropFiles(page, { 'half.commonhv': bytes.subarray(0, 40) });
      await says(page, '#machine .flaw', /^half\.commonhv: not a machine that the lab saved, or cut off$/);
      bytes.fill(0, bytes.length >>> 1);
      await dropFiles(page, { 'other.commonhv': bytes });
      await says(
        page,
        '#machine .flaw',
        /^other\.commonhv: broken: its bytes are not those that were saved$/,
      );
      assert.equal(await textOf(page, '.state'), 'running');
    }));

  test('copies run under the settings that they were saved with, and leave the form as it is', () =>
    inPage('', async (page) => {
      await idle(page);
      await press(page, 'Save');
      await says(page, '#saved', /Its copies find the generation renewed/);
      await page.getByLabel('draft 1', { exact: true }).check();
      for (const name of ['… under the faulty hypervisor that keeps the generation', 'Resume two copies']) {
        await press(page, name);
        await page.waitForSelector(name.startsWith('…') ? '.verdict.ill' : '.verdict.well');
        await press(page, 'Look again');
        await says(page, '#leaves .lead', /finds draft 3/);
        await addressed(page, /#draft=1$/);
      }
    }));

  test('copies of a machine without a generation draw alike, and the page says why', () =>
    inPage('#draft=2', async (page) => {
      await idle(page);
      await press(page, 'Save');
      await says(page, '#saved', /Its copies are not told that they are copies: draft 2 has no generation/);
      const keeping = page.getByRole('button', {
        name: '… under the faulty hypervisor that keeps the generation',
      });
      assert.ok(await keeping.isDisabled());
      await press(page, 'Resume two copies');
      await page.waitForSelector('.verdict.ill');
      await reads(
        page,
        '.verdict',
        /^The copies draw alike: .* Draft 2 has no generation: nothing told the guests/,
      );
    }));

  test('a faulty hypervisor that another draft left chosen stays chosen, and what is wrong with it is said', () =>
    inPage('#faulty=generation.restored', async (page) => {
      await idle(page);
      await page.getByLabel('draft 2', { exact: true }).check();
      const faultyHypervisor = page.getByLabel('A faulty hypervisor in the hypervisor’s place');
      assert.equal(await faultyHypervisor.inputValue(), 'generation.restored');
      await reads(page, '#settings .flaw', 'faulty: this one is about draft 3');
    }));

  test('a fault that the check does not find is amber, in the form and in the results', () =>
    inPage('#faulty=rng.neighbours', async (page) => {
      await settled(page);
      await reads(page, '[data-answer="conformance"]', 'Conformance! rng.neighbours not found');
      assert.equal(await page.locator('#conformance .lead .warned').count(), 1);
      await says(
        page,
        '#settings .notice',
        /breaks rng\.neighbours\. The check of this machine did not find/,
      );
      const groups = await page
        .locator('optgroup')
        .evaluateAll((all) => all.map((each) => each.getAttribute('label')));
      assert.ok(groups.includes('Random values') && groups.includes('Discovery'), groups.join());
    }));

  test('the scan is seen as what it is', () =>
    inPage('', async (page) => {
      await idle(page);
      await press(page, 'Search the old way');
      await says(
        page,
        '#timeline .lead',
        /^\d+ CPUIDs \(of them 7 for discovery, 256 steps of the scan\), \d+ RDMSRs/,
      );
      // A frame after the last event is drawn; from then on only the buttons change the picture.
      const picture = () =>
        page.locator('.chart canvas').evaluate(async (canvas: HTMLCanvasElement) => {
          for (let frames = 0; frames < 2; frames++)
            await new Promise((resolve) => requestAnimationFrame(resolve));
          return canvas.toDataURL();
        });
      for (const name of ['Zoom in', 'Earlier', 'The scan']) {
        const before = await picture();
        await press(page, name);
        await eventually(async () => assert.notEqual(await picture(), before, name));
      }
      const near = await picture();
      await press(page, 'All');
      await eventually(async () => assert.notEqual(await picture(), near));
      const all = await picture();
      await press(page, 'Zoom in');
      await eventually(async () => assert.notEqual(await picture(), all));
      await press(page, 'All');
      await eventually(async () => assert.equal(await picture(), all));
      await page.locator('#timeline summary').click();
      await reads(page, '#timeline .counts', /4000xx00H ?256 leaves of the scan/);
      await idle(page);
      const [download] = await Promise.all([page.waitForEvent('download'), press(page, 'Export JSON')]);
      const trace = JSON.parse(await readFile(await download.path(), 'utf8'));
      assert.equal(trace.engine, 'v86');
      assert.ok(trace.cpuid.scan >= 256 && trace.cpuid.scan < trace.cpuid.total);
      assert.equal(
        trace.events.length,
        trace.cpuid.total +
          trace.msr.reduce(
            (sum: number, row: { reads: number; writes: number }) => sum + row.reads + row.writes,
            0,
          ),
      );
      assert.ok(!JSON.stringify(trace).includes('value'), 'a trace holds no word');
    }));

  test('an event is read from the timeline by the pointer and by the arrow keys', () =>
    inPage('', async (page) => {
      await idle(page);
      const chart = page.getByRole('slider', { name: 'The guest’s accesses over time' });
      const readout = () => textOf(page, '.readout');
      await page.waitForSelector('.chart canvas');
      await chart.focus();
      const read = (wanted: RegExp) => reads(page, '.readout', wanted);
      await read(/^event 1 of \d+, at [\d.]+ ms: CPUID 1H\.0$/);
      await page.keyboard.press('ArrowRight');
      await read(/^event 2 of \d+, at [\d.]+ ms: CPUID /);
      await eventually(async () => assert.equal(await chart.getAttribute('aria-valuetext'), await readout()));
      await eventually(async () => {
        await page.keyboard.press('End');
        const [, last, all] = /^event (\d+) of (\d+), /.exec(await readout())!;
        assert.equal(last, all);
      });
      // The row of the RNG, where the guest read its values: the fifth of seven.
      await eventually(async () => {
        const { x, y, width, height } = (await page.locator('.u-over').boundingBox())!;
        for (let share = 0.3; share < 1 && !/RDMSR/.test(await readout()); share += 0.01) {
          await page.mouse.move(x + share * width, y + 0.7 * height);
        }
        assert.match(await readout(), /: RDMSR 400000A0H$/);
      });
    }));

  test('pause, go on and stop do so', () =>
    inPage('', async (page) => {
      await idle(page);
      await press(page, 'Pause');
      await page.waitForSelector('.state.paused');
      await press(page, 'Go on');
      await idle(page);
      await press(page, 'Read 64 values');
      await idle(page);
      await press(page, 'Stop');
      await page.waitForSelector('.state.ended');
      await reads(page, '.state', 'ended: stopped');
    }));

  test('a line typed into the console is executed by the probe', () =>
    inPage('', async (page) => {
      await idle(page);
      // It takes keys once it shows the lines that were sent.
      await says(page, '.xterm-rows', /r 400000a0/);
      await page.locator('.xterm-helper-textarea').focus();
      await page.keyboard.type('r 12345678\n');
      // v86 answers 0 for an MSR that it does not know.
      await says(page, '.xterm-rows', /r 00000000 00000000/);
      await press(page, 'Look again');
      await idle(page);
    }));
}
