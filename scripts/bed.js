// npm run bed -- [OPTIONS] COMMAND...: runs a command in a virtual machine that has a real /dev/kvm, on any x86-64 machine with
// QEMU: TCG emulates AMD's SVM with nested paging, and a stock Debian kernel there loads its kvm modules. See docs/bed.md.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { bedImage, cache, KERNELS, Missing, programPath } from './bed/image.js';
import { CPU, OutOfTime, runInBed, saveBed } from './bed/machine.js';
import { makeProject } from './bed/project.js';

const MIN_MEMORY = 128;
const MAX_MEMORY = 65_536;
const USAGE = `npm run bed -- [OPTIONS] COMMAND [ARGUMENT]...
Runs COMMAND in the project's folder inside of the KVM bed; its output and its exit status come back.
One argument is a line for the shell; several are a program and its arguments.
  --kernel cloud|full   Debian's cloud kernel boots fastest; the full one reads an MP table and has VMGenID (default cloud)
  --full                the same as --kernel full
  --vmgenid             the bed itself has a VM generation device, for which only the full kernel has a driver
  --resume              resumes a machine that was saved when it had booted, made when there is none: for development
  --prepare LINE        runs LINE, saves the machine, and runs COMMAND in a machine that is resumed from there
  --copies N            with --prepare: N machines, one after the other (default 1); stops at the first that fails
  --timeout SECONDS     limit for the command (default 600); then exit status 124
  --cpu-seconds N       limit of the processor time that boot and command use, however busy this machine is; then 124 too
  --memory MB           of the bed, at least ${MIN_MEMORY} (default 2048)
  --cpu MODEL           QEMU's CPU model (default ${CPU})
  --add FILE=PATH       a file or folder that is laid into the project's folder there; may be given again
  --verbose             says what booted, and how long it took
Exit status: the command's; 124 out of time; 2 wrong usage or a broken bed; 3 something is missing on this machine.`;

function fail(text, status = 2) {
  console.error(`bed: ${text}`);
  process.exit(status);
}

const OPTIONS = {
  kernel: { type: 'string', default: 'cloud' },
  full: { type: 'boolean', default: false },
  vmgenid: { type: 'boolean', default: false },
  resume: { type: 'boolean', default: false },
  prepare: { type: 'string' },
  copies: { type: 'string' },
  timeout: { type: 'string', default: '600' },
  'cpu-seconds': { type: 'string' },
  memory: { type: 'string', default: '2048' },
  cpu: { type: 'string', default: CPU },
  add: { type: 'string', multiple: true, default: [] },
  verbose: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
};

/** The options end at the first argument that is none: all that follows is the command's. */
function readArguments(args) {
  let at = 0;
  while (at < args.length && args[at].startsWith('--')) {
    if (args[at] === '--') {
      at++;
      break;
    }
    const name = args[at].slice(2).split('=')[0];
    at += OPTIONS[name]?.type === 'string' && !args[at].includes('=') ? 2 : 1;
  }
  try {
    const { values } = parseArgs({ args: args.slice(0, at).filter((arg) => arg !== '--'), options: OPTIONS });
    return { values, command: args.slice(at) };
  } catch (error) {
    return fail(`${error.message}; --help shows the options`);
  }
}

function positive(name, text, most) {
  const value = Number(text);
  if (!(value > 0 && value <= most)) fail(`--${name} ${text}: expected a number above 0, at most ${most}`);
  return value;
}

/** Whole MiB. The kernel and its initramfs do not boot with much less than MIN_MEMORY. */
function memorySize(text) {
  const value = Number(text);
  if (!(Number.isInteger(value) && value >= MIN_MEMORY && value <= MAX_MEMORY))
    fail(`--memory ${text}: expected a whole number of MiB, ${MIN_MEMORY} to ${MAX_MEMORY}`);
  return value;
}

