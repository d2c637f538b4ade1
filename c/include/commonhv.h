/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * CommonHV drafts 1, 2 and 3 (second edition) for C and C++: the numbers of the texts, and discovery as a guest does it.
 *
 * For kernels, user space and hypervisors: nothing here executes an instruction or calls a library. The includer hands in
 * the execution of CPUID. A test compares the numbers with the module `commonhv/spec`, and discovery with `commonhv/guest`.
 */
#ifndef COMMONHV_H
#define COMMONHV_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

/* "Discovery": CPUID.4F000000H.0: EAX max_commonhv_leaf; EBX, ECX and EDX "CommonHVIntf". */
#define COMMONHV_LEAF_ROOT		0x4f000000u
#define COMMONHV_LEAF_LAST		0x4fffffffu
#define COMMONHV_SIGNATURE_EBX		0x6d6d6f43u
#define COMMONHV_SIGNATURE_ECX		0x56486e6fu
#define COMMONHV_SIGNATURE_EDX		0x66746e49u

/* "Hypervisor interface enumeration": drafts 2 and 3: subleaf 0 has N in EAX and (draft 3) the preferred tuple in EBX. */
#define COMMONHV_LEAF_INTERFACES	0x4f000001u
/* Not the draft's number: bounds a guest against a hostile N. */
#define COMMONHV_MAX_INTERFACES		256u

/* "CommonHV features": a mask in EAX, the draft's number in EBX. Draft 1: EAX is the RNG's MSR index, 0 for none. */
#define COMMONHV_LEAF_FEATURES		0x4f000002u
#define COMMONHV_FEATURE_RNG		(1u << 0)
#define COMMONHV_FEATURE_RNG_INPUT	(1u << 1)
#define COMMONHV_FEATURE_GENERATION	(1u << 2)
#define COMMONHV_FEATURE_PAGE		(1u << 3)
#define COMMONHV_FEATURE_ACK		(1u << 4)

/* MSR leaf: EAX MSR_COMMONHV_RNG, EBX the statement about it, ECX MSR_COMMONHV_GENERATION, EDX MSR_COMMONHV_GENERATION_PAGE. */
#define COMMONHV_LEAF_MSRS		0x4f000003u
#define COMMONHV_RNG_SECURE		(1u << 0)
#define COMMONHV_RNG_INSECURE		(1u << 1)

/* Default MSR indices; a guest always takes the indices from the MSR leaf. */
#define COMMONHV_DEFAULT_RNG_MSR	0x400000a0u
#define COMMONHV_DEFAULT_GENERATION_MSR	0x400000a1u
#define COMMONHV_DEFAULT_PAGE_MSR	0x400000a2u

/* "Generation page": MSR_COMMONHV_GENERATION_PAGE holds the page's guest-physical address and the enable bit. */
#define COMMONHV_PAGE_SIZE		4096u
#define COMMONHV_PAGE_ENABLE		0x0000000000000001ull
#define COMMONHV_PAGE_ADDRESS		0xfffffffffffff000ull

/** The page: two little-endian 64-bit values; a process draws from the kernel only while they are equal. */
struct commonhv_page {
	uint64_t generation; /* stored by the hypervisor: the machine's generation */
	uint64_t reseeded; /* stored by the guest's kernel: the generation for which it last reseeded its generator */
	uint8_t reserved[COMMONHV_PAGE_SIZE - 16]; /* zero */
};

struct commonhv_regs {
	uint32_t eax, ebx, ecx, edx;
};

/** Executes CPUID with EAX = leaf and ECX = subleaf. */
typedef struct commonhv_regs commonhv_cpuid_fn(void *context, uint32_t leaf, uint32_t subleaf);

/** An entry of the interface list: laid out as the registers of its subleaf. */
struct commonhv_tuple {
	uint32_t location; /* the CPUID leaf at which the interface begins */
	uint32_t signature[3]; /* twelve bytes, EBX first, of each register the lowest byte first */
};

/** The offer of a hypervisor, checked: a feature bit is set here only where the feature can be used. */
struct commonhv {
	uint32_t max_leaf; /* max_commonhv_leaf, 4F000000H to 4FFFFFFFH */
	int draft; /* 1 to 3; 0 where every reading gives no interface and no feature */
	uint32_t features; /* COMMONHV_FEATURE_*; draft 1's RNG always accepts input */
	int secure; /* 1 secure, 0 certainly not, -1 no statement; of the RNG, draft 3 */
	uint32_t count; /* tuples, at most COMMONHV_MAX_INTERFACES; 0 in draft 1, whose list ends with zeros */
	uint32_t preferred; /* 1 to count; 0: the first is preferred */
	uint32_t rng, generation, page; /* MSR indices, each meaningful where its feature bit is set; 0 is an index */
};

/* "Any leaves ... that exceed max_commonhv_leaf MUST be handled by guests as though they contain all zeros." */
static inline struct commonhv_regs commonhv_leaf(const struct commonhv *hv, uint32_t leaf, uint32_t subleaf,
						 commonhv_cpuid_fn *cpuid, void *context)
{
	struct commonhv_regs zeros = { 0, 0, 0, 0 };

	return leaf <= hv->max_leaf ? cpuid(context, leaf, subleaf) : zeros;
}

