/** The reader's choices: one plain value, its defaults, and its form in the URL's fragment, so that it can be sent. */
import {
  DEFAULT_GENERATION_MSR,
  DEFAULT_RNG_MSR,
  type Draft,
  formatSignature,
  parseSignature,
  type Tuple,
} from 'commonhv/spec';
import { STORY_NAMES, type StoryName } from './stories.ts';

export const SOURCES = ['os', 'stuck', 'counting'] as const;
export const INPUTS = ['none', 'ignore', 'mix'] as const;
export const ENGINES = ['v86', 'model'] as const;
export const DRAFTS = [1, 2, 3] as const;

export interface Settings {
  readonly engine: (typeof ENGINES)[number];
  /** `false`: the hypervisor does not offer CommonHV at all, whatever the rest says. */
  readonly commonhv: boolean;
  readonly draft: Draft;
  readonly hypervisorBit: boolean;
  /** In the order in which the hypervisor lists them. */
  readonly interfaces: readonly Tuple[];
  /** Draft 3: which of them is preferred, from 1; 0 for none. */
  readonly preferred: number;
  readonly rng: boolean;
  readonly rngMsr: number;
  readonly source: (typeof SOURCES)[number];
  readonly input: (typeof INPUTS)[number];
  /** Draft 3. */
  readonly generation: boolean;
  readonly generationMsr: number;
  /** A hypervisor that is wrong on purpose, by its name in `faulty.ts`; empty for the right one. */
  readonly faulty: string;
  /** MiB. */
  readonly memory: number;
  /** The draft that the table of leaves is compared with; 0 for none. */
  readonly compare: Draft | 0;
}

/** The limits of the lab's form; the library takes more. */
export const MAX_INTERFACES = 16;
export const MEMORY = { least: 4, most: 1024 };

export const DEFAULTS: Settings = {
  engine: 'v86',
  commonhv: true,
  draft: 3,
  hypervisorBit: true,
  interfaces: [{ signature: 'VMwareVMware', location: 0x4000_0000 }],
  preferred: 0,
  rng: true,
  rngMsr: DEFAULT_RNG_MSR,
  source: 'os',
  input: 'none',
  generation: true,
  generationMsr: DEFAULT_GENERATION_MSR,
  faulty: '',
  memory: 16,
  compare: 0,
};

/** Draft 1 has no way to refuse writes and no generation; draft 2 no preference and no generation. */
export function withDraft(settings: Settings, draft: Draft): Settings {
  return { ...settings, draft, input: draft === 1 && settings.input === 'none' ? 'ignore' : settings.input };
}

/** Why a machine of these settings has no generation, as the rest of a sentence; `undefined` where it has one. */
export function whyNoGeneration({ commonhv, draft, generation }: Settings): string | undefined {
  if (!commonhv) return 'there is no CommonHV';
  if (draft !== 3) return `draft ${draft} has no generation`;
  return generation ? undefined : 'no generation is offered';
}

/** Without the leading `#`; default values are left out. */
export function toFragment(settings: Settings): string {
  const query = new URLSearchParams();
  const put = (name: string, value: string | number, normal: string | number) => {
    if (value !== normal) query.set(name, String(value));
  };
  put('engine', settings.engine, DEFAULTS.engine);
  put('commonhv', settings.commonhv ? 1 : 0, 1);
  put('draft', settings.draft, DEFAULTS.draft);
  put('bit', settings.hypervisorBit ? 1 : 0, 1);
  const tuples = settings.interfaces.map(formatTuple);
  if (tuples.join() !== DEFAULTS.interfaces.map(formatTuple).join()) {
    for (const tuple of tuples.length > 0 ? tuples : ['none']) query.append('interface', tuple);
  }
  put('prefer', settings.preferred, DEFAULTS.preferred);
  put('rng', settings.rng ? 1 : 0, 1);
  put('rng-msr', settings.rngMsr.toString(16), DEFAULTS.rngMsr.toString(16));
  put('rng-source', settings.source, DEFAULTS.source);
  put('rng-input', settings.input, settings.draft === 1 ? 'ignore' : 'none');
  put('generation', settings.generation ? 1 : 0, 1);
  put('generation-msr', settings.generationMsr.toString(16), DEFAULTS.generationMsr.toString(16));
  put('faulty', settings.faulty, '');
  put('memory', settings.memory, DEFAULTS.memory);
  put('compare', settings.compare, DEFAULTS.compare);
  return query.toString().replaceAll('+', '%20').replaceAll('%40', '@');
}

export interface Reading {
  readonly settings: Settings;
  /** The story that the address names. */
  readonly story: StoryName | undefined;
  /** Only the story or the machine is shown: the page stands in a frame of another page. */
  readonly embedded: boolean;
  /** One line for each part of the address that was not understood; the default stands in for it. */
  readonly problems: readonly string[];
}

/** The parts of an address, taken one by one; what is left or wrong becomes a problem. */
class FragmentReader {
  readonly problems: string[] = [];
  readonly #query: URLSearchParams;
  readonly #known = new Set<string>();

