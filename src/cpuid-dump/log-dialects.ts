/** Rows in the logs, configurations and tables of hypervisors and emulators, as their sources print them. */
import { type Dialect, four, HEX, number, plain, type Read, registersAt, WORD } from './dialect.ts';
import { isIndexed } from './walk.ts';

const VIRTUALBOX: Readonly<Record<string, string>> = { Gst: "VirtualBox's guest", Hst: "VirtualBox's host" };

/** Hex with its prefix, or decimal, as debuggers and Rust's Debug print. */
const DECIMAL = String.raw`(0x[\da-f]{1,8}|\d{1,10})`;
const either = (text: string | undefined): number => Number(text ?? 0);
/** A member of a structure in C, Rust or a debugger. */
const member = (name: string, value = DECIMAL): string => String.raw`\.?\b${name}\s?[:=]\s?${value},?\s{1,4}`;

/** Entries of zeros fill the rest of an array. */
const entry: Read = (match) => {
  const regs = registersAt(match, 3, either);
  const leaf = either(match[1]);
  return leaf === 0 && regs.ebx === 0 ? {} : { leaf, subleaf: either(match[2]), ...regs };
};

const BITS = '([01]{32})';
const bits = (text: string | undefined): number => Number.parseInt(text!, 2);

export const LOG_DIALECTS: readonly Dialect[] = [
  // FreeBSD's cpucontrol -i and -I
  {
    pattern: new RegExp(
      String.raw`cpuid level ${HEX}(?:,\s?level_type ${HEX})?:\s?${four(HEX, String.raw`[\s,]{1,4}`)}`,
      'gi',
    ),
  },
  // VirtualBox.log: the guest's registers, and the host's below or instead
  {
    pattern: new RegExp(
      String.raw`\b(Gst|Hst):\s{1,24}${WORD}(?:/([\da-f]{1,8}))?\s{1,8}${four(WORD, String.raw`\s{1,4}`)}`,
      'g',
    ),
    read(match, context) {
      context.leaf = number(match[2]);
      context.subleaf = number(match[3]);
      return {
        leaf: context.leaf,
        subleaf: context.subleaf,
        ...registersAt(match, 4),
        table: VIRTUALBOX[match[1]!],
      };
    },
  },
  {
    pattern: new RegExp(String.raw`\b(Hst):\s{1,24}${four(WORD, String.raw`\s{1,4}`)}`, 'g'),
    read: (match, { leaf, subleaf }) =>
      leaf === undefined
        ? {}
        : { leaf, subleaf: subleaf ?? 0, ...registersAt(match, 2), table: VIRTUALBOX.Hst },
  },
  // vmware.log: hostCPUID, CPUID[n] and *host are the host's processors
  {
    pattern: new RegExp(
      String.raw`\b(guestCPUID|guest|hostCPUID|host|CPUID\[\d{1,4}\]) level ${WORD},\s{1,4}([\da-f]{1,8}):\s{1,4}${four(HEX, ' ')}`,
      'gi',
    ),
    read: (match) => ({
      leaf: number(match[2]),
      subleaf: number(match[3]),
      ...registersAt(match, 4),
      table: match[1]!.startsWith('guest') ? "VMware's guest" : "VMware's host",
      logged: true,
    }),
  },
  // Linux, the trace point kvm:kvm_cpuid; without an index "idx" is the rest of RCX
  {
    pattern: new RegExp(
      String.raw`kvm_cpuid: func ([\da-f]{1,8})(?: idx ([\da-f]{1,8}))? ${['rax', 'rbx', 'rcx', 'rdx'].map((name) => String.raw`${name} ([\da-f]{1,8})`).join(' ')}\b`,
      'g',
    ),
    read(match) {
      const leaf = number(match[1]);
      return {
        leaf,
        subleaf: isIndexed(leaf) ? number(match[2]) : 0,
        ...registersAt(match, 3),
        logged: true,
      };
    },
  },
  // Bochs, snpguest
  {
    pattern: new RegExp(
      String.raw`CPUID\[${HEX}\](?:\[${HEX}\])?\s?[:=]\s?${four(HEX, String.raw`[\s,]{1,3}`)}`,
      'gi',
    ),
  },
  // Intel SDE's definitions, and what takes after them
  {
    pattern: new RegExp(
      String.raw`\b${WORD}\s{1,4}(\*{8}|[\da-f]{8})\s{1,4}=>\s{1,4}${four(WORD, ' ')}`,
      'gi',
    ),
    read: (match) => ({
      ...plain(match, {}),
      subleaf: match[2]!.startsWith('*') ? 0 : number(match[2]),
    }),
  },
  // ACRN's shell
  {
    pattern: new RegExp(String.raw`leaf: ${HEX},? sub-?leaf: ${HEX}[,:]\s{1,4}${four(HEX, ':')}`, 'gi'),
  },
  // RJCP.DLL.CpuId
  {
    pattern: new RegExp(
      `<register eax="${WORD}" ecx="${WORD}">${four(WORD, String.raw`\s?,\s?`)}</register>`,
      'gi',
    ),
  },
  // struct kvm_cpuid_entry2, by a debugger, Rust's Debug, or as source
  {
    pattern: new RegExp(
      String.raw`${member('function')}${member('index')}(?:${member('flags', String.raw`\w{1,10}`)})?${member('eax')}${member('ebx')}${member('ecx')}\.?\bedx\s?[:=]\s?${DECIMAL}\b`,
      'gi',
    ),
    read: entry,
  },
  // xl's configuration, xend's before it
  {
    pattern: new RegExp(
      String.raw`0x([\da-f]{1,8})(?:,(\d{1,3}))?[\s:(]{1,8}${['eax', 'ebx', 'ecx', 'edx'].map((name) => `${name}[\\s=]${BITS}`).join(String.raw`[\s,()]{1,4}`)}`,
      'gi',
    ),
    read: (match) => ({
      leaf: number(match[1]),
      subleaf: Number(match[2] ?? 0),
      ...registersAt(match, 3, bits),
    }),
  },
];
