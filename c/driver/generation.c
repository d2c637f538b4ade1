// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The generation: a 64-bit value that differs after every restore of the machine from a saved copy. On a change the kernel's
 * generator gets fresh values and is made to take a new key; then processes, user space and the hypervisor are told.
 *
 * One page has the layout of draft 3's generation page. Where the hypervisor accepts its address it stores the generation
 * there at each restore, before the first guest instruction. Elsewhere this driver stores it when it sees the change.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cc_platform.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kdev_t.h>
#include <linux/kobject.h>
#include <linux/major.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pm.h>
#include <linux/poll.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include "driver.h"

#define READ_TIMEOUT_MS	2000
#define MAX_TRIES	8

static unsigned int interval = 100;
module_param(interval, uint, 0644);
MODULE_PARM_DESC(interval, "milliseconds between two checks of the generation, 1 to 60000 (default 100)");

static char *ack = "kernel";
module_param(ack, charp, 0444);
MODULE_PARM_DESC(ack, "who acknowledges a generation: kernel (default, after its reseed) or user (by write to /dev/commonhv)");

static struct device *device;
static struct workqueue_struct *queue;
static struct commonhv_page *page;
static u32 *sysgenid;			/* a page; its first word is incremented after each reseed */
static bool registered;			/* the hypervisor stores the generation in the page */
static bool given;			/* the hypervisor may still store in the page */
static bool stopped;			/* machine goes down or sleeps: no page may be registered */
static bool ack_by_user;
static bool announced;			/* the first reseed after the load is no restore */
static u64 mixed;			/* the generation for which values were mixed in */
static atomic64_t reseeded;		/* the generation for which the generator was reseeded; 0 for none */
static DEFINE_MUTEX(renewing);
static DECLARE_WAIT_QUEUE_HEAD(changed);

static void check(struct work_struct *work);
static DECLARE_DELAYED_WORK(checks, check);

int generation_read(u64 *now)
{
	if (!(commonhv_offer.features & COMMONHV_FEATURE_GENERATION))
		return -ENODATA;
	/* 0 is no generation: hypervisors that know no such MSR may answer so. */
	return commonhv_rdmsr(commonhv_offer.generation, now) ?: *now ? 0 : -EIO;
}

u64 generation_reseeded(void)
{
	return atomic64_read(&reseeded);
}

bool generation_page_registered(void)
{
	return READ_ONCE(registered);
}

/* Whether the kernel's generator was reseeded for the current generation. On 32 bits a half-read value never compares equal. */
static bool is_current(void)
{
	u64 done = generation_reseeded(), now;

	if (READ_ONCE(registered))
		return done && READ_ONCE(page->generation) == done;
	return !generation_read(&now) && now == done;
}

static void check_now(void)
{
	if (!READ_ONCE(stopped))
		mod_delayed_work(queue, &checks, 0);
}

/* False where the hypervisor may still store in the page. */
static bool unregister_page(void)
{
	u64 have = 0;

	WRITE_ONCE(registered, false);
	if (given) {
		commonhv_wrmsr(commonhv_offer.page, 0);
		given = commonhv_rdmsr(commonhv_offer.page, &have) || have;
	}
	return !given;
}

/*
 * Called at each renewal: a reset or another owner may have changed the register. The page counts as registered only where the
 * hypervisor did store the generation there.
 */
static void register_page(void)
{
	u64 want = virt_to_phys(page) | COMMONHV_PAGE_ENABLE, have, now;
	u32 msr = commonhv_offer.page;

	if (!(commonhv_offer.features & COMMONHV_FEATURE_PAGE) || cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT))
		return;
	if (registered && !commonhv_rdmsr(msr, &have) && have == want)
		return;
	WRITE_ONCE(registered, false);
	if (generation_read(&now))
		return;
	WRITE_ONCE(page->generation, ~now);
	given = !commonhv_wrmsr(msr, want) || given;
	if (!commonhv_rdmsr(msr, &have) && have == want && READ_ONCE(page->generation) == now) {
		WRITE_ONCE(registered, true);
		return;
	}
	unregister_page();
	WRITE_ONCE(page->generation, now);
	pr_warn_once("the hypervisor does not keep the generation page: MSR %08x is polled\n", commonhv_offer.generation);
}

/*
 * Mixes in random values, uncredited. Order of reads: generation, values, generation: values read before a restore are in every
 * copy, and are discarded. Without an RNG the generation alone tells copies apart.
 */
static int mix(u64 *generation)
{
	u64 values[COMMONHV_VALUES], before, now;
	unsigned int i;
	int err;

	for (i = 0; i < MAX_TRIES; i++) {
		bool usable;

		err = generation_read(&before);
		if (err)
			return err;
		*generation = before;
		if (before == mixed)
			return 0;
		usable = !commonhv_read_values(values);
		err = generation_read(&now);
		if (!err && now == before) {
			add_device_randomness(&now, sizeof(now));
			if (usable)
				add_device_randomness(values, sizeof(values));
			mixed = now;
		}
		memzero_explicit(values, sizeof(values));
		if (err || now == before)
			return err;
	}
	return -EAGAIN;
}

