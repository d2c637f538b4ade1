/** A real browser for the lab's tests: Chromium, the lab built and served by `commonhv lab`, and a page that is watched. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Browser, chromium, type Page } from 'playwright-core';
import type { InlineConfig } from 'vite';

/** How long a test waits for the page, in milliseconds: a kernel boots in it, and the machine may be busy. */
const TIMEOUT_MS = 120_000;

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
export const CHROMIUM = process.env.COMMONHV_CHROMIUM ?? PLACES.find((path) => existsSync(path));

/** Nothing but the page itself: no first-run pages, no look-ups of its own. */
export const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // Each new window loads pages of the browser's own for its address bar: as much work as the lab's. A later switch replaces
  // Playwright's, so those of its features follow that matter here.
  `--disable-features=${[
    'WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup',
    'HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,MediaRouter,OptimizationHints,NetworkTimeServiceQuerying',
    'AimEnabled,PaintHolding,PreconnectToSearch,DestroyProfileOnBrowserClose',
  ].join()}`,
];

/** Vite is loaded where it builds: its compiled part wants libraries that a small system lacks, and then there is no browser. */
export const vite = async (options: InlineConfig) => (await import('vite')).build(options);

export const buildLab = () => vite({ root: 'lab', logLevel: 'error' });

export const launch = (): Promise<Browser> =>
  chromium.launch({ executablePath: CHROMIUM!, args: FLAGS, timeout: TIMEOUT_MS });

export interface Served {
  readonly url: string;
  stop(): Promise<number | null>;
}

/** `commonhv lab`, as a person starts it. */
export async function serveLab(): Promise<Served> {
  const child: ChildProcess = spawn(process.execPath, ['dist/cli/bin.js', 'lab', '--port', '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  const url = await new Promise<string>((resolve, reject) => {
    let text = '';
    child.stdout!.on('data', (bytes: Buffer) => {
      text += bytes.toString();
      const found = /http:\/\/127\.0\.0\.1:\d+\//.exec(text);
      if (found) resolve(found[0]);
    });
    void ended.then((code) => reject(new Error(`commonhv lab ended with ${code}: ${text}`)));
  });
  return {
    url,
    stop() {
      child.kill('SIGTERM');
      return ended;
    },
  };
}

export interface Visit {
  readonly page: Page;
  /** What went wrong in the page so far: errors thrown, logged, or refused by the policy. */
  readonly wrong: string[];
  /** The addresses that it asked for. */
  readonly asked: string[];
  close(): Promise<void>;
}

export interface VisitOptions {
  readonly width?: number;
  readonly height?: number;
  readonly scheme?: 'light' | 'dark';
  /** Runs before the page's own scripts. */
  readonly before?: () => void;
}

/** A fresh visitor's page. */
export async function visit(browser: Browser, url: string, options: VisitOptions = {}): Promise<Visit> {
  const { width = 1280, height = 900, scheme = 'light', before } = options;
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme });
  const page = await context.newPage();
  const wrong: string[] = [];
  const asked: string[] = [];
  page.on('pageerror', (error) => wrong.push(`thrown: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error') wrong.push(`logged: ${message.text()}`);
  });
  // A page or a worker that ends takes its requests with it.
  page.on('requestfailed', (request) => {
    if (request.failure()?.errorText !== 'net::ERR_ABORTED') wrong.push(`not loaded: ${request.url()}`);
  });
  page.on('request', (request) => {
    const address = request.url();
    if (address.startsWith('blob:')) return;
    asked.push(address);
    if (!address.startsWith(new URL(url).origin)) wrong.push(`asked elsewhere: ${address}`);
  });
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
      // biome-ignore lint/suspicious/noConsole: in the page, where the listener above hears it
      console.error(`refused by the policy: ${violatedDirective} ${blockedURI}`);
    });
  });
  if (before) await page.addInitScript(before);
  page.setDefaultTimeout(TIMEOUT_MS);
  await page.goto(url);
  return { page, wrong, asked, close: () => context.close() };
}

export type InPage = (
  fragment: string,
  control: (page: Page) => Promise<void>,
  options?: VisitOptions,
) => Promise<void>;

/**
 * Repeats a check until it passes, and throws its last error where it never does. The page draws by frames, its values come in
 * batches, and the browser tells of a new address later than of the click: a busy machine takes its time for each.
 */
export async function eventually(check: () => Promise<void> | void): Promise<void> {
  const end = performance.now() + TIMEOUT_MS;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() > end) throw error;
    }
    await sleep(50);
  }
}

/** Waits until the first element of a part of the page reads so. */
export const reads = (page: Page, selector: string, wanted: RegExp | string): Promise<void> =>
  eventually(async () => {
    const text = await textOf(page, selector);
    if (typeof wanted === 'string') assert.equal(text, wanted);
    else assert.match(text, wanted);
  });

/** Waits until the address reads so. */
export const addressed = (page: Page, wanted: RegExp): Promise<void> =>
  eventually(() => assert.match(page.url(), wanted));

export const press = (page: Page, name: string) => page.getByRole('button', { name, exact: true }).click();

/** Waits until a part of the page says something. */
export const says = async (page: Page, selector: string, what: RegExp): Promise<void> => {
  const { source, flags } = what;
  await page.waitForFunction(
    ([place, pattern, how]) =>
      new RegExp(pattern!, how).test(
        [...document.querySelectorAll(place!)]
          .map(({ textContent }) => textContent)
          .join(' ')
          .replace(/\s+/g, ' '),
      ),
    [selector, source, flags],
  );
};

/** Waits until every machine runs and nothing is being done. */
export async function idle(page: Page): Promise<void> {
  await page.waitForFunction(() => {
    const states = [...document.querySelectorAll('.state')].map(({ textContent }) => textContent);
    return states.length > 0 && states.every((state) => state === 'running');
  });
}

/** What a part of the page says, its spaces as they are seen. */
export async function textOf(page: Page, selector: string): Promise<string> {
  const text = await page.locator(selector).first().textContent();
  assert.ok(text !== null);
  return text.replace(/\s+/g, ' ').trim();
}

/** A register's hexadecimal digits in the table of leaves. */
export const register = (page: Page, name: string): Promise<string | null> =>
  page.locator(`.register[data-name="${name}"] code`).textContent();

/** Drops files of these bytes, where a reader who aims badly would. */
export async function dropFiles(page: Page, files: Readonly<Record<string, Uint8Array>>): Promise<void> {
  const transfer = await page.evaluateHandle(
    (given) => {
      const data = new DataTransfer();
      for (const [name, text] of given) {
        data.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
      }
      return data;
    },
    Object.entries(files).map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')] as const),
  );
  await eventually(async () => {
    await page.dispatchEvent('h1', 'dragover', { dataTransfer: transfer });
    assert.equal(await page.locator('.drop.over').count(), 1);
  });
  await page.dispatchEvent('h1', 'drop', { dataTransfer: transfer });
  await page.waitForSelector('.drop:not(.over)');
}
