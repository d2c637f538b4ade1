/** Answers that no processor gives, from an implementation that is a class. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Cpu, Regs } from '../cpu.ts';
import { detect } from './detect.ts';
import { discover } from './discover.ts';
import { scan } from './scan.ts';

class Odd implements Cpu {
  asked = 0;
  readonly #value: number;

  constructor(value: number) {
    this.#value = value;
  }

  cpuid(leaf: number, subleaf: number): Regs {
    assert.ok(Number.isInteger(leaf) && leaf >= 0 && leaf <= 0xffff_ffff, `leaf ${leaf}`);
    assert.ok(Number.isInteger(subleaf) && subleaf >= 0 && subleaf <= 0xffff_ffff, `subleaf ${subleaf}`);
    this.asked++;
    if (leaf === 0x4f00_0000)
      return { eax: 0x4f00_0003, ebx: 0x6d6d_6f43, ecx: 0x5648_6e6f, edx: 0x6674_6e49 };
    return { eax: this.#value, ebx: this.#value, ecx: this.#value, edx: this.#value };
  }

  rdmsr(): '#GP' {
    return '#GP';
  }

  wrmsr(): '#GP' {
    return '#GP';
  }
}

test('signed registers and registers of 33 bits bound discover, scan and detect as others do', async () => {
  for (const value of [-1, -2_147_483_648, 2 ** 33 + 7, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    for (const ask of [discover, scan, detect]) {
      const cpu = new Odd(value);
      await ask(cpu);
      assert.ok(cpu.asked < 1100, `${value}: ${cpu.asked} CPUIDs`);
    }
  }
});
