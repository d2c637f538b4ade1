/** Our layer over a CPU that offers CommonHV itself: the suite changes the outer generation, and a layer that ignores it is found. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bare, type GuestMemory, type SyncCpu } from 'commonhv';
import { type MemoryControl, verify } from 'commonhv/conformance';
import { commonhv, type GenerationOptions, systemSource } from 'commonhv/hypervisor';

const PAGE = 4096;
const RAM = 0x10_0000;

/** Guest RAM as the layer and as the suite reach it; keeps the layer's stores, and whether vCPUs were stopped. */
class Ram implements GuestMemory, MemoryControl {
  readonly #bytes = new Uint8Array(RAM);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly holes = [RAM];
  stopped = false;
  readonly stores: boolean[] = [];

  isRam = (address: number) => address % PAGE === 0 && address < RAM;
  load = (address: number, offset: 0 | 8) => this.#view.getBigUint64(address + offset, true);
  read = (address: number, length: number) => this.#bytes.slice(address, address + length);
  write = (address: number, bytes: Uint8Array) => this.#bytes.set(bytes, address);
  store(address: number, offset: 0 | 8, value: bigint): void {
    this.stores.push(this.stopped);
    this.#view.setBigUint64(address + offset, value, true);
  }
}

/** A machine of `generation` in a machine whose hypervisor offers a generation, too. */
function nested(generation: GenerationOptions) {
  const memory = new Ram();
  const outer = commonhv({ generation: { page: false, msr: 0x4000_00c1 } })(bare);
  const host: SyncCpu = {
    ...bare,
    cpuid: outer.cpuid,
    rdmsr: outer.rdmsr,
    memory,
    whileStopped(action) {
      memory.stopped = true;
      action();
      memory.stopped = false;
    },
  };
  const cpu = commonhv({ rng: { source: systemSource() }, generation })(host);
  // Two vCPUs of one machine share its layer.
  const controls = { memory, others: [cpu], renewOuter: async () => outer.restored!() };
  return { cpu, memory, outer, controls };
}

const outcome = ({ rules }: Awaited<ReturnType<typeof verify>>, id: string) =>
  rules.find((rule) => rule.id === id)!.outcome;

test('our layer follows each change of the outer generation, with its page, vCPUs stopped', async () => {
  const { cpu, memory, controls } = nested({});
  let stopped = 0;
  const report = await verify(cpu, {
    ...controls,
    async renewOuter() {
      stopped += memory.stores.filter(Boolean).length;
      memory.stores.length = 0;
      await controls.renewOuter();
    },
    strict: true,
  });
  assert.deepEqual(
    report.rules.filter((rule) => rule.outcome === 'failed').map(({ id, detail }) => `${id}: ${detail}`),
    [],
  );
  for (const id of ['nesting.renew', 'page.renewed', 'generation.same', 'acknowledgement.other'])
    assert.equal(outcome(report, id), 'passed', id);
  assert.equal(stopped + memory.stores.filter(Boolean).length, 2, 'a store for each of two changes');
  assert.ok(report.controls.includes('changes of the outer generation'));
});

test('a layer that does not look at the outer generation breaks nesting.renew alone', async () => {
  const { cpu, controls } = nested({ outer: () => undefined });
  const report = await verify(cpu, { ...controls, strict: true });
  const broken = report.rules.filter(({ outcome }) => outcome === 'failed');
  assert.deepEqual(
    broken.map(({ id }) => id),
    ['nesting.renew'],
  );
  assert.match(broken[0]!.detail!, /after change 1 of the outer generation: expected another value than 0x/);
});

test('a layer whose pages miss the renewal breaks page.renewed', async () => {
  const { cpu, memory, controls } = nested({});
  const store = memory.store.bind(memory);
  memory.store = (address, offset, value) => {
    if (!memory.stopped) store(address, offset, value);
  };
  const report = await verify(cpu, controls);
  assert.deepEqual(
    report.rules.filter(({ outcome }) => outcome === 'failed').map(({ id }) => id),
    ['page.renewed'],
  );
});

test('without the control the rule is skipped, and the report names what was not checked', async () => {
  const { cpu, controls } = nested({});
  const { renewOuter: _, ...others } = controls;
  const report = await verify(cpu, others);
  assert.equal(outcome(report, 'nesting.renew'), 'skipped');
  assert.ok(report.notChecked.includes('changes of the outer generation'));
});
