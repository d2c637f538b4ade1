/** `detect --require`: yes, no, or cannot tell; a name that nothing is known by is an error and no answer. */
import { hex } from '../cpu.ts';
import { KNOWN, knownBy, parseSignature } from '../spec/index.ts';
import { trimmed } from './detection.ts';
import { type Answer, type Finding, HV_SIGNATURE } from './finding.ts';
import { printable, UsageError } from './io.ts';

/** Questions about CommonHV that can be required beside signatures and products. */
const QUESTIONS: Readonly<Record<string, (finding: Finding) => Answer>> = {
  commonhv: ({ detection, commonhv }) => (detection.commonhv === undefined ? commonhv : 'yes'),
  rng: (finding) => offers(finding, finding.detection.commonhv?.rng !== undefined),
  'rng=secure': (finding) => offers(finding, finding.detection.commonhv?.rng?.secure === true),
  generation: (finding) => offers(finding, finding.detection.commonhv?.generation !== undefined),
};
const ALIASES: Readonly<Record<string, string>> = {
  commonhvintf: 'commonhv',
  'hyper-v': HV_SIGNATURE,
  hyperv: HV_SIGNATURE,
  microsoft: HV_SIGNATURE,
  vbox: 'VirtualBox',
  oracle: 'VirtualBox',
  acrn: 'Project ACRN',
  qnx: 'QNX Hypervisor',
};
const EXPECTED = 'expected a signature of up to 12 bytes, a product, commonhv, rng, rng=secure or generation';

function offers({ commonhv }: Finding, value: boolean): Answer {
  if (commonhv === 'not recorded') return 'not recorded';
  return commonhv === 'yes' && value ? 'yes' : 'no';
}

/** A known name for the typed one, which may be as detect prints it. */
function nameOf(text: string): string {
  const plain = text.replace(/'s interface$/i, '');
  return ALIASES[plain.toLowerCase()] ?? plain;
}

/** Whether the machine has what `text` names. Throws a UsageError for a name that is close to a known one, or none at all. */
export function required(text: string, finding: Finding): Answer {
  const name = nameOf(text);
  if (name.trim() === '') throw new UsageError(`--require '${text}': ${EXPECTED}`);
  const question = QUESTIONS[name.toLowerCase()];
  if (question !== undefined) return question(finding);
  const asked = /^([^=]*)=/.exec(name)?.[1]?.toLowerCase() ?? '';
  const allowed = Object.keys(QUESTIONS).filter((one) => one.split('=')[0] === asked);
  if (allowed.length > 0) throw new UsageError(`--require ${text}: expected ${allowed.join(' or ')}`);
  const rest: Answer = finding.complete ? 'no' : 'not recorded';
  const signatures = finding.interfaces.map(({ signature }) => signature);
  const bytes = signatureOf(name);
  if (signatures.some((signature) => matches(signature, name, bytes))) return 'yes';
  const product = productNamed(name);
  if (product !== undefined) {
    if (finding.interfaces.some((one) => isProduct(one.signature, one.product, name))) return 'yes';
    if (finding.genuineHyperv && same(product, 'Microsoft Hyper-V')) return 'yes';
    // Several products can stand behind one signature.
    const behind = finding.interfaces.flatMap(({ signature }) => {
      const { product: usual, also = [] } = knownBy(signature) ?? {};
      return usual === undefined ? [] : [usual, ...also];
    });
    return behind.some((one) => same(one, name)) ? 'not recorded' : rest;
  }
  if (name === HV_SIGNATURE || name === 'VS#1' || (bytes !== undefined && knownBy(bytes))) return rest;
  if (KNOWN.some(({ signature }) => trimmed(signature) === trimmed(name))) return rest;
  const near = nearTo(name, signatures);
  if (near !== undefined)
    throw new UsageError(`--require ${text}: no such signature or product; is "${near}" meant?`);
  if (bytes === undefined) throw new UsageError(`--require ${text}: ${EXPECTED}`);
  return rest;
}

/** Whether `text` asks about CommonHV, and not for a signature or a product. */
export const isQuestion = (text: string): boolean => Object.hasOwn(QUESTIONS, nameOf(text).toLowerCase());

/** A line that lists the interfaces, for the reader whose requirement was not met. */
export function listed({ interfaces, detection }: Finding): string {
  const list = interfaces.map(
    ({ signature, product, location }) => `"${printable(signature) || product}" at ${hex(location)}`,
  );
  if (detection.commonhv !== undefined) list.push('CommonHV');
  return list.length === 0 ? 'no interface' : list.join(', ');
}

function signatureOf(text: string): string | undefined {
  try {
    return parseSignature(text);
  } catch {
    return undefined;
  }
}

function matches(signature: string, name: string, bytes: string | undefined): boolean {
  return signature === bytes || (trimmed(signature) !== '' && trimmed(signature) === trimmed(name));
}

const same = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

function isProduct(signature: string, product: string | undefined, name: string): boolean {
  const known = knownBy(signature);
  // Where other products show the signature too, it proves the interface and not the product.
  if (known?.interface !== undefined) return same(known.interface, name);
  return product !== undefined && same(product, name);
}

/** Bareflank has no signature; the other products are those of the table. */
function productNamed(name: string): string | undefined {
  const names = [
    'Bareflank',
    ...KNOWN.flatMap(({ product, interface: own, also = [] }) => [product, ...(own ? [own] : []), ...also]),
  ];
  return names.find((product) => same(product, name));
}

/** The known or present name that `text` is close to: other case, other blanks, or at most two characters away. */
function nearTo(text: string, present: readonly string[]): string | undefined {
  if (text.includes('\\x')) return undefined;
  const names = [
    ...present.map(trimmed),
    ...KNOWN.flatMap(({ signature, product, interface: own }) => [
      trimmed(signature),
      product,
      ...(own ? [own] : []),
    ]),
    ...Object.keys(QUESTIONS),
  ].filter((name) => name !== '');
  const plain = (name: string): string => name.toLowerCase().replace(/[^a-z\d]/g, '');
  const wanted = plain(text);
  const most = wanted.length > 5 ? 2 : wanted.length > 3 ? 1 : 0;
  let best: { readonly name: string; readonly away: number } | undefined;
  for (const name of names) {
    const away = distance(wanted, plain(name));
    if (away <= most && (best === undefined || away < best.away)) best = { name, away };
  }
  return best?.name;
}

/** Levenshtein's distance; both are short. */
function distance(a: string, b: string): number {
  let before = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = before[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(change, before[j]! + 1, row[j - 1]! + 1));
    }
    before = row;
  }
  return before[b.length]!;
}
