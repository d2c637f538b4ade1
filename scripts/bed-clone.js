// A newcomer in the KVM bed: a command in a fresh clone of HEAD there. The bed has no network, so npm, npm's cache and bash are
// brought along.
// Usage: node scripts/bed-clone.js [--installed] SECONDS COMMAND     COMMAND is a line for the shell, in the clone
//   --installed   npm ci and the builds ran outside: in the bed they take some ten minutes
// Exit status: the command's; 124 out of time; 3 something is missing on this machine.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { copyProgram, programPath } from './bed/image.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const args = process.argv.slice(2);
const installed = args[0] === '--installed';
const [seconds, command] = args.slice(installed ? 1 : 0);
const work = mkdtempSync(join(tmpdir(), 'bed-clone-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));
let bed;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => (bed === undefined ? process.exit(130) : bed.kill(signal)));

const place = (name) => join(work, name);
const options = { cwd: place('clone'), stdio: ['ignore', 'ignore', 'inherit'] };
execFileSync('git', ['clone', '--quiet', root, place('clone')], { stdio: 'inherit' });
execFileSync('npm', ['ci', '--silent', '--cache', place('npm-cache')], options);
const registry = execFileSync('npm', ['config', 'get', 'registry'], {
  ...options,
  encoding: 'utf8',
  stdio: 'pipe',
});
if (installed) {
  execFileSync('npm', ['run', '--silent', 'build'], options);
  execFileSync(process.execPath, ['scripts/build-tests.js'], options);
} else rmSync(join(place('clone'), 'node_modules'), { recursive: true });
copyProgram(programPath('bash'), place('bash'), '/bash');

const script = `
mkdir /run/bin
for name in npm npx; do ln -s /project/npm/bin/$name-cli.js /run/bin/$name; done
printf '#!/bin/sh\\nLD_LIBRARY_PATH=$(echo /project/bash/lib/*) exec /project/bash/bash "$@"\\n' >/run/bin/bash
chmod +x /run/bin/bash
export PATH=/run/bin:$PATH npm_config_cache=/project/npm-cache npm_config_offline=true
export npm_config_registry=${registry.trim()}
cd /project/clone
${command}`;
const npm = dirname(dirname(realpathSync(programPath('npm'))));
const added = ['clone', 'npm-cache', 'bash'].map((name) => `${place(name)}=`);
const adds = [...added, `${npm}=npm`].flatMap((path) => ['--add', path]);
bed = spawn(
  process.execPath,
  [join(root, 'scripts/bed.js'), '--verbose', '--memory', '4096', '--timeout', seconds, ...adds, script],
  { stdio: 'inherit' },
);
const [status] = await once(bed, 'exit');
process.exitCode = status ?? 2;