/* "Which draft is it?": the six questions of draft 3, in their order. */
static inline int commonhv_draft(uint32_t max_leaf, struct commonhv_regs list, struct commonhv_regs features)
{
	if (max_leaf >= COMMONHV_LEAF_MSRS)
		return features.ebx >= 3 ? 3 : 2;
	if (features.ebx >= 3)
		return 3;
	if (features.eax || list.ebx || list.ecx || list.edx)
		return 1;
	return list.eax ? 2 : 0;
}

/* The feature bits that can be used: pages and acknowledgements need a generation, and each MSR an index of its own. */
static inline uint32_t commonhv_usable(int draft, uint32_t bits, struct commonhv_regs msrs)
{
	uint32_t usable = bits & (COMMONHV_FEATURE_RNG | COMMONHV_FEATURE_RNG_INPUT);
	int has_rng = (usable & COMMONHV_FEATURE_RNG) != 0;

	if (!has_rng)
		usable = 0;
	if (draft != 3 || !(bits & COMMONHV_FEATURE_GENERATION) || (has_rng && msrs.ecx == msrs.eax))
		return usable;
	usable |= COMMONHV_FEATURE_GENERATION | (bits & COMMONHV_FEATURE_ACK);
	if ((bits & COMMONHV_FEATURE_PAGE) && msrs.edx != msrs.ecx && !(has_rng && msrs.edx == msrs.eax))
		usable |= COMMONHV_FEATURE_PAGE;
	return usable;
}

/**
 * Fills `hv` and returns 1, or returns 0 where the twelve bytes or the range of max_commonhv_leaf say that this is not
 * CommonHV. Executes at most four CPUIDs, whatever they return. The hypervisor bit is not asked: it may be hidden.
 */
static inline int commonhv_discover(struct commonhv *hv, commonhv_cpuid_fn *cpuid, void *context)
{
	struct commonhv_regs root = cpuid(context, COMMONHV_LEAF_ROOT, 0), list, features, msrs;
	struct commonhv nothing = { 0, 0, 0, -1, 0, 0, 0, 0, 0 };

	if (root.ebx != COMMONHV_SIGNATURE_EBX || root.ecx != COMMONHV_SIGNATURE_ECX || root.edx != COMMONHV_SIGNATURE_EDX ||
	    root.eax < COMMONHV_LEAF_ROOT || root.eax > COMMONHV_LEAF_LAST)
		return 0;
	*hv = nothing;
	hv->max_leaf = root.eax;
	list = commonhv_leaf(hv, COMMONHV_LEAF_INTERFACES, 0, cpuid, context);
	features = commonhv_leaf(hv, COMMONHV_LEAF_FEATURES, 0, cpuid, context);
	hv->draft = commonhv_draft(hv->max_leaf, list, features);
	if (hv->draft == 1) {
		hv->rng = features.eax;
		hv->features = features.eax ? COMMONHV_FEATURE_RNG | COMMONHV_FEATURE_RNG_INPUT : 0;
		return 1;
	}
	hv->count = list.eax < COMMONHV_MAX_INTERFACES ? list.eax : COMMONHV_MAX_INTERFACES;
	if (hv->draft == 3 && list.ebx <= hv->count)
		hv->preferred = list.ebx;
	if (hv->max_leaf < COMMONHV_LEAF_MSRS)
		return 1;
	msrs = commonhv_leaf(hv, COMMONHV_LEAF_MSRS, 0, cpuid, context);
	hv->features = commonhv_usable(hv->draft, features.eax, msrs);
	hv->rng = msrs.eax;
	hv->generation = msrs.ecx;
	hv->page = msrs.edx;
	/* Neither bit, or both: no statement. */
	if (hv->draft == 3 && !(msrs.ebx & COMMONHV_RNG_SECURE) != !(msrs.ebx & COMMONHV_RNG_INSECURE))
		hv->secure = msrs.ebx & COMMONHV_RNG_SECURE ? 1 : 0;
	return 1;
}

/** Reads the interface list, in the hypervisor's order; returns the number of tuples stored, at most `size`. */
static inline uint32_t commonhv_interfaces(const struct commonhv *hv, struct commonhv_tuple *tuples, uint32_t size,
					   commonhv_cpuid_fn *cpuid, void *context)
{
	/* Draft 1 begins at subleaf 0 and ends with zeros; drafts 2 and 3 begin at 1 and give their number. */
	int first_draft = hv->draft == 1;
	uint32_t i, most = first_draft ? COMMONHV_MAX_INTERFACES : hv->count;

	for (i = 0; i < most && i < size; i++) {
		struct commonhv_regs regs =
			commonhv_leaf(hv, COMMONHV_LEAF_INTERFACES, first_draft ? i : i + 1, cpuid, context);

		if (first_draft && !(regs.eax | regs.ebx | regs.ecx | regs.edx))
			break;
		tuples[i].location = regs.eax;
		tuples[i].signature[0] = regs.ebx;
		tuples[i].signature[1] = regs.ecx;
		tuples[i].signature[2] = regs.edx;
	}
	return i;
}

/** Returns 1 where a value of the RNG came twice, or two steps from value to value are equal: such values are not used. */
static inline int commonhv_values_flawed(const uint64_t *values, uint32_t count)
{
	uint32_t i, j;

	for (i = 0; i < count; i++)
		for (j = 0; j < i; j++)
			if (values[i] == values[j] || (j > 0 && values[i] - values[i - 1] == values[j] - values[j - 1]))
				return 1;
	return 0;
}

#endif
