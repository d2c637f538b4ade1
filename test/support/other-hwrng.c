// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* For test/driver.test.ts: a hwrng of the highest quality that is there before commonhv.ko. Its bytes are zeros: for a test's guest alone. */
#include <linux/hw_random.h>
#include <linux/module.h>
#include <linux/string.h>

static int give(struct hwrng *rng, void *data, size_t max, bool wait)
{
	memset(data, 0, max);
	return max;
}

static struct hwrng other = { .name = "other", .read = give, .quality = 1024 };

static int __init begin(void)
{
	return hwrng_register(&other);
}
module_init(begin);

static void __exit end(void)
{
	hwrng_unregister(&other);
}
module_exit(end);

MODULE_DESCRIPTION("Another hwrng");
MODULE_LICENSE("Dual MIT/GPL");
