/* SPDX-License-Identifier: MIT */
/*
 * CPUID of a machine: the leaves join the VMM's own table in KVM_SET_CPUID2, and leave it in KVM_GET_CPUID2.
 */
#include "machine.h"
#include "pool.h"

#include <errno.h>
#include <string.h>

enum { MAX_ENTRIES = 256 }; /* KVM_MAX_CPUID_ENTRIES of arch/x86/include/asm/kvm_host.h */

/* The interfaces in the VMM's own table, as the 0x40000000 scan finds them. */
static void scan(struct commonhv_description *d, const struct kvm_cpuid2 *cpuid)
{
	uint32_t leaf, i;

	d->count = 0;
	for (leaf = 0x40000000; leaf <= 0x4000ff00; leaf += 0x100)
		for (i = 0; i < cpuid->nent && d->count < COMMONHV_MAX_INTERFACES; i++) {
			const struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

			if (e->function == leaf && (e->ebx | e->ecx | e->edx)) {
				d->tuples[d->count++] = (struct commonhv_tuple){ leaf, { e->ebx, e->ecx, e->edx } };
				break;
			}
		}
}

static const char *decide(struct vm *vm, const struct kvm_cpuid2 *cpuid)
{
	struct commonhv_settings *s = &vm->settings;
	uint32_t i;

	for (i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function >> 24 == COMMONHV_LEAF_ROOT >> 24)
			return "the VMM has these leaves itself";
	if (!s->listed)
		scan(&s->description, cpuid);
	if (commonhv_settings_prefer(s))
		return "the preferred interface is not among its interfaces";
	if (cpuid->nent + s->description.count + 4 > MAX_ENTRIES)
		return "its CPUID table has no room";
	return commonhv_description_flaw(&s->description);
}

static void merge(struct vcpu *vcpu, const struct kvm_cpuid2 *theirs, struct kvm_cpuid2 *out)
{
	struct commonhv_entry entry;
	uint32_t i;

	memcpy(out, theirs, sizeof(*theirs) + theirs->nent * sizeof(theirs->entries[0]));
	for (i = 0; i < out->nent; i++) {
		uint32_t *ecx = &out->entries[i].ecx;

		if (out->entries[i].function != 1)
			continue;
		vcpu->hypervisor_bit = *ecx >> 31;
		*ecx = vcpu->vm->settings.hypervisor_bit ? *ecx | 1u << 31 : *ecx & ~(1u << 31);
	}
	for (i = 0; commonhv_host_entry(&vcpu->vm->settings.description, i, &entry); i++)
		out->entries[out->nent++] = (struct kvm_cpuid_entry2){
			.function = entry.leaf, .index = entry.subleaf, .flags = entry.indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
			.eax = entry.regs.eax, .ebx = entry.regs.ebx, .ecx = entry.regs.ecx, .edx = entry.regs.edx
		};
}

long vcpu_set_cpuid(struct vcpu *vcpu, int fd, struct kvm_cpuid2 *theirs)
{
	char buffer[sizeof(struct kvm_cpuid2) + MAX_ENTRIES * sizeof(struct kvm_cpuid_entry2)] __attribute__((aligned(8)));
	struct vm *vm = vcpu->vm;
	const char *flaw = NULL;
	int first = 0;

	if (theirs->nent > MAX_ENTRIES) /* KVM refuses it */
		return next_ioctl(fd, KVM_SET_CPUID2, theirs);
	lock_vm(vm);
	if (atomic_load(&vm->stage) == UNDECIDED) {
		flaw = decide(vm, theirs);
		first = !flaw;
		if (first)
			atomic_store(&vm->stage, OFFERED);
	}
	unlock_vm(vm);
	if (flaw)
		vm_decline(vm, flaw);
	if (atomic_load(&vm->stage) == DECLINED)
		return next_ioctl(fd, KVM_SET_CPUID2, theirs);
	if (theirs->nent + vm->settings.description.count + 4 > MAX_ENTRIES) {
		pool_say("a vCPU's CPUID table has no room for CommonHV, which the machine has already", "");
		errno = E2BIG;
		return -1;
	}
	if (first)
		pool_report("started", vm->number, vm->host.state.generation);
	merge(vcpu, theirs, (struct kvm_cpuid2 *)buffer);
	return next_ioctl(fd, KVM_SET_CPUID2, buffer);
}

/* The VMM reads back its own table: with ours in it, it would save our leaves and offer them without us. */
long vcpu_get_cpuid(struct vcpu *vcpu, int fd, struct kvm_cpuid2 *theirs)
{
	char buffer[sizeof(struct kvm_cpuid2) + MAX_ENTRIES * sizeof(struct kvm_cpuid_entry2)] __attribute__((aligned(8)));
	struct kvm_cpuid2 *all = (struct kvm_cpuid2 *)buffer;
	uint32_t room = theirs->nent, i, count = 0;
	long result;

	if (atomic_load(&vcpu->vm->stage) != OFFERED)
		return next_ioctl(fd, KVM_GET_CPUID2, theirs);
	memset(all, 0, sizeof(*all));
	all->nent = MAX_ENTRIES;
	result = next_ioctl(fd, KVM_GET_CPUID2, all);
	if (result < 0)
		return result;
	for (i = 0; i < all->nent; i++) {
		struct kvm_cpuid_entry2 e = all->entries[i];

		if (e.function >> 24 == COMMONHV_LEAF_ROOT >> 24)
			continue;
		if (e.function == 1)
			e.ecx = (e.ecx & ~(1u << 31)) | (uint32_t)vcpu->hypervisor_bit << 31;
		if (count < room)
			theirs->entries[count] = e;
		count++;
	}
	theirs->nent = count;
	if (count <= room)
		return result;
	errno = E2BIG; /* as KVM has it, with the number that is needed */
	return -1;
}
