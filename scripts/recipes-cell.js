// node scripts/recipes-cell.js LANGUAGE: three copies of a stock 64-bit Debian guest under QEMU's TCG with the plugin and the agent in
// the guest: for how long the language's generators give two copies the same values. The last line is the result as JSON.
// LANGUAGE: openssl, python, go, java, node, node-tls.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { addNode, makeGuest, run } from './copies/guest.js';
import { alikeTimes } from './matrix/lib/clones.js';

process.chdir(new URL('..', import.meta.url).pathname);
const SOURCES = resolve('scripts/copies/recipes');

/** Debian's packages, unpacked below .cache/programs; the folders of them that a guest needs. */
function packages(name, list) {
  const folder = resolve('.cache/programs', name);
  run('sh', ['scripts/debian-programs.sh', 'amd64', folder, ...list.split(' ')]);
  return folder;
}
function addPackages(overlay, folder) {
  for (const part of ['bin', 'lib', 'lib64', 'usr/bin', 'usr/lib', 'etc/ssl']) {
    if (existsSync(join(folder, part)))
      cpSync(join(folder, part), join(overlay, part), { recursive: true, verbatimSymlinks: true });
  }
}
const OPENSSL = 'libc6 libssl3 openssl';
const PYTHON = `${OPENSSL} python3.11-minimal libpython3.11-minimal libpython3.11-stdlib zlib1g libexpat1 libffi8`;

const MATH = "process.stdin.on('data', () => console.log(Math.random().toString(36).slice(2)))";
const AUTO = '--import commonhv/restored/auto';
const node = (args) => `cd /opt && exec node ${args}`;
const python = (name) => `exec python3.11 /opt/recipe.py ${name}`;
const java = (name) =>
  `exec /opt/java/bin/java -Xmx16m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp /opt Recipe ${name}`;
const go = (name) => `exec /opt/recipe ${name}`;

/** Packages whose links lead to /etc, made to work where they are unpacked. */
function relinked(folder) {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.path, entry.name);
    const target = entry.isSymbolicLink() ? readlinkSync(path) : '';
    if (!target.startsWith('/etc/')) continue;
    rmSync(path);
    symlinkSync(join(folder, target), path);
  }
  return folder;
}

function addNodeRecipe(overlay) {
  addNode(overlay);
  cpSync(join(SOURCES, 'recipe.mjs'), join(overlay, 'opt/recipe.mjs'));
}

