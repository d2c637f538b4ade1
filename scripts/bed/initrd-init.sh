#!/bin/busybox sh
# /init of the bed's initramfs: loads the modules and hands over to the root disk.
B=/bin/busybox
$B mount -t devtmpfs devtmpfs /dev
$B mount -t proc proc /proc
$B mount -t sysfs sysfs /sys
exec </dev/console >/dev/console 2>&1
for module in /modules/*; do $B insmod "$module" || echo "insmod $module failed"; done
tries=0
until $B mount -t ext4 -o ro,noatime /dev/vda /root 2>/dev/null; do
  tries=$((tries + 1))
  [ $tries -lt 100 ] || { echo "no root disk"; $B poweroff -f; }
  $B sleep 0.05
done
for folder in dev proc sys; do $B mount --move /$folder /root/$folder; done
exec $B switch_root /root /sbin/init
