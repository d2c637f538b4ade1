#!/bin/sh
# ./vm.sh save STATE          starts the machine, saves it to the file STATE while the sampler prints, and ends
# ./vm.sh resume STATE COPY   resumes one copy; its console is the standard output; ended by a signal
# Replace both by your own VMM. Here: QEMU with a kernel (KERNEL), whose only program is the sampler; more options in QEMU_OPTIONS.
set -eu
state=$2
: "${QEMU:=qemu-system-i386}" "${SAMPLER:=sampler.cpio}"
machine() {
  # shellcheck disable=SC2086
  exec "$QEMU" -m 128 -nodefaults -display none -no-reboot -kernel "${KERNEL:?the path of a Linux kernel}" \
    -initrd "$SAMPLER" -append 'console=ttyS0 quiet' ${QEMU_OPTIONS-} "$@"
}

case $1 in
  save)
    mkfifo "$state.monitor"
    (machine -serial "file:$state.console" -monitor stdio <"$state.monitor" >"$state.log" 2>&1) &
    exec 3>"$state.monitor"
    tries=0
    until [ "$(grep -c '^commonhv-sample 1 ' "$state.console" 2>/dev/null)" -ge 10 ] 2>/dev/null; do
      tries=$((tries + 1))
      if [ $tries -gt 600 ] || ! kill -0 $! 2>/dev/null; then
        echo "no samples from the machine: $(tail -n 1 "$state.log")" >&2
        kill $! 2>/dev/null || true
        exit 1
      fi
      sleep 0.2
    done
    printf 'migrate "exec:cat>%s"\nquit\n' "$state" >&3
    wait $!
    [ -s "$state" ] || { echo "nothing was saved: $(tail -n 1 "$state.log")" >&2; exit 1; }
    ;;
  resume) machine -serial stdio -monitor none -incoming "exec:cat $state" ;;
  *) echo "usage: ./vm.sh save STATE | resume STATE COPY" >&2; exit 2 ;;
esac
