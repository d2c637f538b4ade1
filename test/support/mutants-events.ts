/** Generated faulty machines in which one event makes another part go wrong, and in which a write decides later values. */
import type { Hooks, ReferenceMachine, Route } from 'commonhv/conformance';
import { LOW, type Mutant, mixed, u64 } from './mutant.ts';

/** One event makes another part go wrong from then on. */
const EFFECTS: Readonly<
  Record<
    string,
    readonly [readonly string[], (machine: ReferenceMachine) => void, Hooks['read'], Hooks['cpuid']?]
  >
> = {
  'renews the generation': [
    ['generation', 'acknowledgement', 'page', 'msrs'],
    (machine) => {
      machine.generationValue = mixed(machine.generationValue, 1);
      machine.storePage({ cpu: 0, route: machine.route, turn: machine.turn, count: 1 });
    },
    undefined,
  ],
  'makes the RNG stand still': [
    ['rng', 'msrs'],
    () => {},
    (value, register) => (register === 'rng' ? 5n : value),
  ],
  'makes the RNG raise #GP': [
    ['rng', 'features'],
    () => {},
    (value, register) => (register === 'rng' ? '#GP' : value),
  ],
  'makes the generation raise #GP': [
    ['generation', 'features'],
    () => {},
    (value, register) => (register === 'generation' ? '#GP' : value),
  ],
  'takes a feature away': [
    ['discovery'],
    () => {},
    undefined,
    (regs, leaf) => (leaf === 0x4f00_0002 ? { ...regs, eax: regs.eax & ~1 } : regs),
  ],
};
const CAUSES: Readonly<Record<string, (trigger: (machine: ReferenceMachine) => void) => Hooks>> = {
  'the 60th random value': (trigger) => ({
    read: (v, r, m, machine) => {
      if (r === 'rng' && m.cpu === 0 && m.route === 'start' && m.count === 60) trigger(machine);
      return v;
    },
  }),
  'a write to the RNG': (trigger) => ({
    write: (a, r, _, __, machine) => {
      if (r === 'rng') trigger(machine);
      return a;
    },
  }),
  'a wrong acknowledgement': (trigger) => ({
    write: (a, r, _, __, machine) => {
      if (r === 'generation' && a === '#GP') trigger(machine);
      return a;
    },
  }),
  'an acknowledgement': (trigger) => ({
    write: (a, r, _, __, machine) => {
      if (r === 'generation' && a === undefined) trigger(machine);
      return a;
    },
  }),
  'a page that is refused': (trigger) => ({
    write: (a, r, _, __, machine) => {
      if (r === 'page' && a === '#GP') trigger(machine);
      return a;
    },
  }),
  'a page that is enabled': (trigger) => ({
    write: (a, r, v, __, machine) => {
      if (r === 'page' && a === undefined && v !== 0n) trigger(machine);
      return a;
    },
  }),
  'a pause': (trigger) => ({ paused: trigger }),
  'a save': (trigger) => ({ saved: trigger }),
  'a reset': (trigger) => ({
    arrived: ({ route }, machine) => {
      if (route === 'reset') trigger(machine);
    },
  }),
  'a migration': (trigger) => ({
    arrived: ({ route }, machine) => {
      if (route === 'migrate') trigger(machine);
    },
  }),
  'CPUID of the features, once the generation was read': (trigger) => {
    let seen = false;
    return {
      read: (value, register) => {
        seen ||= register === 'generation';
        return value;
      },
      cpuid: (regs, leaf, _, { route }, machine) => {
        if (seen && leaf === 0x4f00_0002 && route === 'start') trigger(machine);
        return regs;
      },
    };
  },
  'a question at CPL 3': (trigger) => ({
    ring3: (a, _, __, ___, machine) => {
      trigger(machine);
      return a;
    },
  }),
};
export const chains = Object.entries(CAUSES).flatMap(([cause, hooksOf]) =>
  Object.entries(EFFECTS).map(
    ([effect, [breaks, act, read, cpuid]]): Mutant => ({
      kind: `${cause}`,
      name: `${cause} ${effect}`,
      breaks,
      options: () => {
        const hit = new Set<ReferenceMachine>();
        const hooks = hooksOf((machine) => {
          if (!hit.has(machine)) act(machine);
          hit.add(machine);
        });
        return {
          cpus: 3,
          hooks: {
            ...hooks,
            read: (value, register, moment, machine) => {
              const seen = hooks.read?.(value, register, moment, machine) ?? value;
              return hit.has(machine) ? (read?.(seen, register, moment, machine) ?? seen) : seen;
            },
            cpuid: (regs, leaf, subleaf, moment, machine) => {
              const seen = hooks.cpuid?.(regs, leaf, subleaf, moment, machine) ?? regs;
              return hit.has(machine) ? (cpuid?.(seen, leaf, subleaf, moment, machine) ?? seen) : seen;
            },
          },
        };
      },
    }),
  ),
);

/** Values that a write decides: at once, some reads later, on another CPU, on another machine. */
const INPUTS: Readonly<Record<string, (written: bigint, n: number) => bigint | undefined>> = {
  'are the written value': (written, n) => (n === 1 ? written : undefined),
  'are the written value, three reads later': (written, n) => (n === 3 ? written : undefined),
  'are the written value, inverted': (written, n) => (n === 1 ? u64(~written) : undefined),
  'are hashed from the written value': (written, n) => mixed(written, n),
  'are hashed once from the written value': (written, n) => (n === 1 ? mixed(written, 1) : undefined),
  'are a part of the written value': (written, n) =>
    n === 1 ? (written & LOW) | (mixed(written, 77) & ~LOW) : undefined,
};
export const inputs = Object.entries(INPUTS).flatMap(([what, value]) =>
  [true, false].flatMap((accepts) =>
    (['start', 'copies'] as const).map(
      (place): Mutant => ({
        kind: `values after a write ${what}`,
        name: `values after a write ${what}, ${accepts ? 'accepted' : 'refused'}, ${place}`,
        breaks: ['rng', 'msrs'],
        options: () => {
          const state = new Map<ReferenceMachine, { written: bigint; n: number }>();
          const here = (route: Route): boolean =>
            place === 'start' ? route === 'start' : route === 'restore' || route === 'resume';
          return {
            cpus: 3,
            input: accepts,
            hooks: {
              write(answer, register, written, { route }, machine) {
                if (register === 'rng' && here(route)) state.set(machine, { written, n: 0 });
                return answer;
              },
              read(right, register, { route }, machine) {
                const last = state.get(machine);
                if (register !== 'rng' || last === undefined || !here(route)) return right;
                last.n++;
                return value(last.written, last.n) ?? right;
              },
            },
          };
        },
      }),
    ),
  ),
);
