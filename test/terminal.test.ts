/** A guest at a real pseudo-terminal, by util-linux's script: Ctrl-] ends it, whatever the guest does with its line. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { kernel, SPIN, send } from './support/guests.ts';
import { skipUnless } from './support/require.ts';
import { scaled } from './support/time.ts';

const folder = mkdtempSync(join(tmpdir(), 'commonhv-terminal-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const hasTerminal = spawnSync('script', ['-qec', 'true', '/dev/null']).status === 0;
const skip = skipUnless('terminal', hasTerminal, 'script (util-linux) makes no pseudo-terminal here');
const limit = { timeout: scaled(60_000), skip };

function image(name: string, ...code: readonly number[]): string {
  const path = join(folder, name);
  writeFileSync(path, kernel([...code]));
  return path;
}

/** A command line at a terminal of 80 columns; `shown` is everything that the terminal showed. */
function atTerminal(words: readonly string[]): { child: ChildProcess; shown: () => string } {
  const line = `stty columns 80 rows 24; exec ${[process.execPath, 'dist/cli/bin.js', ...words].join(' ')}`;
  const child = spawn('script', ['-qefc', line, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
  let text = '';
  child.stdout!.on('data', (bytes: Buffer) => {
    text += bytes.toString('latin1');
  });
  return { child, shown: () => text };
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (const late = Date.now() + scaled(20_000); !condition(); await sleep(20))
    assert.ok(Date.now() < late, what);
}

for (const command of ['run', 'trace']) {
  test(
    `${command}: Ctrl-] ends a guest that never reads its line, whatever was typed before`,
    limit,
    async () => {
      const { child, shown } = atTerminal([command, image(`silent-${command}`, ...SPIN)]);
      const ended = once(child, 'exit');
      await until(() => /booting/.test(shown()), 'no line about the boot');
      await sleep(scaled(500));
      for (let i = 0; i < 40; i++) child.stdin!.write('keys that nobody reads '.repeat(20));
      await sleep(200);
      child.stdin!.write('\x1d');
      const start = performance.now();
      const [status] = await ended;
      assert.ok(performance.now() - start < scaled(10_000), 'it went on');
      assert.match(shown(), /the guest was ended by Ctrl-\]/);
      assert.equal(status, 0, shown());
    },
  );
}

test('verify --list: a terminal breaks a text below itself, a pipe has a rule a line', limit, async () => {
  const { child, shown } = atTerminal(['verify', '--list']);
  child.stdin!.end();
  await once(child, 'exit');
  const narrow = shown().trimEnd().split(/\r?\n/);
  assert.ok(narrow.length > 100 && narrow.every((line) => line.length <= 80), shown());
  const piped = spawnSync(process.execPath, ['dist/cli/bin.js', 'verify', '--list'], { encoding: 'utf8' });
  const wide = piped.stdout.trimEnd().split('\n');
  assert.ok(wide.every((line) => /^[a-z]+\.[\w-]+ +(MUST|SHOULD|MAY|advisory) +\S/.test(line)));
  const words = (lines: readonly string[]) => lines.join(' ').split(/\s+/);
  assert.deepEqual(words(narrow), words(wide));
});

test('detect --features and --diff: long lists of names go on below themselves', limit, async () => {
  const dumps = ['test/dumps/01-azure-tdx.txt', 'test/dumps/30-proxmox.txt'];
  for (const [words, most] of [
    [['detect', '--from', dumps[0]!, '--features'], 100],
    [['detect', '--diff', ...dumps], 130],
  ] as const) {
    const { child, shown } = atTerminal(words);
    child.stdin!.end();
    await once(child, 'exit');
    const lines = shown().trimEnd().split(/\r?\n/);
    assert.ok(lines.length > 20);
    // The line about the missing leaf is above them.
    const rows = lines.filter((line) => /^(?: |Hyper-V|0x)/.test(line));
    assert.deepEqual(
      rows.filter((line) => line.length > most),
      [],
    );
  }
});

test(
  'a guest that prints is shown, then ended by Ctrl-]; a silent one shows the time that passes',
  limit,
  async () => {
    const { child, shown } = atTerminal(['run', image('prints', ...send('h'), ...send('i'), ...SPIN)]);
    const ended = once(child, 'exit');
    await until(() => shown().includes('hi'), 'the guest was not shown');
    child.stdin!.write('\x1d');
    await ended;
    assert.match(shown(), /after \d+\.\d s; commonhv trace .*prints shows its CPUIDs and MSRs/);
    const silent = atTerminal(['run', image('silent', ...SPIN)]);
    const gone = once(silent.child, 'exit');
    await until(() => / \d+ s/.test(silent.shown()), 'no time was shown');
    silent.child.stdin!.write('\x1d');
    await gone;
  },
);
