/* SPDX-License-Identifier: MIT */
/*
 * Structures are recycled, never freed, so a thread that is inside KVM_RUN while another closes the descriptor finds
 * valid memory. A vCPU's mapping is removed when no thread is inside; until then KVM keeps the machine.
 *
 * Several descriptors may name one machine or vCPU (dup). A child process has none: KVM serves only the process that made
 * the machine.
 */
#define _GNU_SOURCE
#include "descriptors.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static struct vm *_Atomic vms[DESCRIPTORS];
static struct vcpu *_Atomic vcpus[DESCRIPTORS];
static struct vm *free_vms;
static struct vcpu *free_vcpus, *closed_vcpus; /* closed: a thread may still be inside */
static int highest = -1; /* no descriptor above it was ever tracked */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int in_table(int fd)
{
	return fd >= 0 && fd < DESCRIPTORS;
}

struct vm *vm_of(int fd)
{
	return atomic_load(&vms[fd]);
}

int is_tracked(int fd)
{
	return in_table(fd) && (atomic_load(&vms[fd]) || atomic_load(&vcpus[fd]));
}

struct vcpu *enter(int fd)
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

void leave(struct vcpu *vcpu)
{
	atomic_fetch_sub(&vcpu->busy, 1);
}

/* A child has no thread that could hold the lock, and must not keep its parent's machines alive by a mapping. */
static void after_fork(void)
{
	int fd;

	pthread_mutex_init(&lock, NULL);
	for (fd = 0; fd <= highest; fd++) {
		struct vcpu *vcpu = atomic_exchange(&vcpus[fd], NULL);

		if (vcpu && vcpu->run)
			munmap(vcpu->run, RUN_SIZE), vcpu->run = NULL;
		atomic_store(&vms[fd], NULL);
	}
	highest = -1;
	free_vms = NULL;
	free_vcpus = closed_vcpus = NULL;
}

void lock_descriptors(void)
{
	static _Atomic int registered;

	if (!atomic_exchange(&registered, 1))
		pthread_atfork(NULL, NULL, after_fork);
	pthread_mutex_lock(&lock);
}

void unlock_descriptors(void)
{
	pthread_mutex_unlock(&lock);
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

struct vm *new_vm(void)
{
	return take((void **)&free_vms, sizeof(struct vm));
}

static void note_highest(int fd)
{
	highest = fd > highest ? fd : highest;
}

void track_vm(int fd, struct vm *vm)
{
	note_highest(fd);
	vm->users++;
	atomic_store(&vms[fd], vm);
}

void drop_vm(struct vm *vm)
{
	vm->next = free_vms;
	free_vms = vm;
}

static void release_vm(struct vm *vm)
{
	if (--vm->users == 0)
		drop_vm(vm);
}

struct vcpu *track_vcpu(int fd, struct vm *vm, struct kvm_run *run)
{
	struct vcpu *vcpu = take((void **)&free_vcpus, sizeof(*vcpu));

	if (!vcpu)
		return NULL;
	vcpu->vm = vm;
	vcpu->run = run;
	vcpu->descriptors = 1;
	vm->users++;
	lock_vm(vm);
	vcpu->next = vm->vcpus;
	vm->vcpus = vcpu;
	unlock_vm(vm);
	note_highest(fd);
	atomic_store(&vcpus[fd], vcpu);
	return vcpu;
}

void track_same(int fd, int other)
{
	struct vcpu *vcpu = atomic_load(&vcpus[fd]);
	struct vm *vm = atomic_load(&vms[fd]);

	if (vm)
		track_vm(other, vm);
	if (vcpu) {
		vcpu->descriptors++;
		note_highest(other);
		atomic_store(&vcpus[other], vcpu);
	}
}

/* Removes the mappings of closed vCPUs that no thread is inside. */
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
		release_vm(vcpu->vm);
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

/* A descriptor of the machine, or -1: its vCPUs alone are open. */
static int another_fd(const struct vm *vm)
{
	int fd = highest;

	while (fd >= 0 && atomic_load(&vms[fd]) != vm)
		fd--;
	return fd;
}

void forget(int fd)
{
	struct vcpu *vcpu = atomic_exchange(&vcpus[fd], NULL);
	struct vm *vm = atomic_exchange(&vms[fd], NULL);

	if (vcpu && --vcpu->descriptors == 0) {
		unlink_vcpu(vcpu);
		vcpu->next = closed_vcpus;
		closed_vcpus = vcpu;
	}
	if (vm) {
		if (vm->fd == fd)
			vm->fd = another_fd(vm);
		release_vm(vm);
	}
	reap();
}
