/*
 * A stand-in for KVM, preloaded below the library under test: descriptors are memory files, a guest is one request in its
 * kvm_run page. KVM_RUN makes no system call, so a vCPU thread may forbid all of them.
 */
#define _GNU_SOURCE
#include "fake-kvm.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FDS = 1024, VM = 1, VCPU = 2 };

static struct thing {
	int kind, vm, pending;
	uint64_t reasons; /* of a VM: KVM_CAP_X86_USER_SPACE_MSR */
	struct kvm_msr_filter filter;
	uint8_t bitmaps[KVM_MSR_FILTER_MAX_RANGES][8];
	struct kvm_run *run; /* of a vCPU */
	uint32_t leaves;
	struct kvm_cpuid_entry2 cpuid[256];
} things[FDS];
static int thing_of[FDS], made_things; /* by descriptor: several may name one */

static int fails(const char *request)
{
	const char *list = getenv("FAKE_KVM_FAILS");

	return list && strstr(list, request);
}

static int memory_file(int kind, int vm)
{
	int fd = memfd_create("kvm", 0);
	struct thing *made = &things[thing_of[fd] = made_things++ % FDS];

	memset(made, 0, sizeof(*made));
	made->kind = kind;
	made->vm = vm;
	made->filter.flags = KVM_MSR_FILTER_DEFAULT_ALLOW;
	if (kind != VCPU)
		return fd;
	if (ftruncate(fd, 4096))
		return -1;
	made->run = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return fd;
}

int open(const char *path, int flags, ...)
{
	va_list list;
	int mode;

	va_start(list, flags);
	mode = va_arg(list, int);
	va_end(list);
	return strcmp(path, "/dev/kvm") ? (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode) : memory_file(0, 0);
}

ssize_t getrandom(void *buffer, size_t size, unsigned flags)
{
	const char *file = getenv("FAKE_RANDOM_FAILS");

	if (file && access(file, F_OK) == 0) {
		errno = ENOSYS;
		return -1;
	}
	return syscall(SYS_getrandom, buffer, size, flags);
}

/* The library opens it by its number. */
long syscall(long number, ...)
{
	static long (*real)(long, ...);
	long n[6];
	va_list list;
	int i;

	va_start(list, number);
	for (i = 0; i < 6; i++)
		n[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_userfaultfd && getenv("FAKE_NO_USERFAULTFD")) {
		errno = EPERM;
		return -1;
	}
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "syscall");
	return real(number, n[0], n[1], n[2], n[3], n[4], n[5]);
}

static int fail(int error)
{
	errno = error;
	return -1;
}

static int set_filter(struct thing *vm, const struct kvm_msr_filter *filter)
{
	int i;

	if (fails("filter"))
		return fail(ENOTTY);
	vm->filter = *filter;
	for (i = 0; i < KVM_MSR_FILTER_MAX_RANGES; i++)
		if (filter->ranges[i].nmsrs)
			memcpy(vm->bitmaps[i], filter->ranges[i].bitmap, (filter->ranges[i].nmsrs + 7) / 8);
	return 0;
}

static int denied(const struct thing *vm, uint32_t index)
{
	int i;

	for (i = 0; i < KVM_MSR_FILTER_MAX_RANGES; i++) {
		uint32_t at = index - vm->filter.ranges[i].base;

		if (at < vm->filter.ranges[i].nmsrs)
			return !(vm->bitmaps[i][at / 8] >> at % 8 & 1);
	}
	return (vm->filter.flags & KVM_MSR_FILTER_DEFAULT_DENY) != 0;
}

static int get_cpuid(const struct thing *vcpu, struct kvm_cpuid2 *cpuid)
{
	uint32_t room = cpuid->nent;

	cpuid->nent = vcpu->leaves;
	if (room < vcpu->leaves)
		return fail(E2BIG);
	memcpy(cpuid->entries, vcpu->cpuid, vcpu->leaves * sizeof(vcpu->cpuid[0]));
	return 0;
}

static void guest_cpuid(const struct thing *vcpu, struct guest *guest)
{
	uint32_t i;

	memset(guest->regs, 0, sizeof(guest->regs));
	for (i = 0; i < vcpu->leaves; i++) {
		const struct kvm_cpuid_entry2 *e = &vcpu->cpuid[i];
		uint32_t found[4] = { e->eax, e->ebx, e->ecx, e->edx };

		if (e->function == guest->index && (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == guest->value))
			memcpy(guest->regs, found, sizeof(found));
	}
}

