/** MSR indices that cannot be CommonHV's: refused by the name of their owner (draft 3, "MSR leaf", "Choosing indices"). */
import { hex, type SyncCpu } from '../cpu.ts';
import { architecturalMsr, decodeSignature, inRange, ownedMsrs } from '../spec/index.ts';
import type { ResolvedOptions } from './options.ts';

const XEN = 'XenVMMXenVMM';

interface Claim {
  readonly option: string;
  readonly msr: number;
}

/** Throws a RangeError that names the option and the owner, or the other option with the same index. */
export function checkIndices(resolved: ResolvedOptions): void {
  const claims = claimsOf(resolved);
  for (const [i, { option, msr }] of claims.entries()) {
    const other = claims.slice(0, i).find((claim) => claim.msr === msr);
    if (other !== undefined) throw new RangeError(`${option}: ${hex(msr)} is ${other.option} already`);
    const name = architecturalMsr(msr);
    // Draft 2 says nothing of the architecture's MSRs, and names index 0 as one that guests have to expect.
    if (name !== undefined && !(resolved.draft === 2 && msr === 0))
      throw new RangeError(`${option}: ${hex(msr)} belongs to the architecture: ${name}`);
  }
  // Xen's range may show only in the host CPU's leaves, which are not here yet: `checkXen` compares again.
  const { xenPage } = resolved;
  refuseOwned(resolved, (signature) => signature !== XEN || xenPage !== undefined, xenPage);
}

/** The comparison with Xen's two possible ranges, by the host CPU's leaves: throws as `checkIndices` does. */
export function checkXen(resolved: ResolvedOptions, host: SyncCpu): void {
  const xen = resolved.interfaces.find(({ signature }) => signature === XEN);
  if (xen === undefined || resolved.xenPage !== undefined) return;
  // xen/include/public/arch-x86/cpuid.h: base + 2, EBX: "base address of Xen-specific MSRs" (the hypercall page's)
  const confirmed = decodeSignature(host.cpuid(xen.location, 0)) === XEN && xen.location <= 0xffff_fffd;
  const page = confirmed ? host.cpuid(xen.location + 2, 0).ebx : undefined;
  refuseOwned(resolved, (signature) => signature === XEN, page);
}

function claimsOf({ rng, generation }: ResolvedOptions): readonly Claim[] {
  const claims: Claim[] = [];
  if (rng) claims.push({ option: 'rng.msr', msr: rng.msr });
  if (generation) claims.push({ option: 'generation.msr', msr: generation.msr });
  if (generation && generation.page !== false)
    claims.push({ option: 'generation.pageMsr', msr: generation.pageMsr });
  return claims;
}

function refuseOwned(
  resolved: ResolvedOptions,
  asked: (signature: string) => boolean,
  xenPage: number | undefined,
): void {
  for (const { signature } of resolved.interfaces.filter((tuple) => asked(tuple.signature))) {
    for (const { option, msr } of claimsOf(resolved)) {
      const owner = ownedMsrs(signature, xenPage).find((range) => inRange(msr, range));
      if (owner === undefined) continue;
      throw new RangeError(
        `${option}: ${hex(msr)} belongs to ${JSON.stringify(signature)}, which owns ${hex(owner.first)} to ${hex(owner.last)}`,
      );
    }
  }
}
