#!/bin/sh
# /sbin/init of the bed's root disk. The host sends `run BASE64` on a virtio port; the answer is `status STATUS OUT ERR`, with
# the sizes of standard output and standard error, which have ports of their own. The bed ends when the host hangs up.
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/root TERM=dumb TMPDIR=/tmp
for folder in /tmp /run /var /root; do mount -t tmpfs tmpfs $folder; done
mkdir -p /dev/pts /dev/shm /var/tmp
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
ln -s /proc/self/fd /dev/fd
chmod 1777 /tmp /var/tmp
ifconfig lo 127.0.0.1 up
if [ -c /dev/kvm ]; then
  /sbin/hold >/run/held &
  tries=0
  until [ -s /run/held ] || [ $tries -gt 200 ]; do
    tries=$((tries + 1))
    sleep 0.05
  done
fi

run() {
  mountpoint -q /project || mount -t ext4 -o noatime /dev/vdb /project
  mkfifo /run/out /run/err /run/out.count /run/err.count
  wc -c </run/out.count >/run/out.size &
  wc -c </run/err.count >/run/err.size &
  tee "${port}2" </run/out >/run/out.count &
  out=$!
  tee "${port}3" </run/err >/run/err.count &
  err=$!
  (cd /project && exec sh /run/command </dev/null >/run/out 2>/run/err)
  status=$?
  # A process that the command left behind may keep its output open: it is waited for 2 seconds. The ports are free afterwards.
  tries=0
  until { [ -s /run/out.size ] && [ -s /run/err.size ]; } || [ $tries -gt 60 ]; do
    tries=$((tries + 1))
    [ $tries -ne 40 ] || kill $out $err 2>/dev/null
    sleep 0.05
  done
  echo "status $status $(cat /run/out.size) $(cat /run/err.size)" >&3
  rm -f /run/out /run/err /run/*.count /run/*.size
}

# The bus's number depends on the kernel.
port=$(echo /dev/vport*p1)
port=${port%1}
exec 3<>"${port}1"
echo "ready Linux $(uname -r), $([ -c /dev/kvm ] && echo /dev/kvm || echo no KVM)" >&3
while read -r word value <&3; do
  case $word in
    run) echo "$value" | base64 -d >/run/command && run & ;;
  esac
done
poweroff -f
