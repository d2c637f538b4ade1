/**
 * commonhv.ko on other systems, 64-bit Debian under QEMU's TCG: two processors, WireGuard, a VM generation device, lockdown,
 * Secure Boot, a complete hibernation. COMMONHV_SYSTEMS names them, by commas: each is a boot or more, so cells of the matrix run them.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { driverGuest, driverModule } from './support/driver.ts';
import { COMMAND_LINE, type QemuGuest, skip as skipQemu, startDebian } from './support/qemu-debian.ts';
import { skipUnless } from './support/require.ts';
import { scaled } from './support/time.ts';

const SYSTEMS = ['smp', 'wireguard', 'vmgenid', 'lockdown', 'secureboot', 'hibernation'];
const wanted = (process.env.COMMONHV_SYSTEMS ?? '').split(',').filter((name) => name !== '');
for (const name of wanted) assert.ok(SYSTEMS.includes(name), `${name}: expected ${SYSTEMS.join(', ')}`);
const KERNEL = '.cache/programs/driver-systems';
const INSMOD = 'insmod /lib/modules/commonhv.ko';
/** Modules of Debian's kernel that a system needs, in the order of their dependencies. */
const WIREGUARD = [
  ...['net/ipv4/udp_tunnel', 'net/ipv6/ip6_udp_tunnel', 'lib/crypto/libchacha', 'lib/crypto/libpoly1305'],
  ...['arch/x86/crypto/chacha-x86_64', 'arch/x86/crypto/poly1305-x86_64', 'lib/crypto/libchacha20poly1305'],
  ...['lib/crypto/libcurve25519-generic', 'arch/x86/crypto/curve25519-x86_64', 'lib/crypto/libcurve25519'],
  'drivers/net/wireguard/wireguard',
];
const DISK = [
  'virtio/virtio_ring',
  'virtio/virtio',
  'virtio/virtio_pci_legacy_dev',
  'virtio/virtio_pci_modern_dev',
]
  .concat(['virtio/virtio_pci', 'block/virtio_blk'])
  .map((name) => `drivers/${name}`);
const load = (modules: readonly string[]) =>
  modules.map((name) => `insmod /lib/modules/${basename(name)}.ko`).join('; ');

/** Debian's kernel package unpacked, with the program wg; why there is none. */
function unpacked(): string | false {
  const name = readFileSync('.cache/debian-amd64/name', 'utf8').trim();
  const packages = [name, 'wireguard-tools', 'libc6'];
  const made = spawnSync('scripts/debian-programs.sh', ['amd64', KERNEL, ...packages], { encoding: 'utf8' });
  if (made.status === 3) return skipUnless('driver', false, made.stderr.trim());
  assert.equal(made.status, 0, made.stderr);
  return false;
}
const release = () => readFileSync('.cache/debian-amd64/name', 'utf8').trim().replace('linux-image-', '');
const files = (modules: readonly string[]) =>
  Object.fromEntries(
    modules.map((name) => [
      `${KERNEL}/lib/modules/${release()}/kernel/${name}.ko`,
      `/lib/modules/${basename(name)}.ko`,
    ]),
  );

/** A guest of this name with `more` files, or why there is none. */
function guestOf(
  name: string,
  modules: readonly string[] = [],
  more: () => Record<string, string> = () => ({}),
) {
  if (!wanted.includes(name))
    return { skip: 'a boot or more; a cell of the matrix runs it (COMMONHV_SYSTEMS)' };
  if (skipQemu !== false) return { skip: skipQemu };
  const built = driverModule('amd64');
  if (built.skip !== false) return built;
  const missing = modules.length > 0 && unpacked();
  if (missing !== false) return { skip: missing };
  return driverGuest(`system-${name}`, 'amd64', () => ({ ...files(modules), ...more() }));
}

/** Runs `body` in a guest of the folder, which ends with it. */
async function inside(
  folder: string,
  machine: Parameters<typeof startDebian>[1],
  body: (guest: QemuGuest) => Promise<void>,
): Promise<void> {
  const guest = await startDebian(folder, machine);
  try {
    await guest.shell.run('echo 1 >/proc/sys/kernel/printk; cd /sys/devices/platform');
    await body(guest);
  } finally {
    await guest.close();
  }
}
const limit = (skip: string | false) => ({ skip, timeout: scaled(500_000) });
const CLEAN = 'dmesg | grep -E "BUG|WARNING|Oops|soft lockup|stall|leak|ACPI Error"';

