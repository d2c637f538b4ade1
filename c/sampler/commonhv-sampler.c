/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * commonhv-sampler: prints a line of samples at each step, as fast as its output takes them. Started before a machine is
 * saved, it goes on in each copy, and `commonhv clones` compares the copies' lines.
 *
 *   commonhv-sampler [--output FILE] [--steps N] [--file NAME=PATH]... [--run NAME=COMMAND]...
 *
 * A line is `commonhv-sample 1 KEY=VALUE... ~CHECK`: CHECK is FNV-1a of 32 bits over the text before " ~", so that a line
 * that another writer broke is dropped. Keys:
 *   n, mono, real                   the step; CLOCK_MONOTONIC and CLOCK_REALTIME in nanoseconds
 *   getrandom, uuid, boot-id        of the kernel: the call, and files in /proc/sys/kernel/random
 *   once                            a generator that was seeded at the start alone: it repeats in every copy
 *   follow                          one that is seeded anew for each generation that processes can see: /dev/commonhv, the
 *                                   agent's file, the MSR, /dev/sysgenid, or VMGenID's uevent (Linux 6.8)
 *   commonhv-page, reseeded         the two words of /dev/commonhv
 *   commonhv-msr, sysgenid, vmclock, vmgenid-events
 * then each --file (a hash of its contents) and each --run (a line of the command's output for each step).
 *
 * As the first process of a machine (rdinit=) it mounts /dev, /proc and /sys and prints to the console.
 */
#include <cpuid.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/netlink.h>
#include <linux/poll.h>
#include "commonhv.h"
#include "freestanding.h"

enum { MAX_EXTRAS = 8, MAX_LINE = 1500, MAX_VALUE = 64 };

struct extra {
	const char *name;
	size_t name_length;
	const char *path; /* --file */
	int to, from; /* --run: the command's standard input and output */
	int owes; /* a line that did not come in time: it may come later, and is not the answer to a later question */
};

static struct extra extras[MAX_EXTRAS];
static int extra_count;
static char line[MAX_LINE];
static size_t used;

static void text(const char *from)
{
	while (*from && used < sizeof line - 1)
		line[used++] = *from++;
}

static void hex_bytes(const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char two[3] = {"0123456789abcdef"[bytes[i] >> 4], "0123456789abcdef"[bytes[i] & 15], 0};
		text(two);
	}
}

/* Most significant digit first. */
static void hex(uint64_t value, int digits)
{
	for (int shift = 4 * digits - 4; shift >= 0; shift -= 4) {
		char one[2] = {"0123456789abcdef"[value >> shift & 15], 0};
		text(one);
	}
}

/* Division of 64 bits is a library call on i386: by repeated subtraction of powers of ten instead. */
static void decimal(uint64_t value)
{
	static const uint64_t powers[] = {
		10000000000000000000ull, 1000000000000000000ull, 100000000000000000ull, 10000000000000000ull,
		1000000000000000ull, 100000000000000ull, 10000000000000ull, 1000000000000ull, 100000000000ull,
		10000000000ull, 1000000000ull, 100000000ull, 10000000ull, 1000000ull, 100000ull, 10000ull, 1000ull,
		100ull, 10ull, 1ull};
	int begun = 0;
	for (unsigned i = 0; i < sizeof powers / sizeof *powers; i++) {
		char digit[2] = {'0', 0};
		for (; value >= powers[i]; value -= powers[i])
			digit[0]++;
		begun |= digit[0] != '0' || powers[i] == 1;
		if (begun)
			text(digit);
	}
}

static void key(const char *name)
{
	text(" ");
	text(name);
	text("=");
}

static long open_file(const char *path, int flags)
{
	return call(__NR_open, (long)path, flags | O_CLOEXEC, 0, 0, 0);
}

