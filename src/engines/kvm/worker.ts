/** The worker thread: takes jobs one after another; while it is at one, its event loop stands still. */
import { parentPort } from 'node:worker_threads';
import type { End, Layer, SyncCpu } from '../../cpu.ts';
import { replay } from '../../cpuid-dump.ts';
import { ffi, must, signalSet } from '../ffi.ts';
import { ioctl, layout } from './abi.ts';
import { install, tableOf } from './cpuid.ts';
import type { Control, Job, Report } from './job.ts';
import { control, KICK, TICK } from './job.ts';
import type { Answers } from './mailbox.ts';
import { answering, asking, OVER } from './mailbox.ts';
import { ports } from './ports.ts';
import { isIdle } from './registers.ts';
import { uart } from './uart.ts';
import { runVcpu } from './vcpu.ts';
import { setInterrupt } from './vm.ts';
import { wire } from './wire.ts';

const COM1_IRQ = 4;
/** A machine has halted for good when so many ticks in a row found none of its vCPUs able to go on. */
const HALTED = 3;

const port = parentPort!;
const report = (what: Report): void => port.postMessage(what);
const sys = ffi();
// From here on the signal that ends a stay in the guest waits until it is taken, wherever this thread is.
must(sys.block(KICK), 'rt_sigprocmask');

port.on('message', async (job: Job) => {
  let cpu: SyncCpu | undefined;
  try {
    cpu = await build(job);
  } catch (error) {
    report({ kind: 'refused', error });
    report({ kind: 'done' });
    return;
  }
  report({ kind: 'built' });
  try {
    if (job.vcpu === undefined) serve(job, cpu);
    else drive(job, job.vcpu, cpu);
  } catch (cause) {
    if (cause !== OVER) report({ kind: 'ended', end: { reason: 'failed', detail: String(cause), cause } });
  }
  report({ kind: 'done' });
});
report({ kind: 'ready', tid: sys.gettid() });

/** Builds the layer that lives here, if one does, and gives all vCPUs its table. */
async function build({ layer, vcpus }: Job): Promise<SyncCpu | undefined> {
  if (layer === undefined) return undefined;
  const { of, below } = layer;
  const module = (await import(String(of.module))) as Record<string, unknown>;
  const make = module[of.export];
  if (typeof make !== 'function') {
    throw new TypeError(`layer: ${of.module} exports no function ${JSON.stringify(of.export)}`);
  }
  const made: unknown = await make(of.options, (event: unknown) => report({ kind: 'event', event }));
  if (typeof made !== 'function')
    throw new TypeError(`layer: ${of.export} of ${of.module} gave back no layer`);
  const cpu = (made as Layer)(replay(below));
  const rows = tableOf(cpu);
  vcpus.forEach(({ fd }, id) => {
    install(sys, fd, rows, id);
  });
  return cpu;
}

/** What this thread answers itself: the devices that are here, the layer that is here; the rest is asked further up. */
function answersOf(
  job: Job,
  cpu: SyncCpu | undefined,
  told: Control,
  thread: number,
  ended: (end: End) => void,
) {
  const over = (): boolean => told.command(thread) === 'stop';
  const ring = job.upIsHome ? told.ring : () => report({ kind: 'ask' });
  const up = job.up && asking(job.up, ring, over);
  const far =
    job.line && wire(job.line, { report: (kind) => report({ kind }), over, drowsy: !job.interrupts });
  const device =
    far &&
    uart(far, (level) => {
      if (job.interrupts) setInterrupt(sys, job.vm, COM1_IRQ, level);
    });
  const io = device ? ports(device, ended) : up!;
  const msr = cpu ?? up!;
  const answers: Answers = {
    in: (address, size) => io.in(address, size),
    out: (address, size, data) => io.out(address, size, data),
    // What the guest has printed is told before a layer's own code runs, which may never come back.
    rdmsr(index) {
      far?.flush();
      return msr.rdmsr(index);
    },
    wrmsr(index, data) {
      far?.flush();
      return msr.wrmsr(index, data);
    },
  };
  const poll = (): void => {
    device?.poll();
    far?.flush();
  };
  return { answers, poll };
}

/** Runs one vCPU until it ends or is told to stop. */
function drive(job: Job, id: number, cpu: SyncCpu | undefined): void {
  const told = control(job.control);
  const handle = job.vcpus[id]!;
  let end: End | undefined;
  let ticks = 0;
  const { answers, poll } = answersOf(job, cpu, told, id, (how) => {
    end = how;
  });
  letSignalIn(handle.fd);
  // Even where nobody kicks, this thread sees every now and then whether it is wanted: a guest that never exits
  // does not keep the process from ending, and one that has halted for good is noticed.
  const timer = sys.tick(KICK, TICK);
  try {
    const how = runVcpu(sys, handle, {
      answers,
      command: () => told.command(id),
      paused: () => told.awaitNext(id, 'pause', () => report({ kind: 'paused' })),
      interrupted() {
        sys.drain(KICK);
        poll();
        if (!job.interrupts) return;
        told.setIdle(id, isIdle(sys, handle.fd));
        ticks = told.allIdle() ? ticks + 1 : 0;
        if (ticks >= HALTED) end = { reason: 'halt', detail: 'HLT with interrupts off' };
      },
      ended: () => end,
    });
    if (how !== undefined) report({ kind: 'ended', end: how });
  } finally {
    sys.untick(timer);
  }
}

/** Answers the vCPUs' questions until told to stop. */
function serve(job: Job, cpu: SyncCpu | undefined): void {
  const told = control(job.control);
  const thread = job.vcpus.length;
  const { answers, poll } = answersOf(job, cpu, told, thread, (end) => report({ kind: 'ended', end }));
  const boxes = job.boxes.map((box) => answering(box, answers));
  while (told.command(thread) !== 'stop') {
    const seen = told.rung();
    for (const answer of boxes) answer();
    poll();
    told.awaitRing(seen, 50);
  }
}

/** The signal is blocked in this thread, save while it is in this guest: there it ends the stay at once. */
function letSignalIn(vcpu: number): void {
  const none = new Uint8Array(layout.kvm_signal_mask.sigset + signalSet(KICK).length);
  new DataView(none.buffer).setUint32(layout.kvm_signal_mask.len, signalSet(KICK).length, true);
  must(sys.ioctlAt(vcpu, ioctl.SET_SIGNAL_MASK, none), 'KVM_SET_SIGNAL_MASK');
}
