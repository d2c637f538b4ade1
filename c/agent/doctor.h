/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * --doctor: what protects this machine when it is copied, in the words of `commonhv doctor`, for guests without Node: the kernel,
 * VMGenID, CommonHV, the msr driver, and the result. Exit status: 0 the kernel is reseeded when the machine is copied; 1 nothing does that.
 */
#ifndef AGENT_DOCTOR_H
#define AGENT_DOCTOR_H

#include <linux/fcntl.h>
#include <linux/utsname.h>
#include "commonhv.h"
#include "freestanding.h"
#include "hooks.h"
#include "kernel.h"
#include "report.h"

/* Appends a row: state, text, evidence, and a remedy where there is one. */
static void row(struct text *to, const char *state, const char *text, const char *more, const char *evidence, const char *remedy)
{
	put(to, state), put(to, equal(state, "bad") ? "   " : "  "), put(to, text), put(to, more);
	put(to, " ("), put(to, evidence), put(to, ")\n");
	if (remedy)
		put(to, "         → "), put(to, remedy), put(to, "\n");
}

static void doctor_kernel(struct text *to)
{
	struct new_utsname name = {.release = ""};
	struct text kernel = {.used = 0};
	unsigned version = running_kernel();
	const char *evidence = "/proc/sys/kernel/osrelease", *newer = "use Linux 5.18 or newer";
	call(__NR_uname, (long)&name, 0, 0, 0, 0);
	put(&kernel, "Linux "), put(&kernel, name.release);
	if (!version)
		row(to, "unknown", "the kernel version is not known", "", evidence, 0);
	else if (version >= 5018)
		row(to, "good", kernel.bytes, ": a forced reseed takes effect at once", evidence, 0);
	else if (version >= 4014)
		row(to, "weak", kernel.bytes, ": a forced reseed needs 128 credited bits", evidence, newer);
	else
		row(to, "bad", kernel.bytes, ": has no forced reseed (RNDRESEEDCRNG)", evidence, newer);
}

static int is_device(const char *name, void *context)
{
	(void)context;
	return !equal(name, "bind") && !equal(name, "unbind") && !equal(name, "uevent") && !equal(name, "module");
}

/* Whether the file's text has one of the two names of a VM generation device (UAPI.14), the second cut to eight characters. */
static int is_vmgenid(const char *name, void *context)
{
	static const char *const ids[] = {"VM_GEN_COUNTER", "VMGENCTR"};
	struct text path = {.used = 0}, modalias = {.used = 0};
	(void)context;
	put(&path, "/sys/bus/acpi/devices/"), put(&path, name), put(&path, "/modalias");
	long fd = call(__NR_open, (long)path.bytes, O_RDONLY | O_CLOEXEC, 0, 0, 0);
	long length = fd < 0 ? 0 : call(__NR_read, fd, (long)modalias.bytes, sizeof modalias.bytes - 1, 0, 0);
	if (fd >= 0)
		call(__NR_close, fd, 0, 0, 0, 0);
	for (int id = 0; id < 2; id++)
		for (long at = 0; at < length; at++) {
			const char *rest = ids[id];
			for (long i = at; i < length && *rest && modalias.bytes[i] == *rest; i++)
				rest++;
			if (!*rest)
				return 1;
		}
	return 0;
}

static int doctor_vmgenid(struct text *to)
{
	static const char *const drivers[] = {"/sys/bus/acpi/drivers/vmgenid", "/sys/bus/platform/drivers/vmgenid"};
	const char *devices = "/sys/bus/acpi/devices";
	for (int i = 0; i < 2; i++)
		if (any_name(drivers[i], is_device, 0)) {
			row(to, "good", "VMGenID: the kernel's driver is bound", "", drivers[i], 0);
			return 1;
		}
	if (any_name(devices, is_vmgenid, 0))
		row(to, "bad", "VMGenID: a device, and no driver for it", "", devices,
		    running_kernel() >= 5018 ? "modprobe vmgenid, or a kernel with CONFIG_VMGENID" : "use Linux 5.18 or newer");
	else
		row(to, "weak", "VMGenID: the hypervisor offers no device", "", devices, "ask for one, such as QEMU's -device vmgenid");
	return 0;
}

