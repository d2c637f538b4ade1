#!/bin/sh
# Takes a newer QEMU for x86-64 than this system's, without installing it: from Debian unstable, or another SUITE.
# Usage: scripts/newer-qemu.sh [SUITE]     prints a folder for the front of PATH, with qemu-system-x86_64 in it
# Needs mmdebstrap and Debian's archive, and root or user namespaces. Downloads once (60 MB), into .cache/qemu-SUITE.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
suite=${1-sid}
folder=$here/.cache/qemu-$suite
# Exit status 3: what is missing is not to be had here; cells of the matrix are then skipped.
die() { echo "newer-qemu: $1" >&2; exit 3; }
command -v mmdebstrap >/dev/null || die "mmdebstrap is not installed"
if [ ! -x "$folder/bin/qemu-system-x86_64" ]; then
  rm -rf "$folder"
  mkdir -p "$folder/bin"
  # A mirror's lists may be older than they say that they are valid.
  mmdebstrap --quiet --variant=extract --aptopt='Acquire::Check-Valid-Until false' --include=qemu-system-x86,seabios \
    "$suite" "$folder/root" >"$folder/log" 2>&1 || die "mmdebstrap $suite: $(tail -n 1 "$folder/log")"
  libraries=$folder/root/usr/lib/x86_64-linux-gnu
  cat >"$folder/bin/new" <<WRAPPER
#!/bin/sh
exec '$folder/root/usr/lib64/ld-linux-x86-64.so.2' --library-path '$libraries:$libraries/pulseaudio' \\
  '$folder/root/usr/bin/qemu-system-x86_64' -L '$folder/root/usr/share/qemu' -L '$folder/root/usr/share/seabios' "\$@"
WRAPPER
  chmod +x "$folder/bin/new"
  "$folder/bin/new" --version >/dev/null || die "the QEMU of $suite does not start"
  mv "$folder/bin/new" "$folder/bin/qemu-system-x86_64" # last: what is there is whole
fi
echo "$folder/bin"
