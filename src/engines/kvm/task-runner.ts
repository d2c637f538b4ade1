/** A thread's part of a machine, in that thread: runs its vCPU, or serves the exits of the others. */
import type { End, SyncCpu } from '../../cpu.ts';
import type { Ffi } from '../ffi.ts';
import { check, signalSet } from '../ffi.ts';
import { ioctl, layout } from './abi.ts';
import { Control, KICK } from './control.ts';
import { GuestSerial } from './guest-serial.ts';
import { Ports } from './ports.ts';
import { isIdle } from './registers.ts';
import type { ExitHandler } from './rpc.ts';
import { caller, serve } from './rpc.ts';
import type { Message, SerialBuffers, Task } from './task.ts';
import { TIMER_MS } from './task.ts';
import { Uart } from './uart.ts';
import type { VcpuHandle } from './vcpu.ts';
import { runVcpu } from './vcpu.ts';
import { setInterrupt } from './vm.ts';
import { VmGeneration } from './vm-generation.ts';

const COM1_IRQ = 4;
/** A machine has halted for good when so many timer ticks in a row found all of its vCPUs idle. */
const HALTED_TICKS = 3;

export class TaskRunner {
  readonly #sys: Ffi;
  readonly #task: Task;
  readonly #control: Control;
  readonly #send: (message: Message) => void;
  readonly #handler: ExitHandler;
  readonly #cpu: SyncCpu | undefined;
  #serial: GuestSerial | undefined;
  #uart: Uart | undefined;
  #end: End | undefined;
  #idleTicks = 0;
  #nextPoll = 0;

  constructor(sys: Ffi, task: Task, cpu: SyncCpu | undefined, send: (message: Message) => void) {
    this.#sys = sys;
    this.#task = task;
    this.#send = send;
    this.#cpu = cpu;
    this.#control = new Control(task.control);
    this.#handler = this.#handlerOf(cpu);
    if (task.vcpu === undefined) return;
    this.#control.setTid(task.thread, sys.gettid());
    this.#allowSignalInGuest(task.vcpu);
  }

  /** Runs until the thread's command is not `run`, or the guest ends: then returns how. Throws what a layer throws. */
  run(): End | undefined {
    return this.#task.vcpu === undefined ? this.#serve() : this.#drive(this.#task.vcpu);
  }

  #drive(vcpu: VcpuHandle): End | undefined {
    const { thread } = this.#task;
    // Without a kick this thread still checks its command regularly: a guest that never exits does not keep the
    // process from ending, and one that has halted for good is noticed.
    const timer = this.#sys.startTimer(KICK, TIMER_MS);
    try {
      return runVcpu(this.#sys, vcpu, {
        handler: this.#handler,
        command: () => this.#control.command(thread),
        onSignal: () => this.#onSignal(vcpu),
        enter: () => this.#control.enter(thread, TIMER_MS),
        leave: () => this.#control.leave(thread),
        end: () => this.#end,
      });
    } finally {
      this.#sys.stopTimer(timer);
    }
  }

  #serve(): End | undefined {
    const { thread, mailboxes } = this.#task;
    const boxes = mailboxes.map((box) => serve(box, this.#handler));
    while (this.#control.command(thread) === 'run' && this.#end === undefined) {
      const seen = this.#control.notifications();
      for (const serveOne of boxes) serveOne();
      this.#poll();
      this.#control.waitForNotification(seen, TIMER_MS);
    }
    return this.#end;
  }

  /** The exits that are served here: this thread's devices, this thread's layer; the rest goes upstream. */
  #handlerOf(cpu: SyncCpu | undefined): ExitHandler {
    const { serial, upstream, upstreamIsWorker, thread } = this.#task;
    const notify = upstreamIsWorker ? () => this.#control.notify() : () => this.#send({ kind: 'call' });
    const far = upstream && caller(upstream, notify, () => this.#control.command(thread) === 'stop');
    const io = serial ? this.#devices(serial) : far!;
    const msr = cpu ?? far!;
    return {
      in: (port, size) => io.in(port, size),
      out: (port, size, value) => io.out(port, size, value),
      // The guest's output is sent before a layer's own code runs, which may never return.
      rdmsr: (index) => {
        this.#serial?.flush();
        return msr.rdmsr(index);
      },
      wrmsr: (index, value) => {
        this.#serial?.flush();
        return msr.wrmsr(index, value);
      },
    };
  }

  #devices(buffers: SerialBuffers): Ports {
    const { interrupts, thread, vm, vmGeneration } = this.#task;
    const state = new Uint8Array(buffers.state);
    this.#serial = new GuestSerial(buffers, {
      notify: (kind) => this.#send({ kind }),
      command: () => this.#control.command(thread),
      idleBackoff: !interrupts,
    });
    const onInterrupt = (level: boolean): void => {
      if (interrupts) setInterrupt(this.#sys, vm, COM1_IRQ, level);
    };
    this.#uart = new Uart(this.#serial, onInterrupt, state);
    const onEnd = (end: End): void => {
      this.#end = end;
    };
    const more = vmGeneration && new VmGeneration(this.#sys, vmGeneration).devices;
    return new Ports({ uart: this.#uart, onEnd, state, more });
  }

  #onSignal(vcpu: VcpuHandle): void {
    this.#sys.takeSignal(KICK);
    this.#poll();
    if (!this.#task.interrupts) return;
    this.#control.setIdle(this.#task.thread, isIdle(this.#sys, vcpu.fd));
    this.#idleTicks = this.#control.allIdle() ? this.#idleTicks + 1 : 0;
    if (this.#idleTicks >= HALTED_TICKS) this.#end = { reason: 'halt', detail: 'HLT with interrupts off' };
  }

  #poll(): void {
    this.#uart?.poll();
    this.#serial?.flush();
    const poll = this.#cpu?.poll;
    if (poll === undefined || performance.now() < this.#nextPoll) return;
    this.#nextPoll = performance.now() + TIMER_MS;
    this.#control.whileStopped(this.#sys, poll);
  }

  /** The signal is blocked in this thread, except while it is in this guest: there it ends the stay at once. */
  #allowSignalInGuest(vcpu: VcpuHandle): void {
    const none = new Uint8Array(layout.kvm_signal_mask.sigset + signalSet(KICK).length);
    new DataView(none.buffer).setUint32(layout.kvm_signal_mask.len, signalSet(KICK).length, true);
    check(this.#sys.ioctlAt(vcpu.fd, ioctl.SET_SIGNAL_MASK, none), 'KVM_SET_SIGNAL_MASK');
  }
}
