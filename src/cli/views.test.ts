/** The kernel's view of a processor and the one at CPL 3: a difference in a telling leaf is seen, an APIC id is none. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bare, type SyncCpu } from '../cpu.ts';
import { viewsAgree } from './detect.ts';

const view = (ebx: number, apic = 0, bit = 0x8000_0000): SyncCpu => ({
  ...bare,
  cpuid(leaf) {
    if (leaf === 1) return { eax: 1, ebx: apic << 24, ecx: bit | apic, edx: 0 };
    return leaf === 0x4000_0000 ? { eax: leaf, ebx, ecx: 0, edx: 0 } : { eax: 0, ebx: 0, ecx: 0, edx: 0 };
  },
});

test('views differ by the hypervisor bit or a signature, not by the processor that was asked', async () => {
  assert.equal(await viewsAgree(view(7), view(7, 3)), true);
  assert.equal(await viewsAgree(view(7), view(8)), false);
  assert.equal(await viewsAgree(view(7), view(7, 0, 0)), false);
});
