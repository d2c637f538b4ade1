#!/bin/sh
# Unpacks Debian packages of hypervisors and boot loaders below .cache/boots/NAME, without installing them.
# Usage: scripts/boots/packages.sh bochs|xen|grub|ovmf          prints the folder
# Needs apt-get with Debian's sources and dpkg-deb. Downloads once, and of what they depend on only the part that this machine
# lacks. Exit status 3: not to be had here.
set -eu

here=$(cd "$(dirname "$0")/../.." && pwd)
die() { echo "boots: $1" >&2; exit "${2:-2}"; }
. "$here/scripts/private-apt.sh"

case ${1:-} in
  bochs) packages='bochs bochs-term bochsbios vgabios' with=yes ;;
  grub) packages='grub-pc-bin grub-common' with=yes ;;
  xen) packages=xen-hypervisor-amd64 with= ;;
  ovmf) packages=ovmf with= ;;
  *) die "expected bochs, xen, grub or ovmf" ;;
esac
boots=$here/.cache/boots
cache=$boots/$1
apt=$boots/apt
mkdir -p "$cache"
one_at_a_time "$boots/lock"
if [ ! -d "$cache/root" ]; then
  need dpkg-deb
  # The lists of the last hour do for the next package too.
  if [ -n "$(find "$apt/log" -mmin -60 2>/dev/null)" ]; then
    export APT_CONFIG="$apt/apt.conf"
  else
    private_apt amd64 "$apt"
  fi
  rm -f "$apt"/archives/*.deb
  if [ -n "$with" ]; then
    # As if for this machine, whose packages count as installed.
    cp /var/lib/dpkg/status "$apt/status"
    # shellcheck disable=SC2086
    apt-get -q -y --no-install-recommends --download-only install $packages >>"$apt/log" 2>&1 ||
      die "apt-get: $(tail -n 1 "$apt/log")" 3
  else
    # A package of Xen's name stands for the one of a version.
    [ "$packages" = ovmf ] || packages=$(apt-cache search --names-only '^xen-hypervisor-[0-9.]+-amd64$' | sed 's/ .*//' | tail -n 1)
    [ -n "$packages" ] || die "apt knows no Xen" 3
    download "$apt/archives" "$packages"
  fi
  rm -rf "$cache/new"
  mkdir "$cache/new"
  for package in "$apt"/archives/*.deb; do
    [ -f "$package" ] || die "apt-get downloaded nothing: is $1 installed already?" 3
    dpkg-deb -x "$package" "$cache/new"
    dpkg-deb -f "$package" Package Version | sed 's/^[A-Za-z]*: //' | paste -sd ' ' - >>"$cache/new/versions"
  done
  mv "$cache/new" "$cache/root" # last: what is there is whole
fi
echo "$cache/root"
