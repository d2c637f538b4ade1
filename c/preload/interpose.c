/* SPDX-License-Identifier: MIT */
/*
 * LD_PRELOAD: an unmodified, dynamically linked KVM VMM offers CommonHV. Started by `commonhv preload`.
 *
 *   interpose.c  which descriptor is a machine or a vCPU, and which request concerns us
 *   vm.c         the machine's MSR filter, and whether CommonHV is offered to it
 *   cpuid.c      the leaves in the VMM's CPUID table
 *   vcpu.c       KVM_RUN, and how a restore is told from a reset
 *   pool.c       random values and the status file, by a thread of the library
 *   ../host      CommonHV itself
 *
 * Structures are recycled, never freed, so a thread that is inside KVM_RUN while another closes the descriptor finds
 * valid memory. A vCPU's mapping is removed when no thread is inside; until then KVM keeps the machine.
 */
#define _GNU_SOURCE
#include "machine.h"
#include "pool.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DESCRIPTORS = 65536, RUN_SIZE = 4096 };

static struct vm *_Atomic vms[DESCRIPTORS];
static struct vcpu *_Atomic vcpus[DESCRIPTORS];
static struct vm *free_vms;
static struct vcpu *free_vcpus, *closed_vcpus; /* closed: a thread may still be inside */
static unsigned machines;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* opening and closing */
static int (*real_ioctl)(int, unsigned long, ...);
static int (*real_close)(int);

__attribute__((constructor)) static void find_functions(void)
{
	*(void **)&real_ioctl = dlsym(RTLD_NEXT, "ioctl");
	*(void **)&real_close = dlsym(RTLD_NEXT, "close");
}

long next_ioctl(int fd, unsigned long request, void *argument)
{
	/* Another library's constructor may come before ours. */
	return real_ioctl ? real_ioctl(fd, request, argument) : syscall(SYS_ioctl, fd, request, argument);
}

/* ---- Descriptors ---- */

static int in_table(int fd)
{
	return fd >= 0 && fd < DESCRIPTORS;
}

static void release_vm(struct vm *vm)
{
	if (--vm->users > 0)
		return;
	vm->next = free_vms;
	free_vms = vm;
}

/* Removes the mappings of closed vCPUs that no thread is inside. With the lock. */
static void reap(void)
{
	struct vcpu **at = &closed_vcpus;

	while (*at) {
		struct vcpu *vcpu = *at;

		if (atomic_load(&vcpu->busy)) {
			at = &vcpu->next;
			continue;
		}
		*at = vcpu->next;
		munmap(vcpu->run, RUN_SIZE);
		vcpu->run = NULL;
		vcpu->next = free_vcpus;
		free_vcpus = vcpu;
	}
}

static void unlink_vcpu(struct vcpu *vcpu)
{
	struct vcpu **at;

	lock_vm(vcpu->vm);
	for (at = &vcpu->vm->vcpus; *at && *at != vcpu; at = &(*at)->next)
		;
	if (*at)
		*at = vcpu->next;
	unlock_vm(vcpu->vm);
}

/* The descriptor was closed, or names something new. With the lock. */
static void forget(int fd)
{
	struct vcpu *vcpu = atomic_exchange(&vcpus[fd], NULL);
	struct vm *vm = atomic_exchange(&vms[fd], NULL);

	if (vcpu) {
		unlink_vcpu(vcpu);
		vcpu->next = closed_vcpus;
		closed_vcpus = vcpu;
		release_vm(vcpu->vm);
	}
	if (vm)
		release_vm(vm);
	reap();
}

/* A vCPU that stays valid until `leave`; NULL where the descriptor is no tracked vCPU. */
static struct vcpu *enter(int fd)
{
	struct vcpu *vcpu = atomic_load(&vcpus[fd]);

	if (!vcpu)
		return NULL;
	atomic_fetch_add(&vcpu->busy, 1);
	if (atomic_load(&vcpus[fd]) == vcpu)
		return vcpu;
	atomic_fetch_sub(&vcpu->busy, 1);
	return NULL;
}

static void *take(void **list, size_t size)
{
	void *found = *list;

	if (!found)
		return calloc(1, size);
	*list = *(void **)found; /* `next` is the first member */
	memset(found, 0, size);
	return found;
}

/* ---- KVM_CREATE_VM and KVM_CREATE_VCPU ---- */

