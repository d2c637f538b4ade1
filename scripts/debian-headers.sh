#!/bin/sh
# Takes the headers of a stock Debian kernel, to build modules for it without installing anything.
# Usage: scripts/debian-headers.sh ARCHITECTURE [SERIES]
#   ARCHITECTURE   i386 (flavour 686) or amd64
#   SERIES         the newest kernel whose version begins so, such as 6.12, or 7 of sid; default: the kernel that debian-guest.sh (i386) or
#                  debian-vmlinux.sh (amd64) has in .cache, so that modules fit it
# Needs apt-get with Debian 12's sources, dpkg-deb, gcc and make. Downloads once (10 to 20 MB) into .cache/headers, through a
# private apt state. Prints the kernel's release and the folder for `make -C FOLDER M=...`.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
die() { echo "debian-headers: $1" >&2; exit "${2:-2}"; }
. "$here/scripts/private-apt.sh"
case ${1-} in
  i386) flavour=686 named=$here/.cache/debian/name made_by=debian-guest.sh ;;
  amd64) flavour=amd64 named=$here/.cache/debian-amd64/name made_by=debian-vmlinux.sh ;;
  *) die "expected i386 or amd64, got ${1-nothing}" ;;
esac
series=${2-}
need apt-get dpkg-deb gcc make
[ "$(dpkg --print-architecture)" = amd64 ] || die "Debian's build tools for these headers run on amd64" 3

if [ -z "$series" ]; then
  [ -f "$named" ] || "$here/scripts/$made_by" >/dev/null || die "$made_by failed: no kernel to take headers for" 3
  release=$(sed 's/^linux-image-//' "$named")
fi
cache=$here/.cache/headers
mkdir -p "$cache"
one_at_a_time "$cache/lock"
if [ -n "$series" ] && [ -f "$cache/$1-$series" ]; then release=$(cat "$cache/$1-$series"); fi

# The build tools of a newer Debian need its C library: they run by its loader, from the same folder.
own_libraries() {
  mkdir "$work/libraries"
  download "$work/libraries" libc6 libelf1t64 zlib1g libzstd1
  for package in "$work"/libraries/*.deb; do dpkg-deb -x "$package" "$work/root"; done
  tools=$work/root/usr/lib/$kbuild
  for tool in "$tools/tools/objtool/objtool.real-x86" "$tools/scripts/mod/modpost.real-lsb-64"; do
    name=${tool%.real-*}
    cat >"$name" <<'TOOL'
#!/bin/sh
root=$(dirname "$(readlink -f "$0")")
while [ ! -e "$root/usr/lib64/ld-linux-x86-64.so.2" ]; do root=$root/..; done
exec "$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" "$0".real-* "$@"
TOOL
    mv "$tool" "$work/tool"
    rm -f "$name".real-*
    mv "$work/tool" "$tool"
  done
}

fetch() {
  work=$(mktemp -d "$cache/work.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM
  private_apt "$1" "$work/apt" "$(suite_of "$series")"
  if [ -z "${release-}" ]; then
    release=$(apt-cache pkgnames "linux-headers-$series." | sed -n "s/^linux-headers-\(.*[0-9]-$flavour\)$/\1/p;s/^linux-headers-\(.*deb[0-9]*-$flavour\)$/\1/p" |
      sort -uV | tail -n 1)
    [ -n "$release" ] || die "apt knows no linux-headers-$series.*-$flavour: Debian 12's sources are needed" 3
  fi
  depends=$(apt-cache depends --no-recommends --no-suggests "linux-headers-$release" 2>/dev/null | sed -n 's/^ *Depends: //p')
  common=$(echo "$depends" | grep -- '-common$') || die "apt knows no linux-headers-$release" 3
  kbuild=$(echo "$depends" | grep '^linux-kbuild-' | head -n 1)
  mkdir "$work/packages"
  download "$work/packages" "linux-headers-$release" "$common"
  [ "$1" = amd64 ] || private_apt amd64 "$work/apt-amd64" "$(suite_of "$series")" # the build tools that run here, whatever they build for
  download "$work/packages" "$kbuild"
  for package in "$work"/packages/*.deb; do dpkg-deb -x "$package" "$work/root"; done
  # It names the installed common Makefile, and since 6.13 itself: by relative paths, since the cache may be moved.
  sed -E 's,(=|include )/usr/src/,\1$(dir $(lastword $(MAKEFILE_LIST)))../,;s,^(\w+)=,\1:=,' \
    "$work/root/usr/src/linux-headers-$release/Makefile" >"$work/Makefile"
  mv "$work/Makefile" "$work/root/usr/src/linux-headers-$release/Makefile"
  case $(suite_of "$series") in sid) own_libraries ;; esac
  rm -rf "${cache:?}/$release"
  mv "$work/root" "$cache/$release" # last: what is there is whole
}

[ -n "${release-}" ] && [ -d "$cache/$release" ] || fetch "$1"
[ -z "$series" ] || echo "$release" >"$cache/$1-$series"
echo "$release: $cache/$release/usr/src/linux-headers-$release"
