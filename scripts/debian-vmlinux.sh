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
. "$here/scripts/private-apt.sh"
if [ $# -gt 0 ]; then
  [ "$1" = --output ] && [ $# -eq 2 ] || die "expected --output FOLDER or nothing"
  output=$2
fi
if [ -f "$output/vmlinux" ]; then
  echo "$(cat "$output/name"): $output/vmlinux"
  exit 0
fi
need apt-get dpkg-deb node xz

work=$(mktemp -d "${TMPDIR:-/tmp}/debian-vmlinux.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$output"
private_apt amd64 "$work/apt"
kernel=$(kernel_of linux-image-amd64)
download "$work" "$kernel"
# Its kernel is all that is needed of the package.
dpkg-deb --fsys-tarfile "$work"/*.deb | tar -x -C "$work" --wildcards './boot/vmlinuz-*'
node "$here/scripts/unpack-kernel.js" "$work"/boot/vmlinuz-* >"$work/vmlinux"
echo "$kernel" >"$output/name"
mv "$work/vmlinux" "$output/vmlinux.new"
mv "$output/vmlinux.new" "$output/vmlinux" # last: what is there is whole
echo "$kernel: $output/vmlinux"
