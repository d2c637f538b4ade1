#!/bin/sh
# Builds c/driver for a stock Debian kernel, with the compiler's extra warnings and, where it is installed, sparse: any
# warning is an error. Usage: scripts/build-driver.sh ARCHITECTURE [SERIES] (as debian-headers.sh has them)
# Builds in .cache/driver and prints the kernel's release and the module, without debug information.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
die() { echo "build-driver: $1" >&2; exit "${2:-2}"; }
. "$here/scripts/private-apt.sh"
headers=$("$here/scripts/debian-headers.sh" "$@") || exit $?
release=${headers%%: *}
kernel=${headers#*: }
work=$here/.cache/driver/$release
mkdir -p "$work"
one_at_a_time "$work/lock"
# The module of the same sources is there already: another test may be using it.
key=$(cat "$here"/c/driver/*.[ch] "$here/c/driver/Kbuild" "$here/c/include/commonhv.h" | sha256sum)
if [ -f "$work/commonhv.ko" ] && [ "$(cat "$work/key" 2>/dev/null)" = "$key" ]; then
  echo "$release: $work/commonhv.ko"
  exit 0
fi
rm -rf "$work/driver" "$work/include"
cp -R "$here/c/driver" "$here/c/include" "$work"
sparse=0
if command -v sparse >/dev/null; then sparse=1; fi
# The packaged headers of 7.x lack the script by which their Makefile looks for sparse.
common=$(dirname "$kernel")/$(basename "$kernel" | sed 's/-[a-z0-9]*$/-common/')
if grep -q checker-valid "$common/Makefile" && [ ! -e "$common/scripts/checker-valid.sh" ]; then sparse=0; fi
# Options of the kernel's own compiler, which may be newer than the one here: CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT from GCC 14.
older=
${CC:-gcc} -fmin-function-alignment=16 -E -x c /dev/null >/dev/null 2>&1 ||
  older='CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT= KCFLAGS=-Wno-attributes'
# Without a vmlinux there is no type information for BPF to refer to.
make -s -C "$kernel" "M=$work/driver" "CC=${CC:-gcc}" W=1 C=$sparse CONFIG_DEBUG_INFO_BTF_MODULES= $older modules >"$work/log" 2>&1 ||
  die "the build failed: $(tail -n 3 "$work/log")"
# Kbuild also says that its tools are not those that built the kernel.
! grep -vE '^(warning: (pahole|the compiler)|  (The kernel was|You are) )' "$work/log" | grep -E 'warning|error' >&2 || die "$release: the build gives warnings"
strip --strip-debug "$work/driver/commonhv.ko"
mv "$work/driver/commonhv.ko" "$work/commonhv.ko"
echo "$key" >"$work/key"
echo "$release: $work/commonhv.ko"