const smp = guestOf('smp');
test(
  'two processors: 20 loads under load, copies that draw on both, the agent without processor 0',
  limit(smp.skip),
  async () => {
    if (smp.skip !== false) return;
    const machine = {
      options: ['-smp', '2', '-cpu', 'qemu64,vendor=GenuineIntel'],
      commandLine: `${COMMAND_LINE} cpu0_hotplug`,
    };
    await inside(smp.folder, machine, async ({ shell, qemu }) => {
      assert.equal(await shell.run('nproc'), '2');
      // Readers on both processors all the time: their reads fail between two loads.
      const reader =
        'while [ ! -e /tmp/stop ]; do driver read >/dev/null 2>&1; driver page >/dev/null 2>&1; done';
      await shell.run(`for cpu in 1 2; do taskset $cpu sh -c '${reader}' & done`);
      const unload =
        'for j in $(seq 200); do rmmod commonhv 2>/dev/null && break; done; [ ! -e /sys/module/commonhv ]';
      assert.equal(
        await shell.run(`for i in $(seq 20); do ${INSMOD} && { ${unload}; } || echo failed $i; done`),
        '',
      );
      await shell.run('touch /tmp/stop; sleep 1');
      assert.equal(await shell.run(CLEAN), '');
      await shell.run(INSMOD);
      await shell.run(
        `for cpu in 1 2; do taskset $cpu sh -c 'driver draw >/tmp/drawn$cpu' & done; sleep 1`.replaceAll(
          'drawn$cpu',
          "drawn'$cpu'",
        ),
      );
      await qemu.monitor('savevm a');
      const drawn = new Set<string>();
      for (let copy = 0; copy < 5; copy++) {
        await qemu.monitor('loadvm a');
        await shell.run(
          'for i in $(seq 100); do grep -q drew /tmp/drawn1 && grep -q drew /tmp/drawn2 && break; sleep 0.1; done',
        );
        const lines = (await shell.run('grep -h drew /tmp/drawn1 /tmp/drawn2'))
          .split('\n')
          .map((line) => line.split(' '));
        assert.equal(lines.length, 2);
        assert.equal(lines[0]![1], lines[1]![1], 'both processors saw the same generation');
        for (const [, , bytes] of lines) drawn.add(bytes!);
      }
      assert.equal(drawn.size, 10);
      // The agent goes to the other processor when its own goes offline. Linux 6.1 lets processor 0 of Intel's go.
      await shell.run('killall driver; sleep 1; rmmod commonhv; commonhv-agent --watch 2>/tmp/log & sleep 1');
      assert.equal(
        await shell.run(
          'echo 0 >/sys/devices/system/cpu/cpu0/online; cat /sys/devices/system/cpu/online; ls /dev/cpu/0/msr 2>&1',
        ),
        '1\nls: /dev/cpu/0/msr: No such file or directory',
      );
      await qemu.monitor('savevm b');
      await qemu.monitor('loadvm b');
      await shell.run(
        'for i in $(seq 100); do grep -q resumed /tmp/log && break; sleep 0.1; done; sleep 0.5',
      );
      assert.match(await shell.run('cat /tmp/log'), /was resumed from a saved state\n.*; reseeded$/);
      assert.match(await shell.run('commonhv-agent 2>&1'), /; reseeded$/);
      assert.equal(await shell.run(CLEAN), '');
    });
  },
);

const wireguard = guestOf('wireguard', WIREGUARD, () => ({
  [`${KERNEL}/usr/bin/wg`]: '/bin/wg',
  [`${KERNEL}/lib/x86_64-linux-gnu/libc.so.6`]: '/lib/x86_64-linux-gnu/libc.so.6',
  [`${KERNEL}/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2`]: '/lib64/ld-linux-x86-64.so.2',
}));
/** Two interfaces over loopback, each the other's peer: wg0 keeps the session alive, and so renews it where it has expired. */
const PEER = 'peer $(cat /tmp/public$((1 - i))) endpoint 127.0.0.1:5182$((1 - i)) allowed-ips 10.0.$i.0/24';
const TUNNEL = [
  'umask 077; ip link set lo up',
  'for i in 0 1; do wg genkey >/tmp/key$i; wg pubkey </tmp/key$i >/tmp/public$i; ip link add wg$i type wireguard; done',
  `for i in 0 1; do wg set wg$i listen-port 5182$i private-key /tmp/key$i ${PEER}; ip link set wg$i up; done`,
  'wg set wg0 peer $(cat /tmp/public1) persistent-keepalive 1',
];
test(
  'vmgenid=1: WireGuard renews its session at each restore, and without it goes on with the copied one',
  limit(wireguard.skip),
  async () => {
    if (wireguard.skip !== false) return;
    for (const parameter of ['vmgenid=1', '']) {
      await inside(wireguard.folder, {}, async ({ shell, qemu }) => {
        await shell.run(`${load(WIREGUARD)}; ${INSMOD} ${parameter}`);
        for (const line of TUNNEL) assert.equal(await shell.run(line), '');
        const handshake = async () =>
          Number((await shell.run('wg show wg0 latest-handshakes')).split(/\s+/)[1]);
        await shell.run(
          'for i in $(seq 100); do wg show wg0 latest-handshakes | grep -q "[1-9][0-9]*$" && break; sleep 0.1; done',
        );
        const first = await handshake();
        assert.ok(first > 0, 'a session');
        await shell.run('sleep 7'); // a handshake follows another after 5 s at the earliest (REKEY_TIMEOUT)
        assert.equal(await handshake(), first);
        await qemu.monitor('savevm a');
        for (let copy = 0; copy < 2; copy++) {
          await qemu.monitor('loadvm a');
          await shell.run('driver read; sleep 4');
          const renewed = (await handshake()) > first;
          assert.equal(renewed, parameter !== '', `${parameter}, copy ${copy}`);
        }
        assert.equal(await shell.run(CLEAN), '');
      });
    }
  },
);

