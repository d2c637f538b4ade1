/** CommonHV with a generation page, which notes what the guest writes to the page's register. */
import type { Layer, SyncCpu } from 'commonhv';
import { commonhv, systemGeneration, systemSource } from 'commonhv/hypervisor';

export const PAGE = 0x400000a2;

/** `written`: the values, in order; `cpu`: of the machine that was made last, as the layer has it. */
export function pageWrites(): { layer: Layer; written: bigint[]; cpu: () => SyncCpu } {
  const right = commonhv({
    rng: { source: systemSource() },
    generation: { next: systemGeneration(), page: true },
  });
  const written: bigint[] = [];
  let cpu: SyncCpu;
  const layer: Layer = (host) => {
    cpu = right(host);
    return {
      ...cpu,
      wrmsr(index, value) {
        if (index === PAGE) written.push(value);
        return cpu.wrmsr(index, value);
      },
    };
  };
  return { layer, written, cpu: () => cpu };
}
