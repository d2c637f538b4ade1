/** v86's module with the hooks in it, compiled once. */
import { packagedModule } from '#v86-module';
import { MachineError } from '../../cpu.ts';
import { hasHooks, insertHooks } from './wasm.ts';

/**
 * Where v86.wasm is: an address to fetch, its bytes, or a module that was compiled of what `insertHooks` gives. Without one,
 * Node takes it from the v86 package.
 */
export type WasmSource = string | URL | Uint8Array | ArrayBuffer | WebAssembly.Module;

/** The version that all of this was made for and is tested with. */
const KNOWN = '0.5.462';

const GIVEN = 'the v86 module that was given';

const compiled = new Map<string, Promise<WebAssembly.Module>>();

/** Throws a `MachineError` where the module cannot be had, or is of a version that does not fit. */
export async function hookedModule(source?: WasmSource): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return checked(source, GIVEN);
  if (source !== undefined && typeof source !== 'string' && !(source instanceof URL)) {
    return compile(new Uint8Array(source), GIVEN);
  }
  const key = String(source ?? '');
  let module = compiled.get(key);
  if (module === undefined) {
    module = source === undefined ? ofPackage() : ofAddress(key);
    compiled.set(key, module);
    // A failed load may succeed next time.
    module.catch(() => compiled.delete(key));
  }
  return module;
}

async function ofPackage(): Promise<WebAssembly.Module> {
  const { bytes, name } = await packagedModule().catch((cause: unknown) => {
    if (cause instanceof MachineError) throw cause;
    throw new MachineError(`v86: its package cannot be read: ${(cause as Error).message}`, { cause });
  });
  return compile(bytes, name);
}

async function ofAddress(address: string): Promise<WebAssembly.Module> {
  const name = `the v86 module at ${address}`;
  const response = await fetch(address).catch((cause: unknown) => {
    throw new MachineError(`v86: cannot fetch ${address}: ${(cause as Error).message}`, { cause });
  });
  if (!response.ok) throw new MachineError(`v86: cannot fetch ${address}: status ${response.status}`);
  return compile(new Uint8Array(await response.arrayBuffer()), name);
}

async function compile(bytes: Uint8Array<ArrayBuffer>, name: string): Promise<WebAssembly.Module> {
  const module = await Promise.resolve()
    .then(() => WebAssembly.compile(insertHooks(bytes)))
    .catch((cause: unknown) => unexpected(name, cause));
  return checked(module, name);
}

function checked(module: WebAssembly.Module, name: string): WebAssembly.Module {
  const names = new Set(WebAssembly.Module.exports(module).map((each) => each.name));
  const missing = NEEDED.find((wanted) => !names.has(wanted));
  if (missing !== undefined) unexpected(name, new TypeError(`it does not export ${missing}`));
  if (!hasHooks(module)) unexpected(name, new TypeError('it was compiled without the hooks of insertHooks'));
  return module;
}

function unexpected(name: string, cause: unknown): never {
  const why = (cause as Error).message;
  throw new MachineError(`${name} is not as expected: ${why} (made for v86 ${KNOWN})`, { cause });
}

/** The exports that hook and machine call by name, beside the hooked functions. */
const NEEDED = [
  'memory',
  'rust_init',
  'main_loop',
  'reset_cpu',
  'allocate_memory',
  'jit_clear_cache_js',
  'trigger_gp_jit',
  'trigger_ud_jit',
  'exit_jit',
  'jit_dirty_cache',
  'in_mapped_range',
] as const;