const vmgenid = guestOf('vmgenid');
test(
  'vmgenid=1 where the machine has a VM generation device: none is added, and the module can be unloaded',
  limit(vmgenid.skip),
  async () => {
    if (vmgenid.skip !== false) return;
    await inside(vmgenid.folder, { options: ['-device', 'vmgenid,guid=auto'] }, async ({ shell }) => {
      assert.equal(
        await shell.run(
          'ls -d /sys/bus/acpi/drivers/vmgenid/QEMU* /sys/bus/acpi/devices/CHVG* 2>/dev/null | wc -l',
        ),
        '1',
      );
      assert.match(
        await shell.run(`${INSMOD} vmgenid=1; dmesg | tail -n 3`),
        /the machine has a VM generation device: not added/,
      );
      assert.match(await shell.run('driver read; rmmod commonhv; echo $?'), /^[0-9a-f]{16}\n0$/);
    });
  },
);

const lockdown = guestOf('lockdown');
test(
  'lockdown and enforced signatures refuse the unsigned module; one that is loaded works on',
  limit(lockdown.skip),
  async () => {
    if (lockdown.skip !== false) return;
    const tainted = 'cat /proc/sys/kernel/tainted';
    await inside(lockdown.folder, {}, async ({ shell, qemu }) => {
      assert.equal(await shell.run(tainted), '0');
      assert.equal(await shell.run(`${INSMOD}; ${tainted}`), String(4096 + 8192)); // O: out of tree, E: not signed
      await shell.run(
        'mount -t securityfs s /sys/kernel/security; echo confidentiality >/sys/kernel/security/lockdown',
      );
      const before = await shell.run('driver read');
      await qemu.monitor('savevm a');
      await qemu.monitor('loadvm a');
      assert.notEqual(await shell.run('driver read'), before);
      assert.match(await shell.run('driver page'), /^(\w{16}) \1 2$/);
      assert.match(await shell.run(`rmmod commonhv; ${INSMOD} 2>&1`), /Operation not permitted/);
      assert.match(
        await shell.run('dmesg | tail -n 2'),
        /Lockdown: insmod: unsigned module loading is restricted/,
      );
    });
    await inside(
      lockdown.folder,
      { commandLine: `${COMMAND_LINE} module.sig_enforce=1` },
      async ({ shell }) => {
        assert.match(
          await shell.run(`${INSMOD} 2>&1`),
          /insmod: .*(Key was rejected|Required key not available)/,
        );
      },
    );
  },
);

