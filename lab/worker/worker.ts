/** One machine and all that happens inside of it, off the page's own thread: a guest that floods or spins freezes nothing. */

import type { Calls, Given, Push, Reply, Request } from '../model/protocol.ts';
import { WorkerMachine } from './worker-machine.ts';

// The page's types and a worker's exclude each other; this is all that is needed of the latter.
const port = globalThis as unknown as {
  postMessage(message: unknown, transfer?: Transferable[]): void;
  onmessage: (event: MessageEvent<Request | Given>) => void;
};

const push = (message: Push): void => {
  const transfer: Transferable[] =
    message.push === 'events'
      ? [message.events.times, message.events.ops, message.events.numbers, message.events.subleaves].map(
          (c) => c.buffer,
        )
      : message.push === 'values'
        ? [message.values.buffer]
        : [];
  port.postMessage(message, transfer);
};

let give: (given: Given) => void = () => {};
const module = new Promise<WebAssembly.Module>((resolve, reject) => {
  give = (given) => ('module' in given ? resolve(given.module) : reject(new Error(given.failed)));
});
module.catch(() => {}); // whoever starts a machine gets the error
const calls: Calls = new WorkerMachine(push, module);

port.onmessage = ({ data }) => {
  if ('call' in data) void answer(data);
  else give(data);
};

/** Makes a call of the page's, and sends it the value or the error. */
async function answer({ id, call, args }: Request): Promise<void> {
  let reply: Reply;
  try {
    reply = { id, value: await (calls[call] as (...args: readonly unknown[]) => Promise<unknown>)(...args) };
  } catch (error) {
    reply = { id, error: error instanceof Error ? error.message : String(error) };
  }
  port.postMessage(reply);
}