static void finish(struct guest *guest, int fault, uint64_t value)
{
	guest->request = NOTHING;
	guest->done = 1;
	guest->fault = (uint32_t)fault;
	guest->value = value;
}

/* An MSR that the filter denies, or that KVM does not know: an exit where one was asked for, otherwise #GP. */
static int guest_msr(struct thing *vcpu, struct guest *guest)
{
	struct thing *vm = &things[vcpu->vm];
	struct kvm_run *run = vcpu->run;
	uint32_t reason = denied(vm, guest->index)   ? KVM_MSR_EXIT_REASON_FILTER :
			  guest->index == 0x10 ? 0 : KVM_MSR_EXIT_REASON_UNKNOWN;

	if (!reason || !(vm->reasons & reason)) {
		finish(guest, reason != 0, 1);
		return 0;
	}
	run->exit_reason = guest->request == RDMSR ? KVM_EXIT_X86_RDMSR : KVM_EXIT_X86_WRMSR;
	run->msr.reason = reason;
	run->msr.index = guest->index;
	run->msr.data = guest->value;
	run->msr.error = 0;
	vcpu->pending = 1;
	return 1;
}

static int run_vcpu(struct thing *vcpu)
{
	struct guest *guest = guest_of(vcpu->run);

	guest->runs++;
	if (vcpu->pending) {
		vcpu->pending = 0;
		finish(guest, vcpu->run->msr.error, vcpu->run->msr.data);
	}
	if (vcpu->run->immediate_exit && guest->request != RDMSR_THEN_KICK)
		return fail(EINTR);
	if (guest->request == RDMSR_THEN_KICK) { /* the VMM's signal comes while the read is answered */
		guest->request = RDMSR;
		vcpu->run->immediate_exit = 1;
	}
	if ((guest->request == RDMSR || guest->request == WRMSR) && guest_msr(vcpu, guest))
		return 0;
	if (guest->request == CPUID) {
		guest_cpuid(vcpu, guest);
		finish(guest, 0, 0);
	}
	vcpu->run->exit_reason = guest->request == PORT ? KVM_EXIT_IO : KVM_EXIT_HLT;
	guest->request = NOTHING;
	return 0;
}

static int request_of(struct thing *thing, int fd, unsigned request, void *argument)
{
	struct kvm_cpuid2 *cpuid = argument;

	switch (request) {
	case (unsigned)KVM_CREATE_VM:
		return memory_file(VM, 0);
	case (unsigned)KVM_CREATE_VCPU:
		return memory_file(VCPU, thing_of[fd]);
	case (unsigned)KVM_ENABLE_CAP:
		if (fails("cap"))
			return fail(EINVAL);
		if (((struct kvm_enable_cap *)argument)->cap == KVM_CAP_X86_USER_SPACE_MSR)
			thing->reasons = ((struct kvm_enable_cap *)argument)->args[0];
		return 0;
	case (unsigned)KVM_X86_SET_MSR_FILTER:
		return set_filter(thing, argument);
	case (unsigned)KVM_SET_CPUID2:
		if (cpuid->nent > 256)
			return fail(E2BIG);
		thing->leaves = cpuid->nent;
		memcpy(thing->cpuid, cpuid->entries, cpuid->nent * sizeof(cpuid->entries[0]));
		return 0;
	case (unsigned)KVM_GET_CPUID2:
		return get_cpuid(thing, cpuid);
	case (unsigned)KVM_RUN:
		return run_vcpu(thing);
	}
	return 0;
}

static int same(int fd, int made)
{
	if (made >= 0 && made < FDS && fd >= 0 && fd < FDS)
		thing_of[made] = thing_of[fd];
	return made;
}

int dup(int fd)
{
	return same(fd, (int)syscall(SYS_dup, fd));
}

int dup2(int fd, int other)
{
	return same(fd, (int)syscall(SYS_dup2, fd, other));
}

int dup3(int fd, int other, int flags)
{
	return same(fd, (int)syscall(SYS_dup3, fd, other, flags));
}

int fcntl64(int fd, int command, ...)
{
	va_list list;
	void *argument;
	int result;

	va_start(list, command);
	argument = va_arg(list, void *);
	va_end(list);
	result = (int)syscall(SYS_fcntl, fd, command, argument);
	return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? same(fd, result) : result;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list list;
	void *argument;

	va_start(list, request);
	argument = va_arg(list, void *);
	va_end(list);
	if ((request >> 8 & 0xff) != KVMIO || fd < 0 || fd >= FDS)
		return (int)syscall(SYS_ioctl, fd, request, argument);
	return request_of(&things[thing_of[fd]], fd, (unsigned)request, argument);
}
