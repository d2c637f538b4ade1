#!/bin/sh
# Unpacks a stock Debian kernel and busybox for the KVM bed.
# Usage: scripts/bed/packages.sh METAPACKAGE FOLDER     FOLDER/name is written last and holds the kernel package's name
# Needs apt-get with Debian's sources and dpkg-deb, not root. Downloads once (27 or 71 MB), into a private apt state.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
die() { echo "bed: $1" >&2; exit "${2:-2}"; }
. "$here/scripts/private-apt.sh"

need apt-get dpkg-deb
mkdir -p "$2"
one_at_a_time "$2.lock"
[ ! -f "$2/name" ] || exit 0

work=$(mktemp -d "$2.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
private_apt amd64 "$work/apt"
kernel=$(kernel_of "$1")
mkdir "$work/packages"
download "$work/packages" "$kernel" busybox-static
for package in "$work"/packages/*.deb; do
  # A full disk is a complaint for each file: the first is enough.
  complaints=$(dpkg-deb -x "$package" "$2" 2>&1) || die "unpacking: $(echo "$complaints" | grep -m 1 Cannot || echo "$complaints" | tail -n 1)"
done
echo "$kernel" >"$2/name"
