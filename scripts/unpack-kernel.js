// node scripts/unpack-kernel.js VMLINUZ > vmlinux: what a bzImage decompresses itself to, without running it. The setup header
// says where the payload lies (Documentation/arch/x86/boot.rst: payload_offset, payload_length, since protocol 2.08).
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

const MOST = 2 ** 28;
const fail = (text) => {
  console.error(`unpack-kernel: ${text}`);
  process.exit(2);
};
const [path] = process.argv.slice(2);
if (path === undefined) fail('expected the path of a bzImage');
const image = readFileSync(path);
if (image.length < 0x260 || image.readUInt32LE(0x202) !== 0x53726448) fail(`${path} is not a bzImage`);
if (image.readUInt16LE(0x206) < 0x0208)
  fail(`${path} has a boot protocol older than 2.8, which names no payload`);
const body = ((image[0x1f1] || 4) + 1) * 512;
const from = body + image.readUInt32LE(0x248);
const length = image.readUInt32LE(0x24c);
if (from + length > image.length) fail(`${path} is truncated`);
const payload = image.subarray(from, from + length);

// The kernel's build appends four bytes to the stream, the size of what it holds; the tools stop before them and complain.
const size = payload.readUInt32LE(length - 4);
const stream = payload.subarray(0, length - 4);
const starts = (...bytes) => bytes.every((byte, i) => payload[i] === byte);
const tool = (name, ...args) => {
  const { stdout, stderr, error } = spawnSync(name, args, { input: stream, maxBuffer: MOST });
  if (error?.code === 'ENOENT') fail(`${name} is not installed`);
  if (stdout === null || stdout.length === 0) fail(`${name}: ${String(stderr ?? error).trim()}`);
  return stdout;
};
const unpack = () => {
  if (starts(0xfd, 0x37, 0x7a, 0x58)) return tool('xz', '-dc');
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) return tool('zstd', '-dc');
  if (starts(0x02, 0x21, 0x4c, 0x18)) return tool('lz4', '-dc');
  // gzip ends with the size itself: nothing is appended.
  if (starts(0x1f, 0x8b)) return gunzipSync(payload, { maxOutputLength: MOST });
  return fail(`the payload of ${path} is compressed in a way that is not known here`);
};
const kernel = unpack();
if (kernel.length !== size) fail(`expected ${size} bytes, got ${kernel.length}`);
process.stdout.write(kernel);
