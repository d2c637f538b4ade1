// recipe.mjs worker|hello|ticket|ticket-fixed: a value of a generator of Node for each line of standard input.
//   worker   randomUUID in a worker; with --import commonhv/restored/auto the worker has its own watch
//   hello    the random bytes of a TLS ClientHello
//   ticket   the keys of a TLS server's session tickets, which were drawn at its start; fixed: set anew after a restore
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Duplex } from 'node:stream';
import { connect, createServer } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';

async function workerDraw() {
  const worker = new Worker(fileURLToPath(import.meta.url));
  return async () => {
    worker.postMessage('draw');
    return (await once(worker, 'message'))[0];
  };
}

/** ClientHello: 5 bytes of the record, 4 of the handshake, 2 of the version, then 32 random ones (RFC 8446, 4.1.2). */
function helloDraw() {
  return async () => {
    const sent = Promise.withResolvers?.() ?? deferred();
    const wire = new Duplex({ read() {}, write: (bytes) => sent.resolve(bytes) });
    const socket = connect({ socket: wire, rejectUnauthorized: false });
    socket.on('error', () => {});
    const hello = await sent.promise;
    socket.destroy();
    return hello.subarray(11, 43).toString('hex').slice(0, 48);
  };
}

function deferred() {
  const made = {};
  made.promise = new Promise((resolve) => Object.assign(made, { resolve }));
  return made;
}

async function ticketDraw(fixed) {
  const server = createServer();
  if (fixed) {
    const { onRestored, reseed } = await import('commonhv/restored');
    onRestored(() => reseed().then(() => server.setTicketKeys(randomBytes(48))));
  }
  return async () => createHash('sha256').update(server.getTicketKeys()).digest('hex').slice(0, 32);
}

if (!isMainThread) {
  parentPort.on('message', () => parentPort.postMessage(crypto.randomUUID()));
} else {
  const kind = process.argv[2];
  const draw =
    kind === 'worker'
      ? await workerDraw()
      : kind === 'hello'
        ? helloDraw()
        : await ticketDraw(kind === 'ticket-fixed');
  for await (const _ of createInterface({ input: process.stdin })) console.log(await draw());
}
