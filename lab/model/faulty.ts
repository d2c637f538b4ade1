/** The conformance suite's hypervisors that are wrong on purpose, by names that fit into an address. */
import { bare } from 'commonhv';
import { type FaultyHypervisor, faultyHypervisors } from 'commonhv/conformance';
import { commonhv, stuckSource } from 'commonhv/hypervisor';

export interface Named extends FaultyHypervisor {
  /** The rule that it breaks, and which of that rule's faulty hypervisors it is. */
  readonly name: string;
}

let known: readonly Named[] | undefined;

/** Those that show on one processor; a page has no second one. Each is tried for that, so not before they are wanted. */
export function faults(): readonly Named[] {
  known ??= named();
  return known;
}

/** All names, the empty one for the right hypervisor among them. */
export const faultyNames = (): readonly string[] => ['', ...faults().map(({ name }) => name)];

/** The one under which copies of a machine cannot tell that they are copies. */
export const KEEPS_GENERATION = 'generation.restored';

export function faultyNamed(name: string): Named | undefined {
  return faults().find((faultyHypervisor) => faultyHypervisor.name === name);
}

function named(): readonly Named[] {
  const seen = new Map<string, number>();
  return faultyHypervisors.filter(showsOnOne).map((faultyHypervisor) => {
    const count = (seen.get(faultyHypervisor.rule) ?? 0) + 1;
    seen.set(faultyHypervisor.rule, count);
    return {
      ...faultyHypervisor,
      name: count === 1 ? faultyHypervisor.rule : `${faultyHypervisor.rule}~${count}`,
    };
  });
}

function showsOnOne({ drafts, makeFaulty }: FaultyHypervisor): boolean {
  const draft = drafts[0]!;
  const good = commonhv({
    draft,
    interfaces: [{ signature: 'VMwareVMware', location: 0x4000_0000 }],
    rng: { source: stuckSource() },
    ...(draft === 3 ? { generation: { next: () => 0x1_0000_0001n } } : {}),
  });
  return makeFaulty(good, draft)(bare).second === undefined;
}
