/** Programs that keep generators of their own, which a reseed of the kernel does not reach. */
import { type Check, textOf } from './check.ts';
import type { World } from './world.ts';

/** Programs whose generators are seeded once; a reseed of the kernel does not reach them. */
const REPEATING = /^(node|python\d?(\.\d+)?|java|ruby|perl|php\d?(\.\d+)?|nginx|postgres)$/;
const OPENSSL = /\/libcrypto\.so/;

/** A process's program; where another user's may not be seen, the name that the kernel keeps, cut to 15 characters. */
function programOf(world: World, pid: string): string | undefined {
  const exe = world.link(`/proc/${pid}/exe`);
  const path = exe === 'denied' ? textOf(world.read(`/proc/${pid}/comm`)).trim() : textOf(exe);
  return (
    path
      .replace(/ \(deleted\)$/, '')
      .split('/')
      .at(-1) || undefined
  );
}

/** The programs that run, as far as this user may see them. */
export function processCheck(world: World): Check {
  const counts = new Map<string, number>();
  let hidden = 0;
  const pids = world.list('/proc').filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    const program = programOf(world, pid);
    if (program === undefined) continue; // a thread of the kernel
    const maps = world.read(`/proc/${pid}/maps`);
    if (maps === 'denied') hidden++;
    const openssl = OPENSSL.test(textOf(maps));
    if (!openssl && !REPEATING.test(program)) continue;
    const name = openssl && !REPEATING.test(program) ? `${program} (OpenSSL)` : program;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const base = { id: 'processes', evidence: '/proc' };
  const partly = hidden === 0 ? '' : `; ${hidden} of ${pids.length} processes are seen by name alone`;
  // /proc mounted with hidepid shows a user's own processes, not the first one.
  if (!pids.includes('1'))
    return {
      ...base,
      state: 'unknown',
      text: "programs that keep generators of their own: other users' processes may not be seen",
      remedy: 'run as root',
    };
  if (counts.size === 0)
    return {
      ...base,
      state: hidden === 0 ? 'good' : 'unknown',
      text: `no running program that is known to keep a generator of its own${partly}`,
    };
  const names = [...counts].map(([name, count]) => `${name} ${count}`).join(', ');
  return {
    ...base,
    state: 'weak',
    text: `programs that keep generators of their own: ${names}${partly}`,
    remedy: 'restart them after a restore, or see "Processes" in docs/agent.md',
  };
}
