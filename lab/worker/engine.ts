/** The engines that run in a page, behind one shape: v86 with its machine, and the model, which is a processor alone. */
import type { Console, Cpu, End, Image, Layer, Machine } from 'commonhv';
import { model } from 'commonhv/engines/model';
import { v86 } from 'commonhv/engines/v86';
import type { Settings } from '../model/settings.ts';

/** A guest that runs; `cpu` where it can be asked without a console. */
export interface Booted {
  readonly console: Console | undefined;
  readonly cpu: Cpu | undefined;
  readonly ended: Promise<End>;
  pause(): Promise<void>;
  unpause(): Promise<void>;
  save(): Promise<Uint8Array>;
  /** Puts a saved state back in place. */
  restore(state: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

export interface Bootable {
  start(layer: Layer, image: Image): Promise<Booted>;
  resume(layer: Layer, state: Uint8Array): Promise<Booted>;
}

/** `module`: v86's, for that engine. */
export async function engineOf(settings: Settings, module: Promise<WebAssembly.Module>): Promise<Bootable> {
  return settings.engine === 'model' ? modelled : embedded(settings.memory, await module);
}

/** Nothing boots: the layer answers as it is. For a browser without WebAssembly, and for a check beside the machine. */
export const modelled: Bootable = {
  start: async (layer) => {
    let end: (end: End) => void = () => {};
    const ended = new Promise<End>((resolve) => {
      end = resolve;
    });
    const cpu = model(layer);
    return {
      console: undefined,
      cpu,
      ended,
      pause: async () => {},
      unpause: async () => {},
      save: async () => new Uint8Array(0),
      restore: async () => cpu.restored?.(),
      close: async () => end({ reason: 'closed' }),
    };
  },
  resume: (layer) => modelled.start(layer, { kernel: new Uint8Array(0) }),
};

function embedded(memory: number, wasm: WebAssembly.Module): Bootable {
  const engine = v86({ memory: memory * 2 ** 20, wasm });
  return {
    start: async (layer, image) => booted(await engine.start(layer, image)),
    resume: async (layer, state) => booted(await engine.resume(layer, state)),
  };
}

function booted(machine: Machine): Booted {
  const { console, ended } = machine;
  const missing = (name: string): never => {
    throw new Error(`this engine cannot ${name}`);
  };
  // Called on the machine: its methods may need their `this`.
  return {
    console,
    cpu: undefined,
    ended,
    pause: async () => machine.pause?.() ?? missing('pause'),
    unpause: async () => machine.unpause?.() ?? missing('go on'),
    save: async () => machine.save?.() ?? missing('save'),
    restore: async (state) => machine.restore?.(state) ?? missing('restore'),
    close: () => machine.close(),
  };
}