/* Up to `size` bytes of a file, from its start; the count, or a negative error number. */
static long read_file(const char *path, void *into, size_t size)
{
	long fd = open_file(path, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return fd;
	long count = call(__NR_read, fd, (long)into, size, 0, 0);
	call(__NR_close, fd, 0, 0, 0, 0);
	return count;
}

/* The first line of a small file. */
static void file_line(const char *name, const char *path)
{
	char value[MAX_VALUE + 1];
	long count = read_file(path, value, MAX_VALUE);
	if (count <= 0)
		return;
	value[count] = 0;
	for (long i = 0; i < count; i++)
		if (value[i] <= ' ' || value[i] > '~')
			value[i] = 0;
	key(name);
	text(value);
}

static void clock_value(const char *name, int clock)
{
	/* The kernel's own layout for the calls of each width. */
	struct { long seconds, nanoseconds; } now;
	if (call(__NR_clock_gettime, clock, (long)&now, 0, 0, 0))
		return;
	key(name);
	decimal((uint64_t)now.seconds * 1000000000u + (uint64_t)now.nanoseconds);
}

static int random_bytes(void *into, size_t size)
{
	return call(__NR_getrandom, (long)into, size, 0, 0, 0) == (long)size;
}

/* Generators. */

/* splitmix64: the state advances by a constant, so the same seed gives the same values for ever. */
static uint64_t next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* The generation, by the first of three ways that answers. */

static struct commonhv_regs cpuid(void *context, uint32_t leaf, uint32_t subleaf)
{
	struct commonhv_regs regs;
	(void)context;
	__cpuid_count(leaf, subleaf, regs.eax, regs.ebx, regs.ecx, regs.edx);
	return regs;
}

/* The first `size` bytes of a file or device, mapped for reading; a null pointer where it cannot be. */
static const volatile uint8_t *map(const char *path, size_t size)
{
	enum { READABLE = 1, SHARED = 1 };
	long fd = open_file(path, O_RDONLY);
	if (fd < 0)
		return 0;
#ifdef __x86_64__
	long at = call(__NR_mmap, 0, size, READABLE, SHARED, fd);
#else
	const long arguments[6] = {0, size, READABLE, SHARED, fd, 0};
	long at = call(__NR_mmap, (long)arguments, 0, 0, 0, 0);
#endif
	call(__NR_close, fd, 0, 0, 0, 0);
	return at < 0 && at > -4096 ? 0 : (const volatile uint8_t *)at;
}

static struct {
	const volatile uint8_t *page, *sysgenid, *vmclock;
	uint32_t msr_index;
	long msr, uevents;
	int bound; /* VMGenID's driver has a device */
	unsigned vmgenid; /* its uevents so far */
} watched;

static uint64_t load(const volatile uint8_t *at)
{
	return *(const volatile uint64_t *)at;
}

/* VMGenID's driver sends uevents since Linux 6.8. */
static int has_uevents(void)
{
	char release[32];
	int major = 0, minor = 0;
	const char *at = release;
	long count = read_file("/proc/sys/kernel/osrelease", release, sizeof release - 1);
	if (count <= 0 || watched.uevents < 0)
		return 0;
	release[count] = 0;
	for (; *at >= '0' && *at <= '9'; at++)
		major = 10 * major + *at - '0';
	for (at += *at == '.'; *at >= '0' && *at <= '9'; at++)
		minor = 10 * minor + *at - '0';
	return major > 6 || (major == 6 && minor >= 8);
}

static void open_generations(void)
{
	struct commonhv offer;
	struct sockaddr_netlink_address { uint16_t family, pad; uint32_t pid, groups; } address = {16, 0, 0, 1};
	watched.page = map("/dev/commonhv", 16);
	watched.sysgenid = map("/dev/sysgenid", 4);
	watched.vmclock = map("/dev/vmclock0", 112);
	if (watched.vmclock && *(const volatile uint32_t *)watched.vmclock != 0x4b4c4356) /* "VCLK" */
		watched.vmclock = 0;
	watched.msr = -1;
	if (commonhv_discover(&offer, cpuid, 0) && offer.features & COMMONHV_FEATURE_GENERATION && offer.draft == 3) {
		watched.msr_index = offer.generation;
		watched.msr = open_file("/dev/cpu/0/msr", O_RDONLY);
	}
#ifdef __NR_socket
	watched.uevents = call(__NR_socket, 16, 2 /* SOCK_DGRAM */, NETLINK_KOBJECT_UEVENT, 0, 0);
	if (watched.uevents >= 0)
		call(__NR_bind, watched.uevents, (long)&address, 12, 0, 0);
#else
	watched.uevents = -1;
#endif
	if (!has_uevents())
		return;
	/* The devices of QEMU, Firecracker, cloud-hypervisor and Hyper-V; the driver's bus changed in Linux 6.10. */
	static const char *const devices[] = {"QEMUVGID:00", "FCVMGID:00", "CLHVVGID:00", "VMGENCTR:00"};
	for (unsigned i = 0; i < 2 * sizeof devices / sizeof *devices && !watched.bound; i++) {
		used = 0;
		text(i % 2 ? "/sys/bus/acpi/drivers/vmgenid/" : "/sys/bus/platform/drivers/vmgenid/"), text(devices[i / 2]);
		line[used] = 0;
		line[used] = 0;
		watched.bound = call(__NR_readlink, (long)line, (long)line, 1, 0, 0) > 0;
	}
}

/* Counts uevents that announce a new generation (VMGenID's driver since Linux 6.8: NEW_VMGENID=1). */
static void take_uevents(void)
{
	char event[2048];
	struct pollfd ready = {watched.uevents, POLLIN, 0};
	for (int i = 0; i < 16 && watched.uevents >= 0 && call(__NR_poll, (long)&ready, 1, 0, 0, 0) == 1; i++) {
		long count = call(__NR_read, watched.uevents, (long)event, sizeof event - 1, 0, 0);
		if (count <= 0)
			return;
		event[count] = 0;
		for (long at = 0; at < count; at += length_of(event + at) + 1)
			watched.vmgenid += equal(event + at, "NEW_VMGENID=1");
	}
}

/* Draft 3, "Generation page": a process draws only while both words are equal. Waits for the kernel's reseed, 200 ms at most. */
static uint64_t settled(void)
{
	const struct { long seconds, nanoseconds; } millisecond = {0, 1000000};
	for (int i = 0; i < 200 && load(watched.page) != load(watched.page + 8); i++)
		call(__NR_nanosleep, (long)&millisecond, 0, 0, 0, 0);
	return load(watched.page);
}

/* The generation that processes can see; 0 where there is none. */
static uint64_t generation(void)
{
	uint64_t value = 0;
	char file[17];
	if (watched.page)
		return settled();
	if (read_file("/run/commonhv/generation", file, 16) >= 4) {
		for (int i = 0; i < 16; i++)
			value = value * 31 + (uint8_t)file[i];
		return value;
	}
	if (watched.msr >= 0 && call(__NR_pread64, watched.msr, (long)&value, 8, (long)watched.msr_index, 0) == 8)
		return value;
	if (watched.sysgenid)
		return *(const volatile uint32_t *)watched.sysgenid;
	take_uevents();
	return watched.bound ? 1 + watched.vmgenid : 0;
}

static void generations(void)
{
	uint64_t value = 0;
	if (watched.page) {
		key("commonhv-page"), hex(load(watched.page), 16);
		key("reseeded"), hex(load(watched.page + 8), 16);
	}
	if (watched.msr >= 0 && call(__NR_pread64, watched.msr, (long)&value, 8, (long)watched.msr_index, 0) == 8)
		key("commonhv-msr"), hex(value, 16);
	if (watched.sysgenid)
		key("sysgenid"), hex(*(const volatile uint32_t *)watched.sysgenid, 8);
	if (watched.vmclock && load(watched.vmclock + 24) >> 8 & 1) /* flags: vm_generation_counter is present */
		key("vmclock"), hex(load(watched.vmclock + 104), 16);
	take_uevents();
	if (watched.vmgenid)
		key("vmgenid-events"), decimal(watched.vmgenid);
}

/* Files and commands of the user's. */

static void file_hash(const struct extra *extra)
{
	uint8_t bytes[512];
	uint64_t hash = 0xcbf29ce484222325ull;
	long count, fd = open_file(extra->path, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return;
	for (int blocks = 0; blocks < 256 && (count = call(__NR_read, fd, (long)bytes, sizeof bytes, 0, 0)) > 0; blocks++)
		for (long i = 0; i < count; i++)
			hash = (hash ^ bytes[i]) * 0x100000001b3ull;
	call(__NR_close, fd, 0, 0, 0, 0);
	key(extra->name), hex(hash, 16);
}

/* Starts the command with pipes; a command that cannot be started answers nothing. */
static void start_command(struct extra *extra, const char *command, char **environment)
{
	int to[2], from[2];
	if (call(__NR_pipe, (long)to, 0, 0, 0, 0) || call(__NR_pipe, (long)from, 0, 0, 0, 0))
		return;
	long child = call(__NR_fork, 0, 0, 0, 0, 0);
	if (child == 0) {
		const char *const argv[] = {"sh", "-c", command, 0};
		call(__NR_dup2, to[0], 0, 0, 0, 0);
		call(__NR_dup2, from[1], 1, 0, 0, 0);
		for (int fd = 3; fd < 64; fd++)
			call(__NR_close, fd, 0, 0, 0, 0);
		call(__NR_execve, (long)"/bin/sh", (long)argv, (long)environment, 0, 0);
		call(__NR_exit_group, 127, 0, 0, 0, 0);
	}
	call(__NR_close, to[0], 0, 0, 0, 0);
	call(__NR_close, from[1], 0, 0, 0, 0);
	extra->to = to[1], extra->from = from[0];
}

/* Reads a line of the command, which has to come within a second; its length, or -1. */
static int read_command(const struct extra *extra, char value[MAX_VALUE + 1])
{
	int length = 0;
	struct pollfd ready = {extra->from, POLLIN, 0};
	for (char byte = 0; byte != '\n';) {
		if (call(__NR_poll, (long)&ready, 1, 1000, 0, 0) != 1 || call(__NR_read, extra->from, (long)&byte, 1, 0, 0) != 1)
			return -1;
		if (byte > ' ' && byte <= '~' && length < MAX_VALUE)
			value[length++] = byte;
	}
	value[length] = 0;
	return length;
}

/* Asks the command for a line: a newline goes in. Nothing is asked before the last answer came. */
static void command_line(struct extra *extra)
{
	char value[MAX_VALUE + 1];
	if (extra->from < 0 || (extra->owes && read_command(extra, value) < 0))
		return;
	extra->owes = 0;
	if (call(__NR_write, extra->to, (long)"\n", 1, 0, 0) != 1)
		return;
	int length = read_command(extra, value);
	extra->owes = length < 0;
	if (length > 0)
		key(extra->name), text(value);
}

/* One line. */
static void sample(uint64_t step, uint64_t *once, uint64_t *follow, uint64_t *followed)
{
	uint8_t bytes[16];
	used = 0;
	text("commonhv-sample 1");
	key("n"), decimal(step);
	clock_value("mono", 1);
	clock_value("real", 0);
	if (random_bytes(bytes, sizeof bytes))
		key("getrandom"), hex_bytes(bytes, sizeof bytes);
	file_line("uuid", "/proc/sys/kernel/random/uuid");
	key("once"), hex(next(once), 16);
	uint64_t now = generation(); /* after the kernel's values, which it may wait for */
	if (now) {
		/* A restore during the draw: its bytes may be every copy's, so they are drawn again. */
		for (int i = 0; i < 8 && now != *followed && random_bytes(follow, sizeof *follow); i++) {
			*followed = now;
			now = generation();
		}
		key("follow"), hex(next(follow), 16);
	}
	file_line("boot-id", "/proc/sys/kernel/random/boot_id");
	generations();
	for (int i = 0; i < extra_count; i++)
		if (extras[i].path)
			file_hash(&extras[i]);
		else
			command_line(&extras[i]);
	uint32_t check = 0x811c9dc5u;
	for (size_t i = 0; i < used; i++)
		check = (check ^ (uint8_t)line[i]) * 0x01000193u;
	text(" ~");
	hex(check, 8);
	text("\n");
}

static int write_all(long fd)
{
	for (size_t at = 0; at < used;) {
		long count = call(__NR_write, fd, (long)(line + at), used - at, 0, 0);
		if (count <= 0)
			return 0;
		at += count;
	}
	return 1;
}

static int usage(void)
{
	used = 0;
	text("usage: commonhv-sampler [--output FILE] [--steps N] [--file NAME=PATH]... [--run NAME=COMMAND]...\n");
	write_all(2);
	return 2;
}

/* NAME=VALUE: lower-case letters, digits and hyphens in the name. The value, or a null pointer. */
static const char *named(struct extra *extra, char *argument)
{
	char *at = argument;
	if (!argument || extra_count == MAX_EXTRAS)
		return 0;
	while ((*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9') || *at == '-')
		at++;
	if (*at != '=' || at == argument || !at[1])
		return 0;
	*at = 0;
	extra->name = argument;
	extra->to = extra->from = -1;
	extra_count++;
	return at + 1;
}

/* The first process of a machine: the file systems that samples come from, and the console. */
static long set_up(void)
{
	static const char *const mounts[][2] = {{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}};
	for (unsigned i = 0; i < sizeof mounts / sizeof *mounts; i++) {
		call(__NR_mkdir, (long)mounts[i][1], 0755, 0, 0, 0);
		call(__NR_mount, (long)mounts[i][0], (long)mounts[i][1], (long)mounts[i][0], 0, 0);
	}
	return open_file("/dev/console", O_WRONLY);
}

static int program(int argc, char **argv, char **environment)
{
	long output = 1;
	uint64_t steps = ~0ull, once, follow = 0, followed = 0;
	int first = call(__NR_getpid, 0, 0, 0, 0, 0) == 1;
	if (first)
		output = set_up();
	for (int i = 1; i < argc && !first; i += 2) {
		const char *value = 0;
		struct extra *extra = &extras[extra_count];
		if (equal(argv[i], "--output") && argv[i + 1]) {
			output = open_file(argv[i + 1], O_WRONLY | O_NOCTTY);
			if (output < 0)
				return usage();
		} else if (equal(argv[i], "--steps") && argv[i + 1] && *argv[i + 1]) {
			steps = 0;
			for (const char *at = argv[i + 1]; *at; at++) {
				if (*at < '0' || *at > '9' || steps > 1000000000u)
					return usage();
				steps = 10 * steps + (*at - '0');
			}
		} else if (equal(argv[i], "--file") && (value = named(extra, argv[i + 1])))
			extra->path = value;
		else if (equal(argv[i], "--run") && (value = named(extra, argv[i + 1])))
			start_command(extra, value, environment);
		else
			return usage();
	}
	open_generations();
	if (output < 0 || !random_bytes(&once, sizeof once))
		return 2;
	for (uint64_t step = 0; step < steps; step++) {
		sample(step, &once, &follow, &followed);
		if (!write_all(output))
			return 1;
	}
	return 0;
}