function addition(text) {
  const [from, ...to] = text.split('=');
  if (statSync(from, { throwIfNoEntry: false }) === undefined)
    fail(`--add ${text}: expected FILE=PATH, and ${from} is not there`);
  return [from, to.join('=')];
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The host's COMMONHV_ variables hold inside too, except for its promises: the bed promises KVM that runs Linux. */
function shellScript(command) {
  const environment = {
    COMMONHV_TIME_SCALE: '10',
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith('COMMONHV_'))),
    COMMONHV_REQUIRE: 'kvm,kvm-linux',
    COMMONHV_BED: '1',
  };
  const exports = Object.entries(environment).map(([name, value]) => `export ${name}=${quoted(value)}\n`);
  const line = command.length === 1 ? command[0] : `exec ${command.map(quoted).join(' ')}`;
  return `${exports.join('')}${line}\n`;
}

const { values, command } = readArguments(process.argv.slice(2));
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
if (command.length === 0) fail('a COMMAND is missing; --help shows the options');
const kernel = values.full ? 'full' : values.kernel;
if (!KERNELS.includes(kernel)) fail(`--kernel ${values.kernel}: expected ${KERNELS.join(' or ')}`);
const seconds = positive('timeout', values.timeout, 86_400);
const memory = memorySize(values.memory);
const cpuSeconds = values['cpu-seconds'] && Math.ceil(positive('cpu-seconds', values['cpu-seconds'], 86_400));
const added = values.add.map(addition);
if (values.prepare !== undefined && values.resume) fail('--prepare contradicts --resume');
if (values.copies !== undefined && values.prepare === undefined) fail('--copies goes with --prepare');
const copies = positive('copies', values.copies ?? '1', 1000);
if (!Number.isInteger(copies)) fail(`--copies ${values.copies}: expected a whole number`);
if (values.vmgenid && kernel !== 'full') fail('--vmgenid goes with --full: the cloud kernel has no driver');

/** Removes what a run left that was killed: its folder names its process. */
function removeStale() {
  for (const name of readdirSync(cache)) {
    const [, pid] = /^run-(\d+)-/.exec(name) ?? [];
    if (pid !== undefined && !existsSync(`/proc/${pid}`))
      rmSync(join(cache, name), { recursive: true, force: true });
  }
}

/** A folder with a machine that has booted and waits: made by the first `--resume` with these options. */
async function bootedState(options) {
  const { image, memory, cpu, vmgenid, work } = options;
  const key = createHash('sha256').update(`${memory} ${cpu} ${vmgenid}`).digest('hex').slice(0, 16);
  const state = join(dirname(image.root), `state-${key}`);
  if (!existsSync(state)) {
    const making = join(work, 'state');
    mkdirSync(making);
    await saveBed({ ...options, state: making });
    // Two processes may make the same: the second finds the folder of the first, whole.
    if (!existsSync(state)) renameSync(making, state);
  }
  return state;
}

/** Runs the command as the options say, and resolves with its exit status. */
async function runAsAsked(options) {
  const script = shellScript(command);
  if (values.resume) return runInBed({ ...options, state: await bootedState(options) }, script);
  if (values.prepare === undefined) return runInBed(options, script);
  const state = join(options.work, 'state');
  mkdirSync(state);
  let status = await saveBed({ ...options, state }, shellScript([values.prepare]));
  for (let i = 0; i < copies && status === 0; i++) status = await runInBed({ ...options, state }, script);
  return status;
}

let work;
const clean = () => work && rmSync(work, { recursive: true, force: true });
process.on('exit', clean);
try {
  const qemu = programPath('qemu-system-x86_64');
  programPath('timeout');
  const image = bedImage(kernel, qemu);
  removeStale();
  work = mkdtempSync(join(cache, `run-${process.pid}-`));
  const project = join(work, 'project.img');
  makeProject(project, work, added);
  const options = {
    qemu,
    image,
    project,
    work,
    seconds,
    cpuSeconds,
    memory,
    cpu: values.cpu,
    vmgenid: values.vmgenid,
    verbose: values.verbose,
  };
  const abort = new AbortController();
  for (const [signal, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ]) {
    process.on(signal, () => abort.abort(status));
  }
  process.exitCode = await runAsAsked({ ...options, signal: abort.signal });
} catch (error) {
  if (!(error instanceof Error))
    process.exitCode = error; // a signal's status
  else {
    console.error(`bed: ${error.message}`);
    process.exitCode = error instanceof Missing ? 3 : error instanceof OutOfTime ? 124 : 2;
  }
}
