/** Copies compared: samples from consoles that nobody trusts, and the result on each kind of remedy, right and wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Comparison,
  compare,
  htmlReport,
  jsonReport,
  junitReport,
  MAX_SAMPLES,
  SampleReader,
  textReport,
} from 'commonhv/clones';
import * as fc from 'fast-check';
import { common, lines, own, sampleLine } from './support/fake-vmm.ts';

const bytes = (text: string) => Buffer.from(text, 'latin1');

function read(text: string, name = 'copy') {
  const reader = new SampleReader(name);
  reader.feed(bytes(text));
  return reader.recording();
}

/** Three copies of one state, each with its mode. */
function copies(...modes: readonly string[]): Comparison {
  const seed = own();
  return compare(modes.map((mode, i) => read(lines(seed, i + 1, mode), `copy ${i + 1}`)));
}

const state = (comparison: Comparison, name: string) =>
  comparison.sources.find((source) => source.name === name)?.state;

test('copies without a remedy are alike to the end', () => {
  const result = copies('bare', 'bare', 'bare');
  assert.equal(result.differ, false);
  assert.equal(state(result, 'getrandom'), 'alike');
  assert.equal(result.result, 'copies are alike: getrandom to the end');
  assert.deepEqual(result.sources.find(({ name }) => name === 'getrandom')?.groups, [[0, 1, 2]]);
  assert.equal(result.sources.find(({ name }) => name === 'boot-id')?.kind, 'identity');
});

test('a polled remedy parts copies after its window, which can be allowed', () => {
  const seed = own();
  const recordings = [1, 2, 3].map((copy) => read(lines(seed, copy, 'polled')));
  const result = compare(recordings);
  const kernel = result.sources.find(({ name }) => name === 'getrandom')!;
  assert.deepEqual(
    [kernel.state, kernel.samples, kernel.milliseconds, kernel.failed],
    ['parted', 20, 20, true],
  );
  assert.equal(result.result, 'copies are alike: getrandom for 20 ms');
  for (const [allowed, differ] of [
    [19, false],
    [20, true],
    [Infinity, true],
  ] as const) {
    assert.equal(compare(recordings, { allowed: new Map([['getrandom', allowed]]) }).differ, differ);
    assert.equal(compare(recordings, { allowed: new Map([['*', allowed]]) }).differ, differ);
  }
});

test('copies that draw their own values from the first sample differ', () => {
  const result = copies('good', 'good', 'good');
  assert.deepEqual(
    [result.differ, result.result, result.findings],
    [true, 'copies differ from their first sample', []],
  );
});

test('a generation that is renewed for one copy alone is found', () => {
  const result = copies('one-renewed', 'one-renewed', 'one-renewed');
  assert.equal(result.differ, false);
  assert.deepEqual(result.findings, [
    'commonhv-msr is the same in copies 2 and 3 to the end: not renewed for each copy',
  ]);
});

test('a generation without a reseed is found', () => {
  const result = copies('no-reseed', 'no-reseed');
  assert.equal(result.differ, false);
  assert.match(result.findings[0]!, /^commonhv-msr differs between copies, and getrandom repeats to the end/);
});

test('a false report of a reseed in the page is found', () => {
  const seed = own();
  const copy = (reported: number) => {
    const generation = own().slice(0, 16);
    const before = common(seed, 'generation', 0).slice(0, 16);
    return read(
      Array.from({ length: 60 }, (_, step) =>
        sampleLine({
          n: step,
          mono: 1_000_000 * step + Math.ceil(Math.random() * 999_000),
          real: 5,
          getrandom: step < 30 ? common(seed, 'kernel', step) : own(),
          once: common(seed, 'once', step),
          'commonhv-page': generation,
          reseeded: step < reported ? before : generation,
        }),
      ).join(''),
    );
  };
  const findings = (reported: number) => compare([copy(reported), copy(reported)]).findings;
  assert.deepEqual(findings(30), []);
  assert.match(findings(10)[0]!, /a false report/);
});

