/* SPDX-License-Identifier: MIT */
/*
 * LD_PRELOAD: an unmodified, dynamically linked KVM VMM offers CommonHV. Started by `commonhv preload`.
 *
 *   interpose.c    the C library's functions, and which request concerns us
 *   descriptors.c  which descriptor is a machine or a vCPU
 *   vm.c           the machine's MSR filter, and whether CommonHV is offered to it
 *   cpuid.c        the leaves in the VMM's CPUID table
 *   vcpu.c         KVM_RUN, and how a restore is told from a reset
 *   pool.c         random values and the status file, by a thread of the library
 *   ../host        CommonHV itself
 */
#define _GNU_SOURCE
#include "descriptors.h"
#include "pool.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static unsigned machines;
static int (*real_ioctl)(int, unsigned long, ...);
static int (*real_close)(int);
static int (*real_close_range)(unsigned, unsigned, int);
static void (*real_closefrom)(int);
static int (*real_dup)(int);
static int (*real_dup2)(int, int);
static int (*real_dup3)(int, int, int);
static int (*real_fcntl)(int, int, ...);

__attribute__((constructor)) static void find_functions(void)
{
	*(void **)&real_ioctl = dlsym(RTLD_NEXT, "ioctl");
	*(void **)&real_close = dlsym(RTLD_NEXT, "close");
	*(void **)&real_close_range = dlsym(RTLD_NEXT, "close_range");
	*(void **)&real_closefrom = dlsym(RTLD_NEXT, "closefrom");
	*(void **)&real_dup = dlsym(RTLD_NEXT, "dup");
	*(void **)&real_dup2 = dlsym(RTLD_NEXT, "dup2");
	*(void **)&real_dup3 = dlsym(RTLD_NEXT, "dup3");
	*(void **)&real_fcntl = dlsym(RTLD_NEXT, "fcntl64");
	if (!real_fcntl)
		*(void **)&real_fcntl = dlsym(RTLD_NEXT, "fcntl");
}

/* Another library's constructor may come before ours. */
#define REAL(name, ...) (real_##name ? real_##name(__VA_ARGS__) : (int)syscall(SYS_##name, __VA_ARGS__))

long next_ioctl(int fd, unsigned long request, void *argument)
{
	return REAL(ioctl, fd, request, argument);
}

/* ---- KVM_CREATE_VM and KVM_CREATE_VCPU ---- */

static long create_vm(int fd, unsigned long request, void *argument)
{
	long made = next_ioctl(fd, request, argument);
	int error = errno;
	struct vm *vm;

	if (made < 0)
		return made;
	lock_descriptors();
	if (in_table((int)made))
		forget((int)made);
	vm = new_vm();
	if (vm) {
		const char *flaw = in_table((int)made) ? NULL : "its descriptor is above 65535";

		/* linux/kvm.h: other types than 0 are confidential machines, whose registers KVM does not see. */
		if (argument)
			flaw = "its type is a confidential machine's";
		vm_open(vm, (int)made, ++machines, flaw);
		if (atomic_load(&vm->stage) == DECLINED)
			drop_vm(vm);
		else
			track_vm((int)made, vm);
	}
	unlock_descriptors();
	errno = error;
	return made;
}

static long create_vcpu(struct vm *vm, int fd, unsigned long request, void *argument)
{
	long made = next_ioctl(fd, request, argument);
	int error = errno;
	struct vcpu *vcpu = NULL;
	void *run = MAP_FAILED;

	if (made < 0)
		return made;
	lock_descriptors();
	if (in_table((int)made)) {
		forget((int)made);
		run = mmap(NULL, RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, (int)made, 0);
		vcpu = run == MAP_FAILED ? NULL : track_vcpu((int)made, vm, run);
		if (!vcpu && run != MAP_FAILED)
			munmap(run, RUN_SIZE);
	}
	if (vcpu) {
		/* It will have what the machine's others have. */
	} else if (atomic_load(&vm->stage) == UNDECIDED) {
		vm_decline(vm, "a vCPU's kvm_run cannot be mapped");
	} else if (atomic_load(&vm->stage) == OFFERED) {
		/* A vCPU that lacks what the others have would be another machine. */
		pool_say("a vCPU is refused: its kvm_run cannot be mapped", "");
		REAL(close, (int)made);
		error = ENOMEM;
		made = -1;
	}
	unlock_descriptors();
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

EXPORT int ioctl(int fd, unsigned long request, ...)
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
	vm = vm_of(fd);
	if (vm)
		return (int)vm_request(vm, fd, request, argument);
	vcpu = enter(fd);
	if (!vcpu)
		return (int)next_ioctl(fd, request, argument);
	result = vcpu_request(vcpu, fd, request, argument);
	leave(vcpu);
	return (int)result;
}

static void closed(unsigned first, unsigned last)
{
	unsigned fd;

	for (fd = first; fd <= last && fd < DESCRIPTORS; fd++)
		if (is_tracked((int)fd)) {
			lock_descriptors();
			forget((int)fd);
			unlock_descriptors();
		}
}

EXPORT int close(int fd)
{
	closed((unsigned)fd, (unsigned)fd);
	return REAL(close, fd);
}

EXPORT int close_range(unsigned first, unsigned last, int flags)
{
	int result = REAL(close_range, first, last, flags);

	if (result == 0 && !(flags & CLOSE_RANGE_CLOEXEC))
		closed(first, last);
	return result;
}

EXPORT void closefrom(int first)
{
	unsigned from = first > 0 ? (unsigned)first : 0;

	if (real_closefrom)
		real_closefrom(first);
	else
		syscall(SYS_close_range, from, ~0u, 0);
	closed(from, ~0u);
}

/* `made` names the same as `fd` from now on; it no longer names what it did before. */
static int duplicated(int fd, int made)
{
	int error = errno;

	if (in_table(made) && made != fd && (is_tracked(fd) || is_tracked(made))) {
		lock_descriptors();
		forget(made);
		if (in_table(fd))
			track_same(fd, made);
		unlock_descriptors();
	}
	errno = error;
	return made;
}

EXPORT int dup(int fd)
{
	return duplicated(fd, REAL(dup, fd));
}

EXPORT int dup2(int fd, int other)
{
	return duplicated(fd, REAL(dup2, fd, other));
}

EXPORT int dup3(int fd, int other, int flags)
{
	return duplicated(fd, REAL(dup3, fd, other, flags));
}

EXPORT int fcntl(int fd, int command, ...)
{
	va_list list;
	void *argument;
	int result;

	va_start(list, command);
	argument = va_arg(list, void *);
	va_end(list);
	result = REAL(fcntl, fd, command, argument);
	return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? duplicated(fd, result) : result;
}

/* The name in programs that were compiled for files above 2 GiB. */
EXPORT int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));

/* POSIX lets it be fork. In a child that shares this memory, close() would forget its parent's machines. */
EXPORT pid_t vfork(void)
{
	return fork();
}
