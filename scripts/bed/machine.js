// One virtual machine of the bed: QEMU with three sockets of virtio ports. Control carries `ready`, `run` and `status` lines;
// the command's standard output and standard error have a port each.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const BOOT_MS = 180_000;
const OUTPUT_MS = 10_000;
/** TCG's AMD SVM with nested paging; the smallest model boots fastest. */
export const CPU = 'qemu64,+svm,+npt,+ssse3,+sse4.1,+sse4.2,+popcnt';
const COMMAND_LINE = [
  ...['console=ttyS0', 'quiet', 'mitigations=off', 'nokaslr', 'tsc=reliable', 'no_timer_check'],
  ...['cryptomgr.notests', 'random.trust_cpu=on', 'audit=0', 'panic=-1'],
].join(' ');

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
 */
function qemuArguments({ image, project, memory, cpu, log, ports, extra }) {
  const names = ['control', 'out', 'err'];
  return [
    ...[
      '-accel',
      'tcg,tb-size=512',
      '-icount',
      'shift=2,sleep=on',
      '-machine',
      'q35',
      '-cpu',
      cpu,
      '-smp',
      '1',
      '-m',
      `${memory}M`,
    ],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-kernel', image.vmlinuz, '-initrd', image.initrd, '-append', COMMAND_LINE],
    ...[image.root, project].flatMap((file, i) => [
      ...['-drive', `if=none,id=disk${i},file=${file.replaceAll(',', ',,')},format=raw,snapshot=on`],
      ...['-device', `virtio-blk-pci,drive=disk${i}`],
    ]),
    ...['-device', 'virtio-rng-pci', '-device', 'virtio-serial-pci'],
    ...names.flatMap((name, i) => [
      ...['-chardev', `socket,id=${name},path=${ports[i].path.replaceAll(',', ',,')}`],
      ...['-device', `virtserialport,chardev=${name},nr=${i + 1},name=${name}`],
    ]),
    ...['-serial', `file:${log.replaceAll(',', ',,')}`],
    ...extra,
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

/**
 * Boots the bed, runs one shell script in it with the output on this process's, and resolves with its exit status; 124 when
 * `seconds` are over. Nothing is left running: QEMU ends with this call, by `timeout` when this process is killed.
 */
export async function runInBed(options, script) {
  const { qemu, work, seconds, verbose, signal } = options;
  const sockets = mkdtempSync(join(tmpdir(), 'bed-')); // a socket's path has at most 107 characters
  const ports = await Promise.all(['control', 'out', 'err'].map((name) => port(sockets, name)));
  const log = join(work, 'console.log');
  const args = qemuArguments({ ...options, ports, log });
  const limit = Math.ceil(seconds + BOOT_MS / 1000);
  const child = spawn('timeout', ['--kill-after=5', `${limit}`, qemu, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let complaints = '';
  child.stderr.on('data', (chunk) => {
    complaints += chunk;
  });
  const consoleTail = () => complaints + (existsSync(log) ? readFileSync(log, 'latin1').slice(-2000) : '');
  const ended = new Promise((_, reject) => {
    child.on('error', reject);
    child.on('exit', (status, by) => {
      reject(new Error(`QEMU ended with ${by ?? `status ${status}`}; its console: ${consoleTail()}`));
    });
    signal.addEventListener('abort', () => reject(signal.reason));
  });
  ended.catch(() => {});
  const started = performance.now();
  try {
    const [control, out, err] = await Promise.race([Promise.all(ports.map(({ socket }) => socket)), ended]);
    for (const socket of [control, out, err]) socket.on('error', () => {});
    const line = lineReader(control);
    const outputs = [relay(out, process.stdout), relay(err, process.stderr)];
    const next = (ms, text) => within(ms, Promise.race([line(), ended]), text);
    const ready = await next(BOOT_MS, () => `the bed did not boot; its console: ${consoleTail()}`);
    if (verbose)
      console.error(`bed: ${ready.slice(6)}, after ${((performance.now() - started) / 1000).toFixed(1)} s`);
    control.write(`run ${Buffer.from(script).toString('base64')}\n`);
    const answer = await next(seconds * 1000, () => 'time').catch((error) => {
      if (error.message === 'time') return undefined;
      throw error;
    });
    if (answer === undefined) {
      console.error(`bed: not done after ${seconds} s (--timeout)`);
      return 124;
    }
    const [, status, ...sizes] = answer.split(' ').map(Number);
    const all = Promise.all(outputs.map((output, i) => output.wait(sizes[i] || 0)));
    await within(OUTPUT_MS, Promise.race([all, ended]), () => 'the output did not arrive in full');
    return status;
  } finally {
    child.kill('SIGTERM');
    for (const { server } of ports) server.close();
    rmSync(sockets, { recursive: true, force: true });
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
}
