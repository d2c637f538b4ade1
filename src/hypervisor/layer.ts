/** `commonhv(options)`: the layer that answers CommonHV and passes everything else down. */
import { inStartupSnapshot } from '#kernel-random';
import { GP, type Layer, lifecycle, MachineError, type SavedLayer, type SyncCpu } from '../cpu.ts';
import { LEAF_BASIC, LEAF_LAST, LEAF_ROOT, withHypervisorBit } from '../spec/index.ts';
import { Generation } from './generation.ts';
import { checkXen } from './indices.ts';
import { makeLeaves } from './leaves.ts';
import { type Notifier, notifier } from './notify.ts';
import { type CommonhvOptions, type ResolvedOptions, resolve } from './options.ts';
import { outerGeneration, outerMsrs, withoutOuter } from './outer.ts';
import { checkSaved, checksum, encodeSaved, hostPart } from './saved.ts';
import { openSource, RandomValues } from './values.ts';

/**
 * A hypervisor that offers CommonHV. Each call of the layer is one machine, with its own random values, health tests and
 * generation. Options that contradict each other or the draft throw a TypeError or RangeError that names the option.
 */
export function commonhv(options: CommonhvOptions = {}): Layer {
  const resolved = resolve(options);
  return (host) => makeLayer(resolved, host);
}

/** One machine's layer. The guest waits for `cpuid`, `rdmsr` and `wrmsr`; the rest is rare. */
function makeLayer(resolved: ResolvedOptions, host: SyncCpu): SyncCpu {
  if (inStartupSnapshot()) {
    throw new MachineError(
      'commonhv: a layer in a start-up snapshot of Node would be copied into every process; make it after the start',
    );
  }
  checkXen(resolved, host);
  const { rng, hypervisorBit } = resolved;
  const outer = outerMsrs(host);
  const below = withoutOuter(host, outer);
  const notify = notifier();
  const { random, why } = openRng(resolved, notify);
  const { generation, options } = openGeneration(resolved, host, notify);
  const { read, text } = makeLeaves(
    random ? resolved : { ...resolved, rng: undefined },
    generation?.page === true,
  );
  const readOuter = options?.outer ?? outerGeneration(host, outer);
  const msr = options?.msr;
  const pageMsr = generation?.page ? options?.pageMsr : undefined;
  const sum = checksum(text);
  const keepWords = () => host.words?.store(Number(generation?.readPage() ?? 0n), sum);

  let outerValue = readOuter?.();
  /** Before anything is served: errors of the owner's functions, and a changed outer generation. */
  const look = (): void => {
    notify.check();
    if (readOuter === undefined) return;
    const value = readOuter();
    if (value === outerValue) return;
    outerValue = value;
    const renew = () => {
      random?.discard();
      generation?.renew();
      host.renewed?.();
    };
    if (host.whileStopped) host.whileStopped(renew);
    else renew();
    options?.onRenewed?.();
    keepWords();
  };

  return {
    ...lifecycle(host),
    cpuid(leaf, subleaf) {
      if (leaf === LEAF_BASIC) return withHypervisorBit(host.cpuid(leaf, subleaf), hypervisorBit);
      if (leaf < LEAF_ROOT || leaf > LEAF_LAST) return host.cpuid(leaf, subleaf);
      keepWords(); // the guest has seen leaves that may not change any more
      return read(leaf, subleaf);
    },
    rdmsr(index) {
      if (random && index === rng?.msr) {
        look();
        return random.read();
      }
      if (generation && index === msr) {
        look();
        return generation.read();
      }
      if (generation && index === pageMsr) return generation.readPage();
      return below.rdmsr(index);
    },
    wrmsr(index, value) {
      if (random && index === rng?.msr) {
        // Draft 2: without the input feature a write "may result in #GP"; draft 3 says that it should.
        if (rng.input === 'none') return GP;
        random.write(value);
        return undefined;
      }
      if (generation && index === msr) {
        look();
        return generation.write(value);
      }
      if (generation && index === pageMsr) {
        look();
        const fault = generation.writePage(value);
        keepWords();
        return fault;
      }
      return below.wrmsr(index, value);
    },
    saved: () => encodeSaved(text, generation?.saved(), host.saved?.()),
    restored(saved?: SavedLayer) {
      host.restored?.(hostPart(saved));
      const before = checkSaved(saved, text, host, why);
      random?.restored();
      generation?.restored(before);
      outerValue = readOuter?.();
      keepWords();
    },
    reset() {
      host.reset?.();
      generation?.reset();
      keepWords();
    },
    poll() {
      host.poll?.();
      look();
    },
  };
}

function openGeneration(resolved: ResolvedOptions, host: SyncCpu, notify: Notifier) {
  if (resolved.generation === undefined) return {};
  const { onAcknowledge, onPageLost, onRenewed } = resolved.generation;
  const options = {
    ...resolved.generation,
    onAcknowledge: notify.wrap(onAcknowledge),
    onPageLost: notify.wrap(onPageLost),
    onRenewed: notify.wrap(onRenewed),
  };
  return { generation: new Generation(options, host), options };
}

/** "It MUST NOT be offered without a source": no `random` where the source does not work, and the draft can say so. */
function openRng(
  { rng, draft }: ResolvedOptions,
  notify: Notifier,
): { readonly random?: RandomValues; readonly why: string } {
  if (rng === undefined) return { why: '' };
  const { source, input, fallback } = rng;
  const onFailure = notify.wrap(rng.onFailure);
  const random = openSource({ source, mix: input === 'mix', fallback, onFailure });
  if (random instanceof RandomValues) return { random, why: '' };
  const { detail, cause } = random;
  const why = `rng.source: ${source.name} does not work: ${detail}`;
  if (draft !== 3) throw new MachineError(why, { cause, code: 'source' });
  onFailure?.({ ...random, source: source.name, outcome: 'absent' });
  return { why: ` (no RNG here: ${why})` };
}