test('an acknowledgement without a reseed is found; one after it is not', () => {
  const seed = own();
  /** `before`: samples until the host hears of the acknowledgement; copies part at the 20th where they do. */
  const findings = (mode: string, ...before: readonly (number | undefined)[]) =>
    compare(
      before.map((count, i) => {
        const reader = new SampleReader(`copy ${i + 1}`);
        const text = lines(seed, i + 1, mode).split(/(?<=\n)/);
        const at = count ?? text.length;
        reader.feed(bytes(text.slice(0, at).join('')));
        if (count !== undefined) reader.acknowledge();
        reader.feed(bytes(text.slice(at).join('')));
        return reader.recording();
      }),
    ).findings.filter((finding) => finding.includes('acknowledged'));
  const report = (who: string) => [
    `${who} acknowledged a reseed, and getrandom repeats after that: a false report`,
  ];
  assert.deepEqual(findings('no-reseed', 5, undefined, 67), report('copies 1 and 3'));
  assert.deepEqual(findings('bare', 66, 68), report('copy 1'), 'the last 32 samples may be on their way');
  assert.deepEqual(findings('polled', 5, 20, 19), []);
  assert.deepEqual(findings('good', 1, 50), []);
});

test('a timeline has no more columns than there are samples, and no holes for a slow console', () => {
  const seed = own();
  const slow = [1, 2].map((copy) => read(lines(seed, copy, 'bare', 12)));
  const row = textReport(compare(slow))
    .split('\n')
    .find((line) => line.startsWith('getrandom'));
  assert.match(row!, /^getrandom {2}#{12} +all copies: alike to the end/);
});

test('recordings that are not of one saved machine cannot be judged', () => {
  const result = compare([read(lines(own(), 1, 'good')), read(lines(own(), 2, 'good'))]);
  assert.equal(result.differ, undefined);
  assert.match(
    result.result,
    /^cannot tell: the control, .* does not repeat in every copy: other machines, or saved before the sampler ran$/,
  );
  assert.match(textReport(result), /once .*does not repeat in every copy/);
  assert.equal(compare([read(lines(own(), 1, 'good'))]).differ, undefined);
});

test('a source without values of their own in two copies is not compared, in every report', () => {
  const text = lines(own(), 1, 'good');
  const result = compare([read(text, 'A'), read(text, 'copy of A')]);
  assert.deepEqual([result.differ, result.result], [undefined, 'cannot tell: A has no sample of its own']);
  const { sources } = JSON.parse(jsonReport(result)) as { sources: { state: string }[] };
  assert.deepEqual([...new Set(sources.map((source) => source.state))], ['not compared']);
  assert.match(textReport(result), /\ngetrandom +not compared\n/);
  for (const report of [textReport(result), htmlReport(result)])
    assert.doesNotMatch(report, /different from the first|repeats in every copy/);
  const junit = junitReport(result);
  assert.match(junit, /failures="0" errors="1" skipped="3"/);
  assert.equal(junit.match(/differs between copies"><skipped message="not compared"\/>/g)?.length, 3);
  const seed = own();
  const one = compare([read(lines(seed, 1, 'bare')), read(lines(seed, 2, 'polled'))]);
  assert.equal(state(one, 'commonhv-msr'), 'not compared');
  assert.deepEqual([one.differ, one.findings], [false, []]);
});

test('one sample is one sample', () => {
  const seed = own();
  const one = compare([1, 2].map((copy) => read(lines(seed, copy, 'bare', 1))));
  assert.match(textReport(one), /^2 copies, 1 sample each, /);
  assert.match(textReport(one), /alike to the end \(1 sample, /);
});

test('copies without a source that has to differ cannot be told apart', () => {
  const seed = own();
  const copy = (mono: number) =>
    read(
      [0, 1, 2]
        .map((n) => sampleLine({ n, mono: mono + n * 1e6, real: 1, once: common(seed, 'once', n) }))
        .join(''),
    );
  const result = compare([copy(1000), copy(2000)]);
  assert.match(result.result, /^cannot tell: no two copies have a source in common/);
});

test('samples that were taken before the save, with equal clocks, are no evidence', () => {
  const seed = own();
  const before = lines(seed, 0, 'bare', 10);
  const after = (copy: number) => lines(seed, copy, 'good').split('\n').slice(10).join('\n');
  const result = compare([1, 2].map((copy) => read(before + after(copy))));
  assert.equal(result.differ, true);
});

test('values at other steps count: a copy that skips a draw is no other copy', () => {
  const seed = own();
  const column = (offset: number) =>
    read(
      Array.from({ length: 30 }, (_, step) =>
        sampleLine({
          n: step,
          mono: step * 1e6 + offset * 1000,
          real: 7,
          getrandom: common(seed, 'k', step + offset),
          once: common(seed, 'o', step),
        }),
      ).join(''),
    );
  assert.equal(state(compare([column(1), column(3)]), 'getrandom'), 'alike');
});

test('escape sequences, prefixes, megabyte lines, interleaved and truncated lines, clocks that run back', () => {
  const good = [0, 1, 2].map((step) =>
    sampleLine({ n: step, mono: 1000 * step + 1000, real: 1, once: 'aa' }),
  );
  const noise = [
    `\x1b[31m[    3.14] ${good[0]}`,
    `${'x'.repeat(2 ** 20)}\n`,
    `${good[1]!.slice(0, 30)}kernel: oops ${good[1]!.slice(30)}`,
    `${good[2]!.slice(0, 40)}\n`,
    sampleLine({ n: 5, mono: 1, real: 1, once: 'back' }),
    `${'y'.repeat(8000)}${good[1]}`,
    good[1]!,
    good[2]!.trimEnd(), // never ended
  ];
  const { steps, damaged, backwards } = read(noise.join(''));
  assert.deepEqual([steps, damaged, backwards], [[0, 1], 2, 1]);
});

test('any bytes in any pieces give the same bounded recording and never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(100), (noise, cut) => {
      const text = Buffer.concat([
        bytes(lines('s', 1, 'bare', 3)),
        noise,
        bytes(`\n${sampleLine({ n: 99, mono: 9e12, real: 1, once: 'z' })}`),
      ]);
      const whole = new SampleReader('a');
      whole.feed(text);
      const parts = new SampleReader('a');
      for (let at = 0; at < text.length; at += cut + 1) parts.feed(text.subarray(at, at + cut + 1));
      assert.deepEqual(parts.recording(), whole.recording());
      assert.ok(whole.count >= 3);
    }),
    { numRuns: 50 },
  );
});

