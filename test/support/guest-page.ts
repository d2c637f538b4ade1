/** A generation page of the tests' own over a layer on v86, so that a driver meets right and faulty ones: draft 3, "Generation page". */
import type { Layer } from 'commonhv';

const PAGE = 0x400000a2;
const GENERATION = 0x400000a1;
const PAGE_BYTES = 4096;

/** v86's exports, seen when its module is instantiated: guest RAM is a part of the module's memory. */
let exports: { readonly memory: WebAssembly.Memory } | undefined;
const instantiate = WebAssembly.instantiate;
Object.assign(WebAssembly, {
  async instantiate(module: WebAssembly.Module, imports: WebAssembly.Imports) {
    const instance = await instantiate(module, imports);
    // v86's compiler instantiates bytes, which gives another shape.
    if (instance.exports !== undefined && 'allocate_memory' in instance.exports)
      exports = instance.exports as unknown as typeof exports;
    return instance;
  },
});

export interface GuestPage {
  readonly layer: Layer;
  /** MSR_COMMONHV_GENERATION_PAGE. */
  register: bigint;
  /** False: a hypervisor that stops to store. */
  stores: boolean;
  /** Values that the guest wrote to the register, in order. */
  readonly written: bigint[];
}

export function guestPage(inner: Layer): GuestPage {
  let ram: number | undefined;
  const page: GuestPage = {
    register: 0n,
    stores: true,
    written: [],
    layer: (host) => {
      const cpu = inner(host);
      const generation = () => cpu.rdmsr(GENERATION) as bigint;
      const store = () => {
        if (page.register === 0n || !page.stores || exports === undefined) return;
        const address = Number(page.register & ~0xfffn);
        ram ??= findRam(exports.memory, address, generation() ^ 0xffffffffffffffffn);
        if (ram !== undefined)
          new DataView(exports.memory.buffer).setBigUint64(ram + address, generation(), true);
      };
      return {
        ...cpu,
        rdmsr: (index) => (index === PAGE ? page.register : cpu.rdmsr(index)),
        wrmsr(index, value) {
          if (index !== PAGE) return cpu.wrmsr(index, value);
          if (value !== 0n && (value & 0xfffn) !== 1n) return '#GP';
          page.written.push(value);
          page.register = value;
          store();
          return undefined;
        },
        restored(...saved) {
          cpu.restored?.(...saved);
          store();
        },
      };
    },
  };
  return page;
}

/** Where guest RAM begins, by a page at a known address that begins with `mark` and is zero from byte 16 on. */
function findRam(memory: WebAssembly.Memory, address: number, mark: bigint): number | undefined {
  const halves = new Uint32Array(memory.buffer);
  const low = Number(mark & 0xffffffffn);
  const high = Number(mark >> 32n);
  for (let at = halves.indexOf(low); at >= 0; at = halves.indexOf(low, at + 1)) {
    const rest = halves.subarray(at + 4, at + PAGE_BYTES / 4);
    if (halves[at + 1] === high && rest.every((half) => half === 0) && at * 4 >= address)
      return at * 4 - address;
  }
  return undefined;
}