const SECURE = '.cache/programs/secure-boot';
/** OVMF with Secure Boot on and Debian's snake oil key in PK, KEK and db; kernel and module signed by that key. */
function signed(folder: string): { skip: string } | { skip: false; options: readonly string[] } {
  const missing = unpacked();
  if (missing !== false) return { skip: missing };
  const made = spawnSync('scripts/debian-programs.sh', ['amd64', SECURE, 'ovmf', 'sbsigntool'], {
    encoding: 'utf8',
  });
  if (made.status === 3) return { skip: skipUnless('driver', false, made.stderr.trim()) as string };
  const [cert, key] = [`${SECURE}/usr/share/ovmf/PkKek-1-snakeoil.pem`, `${folder}/key.pem`];
  const run = (program: string, ...args: string[]) => {
    const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
    assert.equal(status, 0, `${program}: ${stderr}`);
  };
  run('openssl', 'rsa', '-in', cert.replace('.pem', '.key'), '-passin', 'pass:snakeoil', '-out', key);
  copyFileSync(`${KERNEL}/boot/vmlinuz-${release()}`, `${folder}/unsigned`);
  spawnSync(`${SECURE}/usr/bin/sbattach`, ['--remove', `${folder}/unsigned`]); // Debian's signature
  run(
    `${SECURE}/usr/bin/sbsign`,
    '--key',
    key,
    '--cert',
    cert,
    '--output',
    `${folder}/vmlinuz`,
    `${folder}/unsigned`,
  );
  const headers = spawnSync('scripts/debian-headers.sh', ['amd64'], { encoding: 'utf8' })
    .stdout.trim()
    .split(': ')[1]!;
  const signFile = `${headers}/../../lib/linux-kbuild-6.1/scripts/sign-file`;
  const built = driverModule('amd64');
  assert.ok(built.skip === false);
  copyFileSync(built.module, `${folder}/signed.ko`);
  run(signFile, 'sha256', key, cert, `${folder}/signed.ko`);
  copyFileSync(`${SECURE}/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd`, `${folder}/vars.fd`);
  const flash = (unit: number, file: string) => ['-drive', `if=pflash,format=raw,unit=${unit},file=${file}`];
  return {
    skip: false,
    options: [
      ...['-machine', 'q35,smm=on', '-global', 'driver=cfi.pflash01,property=secure,value=on'],
      ...flash(0, `${SECURE}/usr/share/OVMF/OVMF_CODE_4M.secboot.fd,readonly=on`),
      ...[...flash(1, `${folder}/vars.fd`), '-kernel', `${folder}/vmlinuz`],
    ],
  };
}
const SIGNED = '.cache/driver/system-secureboot-signed';
let options: readonly string[] = [];
let missing: string | false = false;
const secureboot = guestOf('secureboot', [], () => {
  mkdirSync(SIGNED, { recursive: true });
  const made = signed(SIGNED);
  missing = made.skip;
  if (made.skip !== false) return {};
  options = made.options;
  return { [`${SIGNED}/signed.ko`]: '/lib/modules/signed.ko' };
});
test(
  'Secure Boot: the kernel is locked down and refuses the unsigned module; one signed by a key of the firmware works',
  limit(secureboot.skip || missing),
  async () => {
    if (secureboot.skip !== false) return;
    await inside(secureboot.folder, { memory: 512, options }, async ({ shell }) => {
      assert.match(await shell.run('dmesg | grep -i "secure boot"'), /Secure boot enabled/);
      assert.match(await shell.run(`${INSMOD} 2>&1`), /Key was rejected by service/);
      assert.equal(await shell.run('insmod /lib/modules/signed.ko; cat /proc/sys/kernel/tainted'), '4096'); // O alone
      assert.match(await shell.run('driver read; driver page'), /^(\w{16})\n\1 \1 1$/);
      const agent = await shell.run('rmmod commonhv; commonhv-agent 2>&1');
      assert.match(agent, /; reseeded$/);
    });
  },
);

const hibernation = guestOf('hibernation', DISK);
test(
  'a guest that is resumed twice from one complete hibernation: a restore each time, and different bytes',
  limit(hibernation.skip),
  async () => {
    if (hibernation.skip !== false) return;
    const work = mkdtempSync(join(tmpdir(), 'commonhv-hibernation-'));
    const disk = join(work, 'swap');
    const machine = (file: string) => ({
      options: ['-drive', `if=none,id=s,file=${file},format=raw`, '-device', 'virtio-blk-pci,drive=s'],
    });
    try {
      writeFileSync(disk, '');
      truncateSync(disk, 512 * 2 ** 20);
      let before = '';
      await inside(hibernation.folder, machine(disk), async ({ shell, qemu }) => {
        await shell.run(
          `${load(DISK)}; ${INSMOD}; mkswap /dev/vdb; swapon /dev/vdb; echo shutdown >/sys/power/disk`,
        );
        before = await shell.run('driver read');
        await shell.type(
          'echo disk >/sys/power/state; echo woken; head -c 16 /dev/urandom | md5sum; echo drawn\n',
        );
        await qemu.until(() => qemu.child.exitCode !== null, 'the end').catch(() => {});
        assert.equal(qemu.child.exitCode, 0);
      });
      const seen = new Set([before]);
      for (const copy of ['first', 'second']) {
        copyFileSync(disk, join(work, copy));
        await inside(hibernation.folder, machine(join(work, copy)), async ({ shell }) => {
          await shell.type(`${load(DISK)}; cat /sys/block/vdb/dev >/sys/power/resume\n`);
          await shell.until('woken');
          seen.add((await shell.until('drawn')).trim());
          const [generation, page] = [await shell.run('driver read'), await shell.run('driver page')];
          assert.equal(page, `${generation} ${generation} 2`);
          seen.add(generation);
          assert.match(
            await shell.run('dmesg | tail -n 20'),
            /was restored from a saved state: random number generator reseeded/,
          );
          assert.equal(await shell.run(CLEAN), '');
        });
      }
      assert.equal(seen.size, 5);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  },
);
