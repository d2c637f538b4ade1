/** A faulty generation page on KVM is caught by the suite: the layer stores late, or elsewhere, in real guest memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isGuestRule, type MachineUnderTest, type Report, rulesOf, verify } from 'commonhv/conformance';
import { type KvmMachine, kvm } from 'commonhv/engines/kvm';
import { overSerial, probeImage } from 'commonhv/probe';
import { skip } from './support/kvm-availability.ts';
import { type PageFault, url } from './support/kvm-layers.ts';
import { scaled } from './support/time.ts';

const memory = 4 * 2 ** 20;
/** A resumed probe waits for a line already, and sends its greeting when asked. */
const RESUMED_MS = 5;

async function whole(machine: KvmMachine, pokeIntervalMs = 1000): Promise<MachineUnderTest> {
  const cpu = await overSerial(machine.console, { pokeIntervalMs, answerTimeout: scaled(5000) });
  return { cpu, memory: machine.memory };
}

/** In the KVM bed the rules of the page alone: the others ask most of the questions. */
const only =
  process.env.COMMONHV_BED === undefined
    ? undefined
    : rulesOf(3)
        .filter((rule) => rule.id.startsWith('page.') && !isGuestRule(rule))
        .map(({ id }) => id);

/** The suite's rules of the page, against a machine in whose owner thread the layer is built; saved, restored and resumed. */
async function verifyPage(fault: PageFault): Promise<Report> {
  const layer = { module: url, export: 'pageFault', options: { fault } };
  const machine = await kvm({ memory }).start(layer, { kernel: probeImage() });
  const machines = [machine];
  let state: Uint8Array = new Uint8Array();
  try {
    const { cpu } = await whole(machine);
    return await verify(cpu, {
      draft: 3,
      only,
      memory: machine.memory,
      async save() {
        state = await machine.save();
      },
      restore: () => machine.restore(state),
      async resume() {
        const copy = await kvm().resume(layer, state);
        machines.push(copy);
        return whole(copy, RESUMED_MS);
      },
    });
  } finally {
    await Promise.all(machines.map((each) => each.close()));
  }
}

/** The rules of a page that is stored to, and the faults with those that each breaks. */
const RULES = ['page.holds', 'page.renewed', 'page.others', 'page.restored'];
const FAULTS: Record<PageFault, readonly string[]> = {
  none: [],
  'not stored at a restore': ['page.renewed'],
  'stored in the next page': ['page.holds', 'page.renewed', 'page.others'],
};
for (const [fault, broken] of Object.entries(FAULTS) as [PageFault, readonly string[]][]) {
  const title = fault === 'none' ? 'a page without a fault conforms' : `a page ${fault} fails`;
  test(`verify on KVM: ${title}`, { skip, timeout: scaled(60_000) }, async () => {
    const { rules } = await verifyPage(fault);
    const failed = rules.filter(({ outcome }) => outcome === 'failed');
    assert.deepEqual(
      failed.map(({ id }) => id),
      broken,
      JSON.stringify(failed),
    );
    if (fault !== 'none') return;
    for (const id of RULES) assert.equal(rules.find((rule) => rule.id === id)?.outcome, 'passed', id);
  });
}
