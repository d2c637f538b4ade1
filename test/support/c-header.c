/*
 * For test/c-header.test.ts: runs the header's discovery against tables of CPUID leaves from standard input, one table a line:
 * DEFAULT*4 COUNT (LEAF SUBLEAF EAX EBX ECX EDX)*COUNT, hexadecimal; prints one line of JSON for each.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "commonhv.h"

struct table {
	struct commonhv_regs absent;
	uint32_t count, executed;
	struct { uint32_t leaf, subleaf; struct commonhv_regs regs; } rows[64];
};

static uint32_t number(void)
{
	uint32_t value;

	if (scanf("%" SCNx32, &value) != 1)
		exit(3);
	return value;
}

static struct commonhv_regs four(void)
{
	struct commonhv_regs regs;

	regs.eax = number();
	regs.ebx = number();
	regs.ecx = number();
	regs.edx = number();
	return regs;
}

static struct commonhv_regs lookup(void *context, uint32_t leaf, uint32_t subleaf)
{
	struct table *table = (struct table *)context;
	uint32_t i;

	table->executed++;
	for (i = 0; i < table->count; i++)
		if (table->rows[i].leaf == leaf && table->rows[i].subleaf == subleaf)
			return table->rows[i].regs;
	return table->absent;
}

int main(void)
{
	static struct commonhv_tuple tuples[COMMONHV_MAX_INTERFACES + 1];
	uint32_t tables = number(), i, n;

	while (tables-- > 0) {
		struct commonhv hv;
		struct table table;

		table.absent = four();
		table.executed = 0;
		table.count = number();
		if (table.count > 64)
			return 3;
		for (i = 0; i < table.count; i++) {
			table.rows[i].leaf = number();
			table.rows[i].subleaf = number();
			table.rows[i].regs = four();
		}
		if (!commonhv_discover(&hv, lookup, &table)) {
			printf("{\"executed\":%u}\n", table.executed);
			continue;
		}
		n = commonhv_interfaces(&hv, tuples, COMMONHV_MAX_INTERFACES + 1, lookup, &table);
		printf("{\"draft\":%d,\"maxLeaf\":%u,\"features\":%u,\"secure\":%d,\"preferred\":%u,\"rng\":%u,\"generation\":%u,"
		       "\"page\":%u,\"executed\":%u,\"interfaces\":[", hv.draft, hv.max_leaf, hv.features, hv.secure,
		       hv.preferred, hv.rng, hv.generation, hv.page, table.executed);
		for (i = 0; i < n; i++)
			printf("%s[%u,%u,%u,%u]", i ? "," : "", tuples[i].location, tuples[i].signature[0],
			       tuples[i].signature[1], tuples[i].signature[2]);
		printf("]}\n");
	}
	return 0;
}
