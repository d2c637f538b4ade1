/** The conformance suite's hypervisors that are wrong on purpose, by names that fit into an address. */
import { bare } from 'commonhv';
import { type Liar, liars } from 'commonhv/conformance';
import { commonhv, stuckSource } from 'commonhv/hypervisor';

export interface Named extends Liar {
  /** The rule that it breaks, and which of that rule's liars it is. */
  readonly name: string;
}

/** Those that show on one processor; a page has no second one. */
export const LIARS: readonly Named[] = named();

/** All names, the empty one for the right hypervisor among them. */
export const liarNames: readonly string[] = ['', ...LIARS.map(({ name }) => name)];

/** The one under which copies of a machine cannot tell that they are copies. */
export const KEEPER = 'generation.restored';

export function liarNamed(name: string): Named | undefined {
  return LIARS.find((liar) => liar.name === name);
}

function named(): readonly Named[] {
  const seen = new Map<string, number>();
  return liars.filter(showsOnOne).map((liar) => {
    const count = (seen.get(liar.rule) ?? 0) + 1;
    seen.set(liar.rule, count);
    return { ...liar, name: count === 1 ? liar.rule : `${liar.rule}~${count}` };
  });
}

function showsOnOne({ drafts, lie }: Liar): boolean {
  const draft = drafts[0]!;
  const good = commonhv({
    draft,
    interfaces: [{ signature: 'VMwareVMware', location: 0x4000_0000 }],
    rng: { source: stuckSource() },
    ...(draft === 3 ? { generation: { next: () => 1n } } : {}),
  });
  return lie(good, draft)(bare).second === undefined;
}
