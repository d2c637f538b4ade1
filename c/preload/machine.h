/* SPDX-License-Identifier: MIT */
/* A machine and its vCPUs as the interposer sees them; see vm.c, vcpu.c and cpuid.c. */
#ifndef COMMONHV_MACHINE_H
#define COMMONHV_MACHINE_H

#include "../host/commonhv-text.h"

#include <linux/kvm.h>
#include <stdatomic.h>

enum { RUN_SIZE = 4096 }; /* struct kvm_run's page */

enum stage {
	UNDECIDED, /* set up at KVM_CREATE_VM, no CPUID yet */
	OFFERED, /* a vCPU has the leaves: for good */
	DECLINED, /* CommonHV is not offered; every request goes through as it came */
};

struct vm {
	struct vm *next; /* free list */
	int fd; /* one of its descriptors, or -1 */
	unsigned number; /* 1, 2, ... in this process */
	_Atomic int stage;
	uint64_t exits; /* KVM_MSR_EXIT_REASON_* that the VMM itself asked for */
	struct commonhv_settings settings;
	struct commonhv_host host;
	atomic_flag lock; /* a spin lock: vCPU threads take it, for a few instructions */
	struct vcpu *vcpus;
	_Atomic int dirty; /* a vCPU's whole state was written since the last KVM_RUN */
	int ran; /* a vCPU has run: the guest may have read the generation */
	int renewal_due; /* a restore was seen, and the source has not given a generation yet */
	int users; /* its open descriptors, and its vCPUs */
};

/* What the VMM has written to a vCPU since the machine's last KVM_RUN. */
enum { WROTE_STATE = 1, WROTE_RIP = 2, WROTE_CS = 4, WROTE_TSC_RATE = 8 };

struct vcpu {
	struct vcpu *next; /* of the machine, or free list */
	struct vm *vm;
	struct kvm_run *run; /* our own mapping */
	_Atomic int busy; /* threads inside a request */
	int descriptors; /* open ones that name it */
	int hypervisor_bit; /* as the VMM wrote it */
	int ran;
	_Atomic int pending; /* an RDMSR exit that could not be answered: the source failed */
	unsigned wrote, rounds; /* WROTE_*; how often the time-stamp counter was among it */
	uint64_t rip, cs_base;
	uint16_t cs;
};

/** The next `ioctl`: the C library's, or another interposer's. */
long next_ioctl(int fd, unsigned long request, void *argument);

/** The machine's spin lock. */
void lock_vm(struct vm *vm);
void unlock_vm(struct vm *vm);

/** Settings from the environment; NULL, or the flaw. */
const char *read_settings(struct commonhv_settings *settings);

/** Sets up a machine; where the settings say `require=1`, ends the process where CommonHV cannot be offered. */
void vm_open(struct vm *vm, int fd, unsigned number, const char *flaw);
long vm_set_filter(struct vm *vm, const struct kvm_msr_filter *filter);
long vm_enable_cap(struct vm *vm, struct kvm_enable_cap *cap);
void vm_decline(struct vm *vm, const char *why);

long vcpu_set_cpuid(struct vcpu *vcpu, int fd, struct kvm_cpuid2 *cpuid);
long vcpu_get_cpuid(struct vcpu *vcpu, int fd, struct kvm_cpuid2 *cpuid);
/** Remembers a write to the vCPU's state, before it is made. */
void vcpu_note(struct vcpu *vcpu, int fd, unsigned request, void *argument);
long vcpu_run(struct vcpu *vcpu, int fd, void *argument);

#endif
