/** One vCPU's loop: enters the guest, serves its exit, and enters it again, until it ends or has to pause or stop. */
import type { End } from '../../cpu.ts';
import { hex } from '../../cpu.ts';
import type { Ffi } from '../ffi.ts';
import { errorName } from '../ffi.ts';
import { exit, ioctl, value as kvm, layout } from './abi.ts';
import type { Command } from './control.ts';
import { registersText } from './registers.ts';
import type { ExitHandler } from './rpc.ts';

/** A vCPU of the process, for the thread that runs it. */
export interface VcpuHandle {
  readonly fd: number;
  /** Where struct kvm_run is mapped, and how long the mapping is. */
  readonly run: bigint;
  readonly runSize: number;
}

/** The hooks of the loop. */
export interface VcpuHooks {
  readonly handler: ExitHandler;
  /** Checked whenever the guest has exited. */
  command(): Command;
  /** Called before each entry; false where the guest must not be entered yet. */
  enter(): boolean;
  /** Called after each entry. */
  leave(): void;
  /** Called when a signal brought the guest out. */
  onSignal(): void;
  /** How the guest ended by a port, or by its state at a signal. */
  end(): End | undefined;
}

const EINTR = -4;
const EAGAIN = -11;
/** More exits than one instruction has: a string instruction comes back at least every 1,024 elements. */
const MAX_COMPLETIONS = 1 << 16;
const run = layout.kvm_run;

/** Runs until the guest ends, or until the command is not `run`: then returns `undefined`. Throws what a layer throws. */
export function runVcpu(sys: Ffi, handle: VcpuHandle, hooks: VcpuHooks): End | undefined {
  const view = new DataView(sys.view(handle.run, handle.runSize));
  for (;;) {
    const command = hooks.command();
    if (command === 'stop') return undefined;
    if (command === 'pause') return completeExit(sys, handle, view, hooks);
    if (!hooks.enter()) continue;
    const result = sys.ioctl(handle.fd, ioctl.RUN, 0);
    hooks.leave();
    if (result === EINTR) hooks.onSignal();
    else {
      const end = served(sys, handle, view, hooks, result);
      if (end !== undefined) return end;
    }
    const end = hooks.end();
    if (end !== undefined) return end;
  }
}

/**
 * Completes the instruction that exited last: its result becomes part of the vCPU's registers, and no other one executes.
 * A string instruction may exit again before it is complete.
 */
function completeExit(sys: Ffi, handle: VcpuHandle, view: DataView, hooks: VcpuHooks): End | undefined {
  for (let i = 0; i < MAX_COMPLETIONS; i++) {
    view.setUint8(run.immediate_exit, 1);
    const result = sys.ioctl(handle.fd, ioctl.RUN, 0);
    view.setUint8(run.immediate_exit, 0);
    if (result === EINTR) return hooks.end();
    const end = served(sys, handle, view, hooks, result) ?? hooks.end();
    if (end !== undefined) return end;
  }
  return failed('an instruction does not complete');
}

/** Serves the exit that KVM_RUN returned with; how the guest ended where there is no way on. */
function served(
  sys: Ffi,
  handle: VcpuHandle,
  view: DataView,
  hooks: VcpuHooks,
  result: number,
): End | undefined {
  // EAGAIN: the vCPU has been woken up by an INIT or SIPI, and has to be entered anew.
  if (result === EAGAIN) return undefined;
  if (result < 0) return failed(`KVM_RUN: ${errorName(-result)}`);
  return serveExit(view, hooks.handler) ? undefined : explain(view, registersText(sys, handle.fd));
}

/** Serves an exit; false for one after which there is no way on. */
function serveExit(view: DataView, handler: ExitHandler): boolean {
  switch (view.getUint32(run.exit_reason, true)) {
    case exit.X86_RDMSR: {
      const result = handler.rdmsr(view.getUint32(run['msr.index'], true));
      if (typeof result === 'bigint') view.setBigUint64(run['msr.data'], result, true);
      view.setUint8(run['msr.error'], typeof result === 'bigint' ? 0 : 1); // 1: the kernel raises #GP in the guest
      return true;
    }
    case exit.X86_WRMSR: {
      const written = view.getBigUint64(run['msr.data'], true);
      const fault = handler.wrmsr(view.getUint32(run['msr.index'], true), written);
      view.setUint8(run['msr.error'], fault === undefined ? 0 : 1);
      return true;
    }
    case exit.IO:
      servePort(view, handler);
      return true;
    case exit.INTR:
    case exit.IRQ_WINDOW_OPEN:
      return true;
    default:
      return false;
  }
}

/** A string instruction comes as many accesses at once. */
function servePort(view: DataView, handler: ExitHandler): void {
  const size = view.getUint8(run['io.size']);
  const port = view.getUint16(run['io.port'], true);
  const count = view.getUint32(run['io.count'], true);
  const input = view.getUint8(run['io.direction']) === kvm.KVM_EXIT_IO_IN;
  let at = Number(view.getBigUint64(run['io.data_offset'], true));
  for (let i = 0; i < count; i++, at += size) {
    if (input) write(view, at, size, handler.in(port, size));
    else handler.out(port, size, read(view, at, size));
  }
}

const failed = (detail: string): End => ({ reason: 'failed', detail });

/** Describes an exit after which there is no way on. */
function explain(view: DataView, state: string): End {
  const reason = view.getUint32(run.exit_reason, true);
  switch (reason) {
    case exit.HLT:
      return { reason: 'halt', detail: state };
    case exit.SHUTDOWN:
      return { reason: 'shutdown', detail: `triple fault; ${state}` };
    case exit.SYSTEM_EVENT:
      return { reason: 'quit', detail: `system event ${view.getUint32(run['system_event.type'], true)}` };
    case exit.MMIO: {
      const size = view.getUint32(run['mmio.len'], true);
      const address = hex(view.getBigUint64(run['mmio.phys_addr'], true));
      const verb = view.getUint8(run['mmio.is_write']) !== 0 ? 'wrote' : 'read';
      return failed(`the guest ${verb} ${size} bytes at ${address}, where nothing is; ${state}`);
    }
    case exit.FAIL_ENTRY: {
      const why = view.getBigUint64(run['fail_entry.hardware_entry_failure_reason'], true);
      return failed(`the processor refused to enter the guest, reason ${hex(why)}; ${state}`);
    }
    case exit.INTERNAL_ERROR: {
      const suberror = view.getUint32(run['internal.suberror'], true);
      const text =
        suberror === kvm.KVM_INTERNAL_ERROR_EMULATION
          ? `KVM cannot emulate an instruction${instruction(view)}`
          : `KVM gave up with internal error ${suberror}`;
      return failed(`${text}; ${state}`);
    }
    default:
      return failed(`exit ${reason} of KVM_RUN is not known here; ${state}`);
  }
}

/** The bytes of an instruction that KVM could not emulate, where they are known. */
function instruction(view: DataView): string {
  const known =
    view.getUint32(run['emulation_failure.ndata'], true) >= 1 &&
    (view.getBigUint64(run['emulation_failure.flags'], true) &
      BigInt(kvm.KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) !==
      0n;
  const size = known ? Math.min(15, view.getUint8(run['emulation_failure.insn_size'])) : 0;
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
