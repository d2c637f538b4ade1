/**
 * Puts a hook at the head of three functions of v86's module (WebAssembly Core Specification 1.0, chapter 5).
 *
 * v86 lets nobody answer CPUID, RDMSR and WRMSR. But interpreter and compiled code alike call three exported functions for
 * them, and the module imports `io_port_read32(port)`. No guest can name a port above FFFFH, so a call of that import with
 * a larger number is ours: at the head of each function we insert "if io_port_read32(marker) is not 0, return". No
 * function, type or import is added, so that no index in the module moves.
 */

type Bytes = Uint8Array<ArrayBuffer>;

/** The argument of `io_port_read32` in the three functions: above every port. */
export const CPUID = 0x1_0fa2;
export const RDMSR = 0x1_0f32;
export const WRMSR = 0x1_0f30;

const HOOKED = [
  ['instr_0FA2', CPUID],
  ['instr_0F32', RDMSR],
  ['instr_0F30', WRMSR],
] as const;

// Section numbers.
const CUSTOM = 0;
const TYPES = 1;
const IMPORTS = 2;
const FUNCTIONS = 3;
const EXPORTS = 7;
const CODE = 10;

/** The name of a custom section of no bytes, at the end of a module with the hooks. */
const MARK = 'commonhv hooks';

/** Whether a compiled module has the hooks. */
export const hasHooks = (module: WebAssembly.Module): boolean =>
  WebAssembly.Module.customSections(module, MARK).length > 0;

/**
 * `v86.wasm` with the hooks in it, as `v86` puts them in by itself: for a build whose page compiles the module while it arrives.
 * A module that has them already is given back. Throws a TypeError that names the unexpected part in one line.
 */
export function insertHooks(module: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const mark = customSection(MARK);
  if (mark.every((byte, i) => module[module.length - mark.length + i] === byte)) return module;
  const at = readSections(module);
  const types = readTypes(at(TYPES));
  const imports = readImports(at(IMPORTS));
  const own = at(FUNCTIONS).vector((read) => read.u32());
  const exports = readExports(at(EXPORTS));

  const port = imports.findIndex(({ name }) => name === 'env.io_port_read32');
  if (port < 0) throw new TypeError('it does not import io_port_read32');
  if (types[imports[port]!.type] !== '127 to 127') {
    throw new TypeError('its import io_port_read32 does not take and give one 32-bit number');
  }
  const heads = new Map<number, readonly number[]>();
  for (const [name, marker] of HOOKED) {
    const index = exports.get(name);
    if (index === undefined) throw new TypeError(`it does not export a function ${name}`);
    if (types[own[index - imports.length] ?? -1] !== ' to ') {
      throw new TypeError(`its function ${name} takes or gives what it should not`);
    }
    heads.set(index - imports.length, head(marker, port));
  }
  const code = at(CODE);
  return concatenate([
    module.subarray(0, code.header),
    ...rewriteCode(code, heads),
    module.subarray(code.end),
    mark,
  ]);
}

function customSection(name: string): Bytes {
  const text = new TextEncoder().encode(name);
  return Uint8Array.from([CUSTOM, ...unsigned(text.length + 1), ...unsigned(text.length), ...text]);
}

/** if (io_port_read32(marker)) return; */
function head(marker: number, port: number): readonly number[] {
  return [
    ...[0x41, ...signed(marker)], // i32.const
    ...[0x10, ...unsigned(port)], // call
    ...[0x04, 0x40, 0x0f, 0x0b], // if; return; end
  ];
}

/** The code section: a vector of bodies, each its size, its locals, and its instructions. */
function rewriteCode(code: Cursor, heads: ReadonlyMap<number, readonly number[]>): Bytes[] {
  const count = code.u32();
  const parts: Bytes[] = [Uint8Array.from(unsigned(count))];
  let copied = code.position;
  for (let i = 0; i < count; i++) {
    const start = code.position;
    const size = code.u32();
    const body = code.position;
    const insert = heads.get(i);
    if (insert === undefined) {
      code.skip(size);
      continue;
    }
    parts.push(code.bytes(copied, start)); // the bodies before it, as they are
    code.vector((read) => [read.u32(), read.byte()]); // runs of locals: how many, of which type
    const instructions = code.position;
    parts.push(
      Uint8Array.from(unsigned(size + insert.length)),
      code.bytes(body, instructions),
      Uint8Array.from(insert),
      code.bytes(instructions, body + size),
    );
    code.skip(body + size - instructions);
    copied = code.position;
  }
  parts.push(code.bytes(copied, code.position));
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  return [Uint8Array.from([CODE, ...unsigned(size)]), ...parts];
}