/*
 * Has the kernel's generator take a new key from its pool at once, as user space would: no function for it is exported. Runs in a
 * kworker, which has init's root and every capability. -ENODATA: the generator is not seeded yet.
 */
static int reseed(void)
{
	struct file *file = filp_open("/dev/random", O_WRONLY, 0);
	long err = -ENXIO;

	if (IS_ERR(file))
		return PTR_ERR(file);
	if (S_ISCHR(file_inode(file)->i_mode) && file_inode(file)->i_rdev == MKDEV(MEM_MAJOR, 8) &&
	    file->f_op->unlocked_ioctl)
		err = file->f_op->unlocked_ioctl(file, RNDRESEEDCRNG, 0);
	filp_close(file, NULL);
	return err;
}

static int acknowledge(u64 generation)
{
	if (!(commonhv_offer.features & COMMONHV_FEATURE_ACK))
		return -EOPNOTSUPP;
	/* #GP: the machine was restored since; the next check begins again. */
	return commonhv_wrmsr(commonhv_offer.generation, generation) ? -ESTALE : 0;
}

static void announce(u64 generation)
{
	char event[] = "COMMONHV_GENERATION=0123456789abcdef", *env[] = { event, NULL };

	snprintf(event, sizeof(event), "COMMONHV_GENERATION=%016llx", generation);
	pr_notice_ratelimited("the machine was restored from a saved state: random number generator reseeded\n");
	sysfs_notify(&device->kobj, NULL, "generation");
	kobject_uevent_env(&device->kobj, KOBJ_CHANGE, env);
}

static int renew(void)
{
	u64 now;
	int err;

	register_page();
	err = mix(&now);
	if (err)
		return err;
	if (registered && READ_ONCE(page->generation) != now)
		unregister_page();
	if (!registered)
		WRITE_ONCE(page->generation, now);
	err = reseed();
	if (err)
		return err;
	WRITE_ONCE(page->reseeded, now);
	atomic64_set(&reseeded, now);
	WRITE_ONCE(*sysgenid, *sysgenid + 1);
	wake_up_all(&changed);
	vmgenid_event();
	if (announced)
		announce(now);
	announced = true;
	if (!ack_by_user)
		acknowledge(now);
	return 0;
}

static void check(struct work_struct *work)
{
	static unsigned int count;
	u64 now;
	int err = 0;

	mutex_lock(&renewing);
	if (READ_ONCE(stopped)) {
		mutex_unlock(&renewing);
		return;
	}
	/* Now and then the register is compared too: a hypervisor may stop storing in the page. */
	if (registered && ++count % 16 == 0 && !generation_read(&now) && now != READ_ONCE(page->generation))
		unregister_page();
	if (!is_current())
		err = renew();
	mutex_unlock(&renewing);
	/* Each failure is tried again. -ENODATA and -ENOENT are usual early in boot: no seed, no /dev yet. */
	if (err && err != -ENODATA && err != -ENOENT)
		pr_err_once("the random number generator cannot be reseeded: %d\n", err);
	queue_delayed_work(queue, &checks, msecs_to_jiffies(clamp(READ_ONCE(interval), 1U, 60000U)));
}

/* Of an open /dev/commonhv: the generation that was last read. */
struct reader {
	atomic64_t seen;
};

static int commonhv_open(struct inode *inode, struct file *file)
{
	struct reader *reader = kzalloc(sizeof(*reader), GFP_KERNEL);

	file->private_data = reader;
	return reader ? stream_open(inode, file) : -ENOMEM;
}

static int commonhv_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

