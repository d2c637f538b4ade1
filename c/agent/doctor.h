/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * --doctor: what protects this machine when it is copied, in the words of `commonhv doctor`, for guests without Node: the kernel,
 * VMGenID, CommonHV, the msr driver, and the result. Exit status: 0 the kernel is reseeded when the machine is
 * copied; 1 nothing does that; 2 it could not be seen.
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

/* Fills `into` with the beginning of a file: empty where it is absent or may not be read. */
static void read_text(const char *path, struct text *into)
{
	long fd = call(__NR_open, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
	long length = fd < 0 ? 0 : call(__NR_read, fd, (long)into->bytes, sizeof into->bytes - 1, 0, 0);
	if (fd >= 0)
		call(__NR_close, fd, 0, 0, 0, 0);
	into->used = length > 0 ? length : 0;
	into->bytes[into->used] = 0;
}

/* The text after `words` in a text, or a null pointer. */
static const char *after(const char *in, const char *words)
{
	for (; *in; in++) {
		long i = 0;
		while (words[i] && in[i] == words[i])
			i++;
		if (!words[i])
			return in + i;
	}
	return 0;
}

/*
 * Whether a device of the bus is a VM generation device: by one of its two ACPI names (UAPI.14), the second cut to eight
 * characters, or by the device tree. `context`: the bus's folder of devices.
 */
static int is_vmgenid(const char *name, void *context)
{
	static const char *const ids[] = {"VM_GEN_COUNTER", "VMGENCTR", "Cmicrosoft,vmgenid"};
	struct text path = {.used = 0}, modalias = {.used = 0};
	put(&path, context), put(&path, "/"), put(&path, name), put(&path, "/modalias");
	read_text(path.bytes, &modalias);
	for (int id = 0; id < 3; id++)
		if (after(modalias.bytes, ids[id]))
			return 1;
	return 0;
}

static int is_any(const char *name, void *context)
{
	(void)context;
	return *name != '.';
}

/* Whether the driver is bound; -1 where that cannot be seen. */
static int doctor_vmgenid(struct text *to)
{
	static const char *const drivers[] = {"/sys/bus/acpi/drivers/vmgenid", "/sys/bus/platform/drivers/vmgenid"};
	static char devices[] = "/sys/bus/acpi/devices", platform[] = "/sys/bus/platform/devices";
	for (int i = 0; i < 2; i++)
		if (any_name(drivers[i], is_device, 0)) {
			row(to, "good", "VMGenID: the kernel's driver is bound", "", drivers[i], 0);
			return 1;
		}
	int acpi = any_name(devices, is_vmgenid, devices);
	if (!any_name("/sys/bus", is_any, 0)) {
		row(to, "unknown", "VMGenID: sysfs is not there", "", "/sys/bus", 0);
		return -1;
	}
	if (acpi || any_name(platform, is_vmgenid, platform))
		row(to, "bad", "VMGenID: a device, and no driver for it", "", acpi ? devices : platform,
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

/* Whether the agent's last report is a reseed, or none; a row where it is not. */
static int has_reseeded(struct text *to)
{
	struct text status = {.used = 0}, why = {.used = 0};
	read_text("/run/commonhv/status", &status);
	const char *at = after(status.bytes, "\"reseeded\":false,\"why\":\"");
	if (!at)
		return 1;
	for (; *at && *at != '"'; at++) {
		char one[2] = {*at, 0};
		put(&why, one);
	}
	row(to, "bad", "the agent did not reseed: ", why.bytes, "/run/commonhv/status", "see the agent's log");
	return 0;
}

/* `offer`: a null pointer where there is none. */
static int doctor_commonhv(struct text *to, const struct commonhv *offer)
{
	const char *driver = "/sys/devices/platform/commonhv";
	struct text process = {.used = 0};
	if (any_name(driver, is_device, 0)) {
		row(to, "good", "CommonHV: the driver is loaded", "", driver, 0);
		return 1;
	}
	if (any_name("/proc", is_agent, &process)) {
		row(to, "good", "CommonHV: the agent polls the generation", "", process.bytes, 0);
		return has_reseeded(to);
	}
	if (!offer)
		row(to, "weak", "CommonHV: the hypervisor does not offer it", "", "CPUID 4F000000H", 0);
	else if (!(offer->features & COMMONHV_FEATURE_GENERATION))
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
	int found = commonhv_discover(&offer, cpuid, leaves), needed = found && (offer.features & COMMONHV_FEATURE_GENERATION);
	doctor_kernel(&to);
	int vmgenid = doctor_vmgenid(&to), safe = doctor_commonhv(&to, found ? &offer : 0) || vmgenid > 0;
	long msr = call(__NR_open, (long)"/dev/cpu/0/msr", O_RDONLY | O_CLOEXEC, 0, 0, 0);
	if (msr == -ENOENT || msr == -ENXIO)
		row(&to, "weak", needed ? "MSRs: no driver, so an agent cannot read the generation"
		    : "MSRs: no driver, and no generation that an agent could read", "", "/dev/cpu/0/msr", needed ? "modprobe msr" : 0);
	else
		row(&to, "good", "MSRs: root can read them", "", "/dev/cpu/0/msr", 0);
	put(&to, safe ? "\nthis kernel is reseeded when the machine is copied\n"
		: vmgenid < 0 ? "\nit could not be seen whether anything reseeds this kernel when the machine is copied\n"
		: !(cpuid(leaves, 1, 0).ecx >> 31) ? "\nno hypervisor to be seen: a copy of this machine would not be noticed\n"
		: "\nnothing reseeds this kernel when the machine is copied: copies share their random numbers\n");
	call(__NR_write, 1, (long)to.bytes, to.used, 0, 0);
	return safe ? 0 : vmgenid < 0 ? 2 : 1;
}

#endif
