#!/bin/sh
# Builds the Debian package commonhv-dkms with dh-dkms in a Debian 12 chroot, installs it there, has DKMS build the module for the
# chroot's kernel headers and initramfs-tools and dracut take it, and purges it. Usage: scripts/driver-package.sh [--output FOLDER]
#   --output FOLDER    where the .deb goes; default .cache/driver
# Needs root, mmdebstrap and Debian's archive (250 MB, once: the chroot is kept as an archive in .cache/driver).
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
output=$here/.cache/driver
die() { echo "driver-package: $1" >&2; exit "${2:-1}"; }
if [ $# -gt 0 ]; then
  [ "$1" = --output ] && [ $# -eq 2 ] || die "expected --output FOLDER or nothing" 2
  output=$2
fi
# Exit status 3: something is missing on this machine.
[ "$(id -u)" = 0 ] || die "root is needed for a chroot" 3
command -v mmdebstrap >/dev/null || die "mmdebstrap is not installed" 3

work=$(mktemp -d "${TMPDIR:-/tmp}/driver-package.XXXXXX")
root=$work/root
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
packages=debhelper,dh-dkms,dkms,linux-headers-amd64,initramfs-tools,dracut-core,busybox-static,cpio,zstd,openssl
chroot=$here/.cache/driver/chroot-dracut.tar
mkdir -p "$here/.cache/driver" "$root" "$output"
# Documents and translations stay out; a mirror may be out of step for a moment.
for try in 1 2 3; do
  [ -f "$chroot" ] && break
  mmdebstrap --quiet --variant=apt --architectures=amd64 --include="$packages" --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$work/chroot.tar" >"$work/log" 2>&1 && mv "$work/chroot.tar" "$chroot" && break
  [ "$try" != 3 ] || die "mmdebstrap failed: $(grep -v '^W:' "$work/log" | tail -n 1)" 3
  sleep 5
done
tar -x -C "$root" -f "$chroot"
ln -sfn /proc/self/fd "$root/dev/fd"
# With /proc, in a mount namespace of its own, so that nothing stays mounted.
inside() {
  unshare --mount sh -c 'root=$1; shift; mount -t proc proc "$root/proc" && exec chroot "$root" "$@"' sh "$root" \
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"
}

mkdir -p "$root/build/commonhv"
cp -R "$here"/c/driver/*.[ch] "$here/c/driver/Kbuild" "$here/c/driver/Makefile" "$here/c/driver/debian" "$here/c/include/commonhv.h" \
  "$root/build/commonhv"
# -d: of build-essential only gcc and make are needed, which dkms brings.
inside sh -c 'cd /build/commonhv && dpkg-buildpackage -us -uc -b -d' >"$work/log" 2>&1 || die "dpkg-buildpackage: $(tail -n 3 "$work/log")"
package=$(cd "$root" && ls build/commonhv-dkms_*_all.deb)
inside dpkg -i "/$package" >"$work/log" 2>&1 || die "installation: $(tail -n 5 "$work/log")"
status=$(inside dkms status commonhv)
case $status in *installed*) ;; *) die "dkms status: ${status:-nothing}; $(tail -n 3 "$work/log")" ;; esac
release=$(cd "$root/lib/modules" && ls | head -n 1)
module=$(inside modinfo -k "$release" -F filename commonhv) || die "modinfo finds no module"
signer=$(inside modinfo -k "$release" -F signer commonhv)
[ -n "$signer" ] || die "DKMS did not sign the module: $(grep -i sign "$work/log" | tail -n 3)"
# No kernel image is installed: mkinitramfs gets its configuration here, and warns of missing drivers.
cp "$root/usr/src/linux-headers-$release/.config" "$root/boot/config-$release"
inside mkinitramfs -o /tmp/initrd "$release" >"$work/log" 2>&1 || die "mkinitramfs: $(tail -n 2 "$work/log")"
inside lsinitramfs /tmp/initrd | grep -q '/commonhv\.ko' || die "the initramfs has no commonhv.ko"
# dracut reads the package's file in dracut.conf.d, and brings the module where modprobe finds it.
inside depmod "$release" >"$work/log" 2>&1 || die "depmod: $(tail -n 2 "$work/log")"
inside dracut --force --no-hostonly --modules base /tmp/dracut.img "$release" >"$work/log" 2>&1 || die "dracut: $(tail -n 2 "$work/log")"
inside lsinitrd /tmp/dracut.img 2>/dev/null | grep -q '/commonhv\.ko' || die "dracut's initramfs has no commonhv.ko"
inside dpkg --purge commonhv-dkms >"$work/log" 2>&1 || die "purge: $(tail -n 3 "$work/log")"
left=$(cd "$root" && find etc lib/modules usr/src usr/share/initramfs-tools usr/lib/dracut usr/lib/udev var/lib/dkms -name '*commonhv*' 2>/dev/null || true)
[ -z "$left" ] || die "left after purge: $left"
cp "$root/$package" "$output/"
echo "$(basename "$package"), $(wc -c <"$root/$package") bytes: built by dh-dkms, installed as $(basename "$module") for $release, signed by $signer, in the initramfs of initramfs-tools and of dracut, purged without a trace"
