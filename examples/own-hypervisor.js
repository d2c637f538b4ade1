// node examples/own-hypervisor.js
//
// A layer is a function from the processor below to the processor that the guest sees, so one's own is written around
// another in a few lines. Two of them here, judged by the conformance suite: one that is right, and one that is not.
import { hex } from 'commonhv';
import { verify } from 'commonhv/conformance';
import { model } from 'commonhv/engines/model';
import { commonhv, systemGeneration, systemSource } from 'commonhv/hypervisor';
import { DEFAULT_RNG_MSR } from 'commonhv/spec';
import { counter, trace } from 'commonhv/trace';

const NOTE = 0x4000_00a8; // an MSR of our own: 64 bits that the guest may keep with its hypervisor

/** @type {import('commonhv').Layer} */
const notebook = (host) => {
  const options = { rng: { source: systemSource() }, generation: { next: systemGeneration() } };
  const inner = commonhv(options)(host);
  let note = 0n; // each machine has its own: the function is called once for each
  return {
    ...inner,
    rdmsr: (index) => (index === NOTE ? note : inner.rdmsr(index)),
    wrmsr(index, value) {
      if (index !== NOTE) return inner.wrmsr(index, value);
      note = value;
      return undefined;
    },
  };
};

/** The same, but that it means to be quick, and keeps the first random word. @type {import('commonhv').Layer} */
const careless = (host) => {
  const good = notebook(host);
  const word = good.rdmsr(DEFAULT_RNG_MSR);
  return { ...good, rdmsr: (index) => (index === DEFAULT_RNG_MSR ? word : good.rdmsr(index)) };
};

for (const [name, layer] of Object.entries({ notebook, careless })) {
  const { count, tally } = counter();
  const cpu = model((host) => trace(count)(layer(host)));
  cpu.wrmsr(NOTE, 42n);
  const { draft, passed, failed, skipped, rules } = await verify(cpu);
  console.log(`${name}, which keeps ${cpu.rdmsr(NOTE)} at ${hex(NOTE)}, by draft ${draft}:`);
  for (const { id, level, text, outcome, detail } of rules) {
    if (outcome === 'failed') console.log(`  ${id} failed, ${level}: "${text}"\n    ${detail}`);
  }
  console.log(`  ${passed} passed, ${failed} failed, ${skipped} skipped`);
  const faults = tally().msr.reduce((sum, row) => sum + row.faults, 0);
  console.log(`  the checker asked ${tally().cpuid.total} CPUIDs and met ${faults} faults`);
}
