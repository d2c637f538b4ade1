/** A process that saves a guest with 60 MiB that are not zero to the file of its argument; says how it went. */
import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { kvm } from 'commonhv/engines/kvm';
import { kernel, RECEIVE_AL, send } from './guests.ts';

const SIZE = 64 * 2 ** 20;
// send x; then send back each byte that is received
const code = kernel([
  ...send('x'),
  ...RECEIVE_AL,
  ...[0x66, 0xba, 0xf8, 0x03, 0xee, 0xeb, -(RECEIVE_AL.length + 7) & 0xff],
]);
// The image is loaded to its end: so most of the memory is not zero.
const guest = new Uint8Array(SIZE - 2 ** 22).fill(0xff);
guest.set(code);
const file = process.argv[2]!;
const machine = await kvm({ memory: SIZE }).start((host) => host, { kernel: guest });
const reader = machine.console.readable.getReader();
await reader.read();
process.stdout.write('saving\n');
try {
  await machine.saveFile(file);
} catch (error) {
  process.stderr.write(`${error}\n`);
  process.stdout.write(`files: ${readdirSync(dirname(file)).length}\n`);
  await machine.console.writable.getWriter().write(Uint8Array.of(0x79));
  process.stdout.write(`runs: ${(await reader.read()).value![0] === 0x79}\n`);
  process.exitCode = 3;
}
await machine.close();
