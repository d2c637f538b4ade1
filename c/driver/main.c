// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * commonhv: the guest's side of CommonHV (CPUID leaves 4F000000H to 4F000003H, drafts 1 to 3).
 *
 * This file discovers the hypervisor's offer, registers its RNG as a hwrng where the hypervisor vouches for it, and shows the
 * offer in sysfs. generation.c follows the generation. No answer of the hypervisor is trusted: each is bounded and checked.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/acpi.h>
#include <linux/cc_platform.h>
#include <linux/gfp.h>
#include <linux/hw_random.h>
#include <linux/io.h>
#include <linux/mod_devicetable.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <asm/cpu_device_id.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include "driver.h"

/* As many as fit into one sysfs page with every byte of a signature escaped. */
#define MAX_SHOWN 64

struct commonhv commonhv_offer __ro_after_init;
static struct commonhv_tuple tuples[MAX_SHOWN] __ro_after_init;
static unsigned int tuple_count __ro_after_init;
static bool vouched;		/* registered as a hwrng; the kernel credits the one that is current */
static struct platform_device *device;

static ushort quality = 1024;
module_param(quality, ushort, 0444);
MODULE_PARM_DESC(quality, "entropy per 1024 bits of a vouched-for RNG, 0 to 1024; 0: register no hwrng (default 1024)");

static bool vmgenid;
module_param(vmgenid, bool, 0444);
MODULE_PARM_DESC(vmgenid, "add an ACPI VM generation device for the kernel's own driver; pins the module (default off)");

/* The kernel's own accessor moved between headers in 7.x. */
static struct commonhv_regs cpuid_regs(void *context, uint32_t leaf, uint32_t subleaf)
{
	struct commonhv_regs r;

	asm volatile("cpuid" : "=a" (r.eax), "=b" (r.ebx), "=c" (r.ecx), "=d" (r.edx) : "0" (leaf), "2" (subleaf));
	return r;
}

int commonhv_rdmsr(u32 index, u64 *value)
{
	u32 low, high;

	if (rdmsr_safe(index, &low, &high))
		return -EIO;
	*value = low | (u64)high << 32;
	return 0;
}

int commonhv_wrmsr(u32 index, u64 value)
{
	return wrmsr_safe(index, lower_32_bits(value), upper_32_bits(value)) ? -EIO : 0;
}

int commonhv_read_values(u64 *values)
{
	unsigned int i;
	int err = 0;

	if (!(commonhv_offer.features & COMMONHV_FEATURE_RNG))
		return -ENODATA;
	for (i = 0; i < COMMONHV_VALUES && !err; i++)
		err = commonhv_rdmsr(commonhv_offer.rng, &values[i]);
	if (!err && commonhv_values_flawed(values, COMMONHV_VALUES))
		err = -EIO;
	if (err) {
		memzero_explicit(values, COMMONHV_VALUES * sizeof(*values));
		pr_err_once("the RNG's MSR %08x faults, or its values repeat or follow a pattern: not used\n",
			    commonhv_offer.rng);
	}
	return err;
}

static int rng_read(struct hwrng *rng, void *data, size_t max, bool wait)
{
	u64 values[COMMONHV_VALUES];
	int err = commonhv_read_values(values);

	max = min(max, sizeof(values));
	if (err)
		return err;
	memcpy(data, values, max);
	memzero_explicit(values, sizeof(values));
	return max;
}

static struct hwrng hwrng = { .name = KBUILD_MODNAME, .read = rng_read };

#define SHOW(name, format, value)									\
	static ssize_t name##_show(struct device *dev, struct device_attribute *attr, char *buf)	\
	{												\
		return sysfs_emit(buf, format, value);							\
	}												\
	static DEVICE_ATTR_RO(name)

SHOW(draft, "%d\n", commonhv_offer.draft);
SHOW(preferred, "%u\n", commonhv_offer.preferred);
SHOW(reseeded, "%016llx\n", generation_reseeded());
SHOW(page, "%s\n", generation_page_registered() ? "registered" : "none");

