#!/bin/sh
# Makes initial RAM disks as a Debian 12 system for i386 makes them, by its own initramfs-tools and dracut, with the agent
# installed into it by `make install`.
# Usage: scripts/debian-initrds.sh [--output FOLDER]
#   --output FOLDER    where vmlinuz, initramfs-tools.img and dracut.img go; default .cache/debian-initrds of this checkout
# Needs root, mmdebstrap, a processor and kernel that run i386 programs, what scripts/debian-guest.sh needs, make, and a C
# compiler that knows -m32. The system (100 MB to download) is made once, in .cache/debian-system.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
output=$here/.cache/debian-initrds
system=$here/.cache/debian-system
die() { echo "debian-initrds: $1" >&2; exit "${2:-2}"; }
. "$here/scripts/private-apt.sh"
if [ $# -gt 0 ]; then
  [ "$1" = --output ] && [ $# -eq 2 ] || die "expected --output FOLDER or nothing"
  output=$2
fi
# Exit status 3: what is missing is not here to be had; tests skip on it.
[ "$(id -u)" = 0 ] || die "only root can make a system" 3
need apt-get mmdebstrap make

guest=$("$here/scripts/debian-guest.sh")
version=${guest%%:*}
version=${version#linux-image-}
work=$(mktemp -d "${TMPDIR:-/tmp}/debian-initrds.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

if [ ! -d "$system" ]; then
  # Debian 12's own archive among the system's sources; the archives of updates are left out, as they may be out of step.
  site=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' |
    sed -n 's/ bookworm$//p' | head -n 1)
  [ -n "$site" ] || die "apt has no Debian 12 among its sources" 3
  mmdebstrap --quiet --architectures=i386 --variant=minbase --include=initramfs-tools,dracut-core,kmod,udev,busybox \
    --aptopt='APT::Install-Recommends "false"' bookworm "$work/system" "deb $site bookworm main" >"$work/log" 2>&1 ||
    die "mmdebstrap failed: $(grep -v '^$' "$work/log" | tail -n 1)" 3
  mv "$work/system" "$system" # last: what is there is whole
fi

modules=$system/lib/modules/$version/kernel/arch/x86/kernel
mkdir -p "$modules" "$output"
cp "$here/.cache/debian/base/lib/modules/msr.ko" "$modules/"
make -s -C "$here/c/agent" CC="${CC:-cc} -m32" OUT="$work" DESTDIR="$system" install
echo CONFIG_RD_GZIP=y >"$system/boot/config-$version" # what mkinitramfs asks of a kernel's configuration
echo MODULES=list >"$system/etc/initramfs-tools/conf.d/commonhv" # the agent is what it is about, not the disks
chroot "$system" sh -eu -c "
  depmod $version
  mkinitramfs -o /boot/initramfs-tools.img $version
  dracut --force --quiet --no-hostonly --no-hostonly-cmdline -m 'base rootfs-block commonhv' /boot/dracut.img $version
" >"$work/log" 2>&1 || die "$(tail -n 1 "$work/log")"
mv "$system/boot/initramfs-tools.img" "$system/boot/dracut.img" "$output/"
cp "$here/.cache/debian/vmlinuz" "$output/vmlinuz"
echo "$version: $output"
