/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * commonhv-agent: seeds a Linux guest's kernel from CommonHV's RNG, early in boot, and again when the machine was restored from a
 * saved state; then it tells processes (report.h), runs hooks (hooks.h), and acknowledges the generation to the hypervisor.
 * For where there is no Node: an initramfs, a small guest. Where the driver is loaded, the driver does the reseed.
 *
 *   commonhv-agent [--once | --watch | --doctor] [--interval MILLISECONDS] [--credit BITS] [--strict] [--metrics FILE]
 *
 * It never reports a reseed that did not happen (kernel.h). Hooks: /etc/commonhv/restored.d before the acknowledgement,
 * acknowledged.d after it; with --strict a hook that fails withholds the acknowledgement. --metrics FILE.prom: for Prometheus.
 *
 * Exit status: 0 success; 1 negative result (no CommonHV, no RNG, values that failed the checks, nothing to watch); 2 error.
 * It does not trust the hypervisor's answers, and writes only an acknowledgement. It links no C library (freestanding.h).
 */
#include <cpuid.h>
#include <linux/poll.h>
#include <linux/uio.h>
#include "commonhv.h"
#include "kernel.h"
#include "report.h"
#include "hooks.h"
#include "doctor.h"

enum { OK = 0, NO = 1, CANNOT = 2 };
enum { MAX_CHANGES = 4 }; /* looks one after the other at which the generation has changed */
enum { MAX_READS = 16 }; /* of the generation and the values, while the generation changes in between */

static struct {
	const struct commonhv *offer;
	int msr, driver; /* descriptors; the driver's is negative where it is not loaded */
	int writes; /* the MSR device is open for writing too */
	int quiet; /* no lines: the generation changes at every look */
	int credit, strict, interval, doctor;
	const char *metrics;
	uint64_t generation; /* the one for which hooks run */
	struct report report;
} agent;
static const char *answered; /* the last line, said once while a watch tries again and again */

/* One line for standard error, at once, of pieces up to a null pointer. */
#define SAY(...) say((const char *const[]){"commonhv-agent: ", __VA_ARGS__, "\n", 0})
static void say(const char *const *pieces)
{
	struct iovec parts[12];
	int count = 0;
	if (agent.quiet)
		return;
	for (; *pieces; pieces++, count++) {
		parts[count].iov_base = (void *)*pieces;
		parts[count].iov_len = length_of(*pieces);
	}
	call(__NR_writev, 2, (long)parts, count, 0, 0);
}

static int answer(int status, const char *why)
{
	if (why != answered)
		SAY(why);
	answered = why;
	return status;
}

/* The device `device` of a processor that is online: one that is offline has none. Tried at each name in /dev/cpu. */
struct opening {
	const char *device;
	int flags;
	long fd;
};
static int open_processor(const char *name, void *context)
{
	struct opening *opening = context;
	struct text path = {.used = 0};
	put(&path, "/dev/cpu/"), put(&path, name), put(&path, opening->device);
	opening->fd = call(__NR_open, (long)path.bytes, opening->flags | O_CLOEXEC, 0, 0, 0);
	return opening->fd != -ENOENT && opening->fd != -ENXIO;
}

static int open_any(const char *device, int flags)
{
	struct opening opening = {device, flags, -ENOENT};
	any_name("/dev/cpu", open_processor, &opening);
	return opening.fd;
}

static void open_msr(void)
{
	if (agent.msr >= 0)
		call(__NR_close, agent.msr, 0, 0, 0, 0);
	agent.msr = open_any("/msr", agent.writes ? O_RDWR : O_RDONLY);
}

/* By the kernel's driver where it is there: user space sees another hypervisor's leaves on some hosts. */
static struct commonhv_regs cpuid(void *context, uint32_t leaf, uint32_t subleaf)
{
	struct commonhv_regs regs;
	int driver = *(int *)context;
	uint64_t position = (uint64_t)subleaf << 32 | leaf;
#ifdef __x86_64__
	long done = driver < 0 ? -1 : call(__NR_pread64, driver, (long)&regs, sizeof regs, position, 0);
#else
	long done = driver < 0 ? -1 : call(__NR_pread64, driver, (long)&regs, sizeof regs, (long)position, position >> 32);
#endif
	if (done != sizeof regs)
		__cpuid_count(leaf, subleaf, regs.eax, regs.ebx, regs.ecx, regs.edx);
	return regs;
}

