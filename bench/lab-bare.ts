/** The lab beside a bare page that loads v86 and starts the same guest, in one run: the first answer, and the longest task of a boot. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Browser, Page } from 'playwright-core';
import { build } from 'vite';
import { buildLab, CHROMIUM, idle, launch, says, serveLab, visit } from '../test/support/browser.ts';
import { type Bench, type Figure, median } from './figure.ts';
import { watchTasks } from './words/tasks.ts';
import { undebugged } from './words/undebugged.ts';

const DEBIAN = '.cache/debian';
const VISITS = 9;
const BOOTS = 2;
/** A boot is watched to its end, or this long: two in a page take minutes on a busy machine. */
const BOOT_MS = 30_000;
const MAX_RATIO = 1.25;

export const bench: Bench = async () => {
  if (CHROMIUM === undefined) throw new Error('bench lab-bare: there is no Chromium here');
  await buildLab();
  const folder = mkdtempSync(join(tmpdir(), 'commonhv-bare-'));
  await build({
    root: 'bench/bare',
    base: './',
    logLevel: 'error',
    build: { outDir: folder, emptyOutDir: true, target: 'es2022', assetsInlineLimit: 0 },
  });
  const bare = await serveFolder(folder);
  const browser = await launch();
  const lab = await serveLab();
  try {
    return [...(await firstAnswers('dist/lab', folder)), ...(await longestTasks(browser, lab.url, bare.url))];
  } finally {
    await browser.close();
    await lab.stop();
    bare.close();
    rmSync(folder, { recursive: true });
  }
};

/** New visitors, in turns: a machine that is busy for a while is so for both. */
async function firstAnswers(labFolder: string, bareFolder: string): Promise<readonly Figure[]> {
  const times: Record<'lab' | 'bare', number[]> = { lab: [], bare: [] };
  const browser = await undebugged();
  const firstAnswer = async (folder: string) => {
    // An address of its own for each visit: nothing of it is cached.
    const { url, close } = await serveFolder(folder);
    try {
      return await browser.timeOf(url, 'first-answer');
    } finally {
      close();
    }
  };
  try {
    for (let i = 0; i < VISITS; i++) {
      times.bare.push(await firstAnswer(bareFolder));
      times.lab.push(await firstAnswer(labFolder));
    }
  } finally {
    await browser.stop();
  }
  return [
    { name: 'first answer, the lab, median', value: median(times.lab), unit: 'ms' },
    { name: 'first answer, a bare page, median', value: median(times.bare), unit: 'ms' },
    {
      name: 'first answer, the lab against the bare page, median of the pairs',
      value: median(times.lab.map((time, i) => time / times.bare[i]!)),
      unit: 'times',
      most: MAX_RATIO,
    },
  ];
}

async function longestTasks(browser: Browser, lab: string, bare: string): Promise<readonly Figure[]> {
  if (!existsSync(`${DEBIAN}/initrd`)) return [];
  const tasks: Record<'lab' | 'bare', number[]> = { lab: [], bare: [] };
  for (let i = 0; i < BOOTS; i++) {
    tasks.bare.push(await longestTask(browser, `${bare}#boot`, bootBare, '#console'));
    tasks.lab.push(await longestTask(browser, lab, bootLab, '.xterm-rows'));
  }
  return [
    {
      name: 'longest task of a stock boot, 30 s at most, the lab, median',
      value: median(tasks.lab),
      unit: 'ms',
    },
    {
      name: 'longest task of a stock boot, 30 s at most, a bare page, median',
      value: median(tasks.bare),
      unit: 'ms',
    },
    {
      name: 'longest task, the lab against the bare page',
      value: median(tasks.lab) / median(tasks.bare),
      unit: 'times',
      most: MAX_RATIO,
    },
  ];
}

async function longestTask(
  browser: Browser,
  url: string,
  boot: (page: Page) => Promise<void>,
  console: string,
): Promise<number> {
  const { page, close } = await visit(browser, url);
  const tasks = await watchTasks(browser, page);
  await boot(page);
  const ready = says(page, console, /guest ready/).catch(() => {}); // the page may be gone by then
  await Promise.race([ready, setTimeout(BOOT_MS)]);
  const { wall } = await tasks.stop();
  await close();
  return wall;
}

async function bootLab(page: Page): Promise<void> {
  await idle(page);
  await page.locator('input[type=file]').setInputFiles([`${DEBIAN}/vmlinuz`, `${DEBIAN}/initrd`]);
}

async function bootBare(page: Page): Promise<void> {
  const [kernel, initrd] = ['vmlinuz', 'initrd'].map((name) => readFileSync(`${DEBIAN}/${name}`, 'base64'));
  await page.evaluate(
    (files) => {
      const [first, second] = files.map((text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
      const { boot } = globalThis as unknown as { boot(kernel?: Uint8Array, initrd?: Uint8Array): void };
      boot(first, second);
    },
    [kernel!, initrd!],
  );
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};

/** With the headers that isolate the lab. */
async function serveFolder(folder: string): Promise<{ url: string; close(): void }> {
  const server = createServer((asked, response) => {
    const path = (asked.url ?? '/').replace(/[?#].*/s, '');
    const file = join(folder, path === '/' ? 'index.html' : path);
    if (!existsSync(file)) return void response.writeHead(404).end();
    response
      .writeHead(200, {
        'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream',
        'Cross-Origin-Opener-Policy': 'same-origin',
        'Cross-Origin-Embedder-Policy': 'require-corp',
        'Cross-Origin-Resource-Policy': 'same-origin',
        'Cache-Control': 'no-cache',
      })
      .end(readFileSync(file));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
