/** The same hypervisor under another draft, asked the same: what differs is what the drafts changed. */
import type { Regs } from 'commonhv';
import { model } from 'commonhv/engines/model';
import { commonhvFrom } from 'commonhv/hypervisor';
import { replay } from 'commonhv/snapshot';
import type { Draft } from 'commonhv/spec';
import { dataOf } from '../settings/layer.ts';
import { type Settings, withDraft } from '../settings/settings.ts';
import type { Row } from './row.ts';

/** What another draft's hypervisor answers for a row; `undefined` where that draft cannot say what the settings ask for. */
export function under(draft: Draft, settings: Settings, rows: readonly Row[]): ((row: Row) => Regs) | string {
  try {
    const below = replay(rows.map((row) => ({ ...row, indexed: true })));
    const other = model(commonhvFrom(dataOf(withDraft(settings, draft))), below);
    return ({ leaf, subleaf }) => other.cpuid(leaf, subleaf);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
