/** The console of one copy of a machine, read as lines of samples that `c/sampler` printed. */

/** Samples of one copy, column by column; below `MAX_SAMPLES` rows. Values are kept as 64-bit hashes, not as text. */
export interface Recording {
  /** The copy's name in reports, such as "copy 1" or a file's name. */
  readonly name: string;
  /** The sampler's step of each row, ascending. */
  readonly steps: readonly number[];
  /** CLOCK_MONOTONIC and CLOCK_REALTIME of each row, in microseconds. */
  readonly monotonic: readonly number[];
  readonly realtime: readonly number[];
  /** Each source's values, by row; a row without the source has `undefined`. */
  readonly sources: ReadonlyMap<string, readonly (bigint | undefined)[]>;
  /** Lines that began as samples and were broken: truncated, interleaved, or with another check. */
  readonly damaged: number;
  /** Rows whose clock or step went back; they are left out. */
  readonly backwards: number;
  /** Rows that a long recording left out: its later half is thinned, to steps that every copy keeps. */
  readonly dropped: number;
  /** The newest step when the host saw the guest acknowledge its generation, -1 before the first; absent where it saw none. */
  readonly acknowledged?: number | undefined;
}

/** Rows kept of each copy, at most: 100 copies then take some 50 MB. */
export const MAX_SAMPLES = 4000;
/** Sources kept of each copy; the sampler prints at most 20. */
const MAX_SOURCES = 32;
/** Characters of one line; what is longer is cut, and then fails its check. */
const MAX_LINE = 4096;
const MARK = 'commonhv-sample 1 ';

/** Reads one copy's console; feed it bytes as they come, in pieces of any size. */
export class SampleReader {
  readonly #name: string;
  readonly #steps: number[] = [];
  readonly #monotonic: number[] = [];
  readonly #realtime: number[] = [];
  readonly #sources = new Map<string, (bigint | undefined)[]>();
  #line = '';
  #cut = false;
  #damaged = 0;
  #backwards = 0;
  #dropped = 0;
  #acknowledged: number | undefined;
  /** Later rows are kept where their step is a multiple of this; a power of two, so copies keep common steps. */
  #stride = 1;

  constructor(name: string) {
    this.#name = name;
  }

  /** Rows so far. */
  get count(): number {
    return this.#steps.length;
  }

  feed(bytes: Uint8Array): void {
    let from = 0;
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, from)) {
      this.#append(bytes.subarray(from, at));
      this.#end();
      from = at + 1;
    }
    this.#append(bytes.subarray(from));
  }

  /** To be called where the guest acknowledges its generation (draft 3): its kernel's values may not repeat from then on. */
  acknowledge(): void {
    this.#acknowledged ??= this.#steps.at(-1) ?? -1;
  }

  /** The samples so far; a last line without its end does not count. */
  recording(): Recording {
    return {
      name: this.#name,
      steps: this.#steps,
      monotonic: this.#monotonic,
      realtime: this.#realtime,
      sources: this.#sources,
      damaged: this.#damaged,
      backwards: this.#backwards,
      dropped: this.#dropped,
      acknowledged: this.#acknowledged,
    };
  }

  #append(bytes: Uint8Array): void {
    const room = MAX_LINE - this.#line.length;
    if (bytes.length > room) this.#cut = true;
    for (const byte of bytes.subarray(0, Math.max(room, 0))) this.#line += String.fromCharCode(byte);
  }

  #end(): void {
    const at = this.#line.indexOf(MARK);
    if (at >= 0) {
      const fields = this.#cut ? undefined : readLine(this.#line.slice(at));
      if (fields === undefined) this.#damaged++;
      else this.#add(fields);
    }
    this.#line = '';
    this.#cut = false;
  }

  #add(fields: ReadonlyMap<string, string>): void {
    const [step, monotonic, realtime] = ['n', 'mono', 'real'].map((key) => fields.get(key) ?? '');
    if (![step, monotonic, realtime].every((text) => /^\d{1,20}$/.test(text!))) return void this.#damaged++;
    const microseconds = (text: string): number => Number(BigInt(text) / 1000n);
    if (
      this.count > 0 &&
      (Number(step) <= this.#steps.at(-1)! || microseconds(monotonic!) < this.#monotonic.at(-1)!)
    )
      return void this.#backwards++;
    if (Number(step) % this.#stride !== 0) return void this.#dropped++;
    const row = this.count;
    this.#steps.push(Number(step));
    this.#monotonic.push(microseconds(monotonic!));
    this.#realtime.push(microseconds(realtime!));
    for (const [key, value] of fields) {
      if (key === 'n' || key === 'mono' || key === 'real') continue;
      let column = this.#sources.get(key);
      if (column === undefined) {
        if (this.#sources.size >= MAX_SOURCES) continue;
        column = [];
        this.#sources.set(key, column);
      }
      column.length = row;
      column.push(hash(value));
    }
    if (this.count === MAX_SAMPLES) this.#thin();
  }

  /** The first half stays whole, since copies part early; of the second half, every other step stays. */
  #thin(): void {
    this.#stride *= 2;
    const first = MAX_SAMPLES / 2;
    const stays = this.#steps.map((step, row) => row < first || step % this.#stride === 0);
    const columns: unknown[][] = [this.#steps, this.#monotonic, this.#realtime, ...this.#sources.values()];
    for (const column of columns) {
      let to = 0;
      for (const [row, value] of column.entries()) if (stays[row]) column[to++] = value;
      column.length = to;
    }
    this.#dropped += MAX_SAMPLES - this.count;
  }
}

/** The fields of a whole line, or `undefined` where its check fails. */
function readLine(line: string): ReadonlyMap<string, string> | undefined {
  const match = /^(.*) ~([0-9a-f]{8})\s*$/.exec(line);
  if (match === null) return undefined;
  const [, text, check] = match;
  if (fnv(text!, 0x811c_9dc5) !== Number.parseInt(check!, 16)) return undefined;
  const fields = new Map<string, string>();
  for (const field of text!.slice(MARK.length).split(' ')) {
    const [, key, value] = /^([a-z0-9-]{1,32})=([!-~]{1,80})$/.exec(field) ?? [];
    if (key === undefined || value === undefined) return undefined;
    fields.set(key, value);
  }
  return fields;
}

/** FNV-1a, 32 bits. */
function fnv(text: string, basis: number): number {
  let value = basis;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x0100_0193);
  return value >>> 0;
}

/** 64 bits of two passes: two of a million values are equal by chance once in 4 * 10^7 recordings. */
function hash(text: string): bigint {
  return (BigInt(fnv(text, 0x811c_9dc5)) << 32n) | BigInt(mix(text));
}

/** A second hash, of another construction (MurmurHash3's steps on characters). */
function mix(text: string): number {
  let value = 0x9747_b28c;
  for (let i = 0; i < text.length; i++) {
    const k = Math.imul(text.charCodeAt(i) + i, 0xcc9e_2d51);
    value ^= Math.imul((k << 15) | (k >>> 17), 0x1b87_3593);
    value = Math.imul((value << 13) | (value >>> 19), 5) + 0xe654_6b64;
  }
  value = Math.imul(value ^ (value >>> 16), 0x85eb_ca6b);
  return (value ^ (value >>> 13)) >>> 0;
}
