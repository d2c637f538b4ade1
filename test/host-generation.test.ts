/** A layer in a machine that is itself a guest: it follows the generation that the driver or the agent shows there. */
import assert from 'node:assert/strict';
import fs, { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { bare } from 'commonhv';
import { commonhv, type Source } from 'commonhv/hypervisor';
import { followed } from '../src/restored/host-generation.ts';
import { openView, type View } from '../src/restored/view.ts';

const folder = mkdtempSync(join(tmpdir(), 'commonhv-host-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const [RNG, GENERATION] = [0x4000_00a0, 0x4000_00a1];

const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
/** Changes the file as the agent does: in place. */
function put(path: string, value: number): void {
  const descriptor = fs.openSync(path, 'r+');
  fs.writeSync(descriptor, u32(value), 0, 4, 0);
  fs.closeSync(descriptor);
}

test("the agent's file in the host: by default a layer renews its generation, and draws its values anew", () => {
  const standIn = join(folder, 'generation');
  writeFileSync(standIn, u32(7));
  const real = fs.openSync;
  fs.openSync = ((path: fs.PathLike, ...rest: [fs.OpenMode]) =>
    real(path === '/run/commonhv/generation' ? standIn : path, ...rest)) as typeof fs.openSync;
  syncBuiltinESMExports();
  let draws = 0;
  const source: Source = {
    name: 'counted',
    secure: true,
    fill(bytes) {
      draws++;
      crypto.getRandomValues(bytes);
    },
  };
  try {
    let renewed = 0;
    const cpu = commonhv({ rng: { source }, generation: { onRenewed: () => renewed++ } })(bare);
    const other = commonhv({ generation: { outer: () => undefined } })(bare);
    const kept = other.rdmsr(GENERATION);
    const before = cpu.rdmsr(GENERATION);
    cpu.rdmsr(RNG);
    cpu.poll!();
    assert.equal(cpu.rdmsr(GENERATION), before);
    assert.equal(renewed, 0);
    put(standIn, 8); // the host was copied, and its agent has reseeded the kernel
    const drawn = draws;
    cpu.rdmsr(RNG);
    assert.equal(renewed, 1);
    assert.ok(draws > drawn, 'the read-ahead was discarded');
    assert.notEqual(cpu.rdmsr(GENERATION), before);
    cpu.poll!();
    assert.equal(renewed, 1, 'once');
    assert.equal(other.rdmsr(GENERATION), kept, 'an owner who names the outer generation is not overruled');
  } finally {
    fs.openSync = real;
    syncBuiltinESMExports();
  }
});

test('there is no view where neither driver nor agent is there', () => {
  assert.equal(openView(join(folder, 'no-driver'), join(folder, 'no-file')), undefined);
});

/** The driver's page: both words. */
class Page implements View {
  readonly path = 'page';
  generation = 1n;
  kernel = 1n;
  asked = 0;
  /** Looks after the question until the kernel has reseeded. */
  late = 3;
  look() {
    if (this.asked > 0 && this.kernel !== this.generation && --this.late <= 0) this.kernel = this.generation;
    return { generation: this.generation, reseeded: this.kernel === this.generation };
  }
  ask() {
    this.asked++;
  }
}

test("the driver's page: a change is told once the kernel has reseeded, which is asked for and waited for", () => {
  const page = new Page();
  const read = followed(page);
  const first = read();
  assert.equal(read(), first);
  assert.equal(page.asked, 0);
  page.generation = 2n;
  const second = read();
  assert.notEqual(second, first);
  assert.equal(page.asked, 1);
  assert.equal(page.kernel, 2n, 'reseeded before it was told');
  assert.equal(read(), second);
});

test('a kernel that reseeds after the bounded wait: it is told at the change, and again at the reseed', () => {
  const page = new Page();
  page.late = Number.POSITIVE_INFINITY;
  const read = followed(page);
  const first = read();
  page.generation = 2n;
  const second = read();
  assert.notEqual(second, first);
  assert.equal(read(), second, 'it waits once');
  page.kernel = 2n;
  assert.notEqual(read(), second);
});
