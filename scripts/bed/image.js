// The parts of the KVM bed that do not change with the project: kernel, initramfs and root disk, cached below .cache/bed by a
// key of everything that went into them. Needs mke2fs (e2fsprogs) and the tools of packages.sh, not root.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { holdProgram } from './hold.js';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const cache = join(root, '.cache/bed');
const PACKAGES = { cloud: 'linux-image-cloud-amd64', full: 'linux-image-amd64' };
export const KERNELS = Object.keys(PACKAGES);
/** Loaded in this order, each behind the modules that it depends on; a name that the kernel lacks is built in. */
const MODULES = [
  'virtio_pci',
  'virtio_blk',
  'virtio_console',
  'virtio_rng',
  'crc32c_generic',
  'ext4',
  'cpuid',
  'msr',
];
const ROOT_SIZE = '600M';

/** Something is missing that this machine cannot get; the command line exits with status 3. */
export class Missing extends Error {}

/** The path of a program, also outside of an ordinary user's PATH. */
export function programPath(name) {
  for (const folder of [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin']) {
    if (folder !== '' && existsSync(join(folder, name))) return realpathSync(join(folder, name));
  }
  throw new Missing(`${name} is not installed`);
}

/** An ext4 image made of a folder, without mounting it. */
export function makeDisk(file, folder, size) {
  execFileSync(
    programPath('mke2fs'),
    ['-q', '-t', 'ext4', '-O', '^has_journal', '-m', '0', '-d', folder, file, size],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
}

/** The cache is made where it is missing; an error of one line where it cannot be written. */
function requireCache() {
  try {
    mkdirSync(cache, { recursive: true });
    accessSync(cache, constants.W_OK);
  } catch (error) {
    throw new Error(`${cache} cannot be written: ${error.code}`);
  }
}

/** { vmlinuz, initrd, root }: paths of the bed's image with the kernel `kind` of KERNELS and the program `qemu` in it. */
export function bedImage(kind, qemu) {
  requireCache();
  const system = join(cache, 'system', kind);
  if (!existsSync(join(system, 'name'))) {
    const { status } = spawnSync('sh', [join(root, 'scripts/bed/packages.sh'), PACKAGES[kind], system], {
      stdio: ['ignore', 2, 2],
      timeout: 300_000,
    });
    if (status === 3) throw new Missing('the bed’s packages cannot be had, see above');
    if (status !== 0) throw new Error('the bed’s packages cannot be unpacked, see above');
  }
  const folder = join(cache, `${kind}-${imageKey(system, qemu)}`);
  const paths = {
    vmlinuz: join(folder, 'vmlinuz'),
    initrd: join(folder, 'initrd'),
    root: join(folder, 'root.img'),
  };
  if (existsSync(paths.root)) return paths;
  const work = mkdtempSync(join(cache, 'making-'));
  try {
    copyFileSync(kernelFile(system), join(work, 'vmlinuz'));
    writeFileSync(join(work, 'initrd'), makeInitrd(system, join(work, 'initrd.d')));
    makeRoot(system, qemu, join(work, 'root.d'));
    makeDisk(join(work, 'root.img'), join(work, 'root.d'), ROOT_SIZE);
    for (const name of ['initrd.d', 'root.d']) rmSync(join(work, name), { recursive: true });
    for (const name of readdirSync(cache)) {
      // Older ones; a QEMU that runs has its files open.
      if (name.startsWith(`${kind}-`) && join(cache, name) !== folder)
        rmSync(join(cache, name), { recursive: true });
    }
    // Two processes may make the same image: the second finds the folder of the first, whole.
    if (!existsSync(folder)) renameSync(work, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return paths;
}

function imageKey(system, qemu) {
  const hash = createHash('sha256').update(readFileSync(join(system, 'name')));
  for (const name of ['image.js', 'hold.js', 'elf.js', 'initrd-init.sh', 'root-init.sh']) {
    hash.update(readFileSync(join(root, 'scripts/bed', name)));
  }
  for (const program of [process.execPath, qemu]) {
    const { size, mtimeMs } = statSync(program);
    hash.update(`${program} ${size} ${mtimeMs}\n`);
  }
  return hash.digest('hex').slice(0, 16);
}

const kernelFile = (system) =>
  join(
    system,
    'boot',
    readdirSync(join(system, 'boot')).find((name) => name.startsWith('vmlinuz-')),
  );

function makeInitrd(system, folder) {
  mkdirSync(join(folder, 'bin'), { recursive: true });
  for (const name of ['modules', 'proc', 'sys', 'root']) mkdirSync(join(folder, name));
  copyFileSync(join(system, 'bin/busybox'), join(folder, 'bin/busybox'));
  modulesInOrder(join(system, 'lib/modules'), [...MODULES, 'kvm_amd']).forEach((file, i) => {
    copyFileSync(file, join(folder, 'modules', `${String(i).padStart(2, '0')}-${basename(file)}`));
  });
  copyFileSync(join(root, 'scripts/bed/initrd-init.sh'), join(folder, 'init'));
  chmodSync(join(folder, 'init'), 0o755);
  return execFileSync(process.execPath, [join(root, 'scripts/initramfs.js'), folder], { maxBuffer: 2 ** 28 });
}

/** Kernel modules by name, each behind those that its .modinfo section says it depends on. */
function modulesInOrder(folder, names) {
  const files = new Map(
    readdirSync(folder, { recursive: true })
      .filter((name) => name.endsWith('.ko'))
      .map((name) => [basename(name, '.ko').replaceAll('-', '_'), join(folder, name)]),
  );
  const order = new Set();
  const visit = (name) => {
    const file = files.get(name);
    if (file === undefined || order.has(file)) return;
    const [, depends] = /\0depends=([^\0]*)\0/.exec(readFileSync(file, 'latin1')) ?? ['', ''];
    for (const needed of depends.split(',').filter(Boolean)) visit(needed.replaceAll('-', '_'));
    order.add(file);
  };
  for (const name of names) visit(name);
  return [...order];
}

function makeRoot(system, qemu, folder) {
  const inside = (path) => join(folder, path);
  for (const name of [
    'bin',
    'sbin',
    'dev',
    'proc',
    'sys',
    'tmp',
    'run',
    'project',
    'etc',
    'usr/bin',
    'root',
    'var',
  ]) {
    mkdirSync(inside(name), { recursive: true });
  }
  const busybox = join(system, 'bin/busybox');
  copyFileSync(busybox, inside('bin/busybox'));
  const applets = execFileSync(busybox, ['--list'], { encoding: 'utf8' }).trim().split('\n');
  for (const applet of applets) if (applet !== 'busybox') symlinkSync('busybox', inside(`bin/${applet}`));
  symlinkSync('/bin/busybox', inside('usr/bin/env'));
  copyProgram(process.execPath, folder, '/usr/bin/node');
  copyProgram(qemu, folder, '/usr/bin/qemu-system-x86_64');
  copyQemuFiles(folder);
  writeFileSync(
    inside('etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n',
  );
  writeFileSync(inside('etc/group'), 'root:x:0:\nnogroup:x:65534:\n');
  writeFileSync(inside('etc/hosts'), '127.0.0.1 localhost\n');
  writeFileSync(inside('sbin/hold'), holdProgram());
  copyFileSync(join(root, 'scripts/bed/root-init.sh'), inside('sbin/init'));
  for (const name of ['bin/busybox', 'sbin/hold', 'sbin/init']) chmodSync(inside(name), 0o755);
}

function copyInto(folder, from, to) {
  const target = join(folder, to);
  if (existsSync(target)) return;
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(from, target);
  chmodSync(target, statSync(from).mode & 0o777);
}

/** A program and the shared libraries that the loader finds for it. */
export function copyProgram(program, folder, to = program) {
  copyInto(folder, program, to);
  const { stdout } = spawnSync('ldd', [program], { encoding: 'utf8' });
  for (const [, library] of (stdout ?? '').matchAll(/(?:=> |^\s*)(\/\S+) \(/gm))
    copyInto(folder, library, library);
}

/** The firmware and the accelerator modules of Debian's QEMU; what is not there is not copied. */
function copyQemuFiles(folder) {
  for (const directory of ['/usr/share/seabios', '/usr/share/qemu']) {
    for (const name of existsSync(directory) ? readdirSync(directory) : []) {
      if (
        !/^(bios.*\.bin|.*boot(_dma)?\.bin|pvh\.bin|kvmvapic\.bin|qboot\.rom|vgabios-stdvga\.bin)$/.test(name)
      )
        continue;
      copyInto(folder, join(directory, name), join(directory, name));
    }
  }
  const modules = '/usr/lib/x86_64-linux-gnu/qemu';
  for (const name of existsSync(modules) ? readdirSync(modules) : []) {
    if (name.startsWith('accel-')) copyProgram(join(modules, name), folder);
  }
}
