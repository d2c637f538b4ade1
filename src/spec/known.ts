/** Known signatures and the products behind them: facts merged from public tools, doubt noted where there is any. */

/** A signature and who shows it. */
export interface Known {
  /** Twelve Latin-1 characters, in the order of the registers EBX, ECX, EDX. */
  readonly signature: string;
  /** The readable name, with the vendor's before it where that helps. */
  readonly product: string;
  /** Why the row may be wrong, where it may. */
  readonly doubt?: string | undefined;
  /** The interface's own name, where several products offer it: a signature is no product. */
  readonly interface?: string | undefined;
  /** Other products that can show the signature. */
  readonly also?: readonly string[] | undefined;
}

/** Interfaces at 40000000H and above. The usual base is 40000000H, 100H further for each interface in front. */
export const KNOWN: readonly Known[] = [
  {
    signature: 'KVMKVMKVM\0\0\0',
    product: 'Linux KVM',
    interface: 'KVM',
    also: ['VirtualBox', 'Parallels'],
    doubt: 'VirtualBox and Parallels can offer it too',
  },
  { signature: 'Linux KVM Hv', product: 'Linux KVM (Hyper-V emulation)' },
  { signature: 'LKVMLKVMLKVM', product: 'kvmtool' },
  { signature: 'TCGTCGTCGTCG', product: 'QEMU TCG' },
  {
    signature: 'Microsoft Hv',
    product: 'Microsoft Hyper-V',
    interface: 'Hyper-V',
    also: ['Linux KVM', 'Xen', 'bhyve', 'VirtualBox', 'Cloud Hypervisor', 'Parallels'],
    doubt: 'KVM, Xen, bhyve, VirtualBox and others can offer it too',
  },
  { signature: 'Microsoft VS', product: 'Microsoft Hyper-V (virtualization stack)' },
  {
    signature: 'VMwareVMware',
    product: 'VMware',
    also: ['QEMU TCG', 'v86'],
    doubt: 'QEMU and v86 can show it too',
  },
  { signature: 'XenVMMXenVMM', product: 'Xen', also: ['Linux KVM'], doubt: 'QEMU can offer it on KVM' },
  { signature: 'uXenisnotXen', product: 'uXen' },
  { signature: 'aXenisnotXen', product: 'uXen' },
  { signature: 'bhyve bhyve ', product: 'bhyve' },
  { signature: 'BHyVE BHyVE ', product: 'bhyve', doubt: 'an old spelling' },
  { signature: 'ACRNACRNACRN', product: 'Project ACRN' },
  { signature: 'QNXQVMBSQG\0\0', product: 'QNX Hypervisor' },
  { signature: ' QNXQVMBSQG ', product: 'QNX Hypervisor', doubt: 'listed with spaces, not seen' },
  { signature: 'SRESRESRESRE', product: 'Lockheed Martin LMHS' },
  { signature: 'Apple VZ\0\0\0\0', product: 'Apple Virtualization', doubt: 'the padding is inferred' },
  { signature: 'UnisysSpar64', product: 'Unisys s-Par' },
  { signature: 'OpenBSDVMM58', product: 'OpenBSD vmm' },
  { signature: '___ NVMM ___', product: 'NetBSD NVMM' },
  { signature: 'HAXMHAXMHAXM', product: 'Intel HAXM' },
  { signature: 'Jailhouse\0\0\0', product: 'Jailhouse' },
  { signature: 'EVMMEVMMEVMM', product: 'Intel KGT' },
  { signature: ' lrpepyh  vr', product: 'Parallels' },
  { signature: 'prl hyperv  ', product: 'Parallels', doubt: 'likely the same bytes in another order' },
  { signature: 'prl hyperv\0\0', product: 'Parallels', doubt: 'as one tool lists it, not seen' },
  { signature: ' prl hyperv ', product: 'Parallels', doubt: 'as one tool lists it, not seen' },
  { signature: 'VBoxVBoxVBox', product: 'VirtualBox' },
  { signature: 'Barevisor!\0\0', product: 'Barevisor' },
  { signature: 'MiniVisor\0\0\0', product: 'MiniVisor' },
  { signature: 'NoirVisor ZT', product: 'NoirVisor' },
  { signature: 'Napocahv    ', product: 'Bitdefender Napoca' },
  { signature: 'FEXIFEXIEMU\0', product: 'FEX-Emu' },
  { signature: 'CommonHVIntf', product: 'CommonHV' },
];

/** Vendor strings of leaves 0 and 21H that betray an emulator or a confidential guest; these read EBX, EDX, ECX. */
export const KNOWN_VENDORS: readonly (Known & { readonly leaf: number })[] = [
  { leaf: 0x21, signature: 'IntelTDX    ', product: 'Intel TDX' },
  {
    leaf: 0,
    signature: 'Virtual CPU ',
    product: "Windows on Arm's x86 emulation",
    doubt: 'or Microsoft Virtual PC 7',
  },
  { leaf: 0, signature: 'VirtualApple', product: 'Apple Rosetta 2' },
  { leaf: 0, signature: 'MicrosoftXTA', product: 'Microsoft x86 on Arm' },
  { leaf: 0, signature: 'Neko Project', product: 'Neko Project II' },
  { leaf: 0, signature: 'PowerVM Lx86', product: 'PowerVM Lx86' },
  { leaf: 0, signature: 'Compaq FX!32', product: 'FX!32' },
  { leaf: 0, signature: 'Insignia 586', product: 'RealPC' },
  { leaf: 0, signature: 'ConnectixCPU', product: 'Connectix Virtual PC' },
];

const BY_SIGNATURE = new Map(KNOWN.map((known) => [known.signature, known]));

/** The product's name, or `undefined` for a signature that nobody has told us of. */
export function productOf(signature: string): string | undefined {
  return BY_SIGNATURE.get(signature)?.product;
}

/** The whole row of a signature. */
export function knownBy(signature: string): Known | undefined {
  return BY_SIGNATURE.get(signature);
}

/**
 * Whether a leaf's EBX, ECX, EDX are a processor's vendor string in that string's own order EBX, EDX, ECX: an echo of leaf 0
 * or 21H where there is no leaf, and no interface's signature.
 */
export function isVendorEcho(signature: string): boolean {
  return /^(?:Inte {4}lTDX|GenuntelineI|AuthcAMDenti|HygouineGenu|CentaulsaurH)/.test(signature);
}
