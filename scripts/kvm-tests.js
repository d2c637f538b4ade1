// Which test files run guests on KVM: those whose source asks for it through test/support's one helper.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../test', import.meta.url));
const asksForKvm = (name) => /\/kvm-availability\.ts'/.test(readFileSync(join(folder, name), 'utf8'));

/** Their names without `.test.ts`, such as `kvm-cli`. */
export const kvmTests = () =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.test.ts') && asksForKvm(name))
    .map((name) => name.slice(0, -'.test.ts'.length));
