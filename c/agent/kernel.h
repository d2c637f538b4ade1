/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The kernel's generator: mixing, and the forced reseed with its truth (drivers/char/random.c). RNDRESEEDCRNG exists since
 * Linux 4.14. Before 5.18 it rekeys nothing unless 128 bits are credited in the pool, and reports success all the same. Before
 * 4.8 a write to /dev/random goes into the pool of which /dev/urandom draws, at once; from 4.8 to 4.13 nothing forces a reseed,
 * which comes within five minutes by itself.
 */
#ifndef AGENT_KERNEL_H
#define AGENT_KERNEL_H

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/random.h>
#include <linux/utsname.h>
#include "freestanding.h"

enum { VALUES = 8, VALUE_BITS = 64 }; /* 512 bits: twice what the kernel wants before it counts as seeded */

/* Secrets do not outlive their use; no compiler leaves this out. */
static void wipe(volatile uint64_t *values)
{
	for (int i = 0; i < VALUES; i++)
		values[i] = 0;
}

/* 4014 for Linux 4.14; 0 where the release is not understood. `release` is of the form "4.14.0-1". */
static unsigned kernel_version(const char *release)
{
	unsigned part[2] = {0, 0};
	for (int i = 0; i < 2; i++, release++) {
		if (*release < '0' || *release > '9')
			return 0;
		for (; *release >= '0' && *release <= '9' && part[i] < 1000; release++)
			part[i] = 10 * part[i] + *release - '0';
	}
	return part[0] * 1000 + part[1];
}

static unsigned running_kernel(void)
{
	struct new_utsname name;
	return call(__NR_uname, (long)&name, 0, 0, 0, 0) ? 0 : kernel_version(name.release);
}

/* Why this kernel cannot be made to draw from what was mixed in; a null pointer where it can. */
static const char *no_reseed(unsigned version, int credited)
{
	if (version && version < 4008)
		return 0;
	if (version && version < 4014)
		return "Linux before 4.14 has no forced reseed";
	if (version && version < 5018 && credited < 128)
		return "Linux before 5.18 reseeds only with 128 credited bits";
	return 0;
}

/*
 * Mixes the values, credits `bits`, and has the generator rekeyed. Returns 0 or a negative error number of the mixing. `*why`
 * becomes a null pointer where the kernel was reseeded, else the reason why it was not.
 */
static long mix(const uint64_t *values, int bits, const char **why)
{
	struct {
		int entropy_count, buf_size;
		uint64_t values[VALUES];
	} pool = {.entropy_count = bits, .buf_size = sizeof pool.values};
	int fd = call(__NR_open, (long)"/dev/random", O_WRONLY | O_CLOEXEC, 0, 0, 0);
	*why = "nothing was mixed in";
	if (fd < 0)
		return fd;
	for (int i = 0; i < VALUES; i++)
		pool.values[i] = values[i];
	const unsigned version = running_kernel();
	const int by_write = version && version < 4008;
	long failed = call(__NR_ioctl, fd, RNDADDENTROPY, (long)&pool, 0, 0);
	if (!failed) {
		*why = no_reseed(version, bits);
		long refused = *why ? 0
			: by_write ? call(__NR_write, fd, (long)pool.values, sizeof pool.values, 0, 0) - (long)sizeof pool.values
			: call(__NR_ioctl, fd, RNDRESEEDCRNG, 0, 0, 0);
		if (refused)
			*why = refused == -ENODATA ? "the kernel's generator is not seeded yet"
				: "the kernel refuses the forced reseed";
	}
	wipe(pool.values);
	call(__NR_close, fd, 0, 0, 0, 0);
	return failed;
}

#endif
