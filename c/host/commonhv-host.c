/* SPDX-License-Identifier: MIT */
/* The hypervisor side of CommonHV drafts 1 to 3; see commonhv-host.h. */
#include "commonhv-host.h"

#include <stddef.h>

/* ---- The description ---- */

struct range {
	uint32_t first, last;
};

static const uint32_t HYPERV[3] = { 0x7263694d, 0x666f736f, 0x76482074 }; /* "Microsoft Hv" */
static const uint32_t KVM_HYPERV[3] = { 0x756e694c, 0x564b2078, 0x7648204d }; /* "Linux KVM Hv" */
static const uint32_t XEN[3] = { 0x566e6558, 0x65584d4d, 0x4d4d566e }; /* "XenVMMXenVMM" */
static const uint32_t KVM[3] = { 0x4b4d564b, 0x564b4d56, 0x0000004d }; /* "KVMKVMKVM" */

/* MSRs of other interfaces. Xen's hypercall page may lie in either range, and its leaves are not asked here. */
static const struct {
	const uint32_t *signature;
	struct range ranges[5];
} OWNERS[] = {
	{ HYPERV, { { 0x40000000, 0x4000009f }, { 0x400000b0, 0x400001ff }, { 0x40001002, 0x40001002 }, { 0x40001080, 0x4000109f } } },
	{ KVM_HYPERV, { { 0x40000000, 0x4000009f }, { 0x400000b0, 0x400001ff }, { 0x40001002, 0x40001002 }, { 0x40001080, 0x4000109f } } },
	{ XEN, { { 0x40000000, 0x400000ff }, { 0x40000200, 0x400002ff } } },
	{ KVM, { { 0x11, 0x12 }, { 0x4b564d00, 0x4b564dff } } },
};

static int same(const uint32_t *a, const uint32_t *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2];
}

static int owned(const struct commonhv_description *d, uint32_t index)
{
	uint32_t i, k;
	size_t o;

	for (i = 0; i < d->count; i++)
		for (o = 0; o < sizeof(OWNERS) / sizeof(OWNERS[0]); o++)
			for (k = 0; same(d->tuples[i].signature, OWNERS[o].signature) && OWNERS[o].ranges[k].last; k++)
				if (index >= OWNERS[o].ranges[k].first && index <= OWNERS[o].ranges[k].last)
					return 1;
	return 0;
}

static int has(const struct commonhv_description *d, uint32_t feature)
{
	return (d->features & feature) != 0;
}

static const char *tuple_flaw(const struct commonhv_description *d, uint32_t i)
{
	static const uint32_t none[3] = { 0, 0, 0 };
	static const uint32_t own[3] = { COMMONHV_SIGNATURE_EBX, COMMONHV_SIGNATURE_ECX, COMMONHV_SIGNATURE_EDX };
	const struct commonhv_tuple *t = &d->tuples[i];
	uint32_t k;

	if (same(t->signature, none) || same(t->signature, own))
		return "interfaces: expected the signature of another interface";
	if (t->location >= COMMONHV_LEAF_ROOT && t->location <= COMMONHV_LEAF_LAST)
		return "interfaces: 4F000000H to 4FFFFFFFH belong to CommonHV itself";
	for (k = 0; k < i; k++)
		if (t->location == d->tuples[k].location && same(t->signature, d->tuples[k].signature))
			return "interfaces: expected tuples that differ";
	return NULL;
}

const char *commonhv_description_flaw(const struct commonhv_description *d)
{
	int rng = has(d, COMMONHV_FEATURE_RNG), generation = has(d, COMMONHV_FEATURE_GENERATION);
	int page = has(d, COMMONHV_FEATURE_PAGE);
	uint32_t i;

	if (d->draft < 1 || d->draft > 3)
		return "draft: expected 1, 2 or 3";
	if (d->count > COMMONHV_MAX_INTERFACES)
		return "interfaces: expected at most 256";
	if (d->preferred > d->count || (d->preferred && d->draft != 3))
		return "preferred: expected the number of a listed interface, in draft 3";
	if (d->draft != 3 && d->features & ~(COMMONHV_FEATURE_RNG | COMMONHV_FEATURE_RNG_INPUT))
		return "features: drafts 1 and 2 have an RNG alone";
	if (has(d, COMMONHV_FEATURE_RNG_INPUT) && !rng)
		return "features: input needs the RNG";
	if ((page || has(d, COMMONHV_FEATURE_ACK)) && !generation)
		return "features: page and acknowledgement need the generation";
	if (d->draft == 1 && rng && !(d->rng && has(d, COMMONHV_FEATURE_RNG_INPUT)))
		return "rng: draft 1 must accept guest writes, and its index 0 means no RNG";
	if ((rng && generation && d->rng == d->generation) || (page && (d->page == d->generation || (rng && d->page == d->rng))))
		return "indices: expected a different MSR for each register";
	if ((rng && owned(d, d->rng)) || (generation && owned(d, d->generation)) || (page && owned(d, d->page)))
		return "indices: an MSR belongs to a listed interface";
	for (i = 0; i < d->count; i++)
		if (tuple_flaw(d, i))
			return tuple_flaw(d, i);
	return NULL;
}

