// One virtual machine of the bed: QEMU with three sockets of virtio ports. Control carries `ready`, `run` and `status` lines;
// the command's standard output and standard error have a port each. Where it is saved or resumed, a fourth is QEMU's monitor.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const BOOT_MS = 180_000;
const OUTPUT_MS = 10_000;
const MONITOR_MS = 60_000;
/** TCG's AMD SVM with nested paging; the smallest model boots fastest. */
export const CPU = 'qemu64,+svm,+npt,+ssse3,+sse4.1,+sse4.2,+popcnt';
const COMMAND_LINE = [
  ...['console=ttyS0', 'quiet', 'mitigations=off', 'nokaslr', 'tsc=reliable', 'no_timer_check'],
  ...['cryptomgr.notests', 'random.trust_cpu=on', 'audit=0', 'panic=-1'],
].join(' ');

/** The command used all of the time that it has; the command line exits with status 124. */
export class OutOfTime extends Error {}

/** Listens on a Unix socket in `folder`; `socket` resolves when QEMU has connected. */
async function port(folder, name) {
  const path = join(folder, name);
  const server = createServer();
  server.listen(path);
  await once(server, 'listening');
  const socket = once(server, 'connection').then(([connection]) => {
    server.close();
    return connection;
  });
  socket.catch(() => {});
  return { path, socket, server };
}

/**
 * Arguments of QEMU, without the program. With -icount the bed's time is the count of its instructions, 4 ns each: on a busy
 * host the kernel otherwise calibrates its TSC wrongly (573 MHz for 2,594 were seen), and its guests' timers stop.
 * `state` is a folder: with `saving` the memory is a file in it; otherwise the machine is resumed from it.
 */
function qemuArguments({ image, project, memory, cpu, vmgenid, log, ports, state, saving }) {
  const names = ['control', 'out', 'err'];
  const path = (text) => text.replaceAll(',', ',,');
  const backend = `memory-backend-file,id=ram,size=${memory}M,mem-path=${path(`${state}/ram`)},share=${saving ? 'on' : 'off'}`;
  return [
    ...['-accel', 'tcg,tb-size=512', '-icount', 'shift=2,sleep=on', '-cpu', cpu, '-smp', '1'],
    ...['-m', `${memory}M`, '-machine', state === undefined ? 'q35' : 'q35,memory-backend=ram'],
    ...(state === undefined ? [] : ['-object', backend]),
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-kernel', image.vmlinuz, '-initrd', image.initrd, '-append', COMMAND_LINE],
    // A machine that is resumed has to find on its disks all that was written before it was saved.
    ...[image.root, project].flatMap((file, i) => [
      ...[
        '-drive',
        `if=none,id=disk${i},file=${path(file)},format=raw,snapshot=${saving && i === 1 ? 'off' : 'on'}`,
      ],
      ...['-device', `virtio-blk-pci,drive=disk${i}`],
    ]),
    ...['-device', 'virtio-rng-pci', '-device', 'virtio-serial-pci'],
    ...names.flatMap((name, i) => [
      ...['-chardev', `socket,id=${name},path=${path(ports[i].path)}`],
      ...['-device', `virtserialport,chardev=${name},nr=${i + 1},name=${name}`],
    ]),
    ...(vmgenid ? ['-device', 'vmgenid,guid=auto'] : []),
    ...(state === undefined
      ? []
      : [
          '-chardev',
          `socket,id=monitor,path=${path(ports[3].path)}`,
          '-mon',
          'chardev=monitor,mode=control',
        ]),
    ...(state !== undefined && !saving ? ['-incoming', 'defer'] : []),
    ...['-serial', `file:${path(log)}`],
  ];
}

/** A promise that rejects after `ms`, with a text made then. */
async function within(ms, promise, text) {
  const abort = new AbortController();
  const late = sleep(ms, undefined, { signal: abort.signal }).then(
    () => {
      throw new Error(text());
    },
    () => {},
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    abort.abort();
  }
}

/** Lines of a socket, one at a time. */
function lineReader(socket) {
  let pending = '';
  const lines = [];
  let wake = () => {};
  socket.setEncoding('utf8').on('data', (chunk) => {
    const parts = (pending + chunk).split('\n');
    pending = parts.pop();
    lines.push(...parts);
    wake();
  });
  return async () => {
    while (lines.length === 0) {
      await new Promise((resolve) => {
        wake = resolve;
      });
    }
    return lines.shift();
  };
}

/** Relays a socket to a stream; `count` is the number of bytes so far. */
function relay(socket, stream) {
  const state = { count: 0, wait };
  let wake = () => {};
  socket.on('data', (chunk) => {
    state.count += chunk.length;
    if (!stream.write(chunk)) {
      socket.pause();
      stream.once('drain', () => socket.resume());
    }
    wake();
  });
  async function wait(size) {
    while (state.count < size) {
      await new Promise((resolve) => {
        wake = resolve;
      });
    }
  }
  return state;
}

/** QEMU's monitor, QMP: one command at a time. */
async function openMonitor(socket, failed) {
  const line = lineReader(socket);
  const next = async (wanted) => {
    for (;;) {
      const message = JSON.parse(
        await within(MONITOR_MS, Promise.race([line(), failed]), () => 'QEMU’s monitor is silent'),
      );
      if (message.error) throw new Error(`QEMU: ${message.error.desc}`);
      if (wanted in message) return message[wanted];
    }
  };
  await next('QMP');
  const execute = (name, more) => {
    socket.write(`${JSON.stringify({ execute: name, arguments: more })}\n`);
    return next('return');
  };
  await execute('qmp_capabilities');
  // The memory is a file of its own.
  await execute('migrate-set-capabilities', {
    capabilities: [{ capability: 'x-ignore-shared', state: true }],
  });
  return {
    execute,
    async until(name, done) {
      for (const late = Date.now() + MONITOR_MS; !done(await execute(name)); await sleep(50)) {
        if (Date.now() > late) throw new Error(`QEMU: ${name} does not end`);
      }
    },
  };
}

