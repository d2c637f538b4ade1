/* What the stand-in VMM and the stand-in KVM share: the guest's one request, behind struct kvm_run in its page. */
#ifndef FAKE_KVM_H
#define FAKE_KVM_H

#include <stdint.h>

enum { NOTHING, RDMSR, WRMSR, CPUID, PORT, RDMSR_THEN_KICK };

struct guest {
	uint32_t request; /* set by the VMM, cleared when it is done */
	uint32_t index; /* of the MSR; the leaf */
	uint64_t value; /* written, or read; the subleaf */
	uint32_t done, fault; /* the instruction has completed; with #GP */
	uint32_t regs[4];
	uint32_t runs; /* how often KVM_RUN was entered */
};

#define guest_of(run) ((struct guest *)((char *)(run) + 3072))

#endif