static ssize_t rng_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	const char *state = "none";

	if (commonhv_offer.features & COMMONHV_FEATURE_RNG)
		state = commonhv_offer.secure < 0 ? "unstated" : commonhv_offer.secure ? "secure" : "insecure";
	return sysfs_emit(buf, "%s%s\n", state, vouched ? " hwrng" : "");
}
static DEVICE_ATTR_RO(rng);

/* A signature as people write it: printable ASCII, \xHH for other bytes and backslashes, without the NULs at its end. */
static int emit_signature(char *buf, int at, const u8 *bytes)
{
	unsigned int i, length = 12;
	int start = at;

	while (length && !bytes[length - 1])
		length--;
	for (i = 0; i < length; i++) {
		bool plain = bytes[i] >= ' ' && bytes[i] <= '~' && bytes[i] != '\\';

		at += sysfs_emit_at(buf, at, plain ? "%c" : "\\x%02x", bytes[i]);
	}
	return at - start;
}

static ssize_t interfaces_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	unsigned int i;
	int at = 0;

	for (i = 0; i < tuple_count; i++) {
		at += sysfs_emit_at(buf, at, "%08x ", tuples[i].location);
		at += emit_signature(buf, at, (const u8 *)tuples[i].signature);
		at += sysfs_emit_at(buf, at, "\n");
	}
	return at;
}
static DEVICE_ATTR_RO(interfaces);

static ssize_t generation_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	u64 now;

	return generation_read(&now) ?: sysfs_emit(buf, "%016llx\n", now);
}
static DEVICE_ATTR_RO(generation);

static struct attribute *commonhv_attrs[] = {
	&dev_attr_draft.attr, &dev_attr_preferred.attr, &dev_attr_interfaces.attr, &dev_attr_rng.attr,
	&dev_attr_generation.attr, &dev_attr_reseeded.attr, &dev_attr_page.attr, NULL
};
ATTRIBUTE_GROUPS(commonhv);

/*
 * An ACPI table: Scope (\_SB) { Device (CHVG) { _HID and _CID, to which the kernel's vmgenid driver binds; the page's address;
 * Method (TELL) { Notify (CHVG, 0x80) } } }.
 */
static struct {
	struct acpi_table_header header;
	u8 scope[8], device[8];
	char hid[15], cid[21];
	u8 addr[8];
	u8 low_prefix;
	__le32 low;
	u8 high_prefix;
	__le32 high;
	u8 tell[14];
} __packed ssdt = {
	.header = {
		.signature = ACPI_SIG_SSDT, .length = sizeof(ssdt), .revision = 2,
		.oem_id = "COMHV", .oem_table_id = "VMGENID", .oem_revision = 1,
		.asl_compiler_id = "CHV", .asl_compiler_revision = 1,
	},
	.scope = { 0x10, 0x43, 0x05, '\\', '_', 'S', 'B', '_' },
	.device = { 0x5b, 0x82, 0x4a, 0x04, 'C', 'H', 'V', 'G' },
	.hid = "\10_HID\15CHVG0001",
	.cid = "\10_CID\15VM_Gen_Counter",
	.addr = { 0x08, 'A', 'D', 'D', 'R', 0x12, 0x0c, 0x02 },
	.low_prefix = 0x0c,
	.high_prefix = 0x0c,
	.tell = { 0x14, 0x0d, 'T', 'E', 'L', 'L', 0, 0x86, 'C', 'H', 'V', 'G', 0x0a, 0x80 },
};

static u8 *vmgenid_page;

/* The ACPI core keeps the table, and the kernel's driver maps the page, until power-off: the module must stay. */
void vmgenid_probe(void)
{
	unsigned int i;
	u64 address;
	u32 index;
	u8 sum = 0;

	if (!vmgenid)
		return;
	if (acpi_disabled || acpi_dev_present("VMGENCTR", NULL, -1) || acpi_dev_present("VM_GEN_COUNTER", NULL, -1)) {
		pr_warn("vmgenid=1: %s: not added\n", acpi_disabled ? "no ACPI here" : "the machine has a VM generation device");
		return;
	}
	vmgenid_page = (u8 *)get_zeroed_page(GFP_KERNEL);
	if (!vmgenid_page)
		return;
	get_random_bytes(vmgenid_page, 16);
	address = virt_to_phys(vmgenid_page);
	ssdt.low = cpu_to_le32(lower_32_bits(address));
	ssdt.high = cpu_to_le32(upper_32_bits(address));
	for (i = 0; i < sizeof(ssdt); i++)
		sum += ((u8 *)&ssdt)[i];
	ssdt.header.checksum = -sum;
	if (ACPI_FAILURE(acpi_load_table(&ssdt.header, &index))) {
		pr_warn("vmgenid=1: the ACPI core refuses the table: not added\n");
		return; /* the page stays: the core may have kept a part of the table */
	}
	__module_get(THIS_MODULE);
	pr_info("vmgenid=1: VM generation device added; the module stays until power-off\n");
}