/* False where it faults: nested, the leaves may be those of a hypervisor whose MSRs are out of reach. */
static int rdmsr(uint32_t index, uint64_t *value)
{
	/* The index is the position; with 32 bits the upper half of a position is an argument of its own. */
	return call(__NR_pread64, agent.msr, (long)value, sizeof *value, (long)index, 0) == sizeof *value;
}

/* A guest that must not trust its hypervisor: Intel TDX (leaf 21H), AMD SEV of any kind (SEV_STATUS bit 0). */
static int confidential(void)
{
	int none = -1;
	uint64_t status;
	struct commonhv_regs vendor = {0, 0, 0, 0};
	if (cpuid(&none, 0, 0).eax >= 0x21)
		vendor = cpuid(&none, 0x21, 0);
	if (vendor.ebx == 0x65746e49 && vendor.edx == 0x5844546c && vendor.ecx == 0x20202020) /* "IntelTDX    " */
		return 1;
	return cpuid(&none, 0x80000000, 0).eax >= 0x8000001f && rdmsr(0xc0010131, &status) && (status & 1);
}

/* Why the values are credited with nothing; a null pointer where they are not. */
static const char *reason(void)
{
	if (agent.offer->draft != 3)
		return "drafts 1 and 2 say nothing of the values";
	if (agent.offer->secure != 1)
		return agent.offer->secure < 0 ? "the hypervisor says nothing of its values"
			: "the hypervisor says they are insecure";
	return confidential() ? "a confidential guest must not trust its hypervisor" : 0;
}

/* Draft 3, "The RNG": generation, values, generation; where it changed in between the values are another copy's too. */
static const char *read_values(uint64_t *values, uint64_t *generation)
{
	const int has = (agent.offer->features & COMMONHV_FEATURE_GENERATION) != 0;
	for (int reads = 0; reads < MAX_READS; reads++) {
		uint64_t after = 0;
		int got = 0;
		*generation = 0;
		if (has && !rdmsr(agent.offer->generation, generation))
			return "the generation's register faults: nothing to watch";
		while (got < VALUES && rdmsr(agent.offer->rng, &values[got]))
			got++;
		if (got < VALUES)
			return "the RNG's register faults: are the leaves those of another hypervisor, further below?";
		if (!has || (rdmsr(agent.offer->generation, &after) && after == *generation))
			return commonhv_values_flawed(values, VALUES) ? "the RNG's values repeat or follow a pattern: not used" : 0;
	}
	return "the generation changes at every look: not used";
}

/* One seeding. `agent.report` says afterwards whether the kernel was reseeded. */
static int seed(uint64_t *generation)
{
	uint64_t values[VALUES];
	char draft[12], credited[12];
	const char *flaw = read_values(values, generation), *missing;
	agent.report.why = flaw;
	if (flaw) {
		wipe(values);
		return answer(NO, flaw);
	}
	const char *why = agent.credit < 0 ? reason() : "as told by --credit";
	int bits = agent.credit >= 0 ? agent.credit : why ? 0 : VALUES * VALUE_BITS;
	long failed = mix(values, bits, &missing);
	wipe(values);
	agent.report.why = missing;
	if (failed)
		return answer(CANNOT, failed == -EPERM || failed == -EACCES
			? "/dev/random: not allowed: run as root" : "/dev/random: the kernel does not take the values");
	answered = 0;
	SAY("mixed 512 bits from draft ", decimal(agent.offer->draft, draft), "'s RNG, credited ", decimal(bits, credited), ": ",
	    why ? why : "the hypervisor says they are secure", missing ? "; not reseeded: " : "; reseeded", missing ? missing : "");
	return OK;
}

