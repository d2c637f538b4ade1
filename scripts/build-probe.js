// Builds src/probe/probe.S by GNU as into src/probe/image.ts; prints the bytes instead with --print (base64).
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'probe-'));
try {
  const object = join(work, 'probe.o');
  const image = join(work, 'probe.bin');
  execFileSync('as', ['--32', '-o', object, join(root, 'src/probe/probe.S')], { stdio: 'inherit' });
  execFileSync('objcopy', ['-O', 'binary', '-j', '.text', object, image], { stdio: 'inherit' });
  const base64 = readFileSync(image).toString('base64');
  if (process.argv.includes('--print')) {
    console.log(base64);
  } else {
    const lines = (base64.match(/.{1,100}/g) ?? []).map((line) => `  '${line}',`);
    writeFileSync(
      join(root, 'src/probe/image.ts'),
      `/** The built probe guest, base64: made from probe.S by \`node scripts/build-probe.js\`; a test rebuilds and compares it. */\n` +
        `export const PROBE_BASE64 = [\n${lines.join('\n')}\n].join('');\n`,
    );
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