void vmgenid_event(void)
{
	if (!vmgenid_page)
		return;
	get_random_bytes(vmgenid_page, 16);
	if (ACPI_FAILURE(acpi_evaluate_object(NULL, "\\_SB.CHVG.TELL", NULL, NULL)))
		pr_warn_once("vmgenid=1: the notification fails: fork notifiers do not run\n");
	acpi_os_wait_events_complete();
}

/* Vouched for: by draft 3's statement, to a guest that may trust its hypervisor. */
static bool __init is_vouched_for(void)
{
	return commonhv_offer.features & COMMONHV_FEATURE_RNG && commonhv_offer.secure == 1 &&
	       !cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT);
}

static int __init commonhv_probe(struct platform_device *pdev)
{
	u64 values[COMMONHV_VALUES];
	int err = commonhv_read_values(values);

	if (!err) {
		add_device_randomness(values, sizeof(values));
		memzero_explicit(values, sizeof(values));
		/* Since Linux 6.2 a quality of 0 means full trust: without credit, no hwrng is registered. */
		vouched = is_vouched_for() && quality > 0;
	}
	err = commonhv_offer.features & COMMONHV_FEATURE_GENERATION ? generation_probe(&pdev->dev) : 0;
	if (err || !vouched)
		return err;
	/* Last: Linux before 6.1.192 may crash where a hwrng is unregistered right after it was registered. */
	hwrng.quality = quality;
	return devm_hwrng_register(&pdev->dev, &hwrng);
}

static struct platform_driver driver = {
	.driver = { .name = KBUILD_MODNAME, .dev_groups = commonhv_groups, .pm = &generation_pm_ops },
	.shutdown = generation_shutdown,
};

static int __init commonhv_init(void)
{
	if (quality > 1024) {
		pr_err("quality=%u: expected 0 to 1024\n", quality);
		return -EINVAL;
	}
	if (!commonhv_discover(&commonhv_offer, cpuid_regs, NULL))
		return -ENODEV;
	tuple_count = commonhv_interfaces(&commonhv_offer, tuples, MAX_SHOWN, cpuid_regs, NULL);
	device = platform_create_bundle(&driver, commonhv_probe, NULL, 0, NULL, 0);
	if (IS_ERR(device))
		return PTR_ERR(device);
	pr_info("draft %d, %u interfaces, RNG %s, generation %s\n", commonhv_offer.draft, tuple_count,
		!(commonhv_offer.features & COMMONHV_FEATURE_RNG) ? "absent" : vouched ? "a hwrng" : "not credited",
		commonhv_offer.features & COMMONHV_FEATURE_GENERATION ? "followed" : "absent");
	return 0;
}
module_init(commonhv_init);

static void __exit commonhv_exit(void)
{
	platform_device_unregister(device);
	platform_driver_unregister(&driver);
}
module_exit(commonhv_exit);

/* udev loads the module where there is a hypervisor; loaded by name, it asks whatever that bit says. */
static const struct x86_cpu_id __maybe_unused commonhv_ids[] = {
	X86_MATCH_FEATURE(X86_FEATURE_HYPERVISOR, NULL),
	{}
};
MODULE_DEVICE_TABLE(x86cpu, commonhv_ids);

MODULE_DESCRIPTION("CommonHV: interfaces, random values and generation of a hypervisor");
MODULE_VERSION("0.1.0");
MODULE_LICENSE("Dual MIT/GPL");