test('a long recording keeps its first samples, and its later ones at steps that every copy keeps', () => {
  const long = (steps: number, seed: string) => {
    const reader = new SampleReader('long');
    for (let step = 0; step < steps; step++)
      reader.feed(
        bytes(
          sampleLine({
            n: step,
            mono: step * 1e6 + steps * 1000,
            real: 1,
            once: common('o', 'o', step),
            random: `${seed}${step}`,
          }),
        ),
      );
    return reader.recording();
  };
  const [shorter, longer] = [long(MAX_SAMPLES + 50, 'a'), long(4 * MAX_SAMPLES, 'b')];
  for (const { steps, sources, dropped, monotonic } of [shorter, longer]) {
    assert.ok(steps.length < MAX_SAMPLES && steps.length >= MAX_SAMPLES / 2);
    assert.deepEqual(
      steps.slice(0, MAX_SAMPLES / 2),
      Array.from({ length: MAX_SAMPLES / 2 }, (_, i) => i),
    );
    assert.ok(sources.get('once')!.length === steps.length && monotonic.length === steps.length);
    assert.deepEqual(
      monotonic,
      steps.map((step) => step * 1000 + monotonic[0]!),
    );
    assert.equal(new Set(sources.get('once')).size, steps.length);
    assert.ok(dropped > 0);
  }
  assert.equal(longer.steps.length + longer.dropped, 4 * MAX_SAMPLES);
  assert.ok(longer.steps.at(-1)! > 4 * MAX_SAMPLES - 100);
  assert.equal(compare([shorter, longer]).differ, true);
  const three = compare([long(3 * MAX_SAMPLES, 'a'), longer, long(4 * MAX_SAMPLES + 1, 'a')]);
  assert.deepEqual([three.differ, three.result], [false, 'copies are alike: random to the end']);
});

test('100 copies are compared', () => {
  const seed = own();
  const result = compare(
    Array.from({ length: 100 }, (_, i) => read(lines(seed, i + 1, i < 50 ? 'good' : 'bare'))),
  );
  assert.equal(result.sources.find(({ name }) => name === 'getrandom')?.groups[0]?.length, 50);
});

test('reports: text, JSON, JUnit and HTML name the sources and escape what a console said', () => {
  const result = copies('polled', 'polled');
  const hostile: Comparison = { ...result, findings: ['<script>alert(1)</script>'] };
  assert.match(
    textReport(result),
    /getrandom {5}[#.]{10,} * {2}all copies: alike for 20 samples, different after 20 ms\n/,
  );
  assert.deepEqual(JSON.parse(jsonReport(result)).sources[0], {
    name: 'getrandom',
    kind: 'random',
    state: 'parted',
    copies: [[1, 2]],
    samples: 20,
    milliseconds: 20,
    allowed: 0,
    failed: true,
  });
  assert.match(junitReport(hostile), /tests="3" failures="2"/);
  for (const text of [junitReport(hostile), htmlReport(hostile)]) {
    assert.ok(!text.includes('<script>'));
    assert.match(text, /&lt;script&gt;/);
  }
});
