// node examples/clones/clones.js [--json]
//
// A stock Debian guest is saved once and resumed three times, as snapshots of virtual machines are every day. Every copy
// wakes up with the same random state in its kernel: what /dev/urandom gives to one, it gives to all. Then the same with
// `commonhv-agent --watch` running in the guest. Needs what scripts/debian-guest.sh needs, make, and a C compiler that
// knows -m32 (Debian: gcc, gcc-multilib).
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { v86 } from 'commonhv/engines/v86';
import { commonhv, systemGeneration, systemSource } from 'commonhv/hypervisor';
import { shellOf } from './shell.js';

const COPIES = 3;
const INTERVAL = 100; // milliseconds between two looks at the generation: the agent's default

const root = fileURLToPath(new URL('../..', import.meta.url));
const guest = `${root}.cache/clones`;
const json = process.argv.includes('--json');
const say = (/** @type {string} */ line) => json || console.log(line);

/** A layer belongs to one machine; `commonhv` makes a new one, with a new generation, for each copy. */
const layer = commonhv({
  rng: { source: systemSource() },
  generation: { next: systemGeneration() },
});
const engine = v86({ memory: 128 * 2 ** 20 });

const READ = `hexdump -n 16 -ve '1/1 "%02x"' /dev/urandom; echo " $RANDOM"`;

/** Resumes the copies one after another; what each read, and how long it took to notice. */
async function copies(/** @type {Uint8Array} */ state, /** @type {boolean} */ watched) {
  const made = [];
  for (let i = 0; i < COPIES; i++) {
    const machine = await engine.resume(layer, state);
    const resumed = performance.now();
    const shell = shellOf(machine);
    if (watched) await shell.until(/was resumed from a saved state[\s\S]*?mixed \d+ bits/);
    const noticed = Math.round(performance.now() - resumed);
    const [urandom = '', shellRandom = ''] = (await shell.run(READ)).split(' ');
    made.push({ urandom, shellRandom: Number(shellRandom), ...(watched && { noticed }) });
    await machine.close();
  }
  return made;
}

const [kernel] = prepare();
say(`booting ${kernel}, unmodified ...`);
const machine = await engine.start(layer, {
  kernel: readFileSync(`${guest}/vmlinuz`),
  initrd: readFileSync(`${guest}/initrd`),
  commandLine: 'console=ttyS0 quiet',
});
const shell = shellOf(machine);
await shell.until(/guest ready/, 300);
await shell.run('echo $RANDOM; head -c 16 /dev/urandom | hexdump', 60); // both generators are in use, as in any guest
const plain = await machine.save();
await shell.type(`commonhv-agent --watch --interval ${INTERVAL} &`);
await shell.until(/mixed 512 bits/);
await shell.run('true');
const watched = await machine.save();
await machine.close();

const without = await copies(plain, false);
const withAgent = await copies(watched, true);

const distinct = (/** @type {readonly unknown[]} */ values) => new Set(values).size;
const result = {
  kernel,
  interval: INTERVAL,
  without: { copies: without, distinct: distinct(without.map(({ urandom }) => urandom)) },
  with: { copies: withAgent, distinct: distinct(withAgent.map(({ urandom }) => urandom)) },
  shellRandomDistinct: distinct(withAgent.map(({ shellRandom }) => shellRandom)),
};
if (json) console.log(JSON.stringify(result, undefined, 2));
else {
  say(
    '\nsaved once, resumed three times: the first 16 bytes from /dev/urandom, and the shell’s own $RANDOM\n',
  );
  for (const { urandom, shellRandom } of without) say(`  ${urandom}   ${shellRandom}`);
  say(result.without.distinct === 1 ? '  all alike\n' : '  not all alike\n');
  say(`the same guest with commonhv-agent --watch, which looks every ${INTERVAL} ms\n`);
  for (const { urandom, shellRandom, noticed } of withAgent) {
    say(`  ${urandom}   ${shellRandom}   reseeded ${noticed} ms after it was resumed`);
  }
  say(result.with.distinct === COPIES ? '  all different' : '  not all different');
  say(
    '\n$RANDOM stays alike: generators in user space that were seeded before the copy never ask the kernel again.',
  );
  say(
    'Until the agent looks, the kernel’s bytes are alike too: a shorter interval makes the window smaller, not nothing.',
  );
}
process.exit(result.without.distinct === 1 && result.with.distinct === COPIES ? 0 : 1);

/** The agent for i386, and the guest with it inside; made once, then quick. */
function prepare() {
  try {
    const quiet = { stdio: ['ignore', 'pipe', 'pipe'], encoding: /** @type {const} */ ('utf8') };
    execFileSync('make', ['-s', '-C', `${root}c/agent`, `OUT=${guest}/agent`, 'agent32'], quiet);
    const add = `${guest}/agent/commonhv-agent32=/sbin/commonhv-agent`;
    return execFileSync(`${root}scripts/debian-guest.sh`, ['--output', guest, '--add', add], quiet).split(
      ':',
    );
  } catch (error) {
    const { stderr, message } = /** @type {{ stderr?: string, message: string }} */ (error);
    console.error(`clones: the guest cannot be made: ${(stderr || message).trim().split('\n').at(-1)}`);
    process.exit(2);
  }
}