/* Whether the machine was restored again while hooks run. The driver's device is readable once it has reseeded for that. */
static int restored_again(void)
{
	uint64_t now;
	struct pollfd ready = {agent.driver, POLLIN, 0};
	if (agent.driver >= 0)
		return call(__NR_poll, (long)&ready, 1, 0, 0, 0) > 0;
	return rdmsr(agent.offer->generation, &now) && now != agent.generation;
}

/*
 * Tells the hypervisor that this guest has reseeded for the generation, where both can; 0 where it was refused: restored in
 * between.
 */
static int acknowledge(void)
{
	uint64_t value = agent.generation;
	if (agent.driver >= 0) {
		long done = call(__NR_write, agent.driver, (long)&value, sizeof value, 0, 0);
		return done == sizeof value || done == -EOPNOTSUPP; /* without ack=user the driver has done it */
	}
	if (!(agent.offer->features & COMMONHV_FEATURE_ACK))
		return 1;
	long done = call(__NR_pwrite64, agent.msr, (long)&value, sizeof value, (long)agent.offer->generation, 0);
	if (done == -EPERM)
		SAY("no acknowledgement is sent: lockdown, or the module msr, forbids writes to MSRs");
	return done == sizeof value || done == -EPERM;
}

/* After a restore and its seeding: processes, hooks, acknowledgement. `start` in milliseconds: when the restore was noticed. */
static void announce(uint64_t generation, unsigned start)
{
	struct text hooks = {.used = 0, .bytes = ""};
	agent.generation = generation;
	agent.report.generation = generation;
	agent.report.restores++;
	agent.report.failures += agent.report.why != 0;
	agent.report.last = agent.report.why ? agent.report.last : wall_clock();
	agent.report.milliseconds = now_ms() - start;
	agent.report.hooks = hooks.bytes;
	report(&agent.report, agent.driver < 0);
	int failed = run_hooks("/etc/commonhv/restored.d", generation, &hooks, restored_again);
	if (failed)
		SAY("a hook in /etc/commonhv/restored.d failed or is not root's alone: see /run/commonhv/status");
	if (agent.report.why)
		SAY("not acknowledged: the kernel was not reseeded");
	else if (failed && agent.strict)
		SAY("not acknowledged: a hook failed (--strict)");
	else if (!restored_again() && acknowledge()) {
		report_acknowledged(generation);
		run_hooks("/etc/commonhv/acknowledged.d", generation, &hooks, restored_again);
	}
	struct report last = agent.report; /* the u32 is counted up once a restore */
	last.hooks = hooks.bytes;
	report_status(&last);
	if (agent.metrics)
		report_metrics(&agent.report, agent.metrics);
}

/* At the start of watch mode, which is no restore. */
static void begin(uint64_t generation)
{
	agent.report.generation = generation;
	agent.report.hooks = "";
	agent.report.last = agent.report.why ? 0 : wall_clock();
	report(&agent.report, agent.driver < 0);
	if (agent.metrics)
		report_metrics(&agent.report, agent.metrics);
}

/*
 * Polls the generation, and seeds when it changes: this machine is then a copy, or was restored. Lines end where that is so at
 * look after look, until the generation stays.
 */
static int watch(void)
{
	uint64_t before, now, last;
	int status = seed(&before), changes = 0;
	if (!rdmsr(agent.offer->generation, &now))
		return answer(NO, "the generation's register faults: nothing to watch");
	begin(before);
	for (last = before; status == OK; last = now) {
		call(__NR_poll, 0, 0, agent.interval, 0, 0); /* nothing to wait for but the time */
		/* Its processor went offline, or the machine moved to another hypervisor: the register may come back. */
		if (!rdmsr(agent.offer->generation, &now)) {
			open_msr();
			now = last;
			continue;
		}
		changes = now == last ? 0 : changes + 1;
		agent.quiet = changes > MAX_CHANGES;
		if (now == before)
			continue;
		unsigned start = now_ms();
		if (changes == 1)
			SAY("the machine was resumed from a saved state");
		if (changes == MAX_CHANGES)
			SAY("the generation changes at every look: no more lines until it stays");
		if (seed(&now) == OK) { /* else it is tried again at the next look */
			before = now;
			announce(now, start);
		}
	}
	return status;
}

