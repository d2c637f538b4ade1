/** Visits without a debugger: one that is attached holds each worker until it is let go, which a reader's browser does not. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { chromium } from 'playwright-core';
import { CHROMIUM, FLAGS } from '../../test/support/browser.ts';

/** How long a page may take until its mark is read, in milliseconds. */
const VISIT_MS = 2500;

export interface Undebugged {
  /** Opens a page, and reads the time of its mark afterwards, in milliseconds since the navigation. */
  timeOf(url: string, mark: string): Promise<number>;
  stop(): Promise<void>;
}

export async function undebugged(): Promise<Undebugged> {
  const profile = mkdtempSync(join(tmpdir(), 'commonhv-profile-'));
  const args = [...FLAGS, '--headless', '--remote-debugging-port=0', `--user-data-dir=${profile}`];
  const child = spawn(CHROMIUM!, [...args, 'about:blank'], { stdio: ['ignore', 'ignore', 'pipe'] });
  const port = await portOf(child);
  const browser = `http://127.0.0.1:${port}`;
  return {
    async timeOf(url, mark) {
      await fetch(`${browser}/json/new?${url}`, { method: 'PUT' });
      await setTimeout(VISIT_MS);
      const debuggee = await chromium.connectOverCDP(browser);
      try {
        const pages = debuggee.contexts().flatMap((context) => context.pages());
        const page = pages.find((each) => each.url().startsWith(url));
        if (page === undefined) throw new Error(`bench: the browser did not open ${url}`);
        await page.waitForFunction((name) => performance.getEntriesByName(name).length > 0, mark);
        const time = await page.evaluate((name) => performance.getEntriesByName(name)[0]!.startTime, mark);
        await page.close();
        return time;
      } finally {
        await debuggee.close();
      }
    },
    async stop() {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill();
      await ended;
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

/** The port that a browser says it listens at. */
function portOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stderr!.on('data', (bytes: Buffer) => {
      text += bytes.toString();
      const found = /DevTools listening on ws:\/\/127\.0\.0\.1:(\d+)\//.exec(text);
      if (found) resolve(found[1]!);
    });
    child.once('exit', () => reject(new Error(`bench: the browser ended: ${text.slice(0, 200)}`)));
  });
}