/* ---- The leaves ---- */

static struct commonhv_regs tuple(const struct commonhv_description *d, uint32_t i)
{
	const struct commonhv_tuple *t = &d->tuples[i];
	struct commonhv_regs regs = { t->location, t->signature[0], t->signature[1], t->signature[2] };

	return regs;
}

static uint32_t max_leaf(const struct commonhv_description *d)
{
	return d->draft != 1 && d->features ? COMMONHV_LEAF_MSRS : COMMONHV_LEAF_FEATURES;
}

int commonhv_host_cpuid(const struct commonhv_description *d, uint32_t leaf, uint32_t subleaf, struct commonhv_regs *regs)
{
	struct commonhv_regs zeros = { 0, 0, 0, 0 };
	/* Draft 1 begins its list at subleaf 0; drafts 2 and 3 give its length there. */
	uint32_t first = d->draft == 1 ? 0 : 1;

	if (leaf < COMMONHV_LEAF_ROOT || leaf > COMMONHV_LEAF_LAST)
		return 0;
	*regs = zeros;
	if (leaf == COMMONHV_LEAF_ROOT) {
		regs->eax = max_leaf(d);
		regs->ebx = COMMONHV_SIGNATURE_EBX;
		regs->ecx = COMMONHV_SIGNATURE_ECX;
		regs->edx = COMMONHV_SIGNATURE_EDX;
	} else if (leaf == COMMONHV_LEAF_INTERFACES && subleaf < first) {
		regs->eax = d->count;
		regs->ebx = d->preferred;
	} else if (leaf == COMMONHV_LEAF_INTERFACES && subleaf - first < d->count) {
		*regs = tuple(d, subleaf - first);
	} else if (leaf == COMMONHV_LEAF_FEATURES) {
		regs->eax = d->draft == 1 ? (d->features ? d->rng : 0) : d->features;
		regs->ebx = d->draft == 3 ? 3 : 0;
	} else if (leaf == COMMONHV_LEAF_MSRS && leaf <= max_leaf(d)) {
		regs->eax = has(d, COMMONHV_FEATURE_RNG) ? d->rng : 0;
		if (d->draft == 3 && has(d, COMMONHV_FEATURE_RNG) && d->secure >= 0)
			regs->ebx = d->secure ? COMMONHV_RNG_SECURE : COMMONHV_RNG_INSECURE;
		regs->ecx = has(d, COMMONHV_FEATURE_GENERATION) ? d->generation : 0;
		regs->edx = has(d, COMMONHV_FEATURE_PAGE) ? d->page : 0;
	}
	return 1;
}

int commonhv_host_entry(const struct commonhv_description *d, uint32_t i, struct commonhv_entry *entry)
{
	uint32_t list = d->count + (d->draft == 1 ? 0 : 1); /* subleaves of the interface list */

	entry->subleaf = 0;
	entry->indexed = 0;
	if (i == 0) {
		entry->leaf = COMMONHV_LEAF_ROOT;
	} else if (i <= list) {
		entry->leaf = COMMONHV_LEAF_INTERFACES;
		entry->subleaf = i - 1;
		entry->indexed = 1;
	} else {
		entry->leaf = COMMONHV_LEAF_FEATURES + (i - list - 1);
	}
	return i <= list + 2 && entry->leaf <= max_leaf(d) && commonhv_host_cpuid(d, entry->leaf, entry->subleaf, &entry->regs);
}

/* ---- The machine ---- */

static int half_equal(uint64_t a, uint64_t b)
{
	return (uint32_t)a == (uint32_t)b || a >> 32 == b >> 32;
}

/* "Neither 32-bit half is ever 0. Both halves differ from the saved ones." A good source needs one try in 2^31. */
static int renew(struct commonhv_host *h, uint64_t saved)
{
	uint64_t value = 0, present = h->state.generation;
	int tries;

	for (tries = 0; tries < 16; tries++) {
		if (h->ops->random(h->context, &value))
			return -1;
		if (half_equal(value, 0) || half_equal(value, present) || half_equal(value, saved))
			continue;
		h->state.acknowledged = 0;
		__atomic_store_n(&h->state.generation, value, __ATOMIC_RELEASE);
		return 0;
	}
	return -1;
}

