/** The 0x40000000 scan for interfaces, from before CommonHV: 256 CPUIDs, and the traps that real hypervisors set in it. */
import type { Cpu, Regs } from '../cpu.ts';
import { isVendorEcho } from '../spec/known.ts';
import type { Tuple } from '../spec/leaves.ts';
import { LEAF_LAST } from '../spec/leaves.ts';
import { LEAF_MAX_BASIC, SCAN_FIRST, SCAN_LAST, SCAN_STEP } from '../spec/other-interfaces.ts';
import { decodeSignature } from '../spec/signature.ts';
import { unsigned } from './unsigned.ts';

/** An interface that the search found. */
export interface Found extends Tuple {
  /** The interface's highest leaf as it says it; 0 on old KVM and on v86, which mean the one after the first. */
  readonly maxLeaf: number;
}

/**
 * Looks at 40000000H to 4000FF00H in steps of 100H. An answer counts where it is neither the processor's answer for
 * a leaf that is not there, nor an earlier interface seen again. Always 259 CPUIDs.
 */
export async function scan(given: Cpu): Promise<readonly Found[]> {
  const cpu = unsigned(given);
  // KVM with an Intel-vendor guest, QEMU TCG with `-cpu max` and Intel's bare processors answer an absent leaf with the
  // highest basic leaf's data; bhyve answers up to 7FFFFFFFH with leaf 40000000H.
  const { eax: maxBasic } = await cpu.cpuid(LEAF_MAX_BASIC, 0);
  const echo = await cpu.cpuid(maxBasic, 0);
  const absent = await cpu.cpuid(LEAF_LAST, 0);
  const found: Found[] = [];
  const seen: Regs[] = [echo];
  for (let location = SCAN_FIRST; location <= SCAN_LAST; location += SCAN_STEP) {
    const regs = await cpu.cpuid(location, 0);
    if ((regs.ebx | regs.ecx | regs.edx) === 0 || seen.some((other) => same(other, regs))) continue;
    const signature = decodeSignature(regs);
    // An answer that names a leaf of its own range as its highest is no echo. Any other has to spell a text, and not that of
    // the absent leaf: a TDX guest echoes its vendor leaf's "IntelTDX    ", with EAX 0.
    const owns = regs.eax >= location && regs.eax < location + SCAN_STEP;
    const isText = /^[ -~]+\0*$/.test(signature) && !isVendorEcho(signature);
    if (!owns && (same(absent, regs) || !isText)) continue;
    seen.push(regs);
    found.push({ signature, location, maxLeaf: regs.eax });
  }
  return found;
}

function same(a: Regs, b: Regs): boolean {
  return a.eax === b.eax && a.ebx === b.ebx && a.ecx === b.ecx && a.edx === b.edx;
}
