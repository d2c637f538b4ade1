// node scripts/initramfs.js FOLDER... > initrd: folders laid over one another as an initramfs, in the cpio format "newc"
// (Documentation/driver-api/early-userspace/buffer-format.rst). Owned by root, no times: the same files give the same bytes.
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

const DIRECTORY = 0o040000;
const FILE = 0o100000;
const LINK = 0o120000;
const CHARACTER_DEVICE = 0o020000;

/** Path in the guest to { mode, data, device }. */
const entries = new Map();
// Before anything is mounted the kernel gives init this console.
entries.set('dev', { mode: DIRECTORY | 0o755 });
entries.set('dev/console', { mode: CHARACTER_DEVICE | 0o600, device: [5, 1] });

function add(folder, path) {
  for (const name of readdirSync(join(folder, path)).sort()) {
    const inside = join(path, name);
    const from = join(folder, inside);
    const { mode } = lstatSync(from);
    const type = mode & 0o170000;
    if (type === DIRECTORY) {
      if (!entries.has(inside)) entries.set(inside, { mode: DIRECTORY | 0o755 });
      add(folder, inside);
    } else if (type === FILE) {
      entries.set(inside, { mode: FILE | ((mode & 0o111) === 0 ? 0o644 : 0o755), data: readFileSync(from) });
    } else if (type === LINK) {
      entries.set(inside, { mode: LINK | 0o777, data: Buffer.from(readlinkSync(from)) });
    } else {
      console.error(`initramfs: ${from} is neither file, folder nor link`);
      process.exit(2);
    }
  }
}
for (const folder of process.argv.slice(2)) add(folder, '');

let inode = 0;
function record(path, { mode, data = Buffer.alloc(0), device = [0, 0] }) {
  const links = (mode & 0o170000) === DIRECTORY ? 2 : 1;
  const name = Buffer.from(`${path}\0`);
  const numbers = [++inode, mode, 0, 0, links, 0, data.length, 0, 0, ...device, name.length, 0];
  const header = `070701${numbers.map((number) => number.toString(16).padStart(8, '0')).join('')}`;
  return [padded(Buffer.concat([Buffer.from(header), name])), padded(data)];
}
const padded = (bytes) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);

// A folder comes before what is in it.
const sorted = [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
process.stdout.write(
  Buffer.concat([
    ...sorted.flatMap(([path, entry]) => record(path, entry)),
    ...record('TRAILER!!!', { mode: 0 }),
  ]),
);
