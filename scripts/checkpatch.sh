#!/bin/sh
# Runs the kernel's checkpatch.pl over c/driver: any error, warning or check is a failure. Usage: scripts/checkpatch.sh
# Needs perl, xz, apt-get with Debian 12's sources, dpkg-deb. Downloads linux-source-6.1 once (139 MB) and keeps three files of it in .cache/checkpatch.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
cache=$here/.cache/checkpatch
die() { echo "checkpatch: $1" >&2; exit "${2:-1}"; }
. "$here/scripts/private-apt.sh"
need perl xz apt-get dpkg-deb

if [ ! -f "$cache/checkpatch.pl" ]; then
  work=$(mktemp -d "${TMPDIR:-/tmp}/checkpatch.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM
  private_apt amd64 "$work/apt"
  mkdir -p "$work/packages" "$cache"
  download "$work/packages" linux-source-6.1
  dpkg-deb --fsys-tarfile "$work"/packages/linux-source-6.1_*.deb | tar -xO --wildcards '*/linux-source-6.1.tar.xz' |
    xz -dc | tar -x -C "$work" --strip-components 2 --wildcards '*/scripts/checkpatch.pl' '*/scripts/spelling.txt' '*/scripts/const_structs.checkpatch'
  for file in spelling.txt const_structs.checkpatch checkpatch.pl; do mv "$work/$file" "$cache/$file"; done # checkpatch.pl last: then all are there
fi

# The files stand outside of a kernel's tree.
cd "$here/c/driver"
said=$(perl "$cache/checkpatch.pl" --no-tree --strict --terse --show-types --max-line-length=130 --ignore FILE_PATH_CHANGES,MAINTAINERS --file ./*.[ch] 2>&1) ||
  { echo "$said" >&2; die "the driver's sources are not clean"; }
echo "$(ls ./*.[ch] | wc -l) files, $(cat ./*.[ch] | wc -l) lines: no error, warning or check of checkpatch.pl --strict (Linux 6.1)"
