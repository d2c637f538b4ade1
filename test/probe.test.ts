/** The probe's image: what its source builds to, and what its header promises to a multiboot loader. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { probeImage } from 'commonhv/probe';
import { skipUnless } from './support/require.ts';

const hasAs = spawnSync('as', ['--version']).status === 0 && spawnSync('objcopy', ['--version']).status === 0;

test('the committed image is what GNU as makes of probe.S', {
  skip: skipUnless('cc', hasAs, 'GNU as and objcopy are not installed (binutils)'),
}, () => {
  const built = execFileSync(process.execPath, ['scripts/build-probe.js', '--print'], { encoding: 'utf8' });
  assert.equal(built.trim(), Buffer.from(probeImage()).toString('base64'));
});

test('the image is a boot sector and a multiboot kernel at once', () => {
  const image = probeImage();
  assert.equal(image.length, 512);
  assert.deepEqual([...image.slice(510)], [0x55, 0xaa]);
  const words = new DataView(image.buffer);
  const header = [...Array(32).keys()]
    .map((i) => 4 * i)
    .find((at) => words.getUint32(at, true) === 0x1bad_b002);
  assert.ok(header !== undefined);
  const at = (i: number): number => words.getUint32(header + 4 * i, true);
  assert.equal((at(0) + at(1) + at(2)) >>> 0, 0);
  assert.equal(at(1), 1 << 16);
  assert.equal(at(3) - at(4), header); // header_addr and load_addr agree about where the header lies
  assert.ok(at(7) >= at(4) && at(7) < at(5)); // the entry is inside of what is loaded
});

test('each caller gets a copy of its own', () => {
  probeImage().fill(0);
  assert.notEqual(probeImage()[0], 0);
});
