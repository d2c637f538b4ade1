/**
 * v86 as somebody else's VMM: a process with the guest's console on its standard streams, or on a socket, and a control socket.
 *   run CONTROL [CONSOLE]            starts the probe
 *   resume CONTROL STATE [CONSOLE]   resumes a copy
 *   tell CONTROL save FILE | restore FILE
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import { v86 } from 'commonhv/engines/v86';
import { commonhv, systemGeneration, systemSource } from 'commonhv/hypervisor';
import { probeImage } from 'commonhv/probe';

const [, , verb, control = '', ...rest] = process.argv;

async function serve(): Promise<void> {
  const engine = v86({ memory: 2 ** 24 });
  const layer = commonhv({
    interfaces: [],
    rng: { source: systemSource() },
    generation: { next: systemGeneration() },
  });
  const [state, address] = verb === 'resume' ? rest : [undefined, rest[0]];
  const machine =
    state === undefined
      ? await engine.start(layer, { kernel: probeImage() })
      : await engine.resume(layer, readFileSync(state));
  const writer = machine.console.writable.getWriter();
  const lines = new Set<Pick<Duplex, 'write'>>();
  if (address === undefined) {
    lines.add(process.stdout as unknown as Duplex);
    process.stdin.on('data', (bytes: Buffer) => void writer.write(bytes));
  } else {
    createServer((socket) => {
      lines.add(socket);
      socket.on('data', (bytes) => void writer.write(bytes)).on('error', () => {});
      socket.on('close', () => lines.delete(socket));
    }).listen(address);
  }
  createServer((socket) => {
    createInterface({ input: socket }).on('line', async (line) => {
      const [what, path = ''] = line.split(' ');
      if (what === 'save') writeFileSync(path, await machine.save());
      if (what === 'restore') await machine.restore(readFileSync(path));
      socket.end('done\n');
    });
    socket.on('error', () => {});
  }).listen(control);
  const reader = machine.console.readable.getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read())
    for (const line of lines) line.write(piece.value);
  process.exit(0);
}

function tell(): void {
  const socket = connect(control, () => socket.write(`${rest.join(' ')}\n`));
  socket.on('data', () => process.exit(0)).on('error', () => process.exit(1));
}

if (verb === 'tell') tell();
else await serve();
