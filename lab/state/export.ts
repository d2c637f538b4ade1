/** A trace as JSON: the output of `commonhv trace --format json`, and the events themselves, up to one moment. */
import { hex } from 'commonhv';
import { FAULTED } from '../model/protocol.ts';
import type { Session } from './session.ts';

/** Events in the file; a million would be a file that nothing opens. */
const MOST = 100_000;
const KINDS = ['cpuid', 'rdmsr', 'wrmsr'] as const;

export async function exported(machine: Session): Promise<Blob> {
  const counted = await machine.count();
  const { store, settings } = machine;
  const events = [];
  for (let i = 0; i < Math.min(store.length, MOST); i++) {
    const op = store.ops[i]!;
    const kind = KINDS[op & ~FAULTED]!;
    const number = hex(store.numbers[i]!);
    const at = Math.round(store.times[i]! * 1000) / 1000;
    events.push(
      kind === 'cpuid'
        ? { at, kind, leaf: number, subleaf: hex(store.subleaves[i]!) }
        : { at, kind, index: number, fault: (op & FAULTED) !== 0 },
    );
  }
  const report = {
    engine: settings.engine,
    milliseconds: Math.round(store.times[store.length - 1] ?? 0),
    cpuid: counted && {
      ...counted.cpuid,
      leaves: counted.cpuid.leaves.map((row) => ({ ...row, leaf: hex(row.leaf), subleaf: hex(row.subleaf) })),
    },
    msr: counted?.msr.map((row) => ({ ...row, index: hex(row.index) })),
    left: store.total - events.length,
    events,
  };
  return new Blob([`${JSON.stringify(report, undefined, 1)}\n`], { type: 'application/json' });
}
