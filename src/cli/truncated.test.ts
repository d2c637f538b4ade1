/** A dump that was cut off anywhere: its answers are those of the whole dump, or none. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { missingLeaves, parseDump, replay } from '../cpuid-dump.ts';
import { type Finding, findingOf, verdict } from './finding.ts';

const CUTS = 9;
const FOLDER = 'test/dumps';
const [, ...lines] = readFileSync(`${FOLDER}/MANIFEST.tsv`, 'utf8').trimEnd().split('\n');

async function first(text: Uint8Array): Promise<Finding | undefined> {
  const [cpu] = parseDump(text).processors;
  if (cpu === undefined) return undefined;
  const leaves = new Set(cpu.dump.map(({ leaf }) => leaf));
  return findingOf(replay(cpu.dump), missingLeaves(cpu.dump, cpu.excerpt), (leaf) => leaves.has(leaf));
}

const names = ({ interfaces }: Finding): readonly string[] =>
  interfaces.map(({ signature, location }) => `${signature}@${location}`);

test('no answer of a dump that was cut off contradicts the whole one', async () => {
  const wrong: string[] = [];
  let cuts = 0;
  for (const line of lines) {
    const [file = '', , , verdicts = ''] = line.split('\t');
    const bytes = readFileSync(`${FOLDER}/${file}`);
    if (verdicts === '' || verdicts.includes(' | ') || bytes.length > 12_000) continue;
    // No tool asks for its leaf, so no dump without it is known to be cut off.
    if (verdicts === 'Bareflank') continue;
    const whole = await first(bytes);
    assert.ok(whole);
    for (let i = 1; i < CUTS; i++) {
      // Odd steps: within a line, within a number, at its end.
      const length = Math.floor((bytes.length * i) / CUTS) + (i % 5);
      const cut = await first(bytes.subarray(0, length));
      if (cut === undefined) continue;
      cuts++;
      const report = (what: string): unknown => wrong.push(`${file} at ${length}: ${what}: ${verdict(cut)}`);
      if (cut.hypervisorBit !== 'not recorded' && cut.hypervisorBit !== whole.hypervisorBit) report('bit');
      if (cut.commonhv !== 'not recorded' && cut.commonhv !== whole.commonhv) report('CommonHV');
      const extra = names(cut).filter((name) => !names(whole).includes(name));
      if (extra.length > 0) report(`also ${extra}`);
      if (cut.complete && names(cut).length < names(whole).length) report('said to be complete');
      if (/^no hypervisor to be seen$/.test(verdict(cut)) && verdict(whole) !== verdict(cut)) report('none');
    }
  }
  assert.ok(cuts > 400, `${cuts} cuts`);
  assert.deepEqual(wrong, []);
});
