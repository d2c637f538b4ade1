#!/bin/sh
# Unpacks packages of Debian's archive into a folder, without installing them: programs and libraries for test guests.
# Usage: scripts/debian-programs.sh ARCHITECTURE FOLDER PACKAGE...     FOLDER/.packages is written last: the packages' versions
# Needs apt-get with Debian's sources and dpkg-deb, not root. Downloads once, into a private apt state. Dependencies are not followed.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
die() { echo "debian-programs: $1" >&2; exit "${2:-2}"; }
. "$here/scripts/private-apt.sh"
[ $# -ge 3 ] || die "expected ARCHITECTURE FOLDER PACKAGE..."
architecture=$1 folder=$2
shift 2
need apt-get dpkg-deb
mkdir -p "$folder"
one_at_a_time "$folder.lock"
if [ "$(head -n 1 "$folder/.packages" 2>/dev/null)" = "$*" ]; then exit 0; fi
work=$(mktemp -d "${TMPDIR:-/tmp}/debian-programs.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
private_apt "$architecture" "$work/apt"
mkdir "$work/packages"
download "$work/packages" "$@"
rm -rf "$folder"
for package in "$work"/packages/*.deb; do dpkg-deb -x "$package" "$folder"; done
{ echo "$*"; ls "$work/packages"; } >"$folder/.packages"