/** Where each section is; asking for one that is not there throws. */
function readSections(module: Bytes): (id: number) => Cursor {
  const magic = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  if (!magic.every((byte, i) => module[i] === byte)) throw new TypeError('it is no WebAssembly 1.0 module');
  const sections = new Map<number, Cursor>();
  const all = cursor(module, 8, 8, module.length);
  while (all.position < module.length) {
    const header = all.position;
    const id = all.byte();
    const size = all.u32();
    const start = all.position;
    all.skip(size);
    sections.set(id, cursor(module, header, start, all.position));
  }
  return (id) => {
    const found = sections.get(id);
    if (found === undefined) throw new TypeError(`it has no section ${id}`);
    return found;
  };
}

/** Function types as text, to be compared: "parameters to results", in the numbers of the value types. */
function readTypes(section: Cursor): readonly string[] {
  return section.vector((read) => {
    if (read.byte() !== 0x60) throw new TypeError('it has a type that is not of a function');
    const parameters = read.vector((value) => value.byte());
    const results = read.vector((value) => value.byte());
    return `${parameters.join(' ')} to ${results.join(' ')}`;
  });
}

/** The imported functions, in the order of their indices. */
function readImports(section: Cursor): readonly { readonly name: string; readonly type: number }[] {
  const all = section.vector((read) => {
    const name = `${read.name()}.${read.name()}`;
    const kind = read.byte();
    if (kind === 0) return { name, type: read.u32() };
    if (kind === 1) read.byte(); // a table: element type, then limits
    if (kind === 3) {
      read.skip(2); // a global: value type, mutability
    } else {
      for (let limits = read.byte() & 1; limits >= 0; limits--) read.u32();
    }
    return undefined;
  });
  return all.filter((entry) => entry !== undefined);
}

function readExports(section: Cursor): ReadonlyMap<string, number> {
  const all = section.vector((read) => [read.name(), read.byte(), read.u32()] as const);
  return new Map(all.filter(([, kind]) => kind === 0).map(([name, , index]) => [name, index]));
}

interface Cursor {
  readonly position: number;
  /** Where the section's own number stands, and its end. */
  readonly header: number;
  readonly end: number;
  byte(): number;
  u32(): number;
  name(): string;
  skip(size: number): void;
  vector<T>(item: (read: Cursor) => T): T[];
  bytes(from: number, to: number): Bytes;
}

/** A bounded reader: a truncated module ends in a TypeError. */
function cursor(module: Bytes, header: number, start: number, end: number): Cursor {
  let position = start;
  const text = new TextDecoder();
  const need = (size: number) => {
    if (position + size > end) throw new TypeError('it is truncated');
  };
  const read: Cursor = {
    get position() {
      return position;
    },
    header,
    end,
    byte() {
      need(1);
      return module[position++]!;
    },
    u32() {
      let value = 0;
      for (let shift = 0; shift < 35; shift += 7) {
        const byte = read.byte();
        value += (byte & 0x7f) * 2 ** shift;
        if (byte < 0x80) return value;
      }
      throw new TypeError('it has a number that is longer than 32 bits');
    },
    name() {
      const size = read.u32();
      read.skip(size);
      return text.decode(module.subarray(position - size, position));
    },
    skip(size) {
      need(size);
      position += size;
    },
    vector(item) {
      const count = read.u32();
      need(count); // an item has at least one byte
      return Array.from({ length: count }, () => item(read));
    },
    bytes: (from, to) => module.subarray(from, to),
  };
  return read;
}

function unsigned(value: number): readonly number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

/** For numbers that are not negative: a last byte whose bit 6 is clear. */
function signed(value: number): readonly number[] {
  return value < 0x40 ? [value] : [(value & 0x7f) | 0x80, ...signed(value >>> 7)];
}

function concatenate(parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
