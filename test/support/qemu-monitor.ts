/** A QEMU with its monitor on a Unix socket and the probe guest on its standard streams. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { scaled } from './time.ts';

/** Starts `command` with `-monitor` at the socket's path appended; resolves when the monitor answers. */
export async function startQemu(command: readonly string[], socketPath: string): Promise<Qemu> {
  const [program, ...args] = command;
  const child = spawn(program!, [...args, '-monitor', `unix:${socketPath},server=on,wait=off`], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const qemu = new Qemu(child, scaled(120_000));
  await qemu.until(() => existsSync(socketPath), 'the monitor’s socket');
  await qemu.open(socketPath);
  return qemu;
}

export class Qemu {
  readonly child: ChildProcess;
  readonly limit: number;
  #serial = '';
  #errors = '';
  #monitor = '';
  #socket: Socket | undefined;

  constructor(child: ChildProcess, limit: number) {
    this.child = child;
    this.limit = limit;
    child.stdout!.on('data', (bytes) => {
      this.#serial += bytes;
    });
    child.stderr!.on('data', (bytes) => {
      this.#errors += bytes;
    });
  }

  async until(condition: () => boolean, name: string): Promise<void> {
    const end = Date.now() + this.limit;
    while (!condition()) {
      if (this.child.exitCode !== null) throw new Error(`QEMU ended before ${name}: ${this.#errors}`);
      if (Date.now() > end) throw new Error(`no ${name} in time: ${this.#serial}${this.#errors}`);
      await sleep(20);
    }
  }

  async open(path: string): Promise<void> {
    this.#socket = connect(path);
    this.#socket.on('error', () => {});
    this.#socket.on('data', (bytes) => {
      this.#monitor += bytes;
    });
    // QEMU 11 prints no prompt where the connection comes before its monitor is there: an empty line asks for it.
    const ask = setInterval(() => this.#monitor === '' && this.#socket!.write('\n'), 2000);
    await this.until(() => this.#monitor.includes('(qemu) '), 'prompt').finally(() => clearInterval(ask));
  }

  /** A command of the human monitor; its output. */
  async monitor(command: string): Promise<string> {
    this.#monitor = '';
    this.#socket!.write(`${command}\n`);
    await this.until(() => this.#monitor.includes('(qemu) '), `prompt after ${command}`);
    return this.#monitor;
  }

  /** The probe has started since the last call. */
  async greeting(): Promise<void> {
    await this.until(() => this.#serial.includes('commonhv probe 2'), 'greeting');
    this.#serial = '';
  }

  /** One line to the probe, which waits for it; the group of `pattern` in its answer. */
  async ask(line: string, pattern: RegExp): Promise<string> {
    this.#serial = '';
    this.child.stdin!.write(`${line}\n`);
    await this.until(() => pattern.test(this.#serial), `answer to ${line}`);
    return pattern.exec(this.#serial)![1]!;
  }

  async close(): Promise<void> {
    this.#socket?.destroy();
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill();
    await Promise.race([ended, sleep(5_000, undefined, { ref: false })]);
    this.child.kill('SIGKILL');
  }
}

/** An empty qcow2 disk of 64 MiB, for savevm: header, one refcount block, an empty L1 table (QEMU, docs/interop/qcow2.txt). */
export function emptyQcow2(): Buffer {
  const cluster = 1 << 16;
  const disk = Buffer.alloc(4 * cluster);
  disk.write('QFI\xfb', 0, 'latin1');
  disk.writeUInt32BE(2, 4); // version
  disk.writeUInt32BE(16, 20); // cluster_bits
  disk.writeBigUInt64BE(64n << 20n, 24); // size
  disk.writeUInt32BE(1, 36); // l1_size
  disk.writeBigUInt64BE(BigInt(3 * cluster), 40); // l1_table_offset
  disk.writeBigUInt64BE(BigInt(cluster), 48); // refcount_table_offset
  disk.writeUInt32BE(1, 56); // refcount_table_clusters
  disk.writeBigUInt64BE(BigInt(2 * cluster), cluster);
  for (let i = 0; i < 4; i++) disk.writeUInt16BE(1, 2 * cluster + 2 * i);
  return disk;
}
