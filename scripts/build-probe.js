// Builds the sources of the probe guest by GNU as and ld into src/probe/image.ts; prints the file instead with --print.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../src/probe', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'probe-'));

/** One source, linked at an address, as raw bytes in lines of base64. */
function build(name, bits, address) {
  const object = join(work, `${name}.o`);
  const image = join(work, `${name}.bin`);
  const run = (program, ...args) => execFileSync(program, args, { stdio: 'inherit' });
  run('as', `--${bits}`, '-I', folder, '-o', object, join(folder, `${name}.S`));
  const format = bits === 64 ? 'elf_x86_64' : 'elf_i386';
  run('ld', '-m', format, '-Ttext', address, '-e', address, '--oformat', 'binary', '-o', image, object);
  const base64 = readFileSync(image).toString('base64');
  return (base64.match(/.{1,100}/g) ?? []).map((line) => `  '${line}',`).join('\n');
}

try {
  const parts = [
    ['PROBE', 'The image, linked at 7C00H: head.S and probe.S.', build('probe', 32, '0x7c00')],
    ['SETUP', 'The head of a bzImage: setup.S.', build('setup', 32, '0')],
    ['EFI', 'The head of a UEFI application: efi.S.', build('efi', 64, '0')],
  ];
  const text = [
    '/** The built probe guest, base64: made by `node scripts/build-probe.js`; a test rebuilds and compares it. */\n',
    ...parts.map(
      ([name, about, lines]) => `/** ${about} */\nexport const ${name}_BASE64 = [\n${lines}\n].join('');\n`,
    ),
  ].join('\n');
  if (process.argv.includes('--print')) process.stdout.write(text);
  else writeFileSync(join(folder, 'image.ts'), text);
} finally {
  rmSync(work, { recursive: true, force: true });
}
