/** `commonhv detect`: which interfaces the hypervisor below offers, of a living processor or a recorded one. */
import { isDeepStrictEqual } from 'node:util';
import type { Cpu } from '../cpu.ts';
import { hex } from '../cpu.ts';
import { type Inconclusive, missingLeaves, replay } from '../cpuid-dump.ts';
import type { Detection } from '../guest/index.ts';
import { detect } from '../guest/index.ts';
import { decodeSignature, HV_1, KNOWN_VENDORS } from '../spec/index.ts';
import { detectionJson, detectionText, isInconclusive } from './detection.ts';
import { detectionNfd, detectionPrometheus, result } from './exporters.ts';
import type { Io } from './io.ts';
import { painter, printable } from './io.ts';
import type { Processor, ProcessorOptions } from './processor.ts';
import { openNative, openProcessor, unlessStopped } from './processor.ts';
import { readDump } from './read-dump.ts';

export interface DetectOptions extends ProcessorOptions {
  readonly format: 'text' | 'json' | 'nfd' | 'prometheus';
  /** Signatures that have to be there, padded with NULs. */
  readonly require?: readonly string[];
}

/** 0; 1 where an interface that is required is not there; 2 where the record does not say. */
export async function runDetect(options: DetectOptions, io: Io): Promise<number> {
  const { found, aside, unknown } =
    options.from === undefined
      ? await ofProcessor(await openProcessor(options, io))
      : await ofDump(options.from, io);
  await io.out(written({ found, aside, unknown }, options.format, io));
  const there = new Set(found.interfaces.map(({ signature }) => signature));
  if (found.commonhv !== undefined) there.add('CommonHVIntf');
  const missing = (options.require ?? []).filter((signature) => !there.has(signature));
  if (missing.length === 0) return 0;
  const open = isInconclusive(unknown);
  io.err(
    `commonhv: ${open ? 'not in what was recorded, which is not all' : 'not there'}: ${missing.map(printable).join(', ')}`,
  );
  return open ? 2 : 1;
}

/** The machine that we run on, with nothing else asked for: what bin.ts calls without the parser. */
export async function detectHere(format: DetectOptions['format'], io: Io): Promise<number> {
  await io.out(written(await ofProcessor(openNative()), format, io));
  return 0;
}

/** Lines for people, beside what was detected. */
type Aside = readonly (readonly [string, string])[];

interface Outcome {
  readonly found: Detection;
  readonly aside: Aside;
  /** What a record leaves open. */
  readonly unknown: ReadonlySet<Inconclusive>;
}

const NOTHING: ReadonlySet<Inconclusive> = new Set();

async function ofProcessor(processor: Processor): Promise<Outcome> {
  const { cpu } = processor;
  try {
    const asked = detect(cpu).then(async (found) => ({ found, aside: await asideOf(cpu, found) }));
    return { ...(await unlessStopped(processor, asked)), unknown: NOTHING };
  } finally {
    await processor.close();
  }
}

/** The first processor of which most is recorded; a word where others of the machine say otherwise. */
async function ofDump(file: string, io: Io): Promise<Outcome> {
  const records = [];
  for (const table of await readDump(file, io)) {
    const cpu = replay(table);
    records.push({ cpu, found: await detect(cpu), unknown: new Set(missingLeaves(table).keys()) });
  }
  const open = records.map(({ unknown }) => unknown.size);
  const shown = open.indexOf(Math.min(...open));
  const { cpu, found, unknown } = records[shown]!;
  const other = records.findIndex((record) => !isDeepStrictEqual(record.found, found));
  if (other >= 0) {
    io.err(
      `commonhv: ${file}: the processors disagree: CPU ${other} shows something else than CPU ${shown}, which is shown here`,
    );
  }
  return { found, aside: await asideOf(cpu, found), unknown };
}

/** What else a person wants to know: whose processor it is, and which interface speaks Hyper-V's language. */
async function asideOf(cpu: Cpu, { interfaces }: Detection): Promise<Aside> {
  const vendors: string[] = [];
  const { eax: maxBasic } = await cpu.cpuid(0, 0);
  for (const at of new Set([0, ...KNOWN_VENDORS.map(({ leaf }) => leaf)])) {
    if (at > maxBasic) continue;
    const { ebx, ecx, edx } = await cpu.cpuid(at, 0);
    const vendor = decodeSignature({ ebx, ecx: edx, edx: ecx });
    const known = KNOWN_VENDORS.find(({ leaf, signature }) => leaf === at && signature === vendor);
    if (known !== undefined) vendors.push(`${printable(vendor).trim()} (${known.product})`);
    else if (at === 0) vendors.push(printable(vendor) || 'unnamed');
  }
  const compatible: string[] = [];
  for (const { location, confirmed } of interfaces) {
    if (!confirmed || location >= 0xffff_ffff) continue;
    if ((await cpu.cpuid(location + 1, 0)).eax === HV_1) compatible.push(hex(location));
  }
  return [
    ['processor', vendors.join(', ')],
    ...(compatible.length > 0 ? [['Hv#1', `spoken at ${compatible.join(', ')}`] as const] : []),
  ];
}

function written({ found, aside, unknown }: Outcome, format: DetectOptions['format'], io: Io): string {
  const paint = painter(io);
  switch (format) {
    case 'text':
      return `${paint('bold', result(found, unknown))}\n\n${detectionText(found, paint, aside, unknown)}\n`;
    case 'json':
      return `${JSON.stringify(detectionJson(found), undefined, 2)}\n`;
    case 'nfd':
      return detectionNfd(found);
    case 'prometheus':
      return detectionPrometheus(found);
  }
}
