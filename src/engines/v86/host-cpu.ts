/** The processor that v86 gives its guests, asked without any guest: under no layer, in no machine. */
import { bare, type SyncCpu } from '../../cpu.ts';
import { type Exports, Hook } from './hook.ts';

/** An instance of the module of its own. Writes to its MSRs reach no guest. */
export async function hostCpu(module: WebAssembly.Module): Promise<SyncCpu> {
  const env: Record<string, WebAssembly.ImportValue> = {};
  for (const { name, kind } of WebAssembly.Module.imports(module)) {
    env[name] = kind === 'table' ? new WebAssembly.Table({ element: 'anyfunc', initial: TABLE }) : () => 0;
  }
  env.microtick = () => performance.now();
  let hostCpu: SyncCpu = bare;
  const hook = new Hook(env, (under) => {
    hostCpu = under;
    return under;
  });
  const instance = await WebAssembly.instantiate(module, { env: hook.env });
  const exports = instance.exports as unknown as Exports;
  exports.rust_init();
  hook.attach(exports);
  return hostCpu;
}

/** Entries of the function table that the module asks for: its own functions and room for compiled code. */
const TABLE = 2048;
