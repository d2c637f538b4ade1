#!/bin/bash
# dracut: the agent and the module msr in the initramfs, run before udev and anything else asks for randomness.
# Installed as /usr/lib/dracut/modules.d/90commonhv/.

check() {
	require_binaries commonhv-agent || return 1
	return 0
}

installkernel() {
	# Also where dracut leaves out what this machine has not loaded just now.
	hostonly='' instmods msr
}

install() {
	inst_binary commonhv-agent /sbin/commonhv-agent
	inst_hook pre-udev 01 "$moddir/commonhv-seed.sh"
}
