/** Faulty machines: the generation and its acknowledgement. */
import { type FaultyMachine, fault, LOW, of, put, restored, splitMix } from './fault.ts';
import type { Moment, ReferenceMachine } from './reference.ts';

/** A renewal that nothing asked for. */
function renewed(machine: ReferenceMachine, moment: Moment): void {
  machine.generationValue = splitMix(machine.generationValue, 1);
  machine.storePage(moment);
}

export const generation: readonly FaultyMachine[] = [
  fault('generation.exception', 'raises #GP on another CPU in resumed copies', () => ({
    read: of('generation', (value, { cpu, route, count }) =>
      cpu === 1 && route === 'resume' && count > 1 ? '#GP' : value,
    ),
  })),
  fault('generation.same', 'has a value of its own on the second CPU', () => ({
    read: of('generation', (value, { cpu }) => (cpu === 1 ? value ^ 0x1_0000_0001n : value)),
  })),
  fault('generation.restored', 'keeps its value at the second restore in place', () => ({
    renew: (fresh, before, { route, turn }) => (route === 'restore' && turn === 2 ? before! : fresh),
  })),
  fault('generation.restored', 'renews its value one read too late, on another CPU', () => {
    const old = new Map<ReferenceMachine, bigint>();
    return {
      renew(fresh, before, _, machine) {
        if (before !== undefined) old.set(machine, before);
        return fresh;
      },
      read: of('generation', (value, moment, machine) =>
        moment.cpu === 1 && moment.count === 1 && restored(moment) ? (old.get(machine) ?? value) : value,
      ),
    };
  }),
  fault('generation.restored', 'keeps its value in resumed copies, in place it renews it', () => ({
    renew: (fresh, before, { route }) => (route === 'resume' ? before! : fresh),
  })),
  fault('generation.halves', 'is a small counter', () => ({
    renew: (_, __, ___, { world }) => put(world.extra, 'n', (world.extra.n ?? 0n) + 1n),
  })),
  fault('generation.halves-restored', 'renews the low half alone', () => ({
    renew: (fresh, before) => (before === undefined ? fresh : (before & ~LOW) | (fresh & LOW)),
  })),
  fault('generation.fresh', 'counts up in both halves', () => ({
    renew: (_, __, ___, { world }) =>
      put(world.extra, 'n', (world.extra.n ?? 0x1_0000_0001n) + 0x1_0000_0001n),
  })),
  fault('generation.fresh', 'is one function of the saved value, in every copy', () => ({
    renew: (fresh, before) => (before === undefined ? fresh : splitMix(before, 1)),
  })),
  fault('generation.fresh', 'starts every machine with one value', () => ({
    renew: (fresh, before) => (before === undefined ? 0x1234_5678_9abc_def1n : fresh),
  })),
  fault(
    'generation.independent',
    'is a value that the RNG returns',
    () => ({
      read: of('rng', (value, { count, cpu, route }, { generationValue }) =>
        count === 7 && cpu === 0 && route === 'start' ? generationValue : value,
      ),
    }),
    { secure: undefined },
  ),
  fault('generation.steady', 'renews its value when random values were read', () => ({
    read: of('rng', (value, moment, machine) => {
      if (moment.count === 100 && moment.cpu === 0) renewed(machine, moment);
      return value;
    }),
  })),
  fault('generation.pause', 'renews its value at a pause', () => ({
    paused: (machine) => renewed(machine, { cpu: 0, route: 'start', turn: 1, count: 1 }),
  })),
  fault(
    'generation.write-keeps',
    'takes a value that is written',
    () => ({
      write(answer, register, value, _, machine) {
        if (register === 'generation') machine.generationValue = value;
        return answer;
      },
    }),
    { ack: false, dropsWrites: true, page: false },
    ['rng.refuse', 'generation.write'],
  ),
  fault(
    'generation.write-keeps',
    'stores a value that it refused, on another CPU',
    () => ({
      write(answer, register, value, { cpu }, machine) {
        if (register === 'generation' && answer === '#GP' && cpu === 1) machine.generationValue = value;
        return answer;
      },
    }),
    { page: false },
  ),
  {
    rule: 'generation.write',
    title: 'drops a write of another CPU',
    options: () => ({
      ack: false,
      hooks: {
        write: (answer, register, _, { cpu }) =>
          register === 'generation' && cpu === 1 ? undefined : answer,
      },
    }),
  },
  fault('generation.migration', 'renews its value at a live migration', () => ({
    arrived({ route }, machine) {
      if (route === 'migrate') machine.generationValue = splitMix(machine.generationValue, 1);
    },
  })),
  fault('nesting.renew', 'keeps its generation when the outer one changes', () => ({
    renew: (fresh, before, { route }) => (route === 'outer' ? before! : fresh),
  })),
  fault('nesting.renew', 'follows the first change of the outer generation alone', () => ({
    renew: (fresh, before, { route, turn }) => (route === 'outer' && turn > 1 ? before! : fresh),
  })),
  fault('generation.same', 'follows a change of the outer generation on the first CPU alone', () => {
    const old = new Map<ReferenceMachine, bigint>();
    return {
      renew(fresh, before, { route }, machine) {
        if (route === 'outer') old.set(machine, before!);
        return fresh;
      },
      read: of('generation', (value, { cpu, route }, machine) =>
        cpu === 1 && route === 'outer' ? old.get(machine)! : value,
      ),
    };
  }),
  fault('acknowledgement.accepted', 'raises #GP for a right acknowledgement of another CPU', () => ({
    write: (answer, register, _, { cpu }) => (register === 'generation' && cpu === 1 ? '#GP' : answer),
  })),
  fault('acknowledgement.accepted', 'raises #GP for a repeated acknowledgement', () => ({
    write: (answer, register, _, { count, cpu }) =>
      register === 'generation' && answer === undefined && (count > 11 || cpu > 0) ? '#GP' : answer,
  })),
  fault('acknowledgement.other', 'compares the low half alone', () => ({
    write: (answer, register, value, _, { generationValue }) =>
      register === 'generation' && (value & LOW) === (generationValue & LOW) ? undefined : answer,
  })),
  fault('acknowledgement.other', 'takes the saved value after a restore', () => {
    const old = new Map<ReferenceMachine, bigint>();
    return {
      renew(fresh, before, _, machine) {
        if (before !== undefined) old.set(machine, before);
        return fresh;
      },
      write: (answer, register, value, _, machine) =>
        register === 'generation' && value === old.get(machine) ? undefined : answer,
    };
  }),
  fault('acknowledgement.report', 'tells the owner nothing', () => ({ reported: () => 0 })),
  fault('acknowledgement.repeated', 'tells the owner of every write', () => ({ reported: () => 1 })),
];
