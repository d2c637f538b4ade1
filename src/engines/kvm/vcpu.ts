/** One vCPU's loop: enter the guest, see why it came out, answer, and enter again, until it ends or is told to stop. */
import type { End } from '../../cpu.ts';
import { hex } from '../../cpu.ts';
import type { Ffi } from '../ffi.ts';
import { errorName } from '../ffi.ts';
import { exit, ioctl, value as kvm, layout } from './abi.ts';
import type { Answers } from './mailbox.ts';
import { registers } from './registers.ts';

/** A vCPU as the thread that made it hands it to the thread that runs it. */
export interface VcpuHandle {
  readonly fd: number;
  /** Where struct kvm_run is mapped, and how long the mapping is. */
  readonly run: bigint;
  readonly runSize: number;
}

/** What the loop is told from outside: looked at whenever the guest has come out. */
export type Command = 'run' | 'pause' | 'stop';

export interface Surroundings {
  readonly answers: Answers;
  command(): Command;
  /** Called when told to pause, with no instruction half done; returns when the command is another. */
  paused(): void;
  /** Called when a signal brought the guest out: it has been drained, and devices may be looked after. */
  interrupted(): void;
  /** How the guest ended by what it wrote to a port, or by what was seen when it was interrupted. */
  ended(): End | undefined;
}

const EINTR = -4;
const EAGAIN = -11;
const run = layout.kvm_run;

/** Runs until the guest ends, or `undefined` where it was stopped. Throws what a layer throws. */
export function runVcpu(sys: Ffi, handle: VcpuHandle, around: Surroundings): End | undefined {
  const view = new DataView(sys.view(handle.run, handle.runSize));
  const { answers, command, paused, interrupted, ended } = around;
  for (;;) {
    const told = command();
    if (told === 'stop') return undefined;
    if (told === 'pause') {
      // The kernel finishes the instruction that it is in the midst of, and does not enter the guest.
      view.setUint8(run.immediate_exit, 1);
      sys.ioctl(handle.fd, ioctl.RUN, 0);
      view.setUint8(run.immediate_exit, 0);
      paused();
      continue;
    }
    const result = sys.ioctl(handle.fd, ioctl.RUN, 0);
    if (result === EINTR) interrupted();
    // EAGAIN: the vCPU has been woken up by an INIT or SIPI, and has to be entered anew.
    else if (result < 0 && result !== EAGAIN) return failed(`KVM_RUN: ${errorName(-result)}`);
    else if (result === 0 && !answer(view, answers)) return explain(view, registers(sys, handle.fd));
    const end = ended();
    if (end !== undefined) return end;
  }
}

/** Answers an exit; false for one after which there is no way on. */
function answer(view: DataView, answers: Answers): boolean {
  switch (view.getUint32(run.exit_reason, true)) {
    case exit.X86_RDMSR: {
      const word = answers.rdmsr(view.getUint32(run['msr.index'], true));
      if (typeof word === 'bigint') view.setBigUint64(run['msr.data'], word, true);
      view.setUint8(run['msr.error'], typeof word === 'bigint' ? 0 : 1); // 1: the kernel raises #GP in the guest
      return true;
    }
    case exit.X86_WRMSR: {
      const word = view.getBigUint64(run['msr.data'], true);
      const fault = answers.wrmsr(view.getUint32(run['msr.index'], true), word);
      view.setUint8(run['msr.error'], fault === undefined ? 0 : 1);
      return true;
    }
    case exit.IO:
      answerPort(view, answers);
      return true;
    case exit.INTR:
    case exit.IRQ_WINDOW_OPEN:
      return true;
    default:
      return false;
  }
}

/** A string instruction comes as many accesses at once. */
function answerPort(view: DataView, answers: Answers): void {
  const size = view.getUint8(run['io.size']);
  const port = view.getUint16(run['io.port'], true);
  const count = view.getUint32(run['io.count'], true);
  const input = view.getUint8(run['io.direction']) === kvm.KVM_EXIT_IO_IN;
  let at = Number(view.getBigUint64(run['io.data_offset'], true));
  for (let i = 0; i < count; i++, at += size) {
    if (input) write(view, at, size, answers.in(port, size));
    else answers.out(port, size, read(view, at, size));
  }
}

const failed = (detail: string): End => ({ reason: 'failed', detail });

/** An exit after which there is no way on, as the end that it is. */
function explain(view: DataView, text: string): End {
  const reason = view.getUint32(run.exit_reason, true);
  switch (reason) {
    case exit.HLT:
      return { reason: 'halt', detail: text };
    case exit.SHUTDOWN:
      return { reason: 'shutdown', detail: `triple fault; ${text}` };
    case exit.SYSTEM_EVENT:
      return { reason: 'quit', detail: `system event ${view.getUint32(run['system_event.type'], true)}` };
    case exit.MMIO: {
      const size = view.getUint32(run['mmio.len'], true);
      const address = hex(view.getBigUint64(run['mmio.phys_addr'], true));
      const verb = view.getUint8(run['mmio.is_write']) !== 0 ? 'wrote' : 'read';
      return failed(`the guest ${verb} ${size} bytes at ${address}, where nothing is; ${text}`);
    }
    case exit.FAIL_ENTRY: {
      const why = view.getBigUint64(run['fail_entry.hardware_entry_failure_reason'], true);
      return failed(`the processor refused to enter the guest, reason ${hex(why)}; ${text}`);
    }
    case exit.INTERNAL_ERROR: {
      const suberror = view.getUint32(run['internal.suberror'], true);
      const what =
        suberror === kvm.KVM_INTERNAL_ERROR_EMULATION
          ? `KVM cannot emulate an instruction${instruction(view)}`
          : `KVM gave up with internal error ${suberror}`;
      return failed(`${what}; ${text}`);
    }
    default:
      return failed(`exit ${reason} of KVM_RUN is not known here; ${text}`);
  }
}

/** The bytes of an instruction that KVM could not emulate, where it tells them. */
function instruction(view: DataView): string {
  const told =
    view.getUint32(run['emulation_failure.ndata'], true) >= 1 &&
    (view.getBigUint64(run['emulation_failure.flags'], true) &
      BigInt(kvm.KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) !==
      0n;
  const size = told ? Math.min(15, view.getUint8(run['emulation_failure.insn_size'])) : 0;
  const bytes = Array.from({ length: size }, (_, i) =>
    view
      .getUint8(run['emulation_failure.insn_bytes'] + i)
      .toString(16)
      .padStart(2, '0'),
  );
  return bytes.length === 0 ? '' : ` (${bytes.join(' ')})`;
}

function read(view: DataView, at: number, size: number): number {
  if (size === 1) return view.getUint8(at);
  return size === 2 ? view.getUint16(at, true) : view.getUint32(at, true);
}

function write(view: DataView, at: number, size: number, value: number): void {
  if (size === 1) view.setUint8(at, value);
  else if (size === 2) view.setUint16(at, value, true);
  else view.setUint32(at, value, true);
}
