/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor side of CommonHV for a VMM: copy this folder and ../include, which stays beside it, into yours.
 *
 * A description becomes CPUID leaves; three MSRs are answered; the machine's owner says when it was reset or restored.
 * It calls no library and holds no lock. CPUID and RDMSR may run on any number of vCPUs at once, beside one WRMSR of
 * the generation. The caller serialises WRMSR of the page, and stops all vCPUs for reset, restored, save and resume.
 * docs/embedding.md says where a VMM calls which function.
 */
#ifndef COMMONHV_HOST_H
#define COMMONHV_HOST_H

#include "../include/commonhv.h"

/** What a machine offers: constant for its life, saved with it. */
struct commonhv_description {
	int draft; /* 1, 2 or 3 */
	uint32_t features; /* COMMONHV_FEATURE_*; draft 1's RNG always accepts input */
	int secure; /* what draft 3 says of the RNG: 1 secure, 0 certainly not, -1 no statement */
	uint32_t rng, generation, page; /* MSR indices, each meaningful where its feature bit is set */
	uint32_t preferred; /* draft 3: 1 to count; 0: the first */
	uint32_t count; /* tuples, at most COMMONHV_MAX_INTERFACES */
	struct commonhv_tuple tuples[COMMONHV_MAX_INTERFACES];
};

/** What the VMM provides; `context` is handed through. Only `random` is needed by every description. */
struct commonhv_host_ops {
	/* 64 bits from a secure generator that no copy of this process shares: 0, or -1 where it failed. */
	int (*random)(void *context, uint64_t *value);
	/* A guest wrote to the RNG, whose input is accepted. NULL drops it. */
	void (*input)(void *context, uint64_t value);
	/* The first acknowledgement of a generation: the guest has reseeded. */
	void (*acknowledged)(void *context, uint64_t generation);
	/* One aligned 64-bit store to guest memory, marked dirty: 0, or -1 where the page is not wholly writable RAM. */
	int (*store)(void *context, uint64_t address, uint64_t value);
	/* The page was gone when it had to be stored to; the register is 0 again. */
	void (*page_lost)(void *context, uint64_t address);
};

/** The machine's own values: part of its saved state. Zeros are no state. */
struct commonhv_state {
	uint64_t generation; /* neither half is 0 */
	uint64_t page; /* MSR_COMMONHV_GENERATION_PAGE */
	uint32_t acknowledged; /* 1 where this generation was acknowledged */
	uint32_t reserved;
};

struct commonhv_host {
	const struct commonhv_description *description;
	const struct commonhv_host_ops *ops;
	void *context;
	struct commonhv_state state;
};

enum commonhv_answer {
	COMMONHV_OK,
	COMMONHV_GP, /* the instruction raises #GP */
	COMMONHV_NOT_OURS, /* another part of the VMM answers */
	COMMONHV_STOP, /* the source failed: the vCPU must not execute another instruction */
};

/**
 * NULL, or how the description contradicts itself, the draft or a listed interface, as one line without an end. MSRs that
 * the architecture defines are not known here: choose indices from 40000000H to 400000FFH.
 */
const char *commonhv_description_flaw(const struct commonhv_description *description);

/** CPUID: 1 and the registers for 4F000000H to 4FFFFFFFH, 0 for other leaves. The hypervisor bit is the caller's. */
int commonhv_host_cpuid(const struct commonhv_description *description, uint32_t leaf, uint32_t subleaf,
			struct commonhv_regs *regs);

/** A leaf of a CPUID table such as KVM's; `indexed`: it answers only its subleaf. */
struct commonhv_entry {
	uint32_t leaf, subleaf;
	int indexed;
	struct commonhv_regs regs;
};

/** The table's entry `i`, from 0: 1, or 0 after the last. There are at most COMMONHV_MAX_INTERFACES + 4. */
int commonhv_host_entry(const struct commonhv_description *description, uint32_t i, struct commonhv_entry *entry);

/** Power-on: 0, or -1 where the source does not work, and nothing may be advertised. Keeps the three pointers. */
int commonhv_host_start(struct commonhv_host *host, const struct commonhv_description *description,
			const struct commonhv_host_ops *ops, void *context);

/**
 * A saved machine in a new process, before its first instruction. `moved`: a live migration of the only copy, which keeps
 * its generation; otherwise a new one is drawn. -1: refuse to resume. The caller has compared the saved description.
 */
int commonhv_host_resume(struct commonhv_host *host, const struct commonhv_description *description,
			 const struct commonhv_host_ops *ops, void *context, const struct commonhv_state *saved, int moved);

/**
 * The machine was restored in place: a new generation, which differs in both halves from the present one and the saved one
 * (`saved` may be NULL), before any vCPU executes. -1: the source failed, and no vCPU may execute.
 */
int commonhv_host_restored(struct commonhv_host *host, const struct commonhv_state *saved);

/** The machine was reset: the same machine, without a page. */
void commonhv_host_reset(struct commonhv_host *host);

/** RDMSR and WRMSR of any index, at CPL 0. */
enum commonhv_answer commonhv_host_rdmsr(struct commonhv_host *host, uint32_t index, uint64_t *value);
enum commonhv_answer commonhv_host_wrmsr(struct commonhv_host *host, uint32_t index, uint64_t value);

#endif
