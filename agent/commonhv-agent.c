/* commonhv-agent: seeds a Linux guest's kernel from CommonHV's RNG, early in boot, and again when the machine was
 * resumed from a saved state. The same job as `commonhv seed`, for where there is no Node: an initramfs, a small guest.
 *
 *   commonhv-agent [--once | --watch] [--interval MILLISECONDS] [--credit BITS]
 *
 * Exit status: 0 well; 1 the answer is no (no CommonHV, no RNG, words that failed the checks, nothing to watch); 2 it
 * could not be asked. Everything that the hypervisor answers is taken for hostile, and nothing is ever written to it.
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64 /* an MSR's index is a position, and may have bit 31 set */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { OK = 0, NO = 1, CANNOT = 2 };
enum { WORDS = 8, WORD_BITS = 64 }; /* 512 bits: twice what the kernel wants before it counts as seeded */

struct regs {
	uint32_t eax, ebx, ecx, edx;
};

/* What CommonHV offers, any draft. */
struct offer {
	int draft; /* 1, 2, 3; 0 where every reading gives no RNG */
	int has_rng, has_generation;
	int secure; /* 1, 0, or -1 for no statement */
	uint32_t rng, generation;
};

static int msr_fd = -1;

static void say(const char *text)
{
	dprintf(STDERR_FILENO, "commonhv-agent: %s\n", text);
}

static struct regs cpuid(uint32_t leaf)
{
	struct regs regs;
	__cpuid_count(leaf, 0, regs.eax, regs.ebx, regs.ecx, regs.edx);
	return regs;
}

/* Leaf 4F000000H: 0 where this is not CommonHV, by all twelve bytes and the range of max_commonhv_leaf. */
static uint32_t max_leaf(void)
{
	struct regs root = cpuid(0x4f000000);
	if (memcmp(&root.ebx, "CommonHVIntf", 12) != 0)
		return 0;
	return root.eax >= 0x4f000000 && root.eax <= 0x4fffffff ? root.eax : 0;
}

static struct regs leaf_or_zeros(uint32_t leaf, uint32_t max)
{
	/* "Any leaves ... that exceed max_commonhv_leaf MUST be handled by guests as though they contain all zeros." */
	struct regs zeros = {0, 0, 0, 0};
	return leaf <= max ? cpuid(leaf) : zeros;
}

/* Which draft it is, by the same five questions as everywhere in the project; then its registers. */
static struct offer discover(uint32_t max)
{
	struct regs list = leaf_or_zeros(0x4f000001, max);
	struct regs features = leaf_or_zeros(0x4f000002, max);
	struct regs at = leaf_or_zeros(0x4f000003, max);
	struct offer offer = {.secure = -1};
	int third = features.ebx >= 3;

	if (max >= 0x4f000003)
		offer.draft = third ? 3 : 2;
	else if (third)
		offer.draft = 3;
	else if (features.eax || list.ebx || list.ecx || list.edx)
		offer.draft = 1;
	else if (list.eax)
		offer.draft = 2;

	if (offer.draft == 1) {
		offer.has_rng = features.eax != 0;
		offer.rng = features.eax;
	} else if (max >= 0x4f000003) {
		offer.has_rng = features.eax & 1;
		offer.rng = at.eax;
		if (offer.draft == 3) {
			offer.generation = at.ecx;
			offer.has_generation = (features.eax & 4) && !(offer.has_rng && at.ecx == at.eax);
			if ((at.ebx & 3) == 1 || (at.ebx & 3) == 2)
				offer.secure = at.ebx & 1;
		}
	}
	return offer;
}

static int open_msr(void)
{
	msr_fd = open("/dev/cpu/0/msr", O_RDONLY | O_CLOEXEC);
	if (msr_fd >= 0)
		return OK;
	say(errno == EACCES || errno == EPERM ? "/dev/cpu/0/msr: not allowed: run as root, with no kernel lockdown"
					      : "/dev/cpu/0/msr: not there: load the module msr");
	return CANNOT;
}

/* False where it faults: nested, the leaves may be those of a hypervisor whose MSRs are out of reach. */
static int rdmsr(uint32_t index, uint64_t *value)
{
	return pread(msr_fd, value, sizeof *value, (off_t)index) == sizeof *value;
}

/* A guest that must not trust its hypervisor: Intel TDX (leaf 21H), AMD SEV of any kind (SEV_STATUS bit 0). */
static int confidential(void)
{
	uint64_t status;
	if (cpuid(0).eax >= 0x21) {
		struct regs vendor = cpuid(0x21);
		if (!memcmp(&vendor.ebx, "Inte", 4) && !memcmp(&vendor.edx, "lTDX", 4) && !memcmp(&vendor.ecx, "    ", 4))
			return 1;
	}
	return cpuid(0x80000000).eax >= 0x8000001f && rdmsr(0xc0010131, &status) && (status & 1);
}

