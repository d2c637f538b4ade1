#!/bin/sh
# Makes a Debian 12 system with systemd as one initial RAM disk, with the agent installed and enabled, for the stock 64-bit kernel.
# Usage: scripts/debian-systemd.sh FOLDER [OVERLAY]     FOLDER/initrd and FOLDER/vmlinux; OVERLAY is laid over the system
# Needs root, mmdebstrap, depmod (kmod) and Debian's archive (60 MB, once: the system is kept as an archive in .cache/systemd).
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
die() { echo "debian-systemd: $1" >&2; exit "${2:-1}"; }
. "$here/scripts/private-apt.sh"
[ $# -ge 1 ] || die "expected FOLDER [OVERLAY]" 2
# Exit status 3: something is missing on this machine.
[ "$(id -u)" = 0 ] || die "root is needed to make a system" 3
need mmdebstrap depmod make cc
mkdir -p "$1" "$here/.cache/systemd"
system=$here/.cache/systemd/system.tar
work=$(mktemp -d "${TMPDIR:-/tmp}/debian-systemd.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
# Documents and translations stay out; a mirror may be out of step for a moment.
for try in 1 2 3; do
  [ -f "$system" ] && break
  mmdebstrap --quiet --variant=minbase --architectures=amd64 --include=systemd-sysv,kmod,dbus --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$work/system.tar" >"$work/log" 2>&1 && mv "$work/system.tar" "$system" && break
  [ "$try" != 3 ] || die "mmdebstrap failed: $(grep -v '^W:' "$work/log" | tail -n 1)" 3
  sleep 5
done
mkdir "$work/root"
tar -x -C "$work/root" --exclude='./dev/*' -f "$system"
root=$work/root
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/* "$root"/usr/share/man
sh "$here/scripts/debian-guest.sh" --amd64 >/dev/null || die "no kernel" 3
guest=$here/.cache/debian-amd64
release=$(sed 's/^linux-image-//' "$guest/name")
mkdir -p "$root/usr/lib/modules/$release/kernel"
cp "$guest/base/lib/modules/msr.ko" "$guest/base/lib/modules/cpuid.ko" "$root/usr/lib/modules/$release/kernel"
depmod -b "$root" "$release" 2>/dev/null
make -s -C "$here/c/agent" "OUT=$work/agent" "DESTDIR=$root" install
[ $# -lt 2 ] || cp -R --no-dereference "$2/." "$root"
chmod -R go-w "$root/etc/commonhv" 2>/dev/null || :
wants() { # UNIT TARGET
  mkdir -p "$root/etc/systemd/system/$2.wants"
  ln -sf "/lib/systemd/system/$1" "$root/etc/systemd/system/$2.wants/$1"
}
wants commonhv-agent.service sysinit.target
wants commonhv-restored.path multi-user.target
ln -s sbin/init "$root/init"
node "$here/scripts/initramfs.js" "$root" >"$1/initrd"
cp "$guest/vmlinux" "$1/vmlinux"
echo "$release: $1/vmlinux $1/initrd"
