/** A machine as the caller's thread has it: its threads, its layer, its serial lines, its saved states, and its end. */
import type { Console, End, MachineMemory, SavedLayer, SyncCpu } from '../../cpu.ts';
import type { CpuidDump } from '../../cpuid-dump.ts';
import { assignTasks, serialOf } from './assign.ts';
import { checkLeaves, checkMachine } from './compatible.ts';
import { SerialConsole } from './console.ts';
import type { Control } from './control.ts';
import { install } from './cpuid.ts';
import type { KvmMachine } from './kvm-machine.ts';
import type { LayerHost } from './layer-host.ts';
import { mailbox, serve } from './rpc.ts';
import type { Description } from './saved-state.ts';
import { OpenState, packState, type StateSource, writeStateFile } from './state-file.ts';
import type { Message, Task } from './task.ts';
import { endedError, Threads } from './threads.ts';
import type { Vm } from './vm.ts';
import { VmGeneration, type VmGenerationPlace } from './vm-generation.ts';
import type { Lease } from './worker-pool.ts';

/** So often a layer on the caller's thread is polled, in milliseconds. */
const POLL_MS = 50;

export interface MachineParts {
  readonly vm: Vm;
  readonly hostCpu: CpuidDump;
  readonly layer: LayerHost;
  readonly resumed: boolean;
  readonly vmGeneration: VmGenerationPlace | undefined;
  readonly leases: readonly Lease[];
  readonly control: Control;
}

export class RunningMachine implements KvmMachine {
  readonly console: Console;
  readonly consoles: readonly Console[];
  readonly ended: Promise<End>;
  readonly memory: MachineMemory;
  readonly #vm: Vm;
  readonly #layer: LayerHost;
  readonly #serials: readonly SerialConsole[];
  readonly #threads: Threads;
  readonly #tasks: readonly Task[];
  readonly #vmGeneration: VmGeneration | undefined;
  /** Serves the call in a thread's mailbox, where the layer is on this thread. */
  readonly #serve: readonly (() => void)[];
  #paused = false;
  #polling: NodeJS.Timeout | undefined;
  /** The leaves that the guest sees. */
  #table: CpuidDump = [];
  /** The state whose file the memory is mapped from. */
  #state: OpenState | undefined;
  #over: End | undefined;
  #finish!: (end: End) => void;
  #last: Promise<unknown> = Promise.resolve();