/* What a few words can betray: one that comes twice, or two steps from word to word that are the same. */
static int flawed(const uint64_t *words)
{
	for (int i = 0; i < WORDS; i++)
		for (int j = 0; j < i; j++)
			if (words[i] == words[j] || (j > 0 && words[i] - words[i - 1] == words[j] - words[j - 1]))
				return 1;
	return 0;
}

static const char *reason(const struct offer *offer)
{
	if (offer->draft != 3)
		return "drafts 1 and 2 say nothing of the words";
	if (offer->secure != 1)
		return offer->secure < 0 ? "the hypervisor says nothing of its words" : "the hypervisor says they are insecure";
	return confidential() ? "a confidential guest must not trust its hypervisor" : NULL;
}

/* Mixes and credits; the kernel's generator is then told to use it at once. */
static int mix(int fd, const uint64_t *words, int bits)
{
	struct {
		int entropy_count;
		int buf_size;
		uint64_t words[WORDS];
	} pool = {bits, WORDS * sizeof *words, {0}};
	memcpy(pool.words, words, sizeof pool.words);
	int done = ioctl(fd, RNDADDENTROPY, &pool) == 0;
	explicit_bzero(&pool, sizeof pool);
	/* ENODATA: the generator was never seeded, and will be when enough is credited. */
	return done && (ioctl(fd, RNDRESEEDCRNG) == 0 || errno == ENODATA);
}

/* One seeding; `credit` is -1 for what the hypervisor's statement is worth. */
static int seed(const struct offer *offer, int credit)
{
	uint64_t words[WORDS];
	int status = OK;
	for (int i = 0; i < WORDS; i++)
		if (!rdmsr(offer->rng, &words[i])) {
			say("the RNG's register faults: are the leaves those of another hypervisor, further below?");
			return NO;
		}
	if (flawed(words)) {
		say("the RNG's words repeat or follow a pattern: not used");
		status = NO;
	} else {
		const char *why = credit < 0 ? reason(offer) : "as told by --credit";
		int bits = credit >= 0 ? credit : why ? 0 : WORDS * WORD_BITS;
		int fd = open("/dev/random", O_WRONLY | O_CLOEXEC);
		if (fd < 0 || !mix(fd, words, bits)) {
			dprintf(STDERR_FILENO, "commonhv-agent: /dev/random: %s%s\n", strerror(errno),
				errno == EPERM ? ": run as root" : "");
			status = CANNOT;
		} else {
			dprintf(STDERR_FILENO, "commonhv-agent: mixed %d bits from draft %d's RNG, credited %d: %s\n",
				WORDS * WORD_BITS, offer->draft, bits, why ? why : "the hypervisor says they are secure");
		}
		if (fd >= 0)
			close(fd);
	}
	explicit_bzero(words, sizeof words);
	return status;
}

/* Polls the generation, and seeds when it changes: this machine is then a copy, or was put back. */
static int watch(const struct offer *offer, long milliseconds, int credit)
{
	const struct timespec interval = {milliseconds / 1000, milliseconds % 1000 * 1000000};
	uint64_t before, now;
	if (!rdmsr(offer->generation, &before)) {
		say("the generation's register faults: nothing to watch");
		return NO;
	}
	int status = seed(offer, credit);
	if (status != OK)
		return status;
	for (;;) {
		nanosleep(&interval, NULL);
		/* A fault later on (a move to another hypervisor) is waited out: the register may come back. */
		if (!rdmsr(offer->generation, &now) || now == before)
			continue;
		before = now;
		say("the machine was resumed from a saved state");
		seed(offer, credit);
	}
}

static int usage(void)
{
	say("usage: commonhv-agent [--once | --watch] [--interval MILLISECONDS] [--credit BITS]");
	return CANNOT;
}

/* A whole decimal number from least to most, else -1. */
static long number(const char *text, long least, long most)
{
	char *end;
	errno = 0;
	long value = text ? strtol(text, &end, 10) : -1;
	return text && *text && !*end && !errno && value >= least && value <= most ? value : -1;
}

int main(int argc, char **argv)
{
	int watching = 0, credit = -1;
	long interval = 100;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--once"))
			watching = 0;
		else if (!strcmp(argv[i], "--watch"))
			watching = 1;
		else if (!strcmp(argv[i], "--interval") && (interval = number(argv[i + 1], 1, 60000)) > 0)
			i++;
		else if (!strcmp(argv[i], "--credit") && (credit = number(argv[i + 1], 0, WORDS * WORD_BITS)) >= 0)
			i++;
		else
			return usage();
	}
	uint32_t max = max_leaf();
	if (max == 0) {
		say("no CommonHV here");
		return NO;
	}
	struct offer offer = discover(max);
	if (!offer.has_rng) {
		say("CommonHV is here and offers no RNG");
		return NO;
	}
	if (open_msr() != OK)
		return CANNOT;
	if (!watching)
		return seed(&offer, credit);
	if (!offer.has_generation) {
		say("CommonHV is here and offers no generation to watch (draft 3 does)");
		seed(&offer, credit);
		return NO;
	}
	return watch(&offer, interval, credit);
}
