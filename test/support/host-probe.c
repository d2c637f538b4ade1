/*
 * commonhv-host.c behind the probe guest's line protocol (src/probe/wire.ts): the description as arguments, one answer a
 * line. `x` restores in place, `f` breaks the source for good, `y` resets, `p` shows the stores to the generation page; `e` prints the table's entries.
 */
#include "../../c/host/commonhv-text.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static struct commonhv_settings settings;
static struct commonhv_host host;
static uint64_t stored_address, stored_value, acknowledged;
static int source_fails;

static int draw(void *context, uint64_t *value)
{
	(void)context;
	return !source_fails && getrandom(value, sizeof(*value), 0) == sizeof(*value) ? 0 : -1;
}

static void acknowledge(void *context, uint64_t generation)
{
	(void)context;
	(void)generation;
	acknowledged++;
}

/* Guest memory is 1 MiB of RAM. */
static int store(void *context, uint64_t address, uint64_t value)
{
	(void)context;
	if (address >= 1 << 20)
		return -1;
	stored_address = address;
	stored_value = value;
	return 0;
}

static const struct commonhv_host_ops ops = { .random = draw, .acknowledged = acknowledge, .store = store };

static void entries(void)
{
	struct commonhv_entry e;
	uint32_t i;

	for (i = 0; commonhv_host_entry(&settings.description, i, &e); i++)
		printf("%s%x.%x", i ? " " : "e ", e.leaf, e.subleaf);
	printf("\n");
}

static void answer(const char *line)
{
	unsigned a = 0, b = 0, c = 0;
	struct commonhv_regs regs = { 0, 0, 0, 0 };
	enum commonhv_answer how;
	uint64_t value = 0;
	char letter = 0;

	if (sscanf(line, " %c %x %x %x", &letter, &a, &b, &c) < 1)
		return;
	if (letter == 'c') {
		if (!commonhv_host_cpuid(&settings.description, a, b, &regs) && a == 1)
			regs.ecx = (uint32_t)settings.hypervisor_bit << 31;
		printf("c %08x %08x %08x %08x\n", regs.eax, regs.ebx, regs.ecx, regs.edx);
	} else if (letter == 'r') {
		how = commonhv_host_rdmsr(&host, a, &value);
		how == COMMONHV_OK ? printf("r %08x %08x\n", (unsigned)(value >> 32), (unsigned)value) : printf("r #gp\n");
	} else if (letter == 'w') {
		how = commonhv_host_wrmsr(&host, a, (uint64_t)b << 32 | c);
		printf(how == COMMONHV_OK ? "w\n" : "w #gp\n");
	} else if (letter == 'x') {
		printf(commonhv_host_restored(&host, NULL) ? "x refused\n" : "x\n");
	} else if (letter == 'y') {
		commonhv_host_reset(&host);
		printf("y\n");
	} else if (letter == 'f') {
		source_fails = 1;
		printf("f\n");
	} else if (letter == 'p') {
		printf("p %llx %016llx %llu\n", (unsigned long long)stored_address, (unsigned long long)stored_value,
		       (unsigned long long)acknowledged);
	} else if (letter == 'e') {
		entries();
	} else {
		printf("commonhv probe 1\n");
	}
}

int main(int argc, char **argv)
{
	char line[128];
	const char *flaw;
	int i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	commonhv_settings_default(&settings);
	for (i = 1; i < argc; i++)
		if (commonhv_settings_word(&settings, argv[i]))
			return fprintf(stderr, "cannot read %s\n", argv[i]), 2;
	flaw = commonhv_settings_prefer(&settings) ? "prefer" : commonhv_description_flaw(&settings.description);
	if (flaw || commonhv_host_start(&host, &settings.description, &ops, NULL))
		return fprintf(stderr, "%s\n", flaw ? flaw : "the source does not work"), 1;
	printf("commonhv probe 1\n");
	while (fgets(line, sizeof(line), stdin))
		answer(line);
	return 0;
}
