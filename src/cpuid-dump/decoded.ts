/** Output of tools that decode instead of printing registers: vendor strings and the hypervisor bit, with no other value. */
import { KNOWN } from '../spec/known.ts';
import { encodeSignature } from '../spec/signature.ts';
import type { RowText } from './dialects.ts';

const HYPERVISOR_BIT = 0x8000_0000;

/** The part of a leaf that a decoded line tells; the row is marked as partial, its other registers are zeros. */
export function readDecoded(line: string): RowText | undefined {
  const id = /hypervisor_id\s*(?:\(0x([\da-f]{8})\)(?:\/\d+)?)?\s*[=:]\s*"([^"]{0,60})"?/i.exec(line);
  if (id !== null)
    return signatureRow(id[1] === undefined ? 0x4000_0000 : Number.parseInt(id[1], 16), unescaped(id[2]!));
  // FreeBSD's dmesg
  const origin = /Hypervisor: Origin = "([^"]{1,24})"/.exec(line);
  if (origin !== null) return signatureRow(0x4000_0000, unescaped(origin[1]!));
  const bit = /hypervisor guest status\s*=\s*(true|false)/i.exec(line);
  if (bit !== null) {
    const ecx = bit[1]!.toLowerCase() === 'true' ? HYPERVISOR_BIT : 0;
    return partial(0x1, { eax: 0, ebx: 0, ecx, edx: 0 });
  }
  // A heading of an extended leaf: the dump went past the hypervisor's range.
  if (/\(0x8000000\d\/e[a-d]x\)/i.test(line)) return partial(0x8000_0000, { eax: 0, ebx: 0, ecx: 0, edx: 0 });
  const vendor = /\bvendor_id\s*=\s*"([^"]{12})"/.exec(line);
  if (vendor !== null) {
    const { ebx, ecx: edx, edx: ecx } = encodeSignature(vendor[1]!.replace(/[^\0-\xff]/g, '?'));
    return partial(0, { eax: 0, ebx, ecx, edx });
  }
  return undefined;
}

function signatureRow(leaf: number, text: string): RowText | undefined {
  const trimmed = (padded: string): string => padded.replace(/[\0 ]+$/, '');
  const known = KNOWN.find(({ signature }) => trimmed(signature) === trimmed(text) && trimmed(text) !== '');
  const signature =
    known?.signature ??
    text
      .replace(/[^\0-\xff]/g, '?')
      .slice(0, 12)
      .padEnd(12, '\0');
  // A leaf without a signature shows only that nothing is there.
  const eax = /^\0+$/.test(signature) ? 0 : leaf;
  return partial(leaf, { eax, ...encodeSignature(signature) });
}

function partial(leaf: number, regs: Omit<RowText, 'leaf' | 'subleaf' | 'start' | 'end' | 'table'>): RowText {
  return { leaf, subleaf: 0, ...regs, partial: true, start: 0, end: 0 };
}

/** cpuid prints NULs as `\0`; its older versions print them as blanks. */
function unescaped(text: string): string {
  return text.replace(/\\(?:x([\da-f]{2})|(0)|(.))/gi, (_, hex?: string, zero?: string, other?: string) =>
    hex !== undefined
      ? String.fromCharCode(Number.parseInt(hex, 16))
      : zero !== undefined
        ? '\0'
        : (other ?? ''),
  );
}