  constructor({ vm, hostCpu, layer, resumed, vmGeneration, leases, control }: MachineParts) {
    const { vcpus, interrupts } = vm.options;
    this.#vm = vm;
    this.memory = vm.memory.forOwner(() => this.#checkRunning());
    this.#layer = layer;
    const onMessage = (thread: number, message: Message): void => this.#onMessage(thread, message);
    const threads = new Threads({ control, vm, leases, onMessage });
    this.#threads = threads;
    const serials = Array.from(
      { length: interrupts ? 1 : vcpus },
      () => new SerialConsole(() => this.#onInput()),
    );
    this.#serials = serials;
    this.consoles = serials.map((serial) => serial.console);
    this.console = this.consoles[0]!;
    const mailboxes = leases.map(() => mailbox());
    this.#tasks = assignTasks({ vm, threads, layer, hostCpu, resumed, vmGeneration, serials, mailboxes });
    this.#vmGeneration = vmGeneration && new VmGeneration(vm.system.sys, vmGeneration);
    this.#serve = mailboxes.map((box) => serve(box, layer.handler));
    this.ended = new Promise<End>((resolve) => {
      this.#finish = resolve;
    }).then((end) => this.#shutDown(end));
    const { cpu } = layer;
    if (cpu?.poll !== undefined) this.#polling = setInterval(() => this.#poll(cpu), POLL_MS).unref();
  }

  /**
   * Builds the layer, and installs its CPUID table in every vCPU; sets a saved state, and tells the layer. Rejects for a
   * state whose guest was shown other leaves.
   */
  async prepare(state?: OpenState): Promise<void> {
    const reply = await this.#threads.prepare(this.#tasks);
    this.#table = this.#layer.table() ?? (reply as CpuidDump);
    if (state !== undefined) checkLeaves(state.parsed.description.table, this.#table);
    this.#vm.vcpus.forEach(({ fd }, id) => {
      install(this.#vm.system.sys, fd, this.#table, id);
    });
    if (state === undefined) this.#vmGeneration?.start();
    else await this.#adopt(state);
  }

  run(): void {
    this.#threads.run();
  }

  /** Ends a machine that could not be started. */
  async abandon(cause: unknown): Promise<void> {
    this.#finish({ reason: 'failed', cause });
    await this.ended;
  }

  async close(): Promise<void> {
    this.#finish({ reason: 'closed' });
    await this.ended;
  }

  pause(): Promise<void> {
    return this.#inTurn(() => this.#pause());
  }

  unpause(): Promise<void> {
    return this.#inTurn(async () => this.#unpause());
  }

  save(): Promise<Uint8Array> {
    return this.#saving((description) => packState(description, this.#vm.memory, this.#proceed));
  }

  saveFile(path: string): Promise<void> {
    return this.#saving((description) => writeStateFile(path, description, this.#vm.memory, this.#proceed));
  }

  restore(source: StateSource): Promise<void> {
    return this.#inTurn(async () => {
      const state = new OpenState(source);
      try {
        checkMachine(state.parsed, this.#vm.options, this.#table, this.#threads.running);
        await this.#whilePaused(() => this.#putBack(state));
      } catch (error) {
        if (this.#state !== state) state.close();
        throw error;
      }
    });
  }

  /** Sets vCPUs and devices to a saved state, whose memory is there already, and tells the layer. No vCPU executes. */
  async #adopt(state: OpenState): Promise<void> {
    const { description } = state.parsed;
    this.#vm.writeState(description);
    description.serials.forEach((serial, i) => {
      this.#serials[i]!.restore(serial);
    });
    if (description.vmgenid !== undefined) this.#vmGeneration?.restore(description.vmgenid);
    this.#vmGeneration?.renew();
    for (const id of description.ended) this.#threads.running.delete(id);
    this.#state?.close();
    this.#state = state;
    const saved = description.layer;
    if (this.#layer.source === undefined) this.#layer.restored(saved);
    else await this.#threads.request({ kind: 'restored', saved });
  }

  /** Lets a layer on this thread look after itself. */
  #poll(cpu: SyncCpu): void {
    if (this.#paused || this.#over !== undefined) return;
    try {
      this.#threads.control.whileStopped(this.#vm.system.sys, () => cpu.poll?.());
    } catch (cause) {
      this.#finish({ reason: 'failed', detail: String(cause), cause });
    }
  }

  #onMessage(thread: number, message: Message): void {
    switch (message.kind) {
      case 'event':
        this.#layer.onEvent?.(message.event);
        break;
      case 'output':
      case 'room': {
        const serial = serialOf(this.#vm, this.#threads, thread);
        if (serial !== undefined) this.#serials[serial]!.onMessage(message.kind);
        break;
      }
      case 'paused':
        this.#threads.park(thread);
        break;
      case 'ended':
        this.#threads.running.delete(thread);
        // A processor that has halted for good leaves the others running.
        if (message.end.reason !== 'halt' || this.#threads.running.size === 0) this.#finish(message.end);
        this.#threads.park(thread);
        break;
      case 'call':
        this.#serveCall(thread);
    }
  }

  #serveCall(thread: number): void {
    try {
      this.#serve[thread]!();
    } catch (cause) {
      this.#finish({ reason: 'failed', detail: String(cause), cause });
    }
  }

  #onInput(): void {
    this.#threads.control.notify();
    if (this.#vm.options.interrupts) this.#threads.kick();
  }

  async #pause(): Promise<void> {
    if (this.#paused) return;
    await this.#threads.pause(this.ended);
    this.#checkRunning();
    this.#paused = true;
  }

  #unpause(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#threads.run();
  }

  /** Calls a function while no vCPU executes; a machine that ran runs on afterwards, unless it ended. */
  async #whilePaused<T>(use: () => Promise<T>): Promise<T> {
    const wasPaused = this.#paused;
    await this.#pause();
    try {
      return await use();
    } finally {
      if (!wasPaused && this.#over === undefined) this.#unpause();
    }
  }

  /** One operation after the other, and none on a machine that has ended. */
  #inTurn<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.#last.then(() => {
      this.#checkRunning();
      return operation();
    });
    this.#last = result.catch(() => {});
    return result;
  }

  #checkRunning(): void {
    if (this.#over !== undefined) throw endedError(this.#over);
  }

  /** Lets the event loop run during a long operation, and gives that up when the machine ends. */
  readonly #proceed = async (): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
    this.#checkRunning();
  };

  #saving<T>(write: (description: Description) => Promise<T>): Promise<T> {
    return this.#inTurn(() => this.#whilePaused(async () => write(await this.#describe())));
  }

  async #describe(): Promise<Description> {
    const { interrupts, msrs } = this.#vm.options;
    const inThread = this.#layer.source !== undefined;
    const layer = inThread ? await this.#threads.request({ kind: 'saved' }) : this.#layer.saved();
    return {
      ...this.#vm.readState(),
      ended: [...this.#vm.vcpus.keys()].filter((id) => !this.#threads.running.has(id)),
      interrupts,
      msrs,
      serials: this.#serials.map((serial) => serial.save()),
      table: this.#table,
      ...(layer !== undefined && { layer: layer as SavedLayer }),
      ...(this.#vmGeneration && { vmgenid: this.#vmGeneration.save() }),
    };
  }

  /** Replaces memory and state, and tells the layer, before any vCPU executes. */
  async #putBack(state: OpenState): Promise<void> {
    try {
      this.#vm.memory.replace(state.image);
      state.loadInto(this.#vm.memory);
      await this.#adopt(state);
    } catch (cause) {
      // A mixture of two machines cannot run on.
      this.#finish({ reason: 'failed', detail: String(cause), cause });
      await this.ended;
      throw cause;
    }
  }

  /** Brings every thread out of the machine, then frees it. */
  async #shutDown(end: End): Promise<End> {
    // A guest whose mapped file was truncated ends with an error of the kernel that does not say so.
    const fault = end.reason === 'failed' ? this.#state?.fault() : undefined;
    const over = fault === undefined ? end : { ...end, detail: fault };
    this.#over = over;
    clearInterval(this.#polling);
    await this.#threads.release();
    this.#vm.free();
    this.#state?.close();
    for (const serial of this.#serials) serial.end();
    return over;
  }
}