static void store_page(struct commonhv_host *h)
{
	uint64_t page = h->state.page;

	if (!page || h->ops->store(h->context, page & COMMONHV_PAGE_ADDRESS, h->state.generation) == 0)
		return;
	h->state.page = 0;
	if (h->ops->page_lost)
		h->ops->page_lost(h->context, page & COMMONHV_PAGE_ADDRESS);
}

/* "MUST NOT be offered without a source that worked when the machine started." */
static int no_source(struct commonhv_host *h)
{
	uint64_t first, second;

	return h->description->features &&
	       (h->ops->random(h->context, &first) || h->ops->random(h->context, &second) || first == second);
}

int commonhv_host_start(struct commonhv_host *h, const struct commonhv_description *description,
			const struct commonhv_host_ops *ops, void *context)
{
	*h = (struct commonhv_host){ .description = description, .ops = ops, .context = context };
	if (no_source(h))
		return -1;
	return has(description, COMMONHV_FEATURE_GENERATION) ? renew(h, 0) : 0;
}

int commonhv_host_resume(struct commonhv_host *h, const struct commonhv_description *description,
			 const struct commonhv_host_ops *ops, void *context, const struct commonhv_state *saved, int moved)
{
	*h = (struct commonhv_host){ .description = description, .ops = ops, .context = context, .state = *saved };
	if (!moved)
		return commonhv_host_restored(h, saved);
	return no_source(h) ? -1 : 0;
}

int commonhv_host_restored(struct commonhv_host *h, const struct commonhv_state *saved)
{
	if (no_source(h))
		return -1;
	if (!has(h->description, COMMONHV_FEATURE_GENERATION))
		return 0;
	if (renew(h, saved ? saved->generation : 0))
		return -1;
	if (saved)
		h->state.page = saved->page;
	store_page(h);
	return 0;
}

void commonhv_host_reset(struct commonhv_host *h)
{
	h->state.page = 0;
}

/* ---- The MSRs ---- */

enum commonhv_answer commonhv_host_rdmsr(struct commonhv_host *h, uint32_t index, uint64_t *value)
{
	const struct commonhv_description *d = h->description;

	if (has(d, COMMONHV_FEATURE_RNG) && index == d->rng)
		return h->ops->random(h->context, value) ? COMMONHV_STOP : COMMONHV_OK;
	if (has(d, COMMONHV_FEATURE_GENERATION) && index == d->generation)
		*value = __atomic_load_n(&h->state.generation, __ATOMIC_ACQUIRE);
	else if (has(d, COMMONHV_FEATURE_PAGE) && index == d->page)
		*value = h->state.page;
	else
		return COMMONHV_NOT_OURS;
	return COMMONHV_OK;
}

static enum commonhv_answer acknowledge(struct commonhv_host *h, uint64_t value)
{
	if (!has(h->description, COMMONHV_FEATURE_ACK) || value != __atomic_load_n(&h->state.generation, __ATOMIC_ACQUIRE))
		return COMMONHV_GP;
	if (!__atomic_exchange_n(&h->state.acknowledged, 1, __ATOMIC_ACQ_REL) && h->ops->acknowledged)
		h->ops->acknowledged(h->context, value);
	return COMMONHV_OK;
}

static enum commonhv_answer set_page(struct commonhv_host *h, uint64_t value)
{
	if (value && !(value & COMMONHV_PAGE_ENABLE))
		return COMMONHV_GP;
	if (value & ~(COMMONHV_PAGE_ADDRESS | COMMONHV_PAGE_ENABLE))
		return COMMONHV_GP;
	if (value && h->ops->store(h->context, value & COMMONHV_PAGE_ADDRESS, h->state.generation))
		return COMMONHV_GP;
	h->state.page = value;
	return COMMONHV_OK;
}

enum commonhv_answer commonhv_host_wrmsr(struct commonhv_host *h, uint32_t index, uint64_t value)
{
	const struct commonhv_description *d = h->description;

	if (has(d, COMMONHV_FEATURE_RNG) && index == d->rng) {
		if (!has(d, COMMONHV_FEATURE_RNG_INPUT))
			return COMMONHV_GP;
		if (h->ops->input)
			h->ops->input(h->context, value);
		return COMMONHV_OK;
	}
	if (has(d, COMMONHV_FEATURE_GENERATION) && index == d->generation)
		return acknowledge(h, value);
	return has(d, COMMONHV_FEATURE_PAGE) && index == d->page ? set_page(h, value) : COMMONHV_NOT_OURS;
}