/* The driver reseeds the kernel; the rest is ours. */
static int follow_driver(void)
{
	uint64_t before, now;
	struct pollfd ready = {agent.driver, POLLIN, 0};
	SAY("following the driver at /dev/commonhv");
	if (call(__NR_read, agent.driver, (long)&before, sizeof before, 0, 0) != sizeof before)
		return answer(CANNOT, "/dev/commonhv: the driver does not answer");
	begin(before);
	for (;;) {
		call(__NR_poll, (long)&ready, 1, agent.interval, 0, 0);
		if (call(__NR_read, agent.driver, (long)&now, sizeof now, 0, 0) != sizeof now || now == before)
			continue;
		before = now;
		announce(now, now_ms());
	}
}

/* A whole decimal number from least to most, else -1. */
static int number(const char *text, int least, int most)
{
	int value = 0;
	if (!text || !*text)
		return -1;
	for (; *text >= '0' && *text <= '9' && value <= most; text++)
		value = 10 * value + *text - '0';
	return !*text && value >= least && value <= most ? value : -1;
}

/* The options; 0, or a line that says what is wrong was printed. */
static int parse(int argc, char **argv, int *watching)
{
	for (int i = 1; i < argc; i++) {
		if (equal(argv[i], "--once"))
			*watching = 0;
		else if (equal(argv[i], "--watch"))
			*watching = 1;
		else if (equal(argv[i], "--doctor"))
			agent.doctor = 1;
		else if (equal(argv[i], "--strict"))
			agent.strict = 1;
		else if (equal(argv[i], "--metrics") && argv[i + 1] && length_of(argv[i + 1]) < 256)
			agent.metrics = argv[++i];
		else if (equal(argv[i], "--interval") && (agent.interval = number(argv[i + 1], 1, 60000)) > 0)
			i++;
		else if (equal(argv[i], "--credit") && (agent.credit = number(argv[i + 1], 0, VALUES * VALUE_BITS)) >= 0)
			i++;
		else
			return answer(CANNOT, "usage: commonhv-agent [--once | --watch | --doctor] [--interval MILLISECONDS]"
				" [--credit BITS] [--strict] [--metrics FILE]");
	}
	return OK;
}

static int program(int argc, char **argv, char **environment)
{
	int watching = 0;
	struct commonhv offer;
	uint64_t generation;
	(void)environment;
	agent.credit = -1;
	agent.interval = 100;
	if (parse(argc, argv, &watching))
		return CANNOT;
	call(__NR_umask, 022, 0, 0, 0, 0);
	int leaves = open_any("/cpuid", O_RDONLY);
	if (agent.doctor)
		return doctor(cpuid, &leaves);
	agent.driver = watching ? call(__NR_open, (long)"/dev/commonhv", O_RDWR | O_CLOEXEC, 0, 0, 0) : -1;
	if (agent.driver >= 0)
		return follow_driver();
	if (!commonhv_discover(&offer, cpuid, &leaves))
		return answer(NO, "no CommonHV here");
	agent.offer = &offer;
	if (!(offer.features & COMMONHV_FEATURE_RNG))
		return answer(NO, "CommonHV is here and offers no RNG");
	agent.writes = watching && offer.features & COMMONHV_FEATURE_ACK;
	agent.msr = -1;
	open_msr();
	if (agent.msr == -EACCES || agent.msr == -EPERM)
		return answer(CANNOT, "/dev/cpu/0/msr: not allowed: run as root");
	if (agent.msr < 0)
		return answer(CANNOT, "/dev/cpu/0/msr: not there: load the module msr");
	if (watching && offer.features & COMMONHV_FEATURE_GENERATION)
		return watch();
	int status = seed(&generation);
	return watching ? answer(NO, "CommonHV is here and offers no generation to watch (draft 3 does)") : status;
}
