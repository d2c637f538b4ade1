/** Output of tools that decode instead of printing registers: vendor strings and the hypervisor bit, with no other value. */
import type { Regs } from '../cpu.ts';
import { isVendorEcho, KNOWN } from '../spec/known.ts';
import { ZEROS } from '../spec/leaves.ts';
import { HV_1, LEAF_TDX } from '../spec/other-interfaces.ts';
import { encodeSignature } from '../spec/signature.ts';
import type { Context, RowText } from './dialect.ts';

const HYPERVISOR_BIT = 0x8000_0000;

/** Hyper-V TLFS, 40000003H EBX, as cpuid names the bits. */
const PRIVILEGES = new Map([
  ...Object.entries({
    CreatePartitions: 0,
    AccessPartitionId: 1,
    AccessMemoryPool: 2,
    AdjustMessageBuffers: 3,
  }),
  ...Object.entries({ PostMessages: 4, SignalEvents: 5, CreatePort: 6, ConnectPort: 7, AccessStats: 8 }),
  ...Object.entries({ Debugging: 11, CPUManagement: 12, ConfigureProfiler: 13, AccessVSM: 16 }),
  ...Object.entries({ AccessVpRegisters: 17, EnableExtendedHypercalls: 20, StartVirtualProcessor: 21 }),
  ...Object.entries({ Isolation: 22 }),
]);

/** The part of a leaf that a decoded line tells; the row is marked as partial, its other registers are zeros. */
export function readDecoded(line: string, context: Context): RowText | undefined {
  // A mark of cpuid's is in every such line, and most lines of other texts have none.
  const heading = /^\s{0,8}hypervisor [a-z ]{4,40}\(0x([\da-f]{8})(?:\/e([abcd])x)?\):\s*$/i.exec(line);
  if (heading !== null) {
    context.decoded = Number.parseInt(heading[1]!, 16);
    return undefined;
  }
  const id = /hypervisor_id\s*(?:\(0x([\da-f]{8})\)(?:\/\d+)?)?\s*[=:]\s*"([^"]{0,60})("?)/i.exec(line);
  if (id !== null) {
    const leaf = id[1] === undefined ? 0x4000_0000 : Number.parseInt(id[1], 16);
    return signatureRow(leaf, unescaped(id[2]!), id[3] !== '');
  }
  // FreeBSD's dmesg
  const origin = /Hypervisor: Origin = "([^"]{1,24})"/.exec(line);
  if (origin !== null) return signatureRow(0x4000_0000, unescaped(origin[1]!), true);
  const flag = /^\s{0,12}([A-Za-z ]{4,40}?)\s*=\s*(true|false|"[^"]{4,12}")/i.exec(line);
  const found = flag && flagRow(flag[1]!.toLowerCase(), flag[1]!, flag[2]!, context.decoded);
  if (found) return found;
  // A heading of an extended leaf, or the name that cpuid prints last: the dump went past the hypervisor's range.
  if (/\(0x8000000\d\/e[a-d]x\)|^\s{0,8}\(synth\) = /i.test(line)) return partial(0x8000_0000, {});
  const vendor = /\b(vendor_id|tdx_guest_id)\s*=\s*"([^"]{12})"/.exec(line);
  if (vendor === null) return undefined;
  const { ebx, ecx: edx, edx: ecx } = encodeSignature(vendor[2]!.replace(/[^\0-\xff]/g, '?'));
  return partial(vendor[1] === 'vendor_id' ? 0 : LEAF_TDX, { ebx, ecx, edx });
}

function flagRow(name: string, typed: string, value: string, below: number | undefined): RowText | undefined {
  const isSet = value.toLowerCase() === 'true';
  if (name === 'hypervisor guest status') return partial(0x1, { ecx: isSet ? HYPERVISOR_BIT : 0 });
  const offset = below === undefined ? 0 : below & 0xff;
  if (name === 'version' && offset === 1 && value === '"Hv#1"') return partial(below!, { eax: HV_1 });
  const bit = offset === 3 ? PRIVILEGES.get(typed) : undefined;
  return bit === undefined ? undefined : partial(below!, { ebx: isSet ? 1 << bit : 0 });
}

/** `whole`: the line has the closing quote. */
function signatureRow(leaf: number, text: string, whole: boolean): RowText | undefined {
  const trimmed = (padded: string): string => padded.replace(/[\0 ]+$/, '');
  const known = KNOWN.find(({ signature }) => trimmed(signature) === trimmed(text) && trimmed(text) !== '');
  if (!whole && known === undefined) return undefined;
  const signature =
    known?.signature ??
    text
      .replace(/[^\0-\xff]/g, '?')
      .slice(0, 12)
      .padEnd(12, '\0');
  // A leaf without a signature, or with other bytes than a name's, shows only that nothing is there.
  const isName = known !== undefined || (/^[!-~][ -~]*[\0 ]*$/.test(signature) && !isVendorEcho(signature));
  return partial(leaf, isName ? { eax: leaf, ...encodeSignature(signature) } : {});
}

function partial(leaf: number, regs: Partial<Regs>): RowText {
  return { leaf, subleaf: 0, ...ZEROS, ...regs, partial: true, start: 0, end: 0 };
}

/** cpuid writes other bytes than text in octal; its older versions print them as blanks. */
function unescaped(text: string): string {
  return text.replace(
    /\\(?:x([\da-f]{2})|([0-7]{1,3})|(.))/gi,
    (_, hex?: string, octal?: string, other?: string) => {
      if (hex === undefined && octal === undefined) return other ?? '';
      return String.fromCharCode(
        hex === undefined ? Number.parseInt(octal!, 8) & 0xff : Number.parseInt(hex, 16),
      );
    },
  );
}
