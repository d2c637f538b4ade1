/** The state of one machine's layer: its RNG, its generation and page, its leaves, and the outer generation that it follows. */
import { type Lifecycle, MachineError, type SavedLayer, type SyncCpu } from '../cpu.ts';
import { Generation } from './generation.ts';
import { type Leaves, makeLeaves } from './leaves.ts';
import { type Notifier, notifier } from './notify.ts';
import type { ResolvedOptions } from './options.ts';
import { followedBy, type OuterMsrs } from './outer.ts';
import { checkSaved, checksum, encodeSaved, hostPart } from './saved.ts';
import { MAX_AGE_MS, openSource, RandomValues } from './values.ts';

/** The methods of `Lifecycle` that the layer answers. */
export class LayerState implements Required<Pick<Lifecycle, 'saved' | 'restored' | 'reset' | 'poll'>> {
  readonly random: RandomValues | undefined;
  readonly generation: Generation | undefined;
  readonly leaves: Leaves;
  readonly #host: SyncCpu;
  readonly #notify: Notifier = notifier();
  readonly #onRenewed: (() => void) | undefined;
  /** Reads the outer generation, where there is one. */
  readonly #readOuter: (() => bigint | undefined) | undefined;
  #outer: bigint | undefined;
  readonly #checksum: number;
  /** Why no RNG is offered although the options have one. */
  readonly #noRng: string;

  constructor(resolved: ResolvedOptions, host: SyncCpu, outer: OuterMsrs) {
    this.#host = host;
    const { random, why } = openRng(resolved, host, this.#notify, () => this.look());
    this.random = random;
    this.#noRng = why;
    const { generation } = resolved;
    this.generation = generation && openGeneration(generation, host, this.#notify);
    this.#onRenewed = this.#notify.wrap(generation?.onRenewed);
    this.leaves = makeLeaves(
      random ? resolved : { ...resolved, rng: undefined },
      this.generation?.page === true,
    );
    this.#checksum = checksum(this.leaves.text);
    this.#readOuter = generation?.outer ?? followedBy(host, outer);
    this.#outer = this.#readOuter?.();
  }

  /** Before anything is served: errors of the owner's functions, and a changed outer generation. */
  look(): void {
    this.#notify.check();
    if (this.#readOuter !== undefined) this.#followOuter(this.#readOuter());
  }

  /** An engine whose states carry two words only gets them: called where the guest has seen leaves, or has set the page. */
  keepWords(): void {
    this.#host.words?.store(Number(this.generation?.readPage() ?? 0n), this.#checksum);
  }

  saved(): SavedLayer {
    return encodeSaved(this.leaves.text, this.generation?.saved(), this.#host.saved?.());
  }

  restored(saved?: SavedLayer): void {
    this.#host.restored?.(hostPart(saved));
    const before = checkSaved(saved, this.leaves.text, this.#host, this.#noRng);
    this.random?.restored();
    this.generation?.restored(before);
    this.#outer = this.#readOuter?.();
    this.keepWords();
  }

  reset(): void {
    this.#host.reset?.();
    this.generation?.reset();
    this.keepWords();
  }

  poll(): void {
    this.#host.poll?.();
    this.random?.poll();
    this.look();
  }

  /** "Such a hypervisor was copied, and its guests with it": draft 3, "Nesting". */
  #followOuter(outer: bigint | undefined): void {
    if (outer === this.#outer) return;
    this.#outer = outer;
    const renew = () => {
      this.random?.discard();
      this.generation?.renew();
      this.#host.renewed?.();
    };
    if (this.#host.whileStopped) this.#host.whileStopped(renew);
    else renew();
    this.#onRenewed?.();
    this.keepWords();
  }
}

function openGeneration(
  resolved: NonNullable<ResolvedOptions['generation']>,
  host: SyncCpu,
  notify: Notifier,
): Generation {
  const { onAcknowledge, onPageLost } = resolved;
  return new Generation(
    { ...resolved, onAcknowledge: notify.wrap(onAcknowledge), onPageLost: notify.wrap(onPageLost) },
    host,
  );
}

/** "It MUST NOT be offered without a source": no `random` where the source does not work, and the draft can say so. */
function openRng(
  { rng, draft }: ResolvedOptions,
  host: SyncCpu,
  notify: Notifier,
  onLook: () => void,
): { readonly random?: RandomValues; readonly why: string } {
  if (rng === undefined) return { why: '' };
  const { source, input, fallback } = rng;
  const onFailure = notify.wrap(rng.onFailure);
  const polled = host.sliceMs !== undefined && host.sliceMs <= MAX_AGE_MS;
  const random = openSource({ source, mix: input === 'mix', fallback, onFailure, polled, onLook });
  if (random instanceof RandomValues) return { random, why: '' };
  const { detail, cause } = random;
  const why = `rng.source: ${source.name} does not work: ${detail}`;
  if (draft !== 3) throw new MachineError(why, { cause, code: 'source' });
  onFailure?.({ ...random, source: source.name, outcome: 'absent' });
  return { why: ` (no RNG here: ${why})` };
}
