/** A worker thread: takes one task after another. While its guest runs, its event loop stands still. */
import { parentPort } from 'node:worker_threads';
import type { Layer, SyncCpu } from '../../cpu.ts';
import { check, ffi } from '../ffi.ts';
import { Control, KICK } from './control.ts';
import { tableOf } from './cpuid.ts';
import { applyLayer } from './layer-host.ts';
import { MachineOver } from './rpc.ts';
import type { Message, Request, Task } from './task.ts';
import { TaskRunner } from './task-runner.ts';

const port = parentPort!;
const send = (message: Message): void => port.postMessage(message);
const sys = ffi();
// From here on the signal that ends a stay in the guest stays pending until it is taken, wherever this thread is.
check(sys.block(KICK), 'rt_sigprocmask');

let runner: TaskRunner | undefined;
let layer: SyncCpu | undefined;

port.on('message', async (request: Request) => {
  try {
    switch (request.kind) {
      case 'prepare':
        send({ kind: 'reply', value: await prepare(request.task) });
        break;
      case 'run':
        run();
        break;
      case 'saved':
        send({ kind: 'reply', value: layer?.saved?.() });
        break;
      case 'restored':
        send({ kind: 'reply', value: layer?.restored?.(request.saved) });
        break;
      case 'release':
        runner = undefined;
        layer = undefined;
        send({ kind: 'released' });
    }
  } catch (error) {
    send({ kind: 'refused', error });
  }
});
send({ kind: 'ready', tid: sys.gettid() });

async function prepare(task: Task): Promise<unknown> {
  layer = await buildLayer(task);
  runner = new TaskRunner(sys, task, layer, send);
  return layer && tableOf(layer);
}

/** Builds the layer that belongs to this thread, if one does. */
async function buildLayer({ layer, memory, control, vmGeneration }: Task): Promise<SyncCpu | undefined> {
  if (layer === undefined) return undefined;
  const { source, hostCpu, resumed } = layer;
  const module = (await import(source.module)) as Record<string, unknown>;
  const make = module[source.export];
  if (typeof make !== 'function') {
    throw new TypeError(`layer: ${source.module} exports no function ${JSON.stringify(source.export)}`);
  }
  const made: unknown = await make(source.options, (event: unknown) => send({ kind: 'event', event }));
  if (typeof made !== 'function') {
    throw new TypeError(`layer: ${source.export} of ${source.module} returned no layer`);
  }
  return applyLayer(sys, made as Layer, new Control(control), {
    hostCpu,
    memory,
    resumed,
    vmGeneration,
  });
}

/** Runs the guest or serves the vCPUs, and tells how that ended. */
function run(): void {
  try {
    const end = runner?.run();
    send(end === undefined ? { kind: 'paused' } : { kind: 'ended', end });
  } catch (cause) {
    if (cause instanceof MachineOver) return;
    send({ kind: 'ended', end: { reason: 'failed', detail: String(cause), cause } });
  }
}
