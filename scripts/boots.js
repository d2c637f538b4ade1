// Boots the probe by something that is not this project's, and asks it: verify, detect, and dump at CPL 0 and CPL 3.
// Usage: node scripts/boots.js [--quick] [--dump FILE] CELL...     the cells are those of `npm run matrix -- --list`
//   --quick       verify alone
//   --dump FILE   the leaves as they are at CPL 0
// Exit status: 0; 1 where an answer is not as expected; 3 where something is missing on this machine.
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { probeForm } from '../dist/probe/index.js';

const here = fileURLToPath(new URL('.', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'commonhv-boots-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));

class Missing extends Error {}

/** The folder with unpacked packages; a script fetches them once. */
function packages(name) {
  const { status, stdout, stderr } = spawnSync('sh', [join(here, 'boots/packages.sh'), name], {
    encoding: 'utf8',
  });
  if (status === 3) throw new Missing(stderr.trim());
  if (status !== 0) throw new Error(`packages of ${name}: ${stderr.trim()}`);
  return stdout.trim();
}

function need(...programs) {
  for (const program of programs)
    if (spawnSync(program, ['--version']).error !== undefined)
      throw new Missing(`${program} is not installed`);
}

/** A file with the image in a form that is not `all`. */
function form(name) {
  const path = join(work, name);
  writeFileSync(path, probeForm(name));
  return path;
}

const QEMU = 'qemu-system-x86_64 -accel tcg -net none -no-reboot -display none -monitor none -serial stdio';
const qemu = (args, more = '') => {
  need('qemu-system-x86_64');
  return `${more}${QEMU} ${args}`;
};
/** The command has to name the image, even where it boots another form. */
const other = ': {probe}; ';
const drive = '-drive file={probe},format=raw,snapshot=on';

function ovmf(args) {
  const system = '/usr/share/ovmf/OVMF.fd';
  const firmware = existsSync(system) ? system : `${packages('ovmf')}${system}`;
  return qemu(`-m 128 -bios ${firmware} ${args}`);
}

/** Xen, as a multiboot kernel, starts its first module as dom0. With console=com1 it would keep the port; PVH needs an IOMMU. */
function xen() {
  const boot = `${packages('xen')}/boot`;
  const name = readdirSync(boot).find((file) => /^xen-.*\.gz$/.test(file));
  const kernel = join(work, 'xen');
  writeFileSync(kernel, gunzipSync(readFileSync(join(boot, name))));
  return qemu(
    `-M q35 -cpu max -m 512 -device amd-iommu -kernel ${kernel} -initrd {probe} -append 'console=vga dom0=pvh dom0_mem=64M'`,
  );
}

/** A CD with GRUB, which starts the probe by its multiboot command. */
function grub() {
  need('xorriso');
  const root = packages('grub');
  const folder = join(work, 'cd');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'probe'), probeForm('all'));
  writeFileSync(join(work, 'grub.cfg'), 'multiboot /probe\nboot\n');
  const run = (program, args) => {
    const env = { ...process.env, LD_LIBRARY_PATH: `${root}/usr/lib/x86_64-linux-gnu` };
    const { status, stderr } = spawnSync(program, args, { encoding: 'utf8', env });
    if (status !== 0) throw new Error(`${program}: ${stderr}`);
  };
  const core = ['-d', `${root}/usr/lib/grub/i386-pc`, '-O', 'i386-pc-eltorito', '-c', join(work, 'grub.cfg')];
  const modules = ['biosdisk', 'iso9660', 'multiboot', 'boot'];
  run(`${root}/usr/bin/grub-mkimage`, [...core, '-p', '/', '-o', join(folder, 'core.img'), ...modules]);
  const boot = ['-b', 'core.img', '-no-emul-boot', '-boot-load-size', '4', '-boot-info-table'];
  const iso = join(work, 'grub.iso');
  run('xorriso', ['-as', 'mkisofs', '-quiet', ...boot, '-o', iso, folder]);
  return qemu(`-m 32 -cdrom ${iso}`, other);
}

function bochs(medium) {
  need('script');
  return `${process.execPath} ${join(here, 'boots/bochs.js')} ${packages('bochs')} {probe} ${medium}`;
}

