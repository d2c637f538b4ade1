/* SPDX-License-Identifier: MIT */
/*
 * A vCPU: its runs, and the restores of its machine.
 *
 * After an answer KVM_RUN is entered again, with immediate_exit set by the VMM too: KVM completes the instruction and
 * returns at once, so no read is pending when the VMM saves the vCPU.
 *
 * Restores: only a reset and a restore write a vCPU's time-stamp counter or local APIC. A reset leaves it at the reset
 * vector; a restore does not, or writes everything twice (QEMU resets before it loads). Registers are not compared
 * with former ones: an idle guest sits in the same HLT for ever.
 */
#include "machine.h"
#include "pool.h"

#include <errno.h>
#include <stddef.h>

enum { MSR_TSC = 0x10, RESET_RIP = 0xfff0, RESET_CS = 0xf000 };
static const uint32_t RESET_CS_BASE = 0xffff0000;

/* ---- Restores ---- */

static void note_msrs(struct vcpu *vcpu, const struct kvm_msrs *msrs)
{
	uint32_t i;

	for (i = 0; i < msrs->nmsrs; i++)
		if (msrs->entries[i].index == MSR_TSC) {
			vcpu->wrote |= WROTE_STATE;
			vcpu->rounds++;
			return;
		}
}

/* A read that could not be answered is completed before other registers replace those that it would change. */
static void finish_pending(struct vcpu *vcpu, int fd)
{
	uint8_t before = vcpu->run->immediate_exit;

	if (!atomic_exchange(&vcpu->pending, 0))
		return;
	vcpu->run->msr.error = 0;
	vcpu->run->msr.data = 0;
	vcpu->run->immediate_exit = 1;
	next_ioctl(fd, KVM_RUN, NULL);
	vcpu->run->immediate_exit = before;
}

static void note(struct vcpu *vcpu, unsigned request, void *argument)
{
	switch (request) {
	case (unsigned)KVM_SET_REGS:
		vcpu->rip = ((struct kvm_regs *)argument)->rip;
		vcpu->wrote |= WROTE_RIP;
		return;
	case (unsigned)KVM_SET_SREGS:
	case (unsigned)KVM_SET_SREGS2: /* begins with the same segments */
		vcpu->cs = ((struct kvm_sregs *)argument)->cs.selector;
		vcpu->cs_base = ((struct kvm_sregs *)argument)->cs.base;
		vcpu->wrote |= WROTE_CS;
		return;
	case (unsigned)KVM_SET_MSRS:
		note_msrs(vcpu, argument);
		return;
	case (unsigned)KVM_SET_LAPIC:
		vcpu->wrote |= WROTE_STATE;
		return;
	case (unsigned)KVM_SET_TSC_KHZ:
		vcpu->wrote |= WROTE_TSC_RATE;
		return;
	}
}

void vcpu_note(struct vcpu *vcpu, int fd, unsigned request, void *argument)
{
	if (request == (unsigned)KVM_SET_REGS)
		finish_pending(vcpu, fd);
	lock_vm(vcpu->vm);
	note(vcpu, request, argument);
	if (vcpu->wrote & (WROTE_STATE | WROTE_TSC_RATE))
		atomic_store(&vcpu->vm->dirty, 1);
	unlock_vm(vcpu->vm);
}

static int at_reset_vector(const struct vcpu *vcpu)
{
	return (vcpu->wrote & WROTE_RIP) && (vcpu->wrote & WROTE_CS) && vcpu->rip == RESET_RIP && vcpu->cs == RESET_CS &&
	       vcpu->cs_base == RESET_CS_BASE;
}

/* A vCPU that never ran was added to a running machine: whatever is written to it at the reset vector is its start. */
static int was_restored(const struct vcpu *vcpu)
{
	if (!(vcpu->wrote & (WROTE_STATE | WROTE_TSC_RATE)))
		return 0;
	return !at_reset_vector(vcpu) || (vcpu->ran && (vcpu->rounds > 1 || vcpu->wrote & WROTE_TSC_RATE));
}

/* Before a KVM_RUN: whether the machine was restored since the last one, decided once for all of its vCPUs. */
static void settle(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	struct vcpu *other;
	uint64_t generation = 0;
	int restored = 0;

	lock_vm(vm);
	if (atomic_exchange(&vm->dirty, 0)) {
		for (other = vm->vcpus; other; other = other->next) {
			restored |= was_restored(other);
			other->wrote = other->rounds = 0;
		}
		/* A generation that no guest has read needs no successor. */
		vm->renewal_due |= restored && vm->ran;
		if (vm->renewal_due && commonhv_host_restored(&vm->host, NULL))
			atomic_store(&vm->dirty, 1); /* the source failed: KVM_RUN fails until it works */
		else if (vm->renewal_due)
			generation = vm->host.state.generation, vm->renewal_due = 0;
	}
	vm->ran = vcpu->ran = 1;
	unlock_vm(vm);
	if (generation)
		pool_report("restored", vm->number, generation);
}

/* ---- KVM_RUN ---- */

/* 0: answered; 1: the exit is the VMM's; -1: the source failed. */
static int answer(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	int reading = run->exit_reason == KVM_EXIT_X86_RDMSR;
	uint64_t value = 0;
	enum commonhv_answer how = COMMONHV_NOT_OURS;

	if (atomic_load(&vcpu->vm->stage) == OFFERED)
		how = reading ? commonhv_host_rdmsr(&vcpu->vm->host, run->msr.index, &value) :
				commonhv_host_wrmsr(&vcpu->vm->host, run->msr.index, run->msr.data);
	if (how == COMMONHV_STOP)
		return -1;
	if (how == COMMONHV_NOT_OURS && vcpu->vm->exits & run->msr.reason)
		return 1;
	run->msr.error = how != COMMONHV_OK;
	if (reading)
		run->msr.data = value;
	*(volatile uint64_t *)&value = 0;
	return 0;
}

long vcpu_run(struct vcpu *vcpu, int fd, void *argument)
{
	struct kvm_run *run = vcpu->run;
	struct vm *vm = vcpu->vm;

	if (atomic_load(&vm->stage) == DECLINED)
		return next_ioctl(fd, KVM_RUN, argument);
	for (;;) {
		long result;

		if (atomic_load(&vm->dirty) || !vcpu->ran)
			settle(vcpu);
		/* Also a read that was left pending, once the source works again. */
		if (pool_failed() || atomic_load(&vm->dirty) || (atomic_load(&vcpu->pending) && answer(vcpu) < 0))
			break;
		atomic_store(&vcpu->pending, 0);
		result = next_ioctl(fd, KVM_RUN, argument);
		if (result || (run->exit_reason != KVM_EXIT_X86_RDMSR && run->exit_reason != KVM_EXIT_X86_WRMSR))
			return result;
		switch (answer(vcpu)) {
		case 1:
			return result;
		case -1:
			atomic_store(&vcpu->pending, 1);
			break;
		}
	}
	errno = EIO; /* VMMs stop the machine: QEMU reports it and pauses */
	return -1;
}
