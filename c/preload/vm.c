/* SPDX-License-Identifier: MIT */
/*
 * A machine: its description, its MSR filter, and whether CommonHV is offered to it.
 *
 * KVM leaves KVM_RUN for MSRs that the filter denies. Our ranges go before the VMM's own, because the first range that
 * holds an index decides. An exit that the VMM did not ask for becomes #GP (vcpu.c), as KVM would have it.
 */
#define _GNU_SOURCE
#include "machine.h"
#include "pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void lock_vm(struct vm *vm)
{
	while (atomic_flag_test_and_set(&vm->lock))
		__builtin_ia32_pause();
}

void unlock_vm(struct vm *vm)
{
	atomic_flag_clear(&vm->lock);
}

/* ---- The description, and what it draws on ---- */

static int draw(void *context, uint64_t *value)
{
	(void)context;
	return pool_take(value);
}

static void acknowledged(void *context, uint64_t generation)
{
	pool_report("acknowledged", ((struct vm *)context)->number, generation);
}

static const struct commonhv_host_ops OPS = { .random = draw, .acknowledged = acknowledged };

const char *read_settings(struct commonhv_settings *settings)
{
	static char flaw[128];
	const char *text = getenv("COMMONHV_PRELOAD");

	commonhv_settings_default(settings);
	if (!text || !commonhv_settings_text(settings, &text)) {
		/* The machine's saved state cannot carry the page's address. */
		if (!(settings->description.features & COMMONHV_FEATURE_PAGE))
			return NULL;
		return "a generation page needs a VMM that saves its address";
	}
	snprintf(flaw, sizeof(flaw), "COMMONHV_PRELOAD: cannot read \"%.40s\"", text);
	return flaw;
}

void vm_decline(struct vm *vm, const char *why)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { vm->exits } };

	pool_say(vm->settings.required ? "CommonHV cannot be offered, and --require was given: " :
					 "CommonHV is not offered to this machine: ",
		 why);
	if (vm->settings.required)
		_exit(2);
	atomic_store(&vm->stage, DECLINED);
	next_ioctl(vm->fd, KVM_ENABLE_CAP, &cap); /* no more exits than the VMM asked for */
}

/* ---- The MSR filter ---- */

static int add_range(struct kvm_msr_filter *filter, uint32_t base, uint32_t count)
{
	static uint8_t denied[1]; /* a clear bit denies */
	int used = KVM_MSR_FILTER_MAX_RANGES;

	while (used > 0 && !filter->ranges[used - 1].nmsrs)
		used--;
	if (used == KVM_MSR_FILTER_MAX_RANGES)
		return -1;
	memmove(filter->ranges + 1, filter->ranges, (size_t)used * sizeof(filter->ranges[0]));
	filter->ranges[0] = (struct kvm_msr_filter_range){
		.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, .nmsrs = count, .base = base, .bitmap = denied
	};
	return 0;
}

/* Adjacent MSRs share a range: there are sixteen. */
static int add_ranges(struct kvm_msr_filter *filter, const struct commonhv_description *d)
{
	uint32_t rng = d->rng, generation = d->generation, low = rng < generation ? rng : generation;
	int has_rng = (d->features & COMMONHV_FEATURE_RNG) != 0, has_generation = (d->features & COMMONHV_FEATURE_GENERATION) != 0;

	if (has_rng && has_generation && (rng ^ generation) && low + 1 == (rng > generation ? rng : generation))
		return add_range(filter, low, 2);
	return (has_rng && add_range(filter, rng, 1)) || (has_generation && add_range(filter, generation, 1)) ? -1 : 0;
}

long vm_set_filter(struct vm *vm, const struct kvm_msr_filter *theirs)
{
	struct kvm_msr_filter filter = *theirs;

	if (atomic_load(&vm->stage) == DECLINED)
		return next_ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, (void *)theirs);
	if (add_ranges(&filter, &vm->settings.description) == 0)
		return next_ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &filter);
	if (atomic_load(&vm->stage) == UNDECIDED) {
		vm_decline(vm, "the VMM's MSR filter has no free range");
		return next_ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, (void *)theirs);
	}
	pool_say("an MSR filter without a free range is refused: the machine has CommonHV already", "");
	errno = EINVAL;
	return -1;
}

long vm_enable_cap(struct vm *vm, struct kvm_enable_cap *theirs)
{
	struct kvm_enable_cap cap = *theirs;
	long result;

	if (cap.cap == KVM_CAP_X86_USER_SPACE_MSR && atomic_load(&vm->stage) != DECLINED)
		cap.args[0] |= KVM_MSR_EXIT_REASON_FILTER;
	result = next_ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
	if (result == 0 && cap.cap == KVM_CAP_X86_USER_SPACE_MSR)
		vm->exits = theirs->args[0];
	return result;
}

void vm_open(struct vm *vm, int fd, unsigned number, const char *flaw)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { KVM_MSR_EXIT_REASON_FILTER } };
	struct kvm_msr_filter filter = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW };
	const char *settings_flaw = read_settings(&vm->settings);
	const struct commonhv_description *d = &vm->settings.description;

	vm->fd = fd;
	vm->number = number;
	atomic_flag_clear(&vm->lock);
	if (!flaw)
		flaw = settings_flaw;
	if (!flaw)
		flaw = commonhv_description_flaw(d);
	if (!flaw)
		flaw = pool_start(getenv("COMMONHV_PRELOAD_STATUS"));
	if (!flaw && commonhv_host_start(&vm->host, d, &OPS, vm))
		flaw = "the kernel's random values cannot be used";
	if (!flaw && d->features && next_ioctl(fd, KVM_ENABLE_CAP, &cap))
		flaw = "KVM has no MSR exits to user space (KVM_CAP_X86_USER_SPACE_MSR)";
	if (!flaw && d->features && (add_ranges(&filter, d) || next_ioctl(fd, KVM_X86_SET_MSR_FILTER, &filter)))
		flaw = "KVM takes no MSR filter (KVM_X86_SET_MSR_FILTER)";
	if (flaw)
		vm_decline(vm, flaw);
}