/* Another process of this name; its number goes to `context`, a struct text. */
static int is_agent(const char *name, void *context)
{
	struct text path = {.used = 0};
	char comm[16] = "";
	unsigned number = 0;
	for (const char *at = name; *at; at++) {
		if (*at < '0' || *at > '9')
			return 0;
		number = 10 * number + *at - '0';
	}
	put(&path, "/proc/"), put(&path, name), put(&path, "/comm");
	long fd = call(__NR_open, (long)path.bytes, O_RDONLY | O_CLOEXEC, 0, 0, 0);
	long length = fd < 0 ? 0 : call(__NR_read, fd, (long)comm, sizeof comm - 1, 0, 0);
	if (fd >= 0)
		call(__NR_close, fd, 0, 0, 0, 0);
	if (length > 0)
		comm[length - 1] = 0;
	if (number == (unsigned)call(__NR_getpid, 0, 0, 0, 0, 0) || !equal(comm, "commonhv-agent"))
		return 0;
	put((struct text *)context, "process "), put((struct text *)context, name);
	return 1;
}

static int doctor_commonhv(struct text *to, commonhv_cpuid_fn *cpuid, void *leaves)
{
	const char *driver = "/sys/devices/platform/commonhv";
	struct text process = {.used = 0};
	struct commonhv offer;
	if (any_name(driver, is_device, 0)) {
		row(to, "good", "CommonHV: the driver is loaded", "", driver, 0);
		return 1;
	}
	if (any_name("/proc", is_agent, &process)) {
		row(to, "good", "CommonHV: the agent polls the generation", "", process.bytes, 0);
		return 1;
	}
	if (!commonhv_discover(&offer, cpuid, leaves))
		row(to, "weak", "CommonHV: the hypervisor does not offer it", "", "CPUID 4F000000H", 0);
	else if (!(offer.features & COMMONHV_FEATURE_GENERATION))
		row(to, "weak", "CommonHV: offered without a generation", "", "CPUID 4F000002H", 0);
	else
		row(to, "bad", "CommonHV: offers a generation, and nothing in this guest looks at it", "", "CPUID 4F000002H",
		    "load commonhv.ko, or run commonhv-agent --watch");
	return 0;
}

static int doctor(commonhv_cpuid_fn *cpuid, void *leaves)
{
	struct text to = {.used = 0};
	struct commonhv offer;
	int needed = commonhv_discover(&offer, cpuid, leaves) && (offer.features & COMMONHV_FEATURE_GENERATION);
	doctor_kernel(&to);
	int safe = doctor_vmgenid(&to);
	safe |= doctor_commonhv(&to, cpuid, leaves);
	long msr = call(__NR_open, (long)"/dev/cpu/0/msr", O_RDONLY | O_CLOEXEC, 0, 0, 0);
	if (msr == -ENOENT || msr == -ENXIO)
		row(&to, "weak", needed ? "MSRs: no driver, so an agent cannot read the generation"
		    : "MSRs: no driver, and no generation that an agent could read", "", "/dev/cpu/0/msr", needed ? "modprobe msr" : 0);
	else
		row(&to, "good", "MSRs: root can read them", "", "/dev/cpu/0/msr", 0);
	put(&to, safe ? "\nthis kernel is reseeded when the machine is copied\n"
		: !(cpuid(leaves, 1, 0).ecx >> 31) ? "\nno hypervisor to be seen: a copy of this machine would not be noticed\n"
		: "\nnothing reseeds this kernel when the machine is copied: copies share their random numbers\n");
	call(__NR_write, 1, (long)to.bytes, to.used, 0, 0);
	return !safe;
}

#endif
