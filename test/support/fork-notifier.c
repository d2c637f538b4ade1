// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* For test/driver-amd64.test.ts: a module that counts the calls of the kernel's fork notifiers, in its parameter `calls`. */
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/random.h>

static unsigned int calls;
module_param(calls, uint, 0444);

static int forked(struct notifier_block *block, unsigned long action, void *data)
{
	WRITE_ONCE(calls, calls + 1);
	return NOTIFY_DONE;
}

static struct notifier_block notifier = { .notifier_call = forked };

static int __init subscribe(void)
{
	return register_random_vmfork_notifier(&notifier);
}
module_init(subscribe);

static void __exit unsubscribe(void)
{
	unregister_random_vmfork_notifier(&notifier);
}
module_exit(unsubscribe);

MODULE_DESCRIPTION("Counts fork notifications");
MODULE_LICENSE("Dual MIT/GPL");
