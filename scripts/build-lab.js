// npm run build:lab [-- --linux]: builds the lab into dist/lab, after the library.
//   --linux   puts a small Linux beside it, made by scripts/debian-guest.sh of Debian's packages, for one more button; where
//             apt is missing the lab is built without it, and says so
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const args = process.argv.slice(2);
const unknown = args.find((arg) => arg !== '--linux');
if (unknown !== undefined) {
  console.error(`build:lab: expected --linux or nothing, got ${unknown}`);
  process.exit(2);
}

/** The folder that vite.config.ts takes, or `undefined` where the guest cannot be made here. */
function linux(work) {
  const made = spawnSync('sh', ['scripts/debian-guest.sh', '--output', work], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  });
  if (made.status !== 0) {
    console.error('build:lab: the small Linux cannot be made here; the lab is built without it');
    return undefined;
  }
  const [name] = made.stdout.trim().split(':');
  const kernel = readFileSync(join(work, 'vmlinuz'));
  const busybox = readFileSync('.cache/debian/base/bin/busybox');
  const version = find(kernel, /Debian (\d[\w.+~-]*)/);
  const busyboxVersion = find(busybox, /BusyBox v[\d.]+ \(Debian ([\w:.+~-]+)\)/);
  cpSync(join(work, 'vmlinuz'), join(work, 'linux-kernel'));
  cpSync(join(work, 'initrd'), join(work, 'linux-initrd'));
  writeFileSync(join(work, 'title'), `Debian’s Linux ${version}`);
  writeFileSync(join(work, 'linux.txt'), notes(name, version, busyboxVersion));
  return work;
}

const find = (bytes, pattern) => pattern.exec(bytes.toString('latin1'))?.[1] ?? 'unknown';

const notes = (
  name,
  version,
  busybox,
) => `The small Linux beside the lab: unmodified programs of Debian, put together by scripts/debian-guest.sh.

linux-kernel   the kernel of the package ${name}, version ${version}, i386. GPL-2.0 only, with the kernel's exceptions.
linux-initrd   an archive (cpio) of: busybox of the package busybox-static, version ${busybox}, GPL-2.0; the modules cpuid
               and msr of the same kernel; and the script init, which stands in scripts/debian-guest.sh, MIT.

Sources: on a Debian system with source entries in its apt configuration,

    apt-get source linux=${version} busybox=${busybox.replace(/\+b\d+$/, '')}

Debian keeps every version that it has published in its snapshot archive. Whoever passes these files on owes their
recipients the same sources: keep this text beside the files, and a copy of the sources for as long as you offer them.
`;

const work = mkdtempSync(join(tmpdir(), 'commonhv-lab-'));
try {
  const folder = args.includes('--linux') ? linux(work) : undefined;
  if (folder !== undefined) process.env.COMMONHV_LAB_LINUX = folder;
  else delete process.env.COMMONHV_LAB_LINUX;
  await build({ root: 'lab', logLevel: 'warn' });
} finally {
  rmSync(work, { recursive: true, force: true });
}