/* Returns the generation once the kernel's generator is reseeded for it; the reseed itself runs in a kworker. */
static ssize_t commonhv_read(struct file *file, char __user *to, size_t size, loff_t *at)
{
	struct reader *reader = file->private_data;
	u64 done;
	long left;

	if (size < sizeof(done))
		return -EINVAL;
	if (!is_current()) {
		check_now();
		if (file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		left = wait_event_interruptible_timeout(changed, is_current(), msecs_to_jiffies(READ_TIMEOUT_MS));
		if (left <= 0)
			return left ?: -ETIMEDOUT;
	}
	done = generation_reseeded();
	atomic64_set(&reader->seen, done);
	return copy_to_user(to, &done, sizeof(done)) ? -EFAULT : sizeof(done);
}

/* Acknowledges a generation, for a program that has hooks to run first. */
static ssize_t commonhv_write(struct file *file, const char __user *from, size_t size, loff_t *at)
{
	u64 generation;
	int err;

	if (!ack_by_user)
		return -EOPNOTSUPP;
	if (size != sizeof(generation))
		return -EINVAL;
	if (copy_from_user(&generation, from, sizeof(generation)))
		return -EFAULT;
	mutex_lock(&renewing);
	err = generation && generation == generation_reseeded() ? acknowledge(generation) : -ESTALE;
	mutex_unlock(&renewing);
	return err ?: sizeof(generation);
}

static __poll_t commonhv_poll(struct file *file, poll_table *wait)
{
	struct reader *reader = file->private_data;

	poll_wait(file, &changed, wait);
	if (!is_current()) {
		check_now();
		return 0;
	}
	return generation_reseeded() != atomic64_read(&reader->seen) ? EPOLLIN | EPOLLRDNORM : 0;
}

/* One whole page, shared and for good read-only: a mapping that could ever be written has VM_MAYWRITE. */
static int map_page(struct file *file, struct vm_area_struct *vma)
{
	void *address = file->f_op->read ? (void *)page : sysgenid; /* /dev/sysgenid is only mapped */

	if (vma->vm_flags & (VM_WRITE | VM_MAYWRITE))
		return -EACCES;
	if (vma->vm_pgoff || vma->vm_end - vma->vm_start != PAGE_SIZE)
		return -EINVAL;
	return remap_pfn_range(vma, vma->vm_start, virt_to_phys(address) >> PAGE_SHIFT, PAGE_SIZE, vma->vm_page_prot);
}

static const struct file_operations commonhv_ops = {
	.owner = THIS_MODULE, .open = commonhv_open, .release = commonhv_release, .read = commonhv_read,
	.write = commonhv_write, .poll = commonhv_poll, .mmap = map_page,
};

static const struct file_operations sysgenid_ops = { .owner = THIS_MODULE, .mmap = map_page };

static struct miscdevice devices[] = {
	{ .minor = MISC_DYNAMIC_MINOR, .name = "commonhv", .fops = &commonhv_ops, .mode = 0644 },
	{ .minor = MISC_DYNAMIC_MINOR, .name = "sysgenid", .fops = &sysgenid_ops, .mode = 0444 },
};

static void stop(void)
{
	WRITE_ONCE(stopped, true);
	cancel_delayed_work_sync(&checks);
}

static void start(void)
{
	mutex_lock(&renewing);
	WRITE_ONCE(stopped, false);
	register_page();
	mutex_unlock(&renewing);
	check_now();
}

/* Clears the register before memory, or the kernel that owns it, goes: suspend, hibernation, kexec. */
static int generation_suspend(struct device *dev)
{
	if (!page)
		return 0;
	stop();
	unregister_page();
	return 0;
}

static int generation_resume(struct device *dev)
{
	if (page)
		start();
	return 0;
}

/* No hypervisor sees a resume from the guest's own hibernation, which is a restore all the same. */
static int generation_restore(struct device *dev)
{
	if (!page)
		return 0;
	WRITE_ONCE(page->reseeded, 0);
	atomic64_set(&reseeded, 0);
	mixed = 0;
	start();
	return 0;
}

const struct dev_pm_ops generation_pm_ops = {
	.suspend = generation_suspend, .resume = generation_resume,
	.freeze = generation_suspend, .thaw = generation_resume,
	.poweroff = generation_suspend, .restore = generation_restore,
};

void generation_shutdown(struct platform_device *pdev)
{
	generation_suspend(&pdev->dev);
}

static void generation_remove(void *data)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(devices); i++)
		if (!IS_ERR_OR_NULL(devices[i].this_device))
			misc_deregister(&devices[i]);
	stop();
	if (queue)
		destroy_workqueue(queue);
	if (unregister_page())
		free_page((unsigned long)page);
	else
		pr_err("the hypervisor keeps the generation page: the page is not freed\n");
	free_page((unsigned long)sysgenid);
	page = NULL;
}

int generation_probe(struct device *dev)
{
	unsigned int i;
	int err;
	u64 now;

	BUILD_BUG_ON(sizeof(*page) != PAGE_SIZE);
	ack_by_user = sysfs_streq(ack, "user");
	if (!ack_by_user && !sysfs_streq(ack, "kernel")) {
		pr_err("ack=%s: expected kernel or user\n", ack);
		return -EINVAL;
	}
	if (generation_read(&now)) {
		pr_err("the generation's MSR %08x faults: not followed\n", commonhv_offer.generation);
		return 0;
	}
	device = dev;
	page = (void *)get_zeroed_page(GFP_KERNEL);
	sysgenid = (void *)get_zeroed_page(GFP_KERNEL);
	queue = alloc_workqueue(KBUILD_MODNAME, WQ_UNBOUND | WQ_HIGHPRI | WQ_FREEZABLE, 1);
	err = devm_add_action_or_reset(dev, generation_remove, NULL);
	if (err)
		return err;
	if (!page || !sysgenid || !queue)
		return -ENOMEM;
	WRITE_ONCE(page->generation, now);
	vmgenid_probe();
	for (i = 0; i < ARRAY_SIZE(devices); i++) {
		err = misc_register(&devices[i]);
		if (err)
			return err;
	}
	start();
	return 0;
}
