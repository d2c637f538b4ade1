/** A machine as the caller's thread has it: what was made for it, the threads that run it, and its end. */
import type { Loaded } from '../../boot/index.ts';
import type { Console, End, Layer, LayerModule, PausableMachine, SyncCpu } from '../../cpu.ts';
import { GP } from '../../cpu.ts';
import type { CpuidDump } from '../../cpuid-dump.ts';
import { replay } from '../../cpuid-dump.ts';
import type { Ffi } from '../ffi.ts';
import type { Line } from './console.ts';
import { line } from './console.ts';
import { install, tableOf } from './cpuid.ts';
import type { Control, Job } from './job.ts';
import { control, controlBuffer, KICK } from './job.ts';
import { answering, mailbox } from './mailbox.ts';
import type { Hand, News, Work } from './pool.ts';
import { hire } from './pool.ts';
import type { System, Vm, VmOptions } from './vm.ts';
import { createVm } from './vm.ts';

/** A machine on KVM: it can be paused, and has no saved states. */
export interface KvmMachine extends PausableMachine {
  /** One serial line for each vCPU where each was entered with the image (multiboot), else the machine's one. */
  readonly consoles: readonly Console[];
}

export interface Plan extends VmOptions {
  readonly loaded: Loaded;
  readonly below: CpuidDump;
}

/** How long a thread may take to come out of a layer's own code before it is ended by force, in milliseconds. */
const PATIENCE = 1000;

/** Makes the machine and starts it. Rejects where the layer or the kernel refuses; then nothing is left. */
export async function startMachine(
  sys: Ffi,
  system: System,
  plan: Plan,
  layer: Layer | LayerModule,
): Promise<KvmMachine> {
  // A function stays on this thread; a module is built where the machine has its home.
  const here = typeof layer === 'function' ? layer(replay(plan.below)) : undefined;
  const there =
    typeof layer === 'function'
      ? undefined
      : { module: String(layer.module), export: layer.export, options: layer.options };
  const onEvent = typeof layer === 'function' ? undefined : layer.onEvent;
  const vm = createVm(sys, system, plan.loaded, plan);
  const hands: Hand[] = [];
  try {
    if (here !== undefined) {
      const table = tableOf(here);
      vm.vcpus.forEach(({ fd }, id) => {
        install(sys, fd, table, id);
      });
    }
    // Several vCPUs need a home of their own for what is neither each one's nor on this thread.
    const home = plan.vcpus > 1 && (there !== undefined || plan.interrupts) ? 1 : 0;
    while (hands.length < plan.vcpus + home) hands.push(await hire());
  } catch (error) {
    for (const hand of hands) hand.release();
    vm.free();
    throw error;
  }
  return operate({ sys, plan, vm, hands, here, there, onEvent });
}

/** All that belongs to one machine. The home, where there is one, is the last of the hands. */
interface Parts {
  readonly sys: Ffi;
  readonly plan: Plan;
  readonly vm: Vm;
  readonly hands: readonly Hand[];
  readonly here: SyncCpu | undefined;
  readonly there: Omit<LayerModule, 'onEvent'> | undefined;
  readonly onEvent: LayerModule['onEvent'];
}

async function operate(parts: Parts): Promise<KvmMachine> {
  const { plan, hands } = parts;
  const words = controlBuffer(plan.vcpus);
  const told = control(words);
  const kick = (): void => {
    for (const { tid } of hands.slice(0, plan.vcpus)) parts.sys.tgkill(tid, KICK);
  };
  const lines = Array.from({ length: plan.interrupts ? 1 : plan.vcpus }, () =>
    line(() => {
      told.ring();
      if (plan.interrupts) kick();
    }),
  );
  const { jobs, answer, lineOf, first } = assign(parts, lines, words);

  const works: Work[] = [];
  let finish!: (end: End) => void;
  const ended = new Promise<End>((resolve) => {
    finish = resolve;
  }).then(async (end) => {
    await disband(parts, told, works, kick);
    for (const each of lines) each.end();
    return end;
  });
  const running = new Set(Array.from({ length: plan.vcpus }, (_, vcpu) => vcpu));
  const { parked, pause, unpause } = pausing(running, told, kick, ended);
  const hear = (thread: number, news: News): void => {
    switch (news.kind) {
      case 'event':
        parts.onEvent?.(news.event);
        break;
      case 'output':
      case 'room':
        lineOf(thread)?.heard(news.kind);
        break;
      case 'paused':
        parked(thread);
        break;
      case 'ended':
        running.delete(thread);
        parked(thread);
        // A processor that has halted for good leaves the others running.
        if (news.end.reason !== 'halt' || running.size === 0) finish(news.end);
        break;
      case 'ask':
        try {
          answer(thread);
        } catch (cause) {
          finish({ reason: 'failed', detail: String(cause), cause });
        }
    }
  };
  const start = (thread: number): void => {
    works[thread] = hands[thread]!.start(jobs[thread]!, (news) => hear(thread, news));
  };

  start(first); // where the layer is built: no vCPU runs before all have their table
  try {
    await works[first]!.built;
  } catch (cause) {
    finish({ reason: 'failed', cause });
    await ended;
    throw cause;
  }
  for (const thread of hands.keys()) if (thread !== first) start(thread);

  const consoles = lines.map((each) => each.console);
  const close = async (): Promise<void> => {
    finish({ reason: 'closed' });
    await ended;
  };
  return { console: consoles[0]!, consoles, ended, close, pause, unpause };
}