  constructor(fragment: string) {
    const text = fragment.replace(/^#/, '').slice(0, 4096).replaceAll('+', '%2B');
    this.#query = new URLSearchParams(text);
  }

  take<T>(name: string, normal: T, parse: (text: string) => T | undefined, expected: string): T {
    this.#known.add(name);
    const text = this.#query.get(name);
    if (text === null) return normal;
    const value = parse(text);
    if (value !== undefined) return value;
    this.problems.push(`${name}: expected ${expected}, got “${shorten(text)}”`);
    return normal;
  }

  oneOf<T extends string | number>(name: string, normal: T, values: readonly T[], expected?: string): T {
    const find = (text: string) => values.find((value) => String(value) === text);
    return this.take(name, normal, find, expected ?? values.join(', '));
  }

  flag(name: string, normal = true): boolean {
    return this.take(name, normal, (text) => ({ 0: false, 1: true })[text], '0 or 1');
  }

  hex32(name: string, normal: number): number {
    return this.take(name, normal, parseHex32, 'up to 8 hex digits');
  }

  all(name: string): readonly string[] {
    this.#known.add(name);
    return this.#query.getAll(name);
  }

  /** Call last: names what nothing has taken. */
  finish(): readonly string[] {
    for (const name of new Set(this.#query.keys())) {
      if (!this.#known.has(name)) this.problems.push(`“${shorten(name)}”: no such setting`);
    }
    return this.problems;
  }
}

/** Anything may stand in an address: known settings are taken, the rest is named. `faultyNames` gives the names that exist. */
export function fromFragment(fragment: string, faultyNames: () => readonly string[]): Reading {
  const reader = new FragmentReader(fragment);
  const draft = reader.oneOf<Draft>('draft', DEFAULTS.draft, DRAFTS);
  const settings: Settings = {
    engine: reader.oneOf('engine', DEFAULTS.engine, ENGINES),
    commonhv: reader.flag('commonhv'),
    draft,
    hypervisorBit: reader.flag('bit'),
    interfaces: readTuples(reader.all('interface'), reader.problems),
    preferred: reader.take(
      'prefer',
      0,
      (text) => integer(text, 0, MAX_INTERFACES),
      'an index, or 0 for none',
    ),
    rng: reader.flag('rng'),
    rngMsr: reader.hex32('rng-msr', DEFAULTS.rngMsr),
    source: reader.oneOf('rng-source', DEFAULTS.source, SOURCES),
    input: reader.oneOf(
      'rng-input',
      draft === 1 ? 'ignore' : DEFAULTS.input,
      draft === 1 ? INPUTS.slice(1) : INPUTS,
    ),
    generation: reader.flag('generation'),
    generationMsr: reader.hex32('generation-msr', DEFAULTS.generationMsr),
    faulty: reader.take(
      'faulty',
      '',
      (name) => faultyNames().find((each) => each === name),
      'the name of a faulty hypervisor, as the form has them',
    ),
    memory: reader.take(
      'memory',
      DEFAULTS.memory,
      (text) => integer(text, MEMORY.least, MEMORY.most),
      `${MEMORY.least} to ${MEMORY.most} MiB`,
    ),
    compare: reader.oneOf<Draft | 0>('compare', 0, [0, ...DRAFTS]),
  };
  const story = reader.oneOf('story', '', ['', ...STORY_NAMES], STORY_NAMES.join(', '));
  const embedded = reader.flag('embed', false);
  return { settings, story: story === '' ? undefined : story, embedded, problems: reader.finish() };
}

/** `SIGNATURE@LEAF`, the command line's form. */
export function formatTuple({ signature, location }: Tuple): string {
  return `${formatSignature(signature)}@${location.toString(16)}`;
}

/** Up to eight hex digits, with or without `0x`. */
export function parseHex32(text: string): number | undefined {
  const match = /^\s*(?:0x)?([0-9a-f]{1,8})\s*$/i.exec(text);
  return match === null ? undefined : Number.parseInt(match[1]!, 16);
}

function readTuples(texts: readonly string[], problems: string[]): readonly Tuple[] {
  if (texts.length === 0) return DEFAULTS.interfaces;
  if (texts.length > MAX_INTERFACES)
    problems.push(`interface: more than ${MAX_INTERFACES}; the rest is left out`);
  const tuples: Tuple[] = [];
  for (const text of texts.slice(0, MAX_INTERFACES)) {
    if (text === 'none') continue;
    const at = text.lastIndexOf('@');
    const location = parseHex32(text.slice(at + 1));
    if (at < 0 || location === undefined) {
      problems.push(`interface: expected SIGNATURE@LEAF, got “${shorten(text)}”`);
      continue;
    }
    try {
      tuples.push({ signature: parseSignature(text.slice(0, at)), location });
    } catch {
      const got = shorten(text.slice(0, at));
      problems.push(`interface: expected a signature of 1 to 12 characters of one byte each, got “${got}”`);
    }
  }
  return tuples;
}

function integer(text: string, least: number, most: number): number | undefined {
  const value = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  return value >= least && value <= most ? value : undefined;
}

function shorten(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
