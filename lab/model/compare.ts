/** The same hypervisor under another draft, asked the same: differences come from the drafts. */
import type { Regs } from 'commonhv';
import { replay } from 'commonhv/cpuid-dump';
import { model } from 'commonhv/engines/model';
import { fromConfig } from 'commonhv/hypervisor';
import type { Draft } from 'commonhv/spec';
import { configOf } from './layer.ts';
import type { Row } from './row.ts';
import { type Settings, withDraft } from './settings.ts';

/** The answer of another draft's hypervisor for a row; `undefined` where that draft cannot express the settings. */
export function under(draft: Draft, settings: Settings, rows: readonly Row[]): ((row: Row) => Regs) | string {
  try {
    const host = replay(rows.map((row) => ({ ...row, indexed: true })));
    const other = model(fromConfig(configOf(withDraft(settings, draft))), host);
    return ({ leaf, subleaf }) => other.cpuid(leaf, subleaf);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