/** Pausing is over when every vCPU that runs has said so. */
function pausing(running: ReadonlySet<number>, told: Control, kick: () => void, ended: Promise<unknown>) {
  const still = new Set<number>();
  const waiting = new Set<() => void>();
  const look = (): void => {
    if ([...running].every((thread) => still.has(thread))) for (const resolve of waiting) resolve();
  };
  return {
    parked(thread: number): void {
      still.add(thread);
      look();
    },
    async pause(): Promise<void> {
      for (const thread of running) if (told.command(thread) === 'run') told.set(thread, 'pause');
      kick();
      const all = new Promise<void>((resolve) => {
        waiting.add(resolve);
        look();
      });
      await Promise.race([all, ended]);
      waiting.clear();
    },
    async unpause(): Promise<void> {
      still.clear();
      for (const thread of running) if (told.command(thread) === 'pause') told.set(thread, 'run');
    },
  };
}

/** Who answers what: see the essay in index.ts. */
function assign({ plan, vm, hands, here, there }: Parts, lines: readonly Line[], words: SharedArrayBuffer) {
  const home = hands.length > plan.vcpus ? plan.vcpus : undefined;
  const first = home ?? 0;
  const boxes = hands.map(() => mailbox());
  const lineOf = (thread: number): Line | undefined => {
    if (!plan.interrupts) return lines[thread];
    return thread === first ? lines[0] : undefined;
  };
  const jobs = hands.map((_, thread): Job => {
    const layer = there !== undefined && thread === first ? { of: there, below: plan.below } : undefined;
    return {
      vm: vm.fd,
      vcpus: vm.vcpus,
      vcpu: thread === home ? undefined : thread,
      interrupts: plan.interrupts,
      line: lineOf(thread)?.buffers,
      layer,
      up: layer === undefined ? boxes[thread] : undefined,
      upIsHome: home !== undefined && thread !== home,
      boxes: thread === home ? boxes.slice(0, plan.vcpus) : [],
      control: words,
    };
  });
  const answers = boxes.map((box) =>
    answering(box, {
      // Every thread has its ports answered before it comes to this one.
      in: () => 0xffff_ffff,
      out: () => {},
      rdmsr: (index) => here?.rdmsr(index) ?? GP,
      wrmsr: (index, value) => (here === undefined ? GP : here.wrmsr(index, value)),
    }),
  );
  return { jobs, lineOf, first, answer: (thread: number) => answers[thread]!() };
}

/** Brings every thread out of the machine, then frees it. */
async function disband(
  { hands, vm }: Parts,
  told: Control,
  works: readonly (Work | undefined)[],
  kick: () => void,
): Promise<void> {
  for (const thread of hands.keys()) told.set(thread, 'stop');
  kick();
  const done = new Set<number>();
  const late = setTimeout(() => {
    // Only a layer's own code can hold a thread so long: ending the thread ends that.
    for (const [thread, hand] of hands.entries()) if (!done.has(thread)) hand.destroy();
  }, PATIENCE);
  await Promise.all(
    hands.map(async (_, thread) => {
      await works[thread]?.done;
      done.add(thread);
    }),
  );
  clearTimeout(late);
  for (const hand of hands) hand.release();
  vm.free();
}
