/** The lab's figures, in a real browser: how soon it answers, how much travels, and how long it ever holds the page up. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import type { Browser } from 'playwright-core';
import {
  buildLab,
  CHROMIUM,
  dropFiles,
  idle,
  launch,
  press,
  says,
  serveLab,
  visit,
} from '../test/support/browser.ts';
import { kernel } from '../test/support/guests.ts';
import { type Bench, type Figure, median } from './figure.ts';
import { watchTasks } from './words/tasks.ts';

const DEBIAN = '.cache/debian';
const VISITS = 7;
const READS = 1_000_000;
const BOOTS = 5;

export const bench: Bench = async () => {
  if (CHROMIUM === undefined) throw new Error('bench lab: there is no Chromium here');
  await buildLab();
  const browser = await launch();
  const served = await serveLab();
  try {
    return [
      ...(await firstAnswer(browser, served.url)),
      ...(await transfer(browser, served.url)),
      ...(await reads(browser, served.url)),
      ...(await boot(browser, served.url)),
    ];
  } finally {
    await browser.close();
    await served.stop();
  }
};

/** Each visitor is new: nothing is cached. */
async function firstAnswer(browser: Browser, url: string): Promise<readonly Figure[]> {
  const times: number[] = [];
  for (let i = 0; i < VISITS; i++) {
    const { page, close } = await visit(browser, url);
    await page.waitForFunction(() => performance.getEntriesByName('first-answer').length > 0);
    times.push(await page.evaluate(() => performance.getEntriesByName('first-answer')[0]!.startTime));
    await close();
  }
  return [
    { name: 'page to first probe answer, median', value: median(times), unit: 'ms', most: 1500 },
    { name: 'page to first probe answer, worst', value: Math.max(...times), unit: 'ms' },
  ];
}

/** What one visit asks for, each file as gzip sends it. */
async function transfer(browser: Browser, url: string): Promise<readonly Figure[]> {
  const { page, asked, close } = await visit(browser, url);
  await idle(page);
  await says(page, '.xterm-rows', /./);
  const sizes = new Map<string, number>();
  for (const address of new Set(asked)) {
    const path = new URL(address).pathname;
    const bytes = await readFile(`dist/lab${path === '/' ? '/index.html' : path}`);
    sizes.set(path, gzipSync(bytes, { level: 9 }).length);
  }
  await close();
  const sum = (wanted: RegExp) =>
    [...sizes].reduce((all, [path, size]) => all + (wanted.test(path) ? size : 0), 0) / 1000;
  // v86's code is in the worker's file.
  const engine =
    sum(/v86-[^/]*\.wasm$/) + gzipSync(await readFile('node_modules/v86/build/libv86.mjs')).length / 1000;
  const libraries = sum(/(libraries|xterm|uplot)-[^/]*$/);
  return [
    { name: 'transfer, all of it, gzip', value: sum(/./), unit: 'kB', most: 1600 },
    { name: 'transfer, own code, gzip', value: sum(/./) - engine - libraries, unit: 'kB', most: 150 },
    { name: 'transfer, v86, gzip', value: engine, unit: 'kB' },
    { name: 'transfer, xterm.js, uPlot and Preact, gzip', value: libraries, unit: 'kB' },
  ];
}

/** A guest that reads the RNG a million times, as fast as it can. */
async function reads(browser: Browser, url: string): Promise<readonly Figure[]> {
  const u32 = (value: number) => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
  const guest = kernel([
    ...[0xbe, ...u32(READS)], // mov esi, READS
    ...[0xb9, ...u32(0x4000_00a0)], // mov ecx, 400000a0h
    ...[0x0f, 0x32, 0x4e, 0x75, 0xfb], // rdmsr; dec esi; jnz back to rdmsr
    ...[0xfa, 0xf4], // cli; hlt
  ]);
  const { page, close } = await visit(browser, url);
  await idle(page);
  await dropFiles(page, { reads: guest });
  await says(page, '.chosen', /reads/);
  const tasks = await watchTasks(browser, page);
  const begun = performance.now();
  await press(page, 'Restart');
  await page.waitForSelector('.state.ended', { timeout: 300_000 });
  await says(page, '#timeline .lead', /1,000,000 RDMSRs/);
  const seconds = (performance.now() - begun) / 1000;
  const longest = await tasks.stop();
  await close();
  return [
    ...taskFigures(longest, 'during 1,000,000 RDMSRs'),
    { name: '1,000,000 RDMSRs, from restart to the last on the timeline', value: seconds, unit: 's' },
  ];
}

/** A stock kernel's boot, where there is one: some 400 CPUIDs, most of them the old search. */
async function boot(browser: Browser, url: string): Promise<readonly Figure[]> {
  if (!existsSync(`${DEBIAN}/vmlinuz`)) return [];
  const boots: { readonly wall: number; readonly cpu: number; readonly cpuids: number }[] = [];
  for (let i = 0; i < BOOTS; i++) boots.push(await bootOnce(browser, url));
  const walls = boots.map(({ wall }) => wall);
  const middle = { wall: median(walls), cpu: Math.max(...boots.map(({ cpu }) => cpu)) };
  return [
    ...taskFigures(middle, 'during a stock boot'),
    { name: 'longest task of all those boots', value: Math.max(...walls), unit: 'ms' },
    { name: 'CPUIDs of that boot', value: boots[0]!.cpuids, unit: '' },
  ];
}

async function bootOnce(browser: Browser, url: string) {
  const { page, close } = await visit(browser, url);
  await idle(page);
  const tasks = await watchTasks(browser, page);
  await page.locator('input[type=file]').setInputFiles([`${DEBIAN}/vmlinuz`, `${DEBIAN}/initrd`]);
  await says(page, '.chosen', /vmlinuz with initrd/);
  await page.waitForFunction(
    () => /# ?$/.test((document.querySelector('.xterm-rows')?.textContent ?? '').trimEnd()),
    null,
    { timeout: 300_000 },
  );
  const longest = await tasks.stop();
  const total = await page.evaluate(
    () => document.querySelector('#timeline .lead strong')?.textContent ?? '',
  );
  await close();
  return { ...longest, cpuids: Number(total.replaceAll(',', '')) };
}

const taskFigures = ({ wall, cpu }: { wall: number; cpu: number }, when: string): readonly Figure[] => [
  { name: `longest task ${when}`, value: wall, unit: 'ms', most: 100 },
  { name: `costliest task ${when}, processor time`, value: cpu, unit: 'ms', most: 100 },
];
