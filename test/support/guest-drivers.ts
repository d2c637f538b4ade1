/** CPUID and MSRs as a Linux guest's own drivers answer them, read at its shell. */
import type { Shell } from './debian-guest.ts';

/** od -t x4 as numbers. */
const words = (text: string) => text.split(/\s+/).map((word) => Number.parseInt(word, 16));

/** A leaf through /dev/cpu/N/cpuid: the position is subleaf:leaf, 16 bytes a leaf. */
export async function cpuid(shell: Shell, leaf: number, subleaf = 0, cpu = 0) {
  const position = (BigInt(subleaf) << 32n) | BigInt(leaf);
  const [eax, ebx, ecx, edx] = words(
    await shell.run(
      `dd if=/dev/cpu/${cpu}/cpuid bs=16 count=1 skip=${position} iflag=skip_bytes 2>/dev/null | od -An -t x4`,
    ),
  );
  return { eax, ebx, ecx, edx };
}

/** An MSR through /dev/cpu/N/msr; undefined where the driver reports an error. */
export async function rdmsr(shell: Shell, index: number, cpu = 0): Promise<bigint | undefined> {
  const read = `dd if=/dev/cpu/${cpu}/msr bs=8 count=1 skip=${index} iflag=skip_bytes 2>/tmp/error | od -An -t x4`;
  const said = await shell.run(read);
  if (said === '') return undefined;
  const [low, high] = words(said);
  return (BigInt(high!) << 32n) | BigInt(low!);
}