/** [the command, the width that it enters the image in, the signature at 40000000H; undefined for none]. */
const CELLS = {
  'QEMU, multiboot': [() => qemu('-m 16 -kernel {probe}'), 32, 'TCGTCGTCGTCG'],
  'QEMU, PVH': [() => qemu(`-m 16 -kernel ${form('pvh')}`, other), 32, 'TCGTCGTCGTCG'],
  'QEMU, bzImage': [() => qemu(`-m 16 -kernel ${form('bzimage')}`, other), 32, 'TCGTCGTCGTCG'],
  'QEMU microvm, PVH': [() => qemu('-M microvm -m 16 -kernel {probe}'), 32, 'TCGTCGTCGTCG'],
  'SeaBIOS, disk': [() => qemu(`-m 16 ${drive}`), 32, 'TCGTCGTCGTCG'],
  'SeaBIOS, CD': [() => qemu('-m 16 -cdrom {probe}'), 32, 'TCGTCGTCGTCG'],
  'OVMF, disk': [() => ovmf(drive), 64, 'TCGTCGTCGTCG'],
  'OVMF, CD': [() => ovmf('-cdrom {probe}'), 64, 'TCGTCGTCGTCG'],
  'Bochs, disk': [() => bochs('disk'), 32, undefined],
  'Bochs, CD': [() => bochs('cdrom'), 32, undefined],
  'Xen, PVH dom0': [() => xen(), 32, 'XenVMMXenVMM'],
  'GRUB, multiboot from a CD': [() => grub(), 32, 'TCGTCGTCGTCG'],
};

function commonhv(...args) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(here, '../dist/cli/bin.cjs'), ...args],
    { encoding: 'utf8', timeout: 200_000 },
  );
  return { status, stdout, stderr };
}

function expect(name, holds, got) {
  if (!holds) throw new Error(`${name}: ${got}`);
}

/** None of them speaks CommonHV: a clear no, in the mode that the image was entered in, and the same leaves at CPL 3. */
function ask(name, { quick, dump }) {
  const [command, bits, signature] = CELLS[name];
  const way = ['--exec', command(), '--timeout', '150'];
  const verified = commonhv('verify', ...way, '--format', 'json');
  expect('verify', verified.status === 1, `status ${verified.status}: ${verified.stderr}${verified.stdout}`);
  const { draft, failed } = JSON.parse(verified.stdout);
  expect('verify', draft === null && failed === 1, `draft ${draft}, ${failed} failed`);
  if (quick) return `${name}: does not speak CommonHV`;
  const detected = commonhv('detect', ...way, '--format', 'json');
  expect('detect', detected.status === 0, detected.stderr);
  const { asked, interfaces, instruction } = JSON.parse(detected.stdout);
  expect('detect', asked?.cpl === 0 && asked?.bits === bits, `asked at ${JSON.stringify(asked)}`);
  expect('detect', instruction === undefined, `another view at CPL 3: ${JSON.stringify(instruction)}`);
  const [first] = interfaces;
  expect('detect', first?.signature === signature, `found ${JSON.stringify(first)}`);
  for (const cpl of [0, 3]) {
    const dumped = commonhv('dump', ...way, '--cpl', `${cpl}`);
    expect('dump', dumped.status === 0, dumped.stderr);
    expect('dump', dumped.stderr.includes(`asked at CPL ${cpl}, ${bits}-bit`), dumped.stderr);
    if (dump !== undefined && cpl === 0) writeFileSync(dump, dumped.stdout);
  }
  return `${name}: does not speak CommonHV; ${signature ?? 'no interface'}; CPL 0 and 3, ${bits}-bit`;
}

const names = process.argv.slice(2);
const option = (flag, count) => {
  const at = names.indexOf(flag);
  return at < 0 ? undefined : names.splice(at, count).at(-1);
};
const options = { quick: option('--quick', 1) !== undefined, dump: option('--dump', 2) };
let worst = 0;
for (const name of names) {
  try {
    if (CELLS[name] === undefined) throw new Error(`expected one of: ${Object.keys(CELLS).join('; ')}`);
    console.log(ask(name, options));
  } catch (error) {
    console.error(`${name}: ${error.message}`);
    worst = error instanceof Missing ? worst || 3 : 1;
  }
}
process.exitCode = worst;
