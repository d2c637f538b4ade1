#!/bin/sh
# Makes a small Linux guest of stock Debian 12 parts for i386: the kernel as it is, its cpuid and msr modules, busybox.
# Usage: scripts/debian-guest.sh [--output FOLDER] [--overlay FOLDER]... [--add FILE=PATH]...
#   --output FOLDER    where vmlinuz and initrd go; default .cache/debian of this checkout
#   --overlay FOLDER   files that are laid over the guest's root; may be given again
#   --add FILE=PATH    one file, and where it goes in the guest; may be given again
# Needs apt-get with Debian 12's sources, dpkg-deb and node. Downloads once (65 MB), into a private apt state: the system's
# apt knows nothing of it. The guest's /init starts /etc/rc when an overlay brings one, then a shell on the serial line.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
cache=$here/.cache/debian
output=$cache
layers=
die() { echo "debian-guest: $1" >&2; exit "${2:-2}"; }

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

# Exit status 3: what is missing is not here to be had; tests skip on it.
for tool in apt-get dpkg-deb node; do
  command -v $tool >/dev/null || die "$tool is not installed" 3
done

fetch() {
  apt=$cache/apt
  mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$cache/packages"
  : >"$apt/status"
  cat >"$apt/apt.conf" <<CONF
APT::Architecture "i386";
APT::Architectures "i386";
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::State::lists "$apt/lists";
Dir::Cache "$apt";
Dir::Cache::archives "$apt/archives";
Dir::Log "$apt";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "";
CONF
  export APT_CONFIG="$apt/apt.conf"
  # One of several sources may be out of step for a while: what the others have is enough.
  apt-get -q update >"$apt/log" 2>&1 || echo "debian-guest: apt-get update: $(tail -n 1 "$apt/log")" >&2
  kernel=$(apt-cache depends --no-recommends --no-suggests linux-image-686 2>/dev/null |
    sed -n 's/^ *Depends: \(linux-image-[0-9].*-686\).*/\1/p' | head -n 1)
  [ -n "$kernel" ] || die "apt knows no linux-image-686 for i386: Debian 12's sources are needed" 3
  (cd "$cache/packages" && rm -f ./*.deb &&
    apt-get -q download "$kernel" busybox-static >>"$apt/log" 2>&1) ||
    die "apt-get download failed: $(tail -n 1 "$apt/log")" 3
  for package in "$cache"/packages/*.deb; do dpkg-deb -x "$package" "$work/system"; done
  rm -rf "$apt/lists" "$cache/packages"

  base=$work/base
  modules=$base/lib/modules
  mkdir -p "$base/bin" "$modules"
  cp "$work/system/bin/busybox" "$base/bin/busybox"
  for module in cpuid msr; do
    cp "$work"/system/lib/modules/*/kernel/arch/x86/kernel/$module.ko "$modules/"
  done
  rm -rf "$cache/base"
  mv "$base" "$cache/base"
  cp "$work"/system/boot/vmlinuz-* "$cache/vmlinuz.new"
  echo "$kernel" >"$cache/name"
  mv "$cache/vmlinuz.new" "$cache/vmlinuz" # last: what is there is whole
}

mkdir -p "$cache" "$output"
# Several tests may want a guest at once: the first fetches, the others wait.
if command -v flock >/dev/null; then
  exec 9>"$cache/lock"
  flock 9
fi
[ -f "$cache/vmlinuz" ] || fetch

mkdir "$work/root"
cat >"$work/root/init" <<'INIT'
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
chmod 755 "$work/root/init"

set -- "$cache/base" "$work/root"
IFS='
'
for layer in $layers; do set -- "$@" "$layer"; done
node "$here/scripts/initramfs.js" "$@" "$work/added" >"$work/initrd"
mv "$work/initrd" "$output/initrd"
[ "$output" = "$cache" ] || cp "$cache/vmlinuz" "$output/vmlinuz"
echo "$(cat "$cache/name"): $output/vmlinuz $output/initrd"
