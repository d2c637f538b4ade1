#!/bin/sh
# Makes a small Linux guest of stock Debian 12 parts: the kernel as it is, its cpuid and msr modules, busybox.
# Usage: scripts/debian-guest.sh [--amd64 [--kernel SERIES]] [--output FOLDER] [--overlay FOLDER]... [--add FILE=PATH]...
#   --amd64            for 64 bits, with the kernel unpacked to an ELF file, vmlinux; by default for i386, with vmlinuz
#   --kernel SERIES    the newest kernel whose version begins so: 5.10 of Debian 11, 6.12; by default Debian 12's
#   --output FOLDER    where kernel and initrd go; default .cache/debian or .cache/debian-amd64 of this checkout
#   --overlay FOLDER   files that are laid over the guest's root; may be given again
#   --add FILE=PATH    one file, and where it goes in the guest; may be given again
# Needs apt-get with Debian 12's sources, dpkg-deb and node. Downloads once (65 MB), into a private apt state: the system's
# apt knows nothing of it. The guest's /init starts /etc/rc when an overlay brings one, then a shell on the serial line.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
architecture=i386
meta=linux-image-686
image=vmlinuz
series=
if [ "${1:-}" = --amd64 ]; then
  architecture=amd64
  meta=linux-image-amd64
  image=vmlinux
  shift
  if [ "${1:-}" = --kernel ] && [ $# -gt 1 ]; then
    series=$2
    shift 2
  fi
fi
cache=$here/.cache/debian
[ $architecture = i386 ] || cache=$cache-$architecture${series:+-$series}
output=$cache
layers=
die() { echo "debian-guest: $1" >&2; exit "${2:-2}"; }
. "$here/scripts/private-apt.sh"

work=$(mktemp -d "${TMPDIR:-/tmp}/debian-guest.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir "$work/added"

while [ $# -gt 0 ]; do
  [ $# -gt 1 ] || die "$1: a value is missing"
  case $1 in
    --output) output=$2 ;;
    --overlay) [ -d "$2" ] || die "--overlay $2: no such folder"; layers="$layers
$(cd "$2" && pwd)" ;;
    --add)
      from=${2%%=*}; to=${2#*=}
      [ -f "$from" ] && [ "$from" != "$2" ] || die "--add $2: expected FILE=PATH with a file that is there"
      mkdir -p "$work/added/$(dirname "$to")"
      cp "$from" "$work/added/$to" ;;
    *) die "unknown option $1" ;;
  esac
  shift 2
done

fetch() {
  need apt-get dpkg-deb node
  [ $architecture = i386 ] || need xz
  private_apt $architecture "$cache/apt" "$(suite_of "$series")"
  if [ -n "$series" ]; then kernel=$(newest_kernel "$series" amd64); else kernel=$(kernel_of $meta); fi || exit $?
  mkdir -p "$cache/packages"
  rm -f "$cache"/packages/*.deb
  download "$cache/packages" "$kernel" busybox-static
  for package in "$cache"/packages/*.deb; do dpkg-deb -x "$package" "$work/system"; done
  rm -rf "$cache/apt" "$cache/packages"

  base=$work/base
  modules=$base/lib/modules
  mkdir -p "$base/bin" "$modules"
  cp "$work/system/bin/busybox" "$base/bin/busybox"
  for module in cpuid msr; do
    for file in "$work"/system/lib/modules/*/kernel/arch/x86/kernel/$module.ko*; do
      case $file in *.xz) xz -dc "$file" ;; *) cat "$file" ;; esac >"$modules/$module.ko"
    done
  done
  rm -rf "$cache/base"
  mv "$base" "$cache/base"
  if [ $image = vmlinux ]; then
    node "$here/scripts/unpack-kernel.js" "$work"/system/boot/vmlinuz-* >"$cache/$image.new"
  else
    cp "$work"/system/boot/vmlinuz-* "$cache/$image.new"
  fi
  echo "$kernel" >"$cache/name"
  mv "$cache/$image.new" "$cache/$image" # last: what is there is whole
}

mkdir -p "$cache" "$output"
one_at_a_time "$cache/lock"
[ -f "$cache/$image" ] && [ -d "$cache/base" ] || fetch
need node

mkdir "$work/guest"
cat >"$work/guest/init" <<'INIT'
#!/bin/busybox sh
export PATH=/sbin:/bin HOME=/ TERM=vt100
/bin/busybox mkdir -p /dev /proc /sys /sbin /tmp
/bin/busybox --install -s /bin
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
exec </dev/ttyS0 >/dev/ttyS0 2>&1
# The line's other end waits when we are behind: nothing typed or pasted is lost.
stty crtscts -F /dev/ttyS0
for module in cpuid msr; do insmod /lib/modules/$module.ko; done
[ -x /etc/rc ] && /etc/rc
echo "guest ready: Linux $(uname -r)"
setsid cttyhack sh
poweroff -f
INIT
chmod 755 "$work/guest/init"

set -- "$cache/base" "$work/guest"
IFS='
'
for layer in $layers; do set -- "$@" "$layer"; done
node "$here/scripts/initramfs.js" "$@" "$work/added" >"$work/initrd"
mv "$work/initrd" "$output/initrd"
[ "$output" = "$cache" ] || cp "$cache/$image" "$output/$image"
echo "$(cat "$cache/name"): $output/$image $output/initrd"
