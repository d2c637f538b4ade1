/* commonhv-agent: seeds a Linux guest's kernel from CommonHV's RNG, early in boot, and again when the machine was
 * resumed from a saved state. The same job as `commonhv seed`, for where there is no Node: an initramfs, a small guest.
 *
 *   commonhv-agent [--once | --watch] [--interval MILLISECONDS] [--credit BITS]
 *
 * Exit status: 0 well; 1 the answer is no (no CommonHV, no RNG, words that failed the checks, nothing to watch); 2 it
 * could not be asked. No answer of the hypervisor is trusted, and nothing is ever written to it.
 * It talks to the kernel itself and links no C library: to start one takes longer than all of the agent's work.
 */
#include <asm/unistd.h>
#include <cpuid.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/random.h>
#include <linux/uio.h>
#include "commonhv.h"

enum { OK = 0, NO = 1, CANNOT = 2 };
enum { WORDS = 8, WORD_BITS = 64 }; /* 512 bits: twice the kernel's own limit for being seeded */

static int msr_fd;
static const char *answered; /* the last message */

/* A system call; a failure is the negative error number. */
static long call(long number, long a, long b, long c, long d, long e)
{
	long result;
#ifdef __x86_64__
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e;
	__asm__ volatile("syscall" : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
#else
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
#endif
	return result;
}

/* One line for standard error, at once, of pieces up to a null pointer. */
#define SAY(...) say((const char *const[]){"commonhv-agent: ", __VA_ARGS__, "\n", 0})
static void say(const char *const *pieces)
{
	struct iovec parts[10];
	int count = 0;
	for (; *pieces; pieces++, count++) {
		parts[count].iov_base = (void *)*pieces;
		for (parts[count].iov_len = 0; (*pieces)[parts[count].iov_len]; parts[count].iov_len++)
			;
	}
	call(__NR_writev, 2, (long)parts, count, 0, 0);
}

/* Says why; once, where a watch tries again and again. */
static int answer(int status, const char *why)
{
	if (why != answered)
		SAY(why);
	answered = why;
	return status;
}

/* A number as text, in the end of `out`. */
static const char *decimal(unsigned value, char out[12])
{
	char *at = out + 11;
	*at = 0;
	do *--at = '0' + value % 10; while (value /= 10);
	return at;
}

static int equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* Secrets do not outlive their use; no compiler leaves this out. */
static void wipe(volatile uint64_t *words)
{
	for (int i = 0; i < WORDS; i++)
		words[i] = 0;
}

static struct commonhv_regs cpuid(void *context, uint32_t leaf, uint32_t subleaf)
{
	struct commonhv_regs regs;
	(void)context;
	__cpuid_count(leaf, subleaf, regs.eax, regs.ebx, regs.ecx, regs.edx);
	return regs;
}

/* False where it faults: nested, the leaves may be those of a hypervisor whose MSRs are out of reach. */
static int rdmsr(uint32_t index, uint64_t *value)
{
	/* The index is the position; with 32 bits the upper half of a position is an argument of its own. */
	return call(__NR_pread64, msr_fd, (long)value, sizeof *value, (long)index, 0) == sizeof *value;
}

/* A guest that must not trust its hypervisor: Intel TDX (leaf 21H), AMD SEV of any kind (SEV_STATUS bit 0). */
static int confidential(void)
{
	uint64_t status;
	struct commonhv_regs vendor = {0, 0, 0, 0};
	if (cpuid(0, 0, 0).eax >= 0x21)
		vendor = cpuid(0, 0x21, 0);
	if (vendor.ebx == 0x65746e49 && vendor.edx == 0x5844546c && vendor.ecx == 0x20202020) /* "IntelTDX    " */
		return 1;
	return cpuid(0, 0x80000000, 0).eax >= 0x8000001f && rdmsr(0xc0010131, &status) && (status & 1);
}

/* Why the words are credited with nothing; a null pointer where they are not. */
static const char *reason(const struct commonhv *offer)
{
	if (offer->draft != 3)
		return "drafts 1 and 2 say nothing of the values";
	if (offer->secure != 1)
		return offer->secure < 0 ? "the hypervisor says nothing of its values" : "the hypervisor says they are insecure";
	return confidential() ? "a confidential guest must not trust its hypervisor" : 0;
}

/* Mixes and credits; the kernel's generator is then told to use it at once. 0, or the negative error number. */
static long mix(const uint64_t *words, int bits)
{
	struct {
		int entropy_count, buf_size;
		uint64_t words[WORDS];
	} pool = {.entropy_count = bits, .buf_size = sizeof pool.words};
	int fd = call(__NR_open, (long)"/dev/random", O_WRONLY | O_CLOEXEC, 0, 0, 0);
	if (fd < 0)
		return fd;
	for (int i = 0; i < WORDS; i++)
		pool.words[i] = words[i];
	long failed = call(__NR_ioctl, fd, RNDADDENTROPY, (long)&pool, 0, 0);
	wipe(pool.words);
	if (!failed)
		failed = call(__NR_ioctl, fd, RNDRESEEDCRNG, 0, 0, 0);
	call(__NR_close, fd, 0, 0, 0, 0);
	/* ENODATA: the generator was never seeded, and will be when enough is credited. */
	return failed == -ENODATA ? 0 : failed;
}

/* One seeding; `credit` is -1 to go by the hypervisor's statement. */
static int seed(const struct commonhv *offer, int credit)
{
	uint64_t words[WORDS];
	char draft[12], credited[12];
	int got = 0;
	while (got < WORDS && rdmsr(offer->rng, &words[got]))
		got++;
	if (got < WORDS || commonhv_values_flawed(words, WORDS)) {
		wipe(words);
		return answer(NO, got < WORDS
			? "the RNG's register faults: are the leaves those of another hypervisor, further below?"
			: "the RNG's words repeat or follow a pattern: not used");
	}
	const char *why = credit < 0 ? reason(offer) : "as told by --credit";
	int bits = credit >= 0 ? credit : why ? 0 : WORDS * WORD_BITS;
	long failed = mix(words, bits);
	wipe(words);
	if (failed)
		return answer(CANNOT, failed == -EPERM || failed == -EACCES
			? "/dev/random: not allowed: run as root" : "/dev/random: the kernel does not take the words");
	answered = 0;
	SAY("mixed 512 bits from draft ", decimal(offer->draft, draft), "'s RNG, credited ", decimal(bits, credited), ": ",
	    why ? why : "the hypervisor says they are secure");
	return OK;
}

/* Polls the generation, and seeds when it changes: this machine is then a copy, or was restored. */
static int watch(const struct commonhv *offer, int milliseconds, int credit)
{
	uint64_t before, now, told = 0;
	int there = rdmsr(offer->generation, &before), status = seed(offer, credit);
	if (!there)
		return answer(NO, "the generation's register faults: nothing to watch");
	while (status == OK) {
		call(__NR_poll, 0, 0, milliseconds, 0, 0); /* nothing to wait for but the time */
		/* A fault later on (a move to another hypervisor) is waited out: the register may come back. */
		if (!rdmsr(offer->generation, &now) || now == before)
			continue;
		if (now != told)
			SAY("the machine was resumed from a saved state");
		told = now;
		if (seed(offer, credit) == OK) /* else it is tried again at the next look */
			before = now;
	}
	return status;
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

static int run(int argc, char **argv)
{
	int watching = 0, credit = -1, interval = 100;
	for (int i = 1; i < argc; i++) {
		if (equal(argv[i], "--once"))
			watching = 0;
		else if (equal(argv[i], "--watch"))
			watching = 1;
		else if (equal(argv[i], "--interval") && (interval = number(argv[i + 1], 1, 60000)) > 0)
			i++;
		else if (equal(argv[i], "--credit") && (credit = number(argv[i + 1], 0, WORDS * WORD_BITS)) >= 0)
			i++;
		else
			return answer(CANNOT, "usage: commonhv-agent [--once | --watch] [--interval MILLISECONDS] [--credit BITS]");
	}
	struct commonhv offer;
	if (!commonhv_discover(&offer, cpuid, 0))
		return answer(NO, "no CommonHV here");
	if (!(offer.features & COMMONHV_FEATURE_RNG))
		return answer(NO, "CommonHV is here and offers no RNG");
	msr_fd = call(__NR_open, (long)"/dev/cpu/0/msr", O_RDONLY | O_CLOEXEC, 0, 0, 0);
	if (msr_fd == -EACCES || msr_fd == -EPERM)
		return answer(CANNOT, "/dev/cpu/0/msr: not allowed: run as root, with no kernel lockdown");
	if (msr_fd < 0)
		return answer(CANNOT, "/dev/cpu/0/msr: not there: load the module msr");
	if (watching && (offer.features & COMMONHV_FEATURE_GENERATION))
		return watch(&offer, interval, credit);
	int status = seed(&offer, credit);
	return watching ? answer(NO, "CommonHV is here and offers no generation to watch (draft 3 does)") : status;
}

/* The kernel enters with the count of the arguments on the stack, and then the arguments. */
__attribute__((used)) static void start(long *stack)
{
	call(__NR_exit, run(stack[0], (char **)(stack + 1)), 0, 0, 0, 0);
}
#ifdef __x86_64__
__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call start");
#else
__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %esp, %eax\n and $-16, %esp\n sub $12, %esp\n push %eax\n call start");
#endif