static long create_vm(int fd, unsigned long request, void *argument)
{
	long made = next_ioctl(fd, request, argument);
	int error = errno;
	struct vm *vm;

	if (made < 0)
		return made;
	pthread_mutex_lock(&lock);
	if (in_table((int)made))
		forget((int)made);
	vm = take((void **)&free_vms, sizeof(*vm));
	if (vm) {
		const char *flaw = in_table((int)made) ? NULL : "its descriptor is above 65535";

		/* linux/kvm.h: other types than 0 are confidential machines, whose registers KVM does not see. */
		if (argument)
			flaw = "its type is a confidential machine's";
		vm_open(vm, (int)made, ++machines, flaw);
		vm->users = 1;
		if (atomic_load(&vm->stage) == DECLINED || !in_table((int)made))
			release_vm(vm);
		else
			atomic_store(&vms[made], vm);
	}
	pthread_mutex_unlock(&lock);
	errno = error;
	return made;
}

static void link_vcpu(struct vm *vm, struct vcpu *vcpu, struct kvm_run *run)
{
	vcpu->vm = vm;
	vcpu->run = run;
	vm->users++;
	lock_vm(vm);
	vcpu->next = vm->vcpus;
	vm->vcpus = vcpu;
	unlock_vm(vm);
}

static long create_vcpu(struct vm *vm, int fd, unsigned long request, void *argument)
{
	long made = next_ioctl(fd, request, argument);
	int error = errno;
	struct vcpu *vcpu = NULL;
	void *run = MAP_FAILED;

	if (made < 0)
		return made;
	pthread_mutex_lock(&lock);
	if (in_table((int)made)) {
		forget((int)made);
		run = mmap(NULL, RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, (int)made, 0);
		vcpu = run == MAP_FAILED ? NULL : take((void **)&free_vcpus, sizeof(*vcpu));
	}
	if (vcpu) {
		link_vcpu(vm, vcpu, run);
		atomic_store(&vcpus[made], vcpu);
	} else if (atomic_load(&vm->stage) == UNDECIDED) {
		vm_decline(vm, "a vCPU's kvm_run cannot be mapped");
	} else if (atomic_load(&vm->stage) == OFFERED) {
		/* A vCPU that lacks what the others have would be another machine. */
		pool_say("a vCPU is refused: its kvm_run cannot be mapped", "");
		real_close((int)made);
		error = ENOMEM;
		made = -1;
	}
	pthread_mutex_unlock(&lock);
	errno = error;
	return made;
}

/* ---- The interposed functions ---- */

static long vm_request(struct vm *vm, int fd, unsigned long request, void *argument)
{
	switch ((unsigned)request) {
	case (unsigned)KVM_CREATE_VCPU:
		return create_vcpu(vm, fd, request, argument);
	case (unsigned)KVM_X86_SET_MSR_FILTER:
		return vm_set_filter(vm, argument);
	case (unsigned)KVM_ENABLE_CAP:
		return vm_enable_cap(vm, argument);
	}
	return next_ioctl(fd, request, argument);
}

static long vcpu_request(struct vcpu *vcpu, int fd, unsigned long request, void *argument)
{
	switch ((unsigned)request) {
	case (unsigned)KVM_RUN:
		return vcpu_run(vcpu, fd, argument);
	case (unsigned)KVM_SET_CPUID2:
		return vcpu_set_cpuid(vcpu, fd, argument);
	case (unsigned)KVM_GET_CPUID2:
		return vcpu_get_cpuid(vcpu, fd, argument);
	}
	if ((unsigned)request == (unsigned)KVM_SET_CPUID && atomic_load(&vcpu->vm->stage) == UNDECIDED)
		vm_decline(vcpu->vm, "the VMM uses KVM_SET_CPUID");
	vcpu_note(vcpu, fd, (unsigned)request, argument);
	return next_ioctl(fd, request, argument);
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
	struct vcpu *vcpu;
	struct vm *vm;
	va_list list;
	void *argument;
	long result;

	va_start(list, request);
	argument = va_arg(list, void *);
	va_end(list);
	if (((request >> 8) & 0xff) != KVMIO || !in_table(fd))
		return (int)next_ioctl(fd, request, argument);
	if ((unsigned)request == (unsigned)KVM_CREATE_VM)
		return (int)create_vm(fd, request, argument);
	vm = atomic_load(&vms[fd]);
	if (vm)
		return (int)vm_request(vm, fd, request, argument);
	vcpu = enter(fd);
	if (!vcpu)
		return (int)next_ioctl(fd, request, argument);
	result = vcpu_request(vcpu, fd, request, argument);
	atomic_fetch_sub(&vcpu->busy, 1);
	return (int)result;
}

__attribute__((visibility("default"))) int close(int fd)
{
	if (in_table(fd) && (atomic_load(&vms[fd]) || atomic_load(&vcpus[fd]))) {
		pthread_mutex_lock(&lock);
		forget(fd);
		pthread_mutex_unlock(&lock);
	}
	return real_close ? real_close(fd) : (int)syscall(SYS_close, fd);
}
