/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Files in /run/commonhv, for processes and in text:
 *   generation       a u32 to map: another value after each restore, written in place, only after the kernel's reseed
 *   generation.text  the machine's generation, 16 hexadecimal digits, replaced atomically
 *   acknowledged     the generation that was acknowledged last, replaced after each restore and its hooks, never at the start
 *   status           JSON: generation, reseeded or not and why, restores, milliseconds, time, hooks; replaced atomically
 * Without the driver, /dev/sysgenid is a file with the same u32, which AWS-LC maps.
 */
#ifndef AGENT_REPORT_H
#define AGENT_REPORT_H

#include <linux/fcntl.h>
#include "freestanding.h"

struct report {
	uint64_t generation;
	const char *why; /* a null pointer: reseeded */
	unsigned restores, failures, milliseconds;
	unsigned last; /* the last reseed, in seconds since 1970; 0 for none */
	const char *hooks; /* JSON members, such as "10-dhcp":0,"20-keys":1 */
};

struct text {
	char bytes[2048];
	size_t used;
};

static void put(struct text *to, const char *from)
{
	while (*from && to->used < sizeof to->bytes - 1)
		to->bytes[to->used++] = *from++;
	to->bytes[to->used] = 0;
}

/* A number as text, in the end of `out`. */
static const char *decimal(unsigned value, char out[12])
{
	char *at = out + 11;
	*at = 0;
	do *--at = '0' + value % 10; while (value /= 10);
	return at;
}

static void put_number(struct text *to, unsigned value)
{
	char digits[12];
	put(to, decimal(value, digits));
}

static void put_hex(struct text *to, uint64_t value)
{
	char digits[17];
	for (int i = 15; i >= 0; i--, value >>= 4)
		digits[i] = "0123456789abcdef"[value & 15];
	digits[16] = 0;
	put(to, digits);
}

static void write_file(const char *path, int flags, const void *bytes, size_t length)
{
	long fd = call(__NR_open, (long)path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0644, 0, 0);
	if (fd < 0)
		return;
	call(__NR_write, fd, (long)bytes, length, 0, 0);
	call(__NR_close, fd, 0, 0, 0, 0);
}

static void replace_file(const char *path, const char *beside, const struct text *content)
{
	write_file(beside, O_TRUNC, content->bytes, content->used);
	call(__NR_rename, (long)beside, (long)path, 0, 0, 0);
}

/* One more than the u32 that is in the file; processes compare for inequality. */
static void count_up(const char *path)
{
	uint32_t value = 0;
	long fd = call(__NR_open, (long)path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0, 0, 0);
	if (fd >= 0) {
		call(__NR_read, fd, (long)&value, sizeof value, 0, 0);
		call(__NR_close, fd, 0, 0, 0, 0);
	}
	value = value + 1 ? value + 1 : 1;
	write_file(path, 0, &value, sizeof value);
}

static unsigned wall_clock(void)
{
	struct { long seconds, nanoseconds; } clock = {0, 0};
	call(__NR_clock_gettime, 0, (long)&clock, 0, 0, 0);
	return (unsigned)clock.seconds;
}

static void report_status(const struct report *now)
{
	struct text status = {.used = 0};
	put(&status, "{\"generation\":\"0x"), put_hex(&status, now->generation);
	put(&status, "\",\"reseeded\":"), put(&status, now->why ? "false,\"why\":\"" : "true,\"why\":null");
	if (now->why)
		put(&status, now->why), put(&status, "\"");
	put(&status, ",\"restores\":"), put_number(&status, now->restores);
	put(&status, ",\"failures\":"), put_number(&status, now->failures);
	put(&status, ",\"milliseconds\":"), put_number(&status, now->milliseconds);
	put(&status, ",\"time\":"), put_number(&status, wall_clock());
	put(&status, ",\"hooks\":{"), put(&status, now->hooks), put(&status, "}}\n");
	replace_file("/run/commonhv/status", "/run/commonhv/status.new", &status);
}

/* After a seeding. Where the kernel was not reseeded the u32 stays, so that no process draws from it for this restore. */
static void report(const struct report *now, int without_driver)
{
	struct text text = {.used = 0};
	call(__NR_mkdir, (long)"/run", 0755, 0, 0, 0);
	call(__NR_mkdir, (long)"/run/commonhv", 0755, 0, 0, 0);
	if (!now->why) {
		count_up("/run/commonhv/generation");
		if (without_driver)
			count_up("/dev/sysgenid");
	}
	put_hex(&text, now->generation);
	put(&text, "\n");
	replace_file("/run/commonhv/generation.text", "/run/commonhv/generation.new", &text);
	report_status(now);
}

/* After a restore was acknowledged: systemd's commonhv-restored.path watches this file. */
static void report_acknowledged(uint64_t generation)
{
	struct text text = {.used = 0};
	put_hex(&text, generation), put(&text, "\n");
	replace_file("/run/commonhv/acknowledged", "/run/commonhv/acknowledged.new", &text);
}

/* The same for Prometheus' textfile collector. */
static void report_metrics(const struct report *now, const char *path)
{
	struct text text = {.used = 0}, beside = {.used = 0};
	put(&beside, path), put(&beside, ".new");
	put(&text, "# TYPE commonhv_restores_total counter\ncommonhv_restores_total "), put_number(&text, now->restores);
	put(&text, "\n# TYPE commonhv_reseed_failures_total counter\ncommonhv_reseed_failures_total ");
	put_number(&text, now->failures);
	put(&text, "\n# TYPE commonhv_reseeded gauge\ncommonhv_reseeded "), put_number(&text, !now->why);
	put(&text, "\n# TYPE commonhv_last_reseed_timestamp_seconds gauge\ncommonhv_last_reseed_timestamp_seconds ");
	put_number(&text, now->last), put(&text, "\n");
	replace_file(path, beside.bytes, &text);
}

#endif