/** A running machine: `run` a script, `save` it, `end` it. Nothing is left running: by `timeout` even when this process is killed. */
async function start(options) {
  const { qemu, work, seconds, cpuSeconds, signal, state, saving } = options;
  const sockets = mkdtempSync(join(tmpdir(), 'bed-')); // a socket's path has at most 107 characters
  const names = ['control', 'out', 'err', ...(state === undefined ? [] : ['monitor'])];
  const ports = await Promise.all(names.map((name) => port(sockets, name)));
  const log = join(work, 'console.log');
  const args = qemuArguments({ ...options, ports, log });
  const limit = Math.ceil(seconds + BOOT_MS / 1000);
  const limited = cpuSeconds ? ['sh', '-c', `ulimit -S -t ${cpuSeconds} && exec "$@"`, 'sh', qemu] : [qemu];
  const child = spawn('timeout', ['--kill-after=5', `${limit}`, ...limited, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let complaints = '';
  child.stderr.on('data', (chunk) => {
    complaints += chunk;
  });
  const consoleTail = () => complaints + (existsSync(log) ? readFileSync(log, 'latin1').slice(-2000) : '');
  const failed = new Promise((_, reject) => {
    child.on('error', reject);
    child.on('exit', (status, by) => {
      if (by === 'SIGXCPU' || status === 128 + constants.signals.SIGXCPU)
        reject(new OutOfTime(`not done after ${cpuSeconds} s of processor time (--cpu-seconds)`));
      reject(new Error(`QEMU ended with ${by ?? `status ${status}`}; its console: ${consoleTail()}`));
    });
    signal.addEventListener('abort', () => reject(signal.reason));
  });
  failed.catch(() => {});
  async function end() {
    child.kill('SIGTERM');
    for (const { server } of ports) server.close();
    rmSync(sockets, { recursive: true, force: true });
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
  try {
    const [control, out, err, monitor] = await Promise.race([
      Promise.all(ports.map(({ socket }) => socket)),
      failed,
    ]);
    rmSync(sockets, { recursive: true, force: true }); // nobody connects again
    for (const socket of [control, out, err]) socket.on('error', () => {});
    const machine = {
      control,
      outputs: [relay(out, process.stdout), relay(err, process.stderr)],
      monitor: monitor && (await openMonitor(monitor, failed)),
      line: lineReader(control),
      failed,
      consoleTail,
      end,
    };
    if (state === undefined || saving) await ready(machine, options);
    else await loadState(machine, options);
    return machine;
  } catch (error) {
    await end();
    throw error;
  }
}

const next = ({ line, failed }, ms, text) => within(ms, Promise.race([line(), failed]), text);

async function ready(machine, { verbose }) {
  const started = performance.now();
  const text = await next(
    machine,
    BOOT_MS,
    () => `the bed did not boot; its console: ${machine.consoleTail()}`,
  );
  if (verbose)
    console.error(`bed: ${text.slice(6)}, after ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

async function loadState({ monitor }, { state, verbose }) {
  const started = performance.now();
  await monitor.execute('migrate-incoming', { uri: `exec:cat <${quoted(join(state, 'state'))}` });
  await monitor.until('query-status', ({ status }) => status !== 'inmigrate');
  await monitor.execute('cont');
  if (verbose) console.error(`bed: resumed, after ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

async function saveState({ monitor }, { state, verbose }) {
  const started = performance.now();
  await monitor.execute('stop');
  await monitor.execute('migrate', { uri: `exec:cat >${quoted(join(state, 'state'))}` });
  await monitor.until('query-migrate', ({ status, 'error-desc': why }) => {
    if (status === 'failed') throw new Error(`QEMU: ${why ?? 'the state cannot be saved'}`);
    return status === 'completed';
  });
  if (verbose) console.error(`bed: saved, after ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** Runs a shell script with the output on this process's; its exit status, 124 when `seconds` are over. */
async function run(machine, script, seconds) {
  const { control, outputs, failed } = machine;
  const before = outputs.map(({ count }) => count);
  control.write(`run ${Buffer.from(script).toString('base64')}\n`);
  const answer = await next(machine, seconds * 1000, () => 'time').catch((error) => {
    if (error.message === 'time') return undefined;
    throw error;
  });
  if (answer === undefined) {
    console.error(`bed: not done after ${seconds} s (--timeout)`);
    return 124;
  }
  const [, status, ...sizes] = answer.split(' ').map(Number);
  const all = Promise.all(outputs.map((output, i) => output.wait(before[i] + (sizes[i] || 0))));
  await within(OUTPUT_MS, Promise.race([all, failed]), () => 'the output did not arrive in full');
  return status;
}

/** Runs one shell script in a machine: booted, or resumed from the folder `state`. Resolves with its exit status. */
export async function runInBed(options, script) {
  const machine = await start(options);
  try {
    return await run(machine, script, options.seconds);
  } finally {
    await machine.end();
  }
}

/** Boots a machine, runs a script in it where there is one, and saves it to the folder `state`. Resolves with the exit status. */
export async function saveBed(options, script) {
  const machine = await start({ ...options, saving: true });
  try {
    const status = script === undefined ? 0 : await run(machine, script, options.seconds);
    if (status === 0) await saveState(machine, options);
    return status;
  } finally {
    await machine.end();
  }
}
