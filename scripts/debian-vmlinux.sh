#!/bin/sh
# Takes the kernel of stock Debian 12 for amd64, and unpacks it: an ELF vmlinux, which has a PVH entry.
# Usage: scripts/debian-vmlinux.sh [--output FOLDER]
#   --output FOLDER    where vmlinux goes; default .cache/debian-amd64 of this checkout
# Needs apt-get with Debian 12's sources, dpkg-deb, node, and the tool for the kernel's compression (xz). Downloads once
# (70 MB), into a private apt state: the system's apt knows nothing of it.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
output=$here/.cache/debian-amd64
die() { echo "debian-vmlinux: $1" >&2; exit "${2:-2}"; }
if [ $# -gt 0 ]; then
  [ "$1" = --output ] && [ $# -eq 2 ] || die "expected --output FOLDER or nothing"
  output=$2
fi
if [ -f "$output/vmlinux" ]; then
  echo "$(cat "$output/name"): $output/vmlinux"
  exit 0
fi
# Exit status 3: what is missing is not here to be had; tests skip on it.
for tool in apt-get dpkg-deb node xz; do
  command -v $tool >/dev/null || die "$tool is not installed" 3
done

work=$(mktemp -d "${TMPDIR:-/tmp}/debian-vmlinux.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
apt=$work/apt
mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$output"
: >"$apt/status"
cat >"$apt/apt.conf" <<CONF
APT::Architecture "amd64";
APT::Architectures "amd64";
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
apt-get -q update >"$apt/log" 2>&1 || echo "debian-vmlinux: apt-get update: $(tail -n 1 "$apt/log")" >&2
kernel=$(apt-cache depends --no-recommends --no-suggests linux-image-amd64 2>/dev/null |
  sed -n 's/^ *Depends: \(linux-image-[0-9].*-amd64\).*/\1/p' | head -n 1)
[ -n "$kernel" ] || die "apt knows no linux-image-amd64: Debian 12's sources are needed" 3
(cd "$work" && apt-get -q download "$kernel" >>"$apt/log" 2>&1) ||
  die "apt-get download failed: $(tail -n 1 "$apt/log")" 3
# Its kernel is all that is needed of the package.
dpkg-deb --fsys-tarfile "$work"/*.deb | tar -x -C "$work" --wildcards './boot/vmlinuz-*'
node "$here/scripts/unpack-kernel.js" "$work"/boot/vmlinuz-* >"$work/vmlinux"
echo "$kernel" >"$output/name"
mv "$work/vmlinux" "$output/vmlinux.new"
mv "$output/vmlinux.new" "$output/vmlinux" # last: what is there is whole
echo "$kernel: $output/vmlinux"
