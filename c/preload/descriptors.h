/* SPDX-License-Identifier: MIT */
/* Which descriptors of this process are machines and vCPUs. */
#ifndef COMMONHV_DESCRIPTORS_H
#define COMMONHV_DESCRIPTORS_H

#include "machine.h"

/** Above this number descriptors are not tracked. */
enum { DESCRIPTORS = 65536 };

int in_table(int fd);
/** Whether it is a machine or a vCPU. */
int is_tracked(int fd);
struct vm *vm_of(int fd);

/** A vCPU that stays valid until `leave`; NULL where the descriptor is no tracked vCPU. */
struct vcpu *enter(int fd);
void leave(struct vcpu *vcpu);

/** The lock of opening and closing; the functions below are called with it. */
void lock_descriptors(void);
void unlock_descriptors(void);

/** A structure of zeros for `track_vm`; NULL without memory. */
struct vm *new_vm(void);
/** The descriptor names this machine from now on. */
void track_vm(int fd, struct vm *vm);
/** The machine is not used: its structure is free again. */
void drop_vm(struct vm *vm);
/** The descriptor names a new vCPU of the machine; NULL without memory. `run`: this library's mapping of it. */
struct vcpu *track_vcpu(int fd, struct vm *vm, struct kvm_run *run);
/** The second descriptor names the same machine or vCPU as the first. */
void track_same(int fd, int other);
/** The descriptor was closed, or names something new. */
void forget(int fd);

#endif