/** `programs`: the last one is the last to be ready. */
const LANGUAGES = {
  openssl: {
    programs: { 'openssl-rand': 'while read -r line; do openssl rand -hex 8; done' },
    fill: (overlay) => addPackages(overlay, packages('openssl', OPENSSL)),
  },
  python: {
    programs: {
      'python-random': python('random'),
      'python-ssl': python('ssl'),
      'python-uuid4': python('uuid4'),
      'python-fixed': python('fixed'),
    },
    fill(overlay) {
      addPackages(overlay, packages('python', PYTHON));
      cpSync(join(SOURCES, 'recipe.py'), join(overlay, 'opt/recipe.py'));
    },
  },
  go: {
    programs: { 'go-math': go('math'), 'go-crypto': go('crypto'), 'go-fixed': go('fixed') },
    fill(overlay) {
      const root = join(packages('go', 'golang-1.19-go golang-1.19-src'), 'usr/lib/go-1.19');
      const env = {
        GOROOT: root,
        GOCACHE: resolve('.cache/programs/go-cache'),
        GO111MODULE: 'off',
        CGO_ENABLED: '0',
      };
      mkdirSync(join(overlay, 'opt'), { recursive: true });
      const args = ['build', '-ldflags=-s -w', '-o', join(overlay, 'opt/recipe'), join(SOURCES, 'recipe.go')];
      run('env', [
        ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
        join(root, 'bin/go'),
        ...args,
      ]);
    },
  },
  java: {
    programs: Object.fromEntries(
      ['math', 'local', 'secure', 'uuid', 'drbg', 'fixed'].map((name) => [`java-${name}`, java(name)]),
    ),
    fill(overlay) {
      const jdk = relinked(packages('java', 'openjdk-17-jre-headless openjdk-17-jdk-headless'));
      const home = join(jdk, 'usr/lib/jvm/java-17-openjdk-amd64');
      addPackages(overlay, packages('java-libraries', 'libc6 zlib1g libgcc-s1 libstdc++6'));
      mkdirSync(join(overlay, 'opt'), { recursive: true });
      // The runtime with java.base alone: 40 MB instead of 190.
      const runtime = ['--add-modules', 'java.base', '--no-header-files', '--no-man-pages', '--vm', 'server'];
      run(join(home, 'bin/jlink'), [...runtime, '--output', join(overlay, 'opt/java')]);
      run(join(home, 'bin/javac'), ['-d', join(overlay, 'opt'), join(SOURCES, 'Recipe.java')]);
    },
  },
  node: {
    programs: {
      'node-math': node(`-e "${MATH}"`),
      'node-math-fixed': node(`${AUTO} -e "${MATH}"`),
      'node-worker': node('recipe.mjs worker'),
      'node-worker-fixed': node(`${AUTO} recipe.mjs worker`),
    },
    fill: addNodeRecipe,
  },
  'node-tls': {
    programs: {
      'node-hello': node('recipe.mjs hello'),
      'node-hello-fixed': node(`${AUTO} recipe.mjs hello`),
      'node-ticket': node('recipe.mjs ticket'),
      'node-ticket-fixed': node('recipe.mjs ticket-fixed'),
    },
    fill: addNodeRecipe,
  },
};

const language = process.argv[2];
if (!Object.hasOwn(LANGUAGES, language)) {
  console.error(`recipes-cell: ${language}: expected ${Object.keys(LANGUAGES).join(', ')}`);
  process.exit(2);
}
const { programs, fill } = LANGUAGES[language];
const folder = resolve('.cache/recipes', language);
mkdirSync(folder, { recursive: true });
makeGuest(folder, programs, fill);
run('make', ['-s', '-C', 'c/qemu-plugin', `OUT=${folder}`]);

const append =
  'console=ttyS0 quiet mitigations=off cryptomgr.notests tsc=reliable no_timer_check remedy=agent';
const qemu = (more) =>
  `qemu-system-x86_64 -accel tcg -cpu qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt -m 1024 -nodefaults -display none -no-reboot -plugin ${folder}/commonhv-plugin.so -kernel ${folder}/vmlinux -initrd ${folder}/initrd -append '${append}' ${more}`;
const monitor = join(folder, 'monitor');
const first = join(folder, 'first');
for (const file of [monitor, first]) rmSync(file, { force: true });
const last = Object.keys(programs).at(-1);
const save = `node scripts/qemu-save.js ${monitor} {state} ${first} ' ${last}=' & saver=$!; ${qemu(`-serial file:${first} -monitor unix:${monitor},server=on,wait=off`)}; wait $saver`;
const resume = `exec ${qemu(`-serial stdio -monitor none -incoming 'exec:cat {state}'`)}`;
const options = ['--copies', '3', '--seconds', '10', '--timeout', '400', '--format', 'json'];
const { status, stdout, stderr } = spawnSync(
  process.execPath,
  ['dist/cli/bin.cjs', 'clones', ...options, '--save', save, '--resume', resume],
  { encoding: 'utf8', timeout: 800_000, maxBuffer: 2 ** 28 },
);
process.stderr.write(stderr);
if (status !== 0 && status !== 1) {
  if (stdout !== '') console.error(`recipes-cell: ${JSON.parse(stdout).result}`);
  process.exit(status ?? 2);
}
console.log(JSON.stringify(alikeTimes(JSON.parse(stdout), ['getrandom', ...Object.keys(programs)])));
