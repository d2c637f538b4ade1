/** A program for the lifetime tests: a guest that spins for ever, and a way to end that the arguments name. */
import { Worker } from 'node:worker_threads';
import { kvm } from 'commonhv/engines/kvm';
import { kernel, SPIN, send } from './guests.ts';

const [way = 'wait', vcpus = '1'] = process.argv.slice(2);
if (way === 'nested') {
  new Worker(new URL(import.meta.url), { argv: ['wait', vcpus], stdout: false }).on('message', () =>
    process.exit(5),
  );
} else {
  const engine = kvm({ memory: 2 ** 21, vcpus: Number(vcpus) });
  const machine = await engine.start((host) => host, { kernel: kernel([...send('x'), ...SPIN]) });
  await machine.console.readable.getReader().read();
  process.stdout.write('spinning\n');
  const { parentPort } = await import('node:worker_threads');
  parentPort?.postMessage('spinning');
  if (way === 'exit') process.exit(5);
  if (way === 'throw') throw new Error('on purpose');
  if (way === 'close') await machine.close();
}
