/* SPDX-License-Identifier: MIT */
/*
 * A plugin of QEMU's TCG that answers CommonHV's leaves and MSRs. Experimental: for kernel developers who test under TCG.
 *
 *   qemu-system-x86_64 -accel tcg -plugin ./commonhv-plugin.so[,KEY=VALUE...]   (words of c/host/commonhv-text.h)
 *
 * A plugin cannot intercept an instruction, but may change registers at the next one: TCG executes CPUID, RDMSR or WRMSR as
 * ever, and the answer replaces its result before any other instruction of that vCPU. So WRMSR cannot raise #GP, and
 * TCG must ignore MSRs that it does not know, as it does. Neither the generation page nor acknowledgement is offered.
 *
 * Registers: with API 5 (QEMU 10.1) by the plugin interface; before that by functions that QEMU's program exports by
 * accident, looked up by name. A loadvm in place shows in a run-state handler that is exported likewise; where that is
 * missing, no generation is offered.
 */
#define _GNU_SOURCE
#include "../host/commonhv-text.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#ifndef API
#define API 1 /* of QEMU 7.2; 5 from QEMU 10.1, 7 from QEMU 11.1 */
#endif
#define EXPORT __attribute__((visibility("default")))

/* include/qemu/qemu-plugin.h of QEMU, and glib's array, as far as they are used here. */
typedef uint64_t plugin_id;
typedef struct {
	uint8_t *data;
	unsigned length;
} byte_array;
enum { READ_REGISTERS = 1, WRITE_REGISTERS = 2 };
#if API >= 7
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*translated)(void *tb, void *data), void *data);
#else
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*translated)(plugin_id, void *tb));
#endif
void qemu_plugin_register_vcpu_tb_exec_cb(void *tb, void (*executed)(unsigned, void *), int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(void *insn, void (*executed)(unsigned, void *), int flags, void *data);
size_t qemu_plugin_tb_n_insns(const void *tb);
void *qemu_plugin_tb_get_insn(const void *tb, size_t index);
byte_array *g_byte_array_new(void);
byte_array *g_byte_array_set_size(byte_array *array, unsigned length);

EXPORT int qemu_plugin_version = API;

enum { EAX, EBX, ECX, EDX, REGISTERS };
enum { NONE, CPUID, RDMSR };
enum { MAX_CPUS = 256 };

static struct commonhv_settings settings;
static struct commonhv_host host;
static byte_array *scratch[MAX_CPUS];
static struct pending {
	int instruction; /* its answer is due at the vCPU's next instruction */
	uint32_t leaf, index;
} pending[MAX_CPUS];

static int draw(void *context, uint64_t *value)
{
	(void)context;
	return getrandom(value, sizeof(*value), 0) == sizeof(*value) ? 0 : -1;
}

static const struct commonhv_host_ops ops = { .random = draw };

/* ---- Registers ---- */

#if API >= 5
struct register_descriptor { /* its first members: QEMU 11 has one more */
	void *handle;
	const char *name, *feature;
};
typedef struct {
	char *data;
	unsigned length;
} array;
array *qemu_plugin_get_registers(void);
unsigned g_array_get_element_size(array *list);
/* Their results changed from a count (API 5) to _Bool: not used. */
void qemu_plugin_read_register(void *handle, byte_array *out);
void qemu_plugin_write_register(void *handle, byte_array *in);
static void *handles[REGISTERS];

static const char *find_registers(void)
{
	return NULL;
}

/* Only a vCPU's thread may ask. */
static void find_handles(void)
{
	static const char *const names[REGISTERS] = { "rax", "rbx", "rcx", "rdx" };
	array *all = handles[EAX] ? NULL : qemu_plugin_get_registers();
	unsigned i, k, size = all ? g_array_get_element_size(all) : 0;

	for (i = 0; all && i < all->length; i++) {
		const struct register_descriptor *found = (const void *)(all->data + i * size);

		for (k = 0; k < REGISTERS; k++)
			if (!strcmp(found->name, names[k]) || (found->name[0] == 'e' && !strcmp(found->name + 1, names[k] + 1)))
				handles[k] = found->handle;
	}
}

static uint32_t get(unsigned cpu, int which)
{
	uint32_t value = 0;

	find_handles();
	g_byte_array_set_size(scratch[cpu], 0);
	if (handles[which])
		qemu_plugin_read_register(handles[which], scratch[cpu]);
	if (scratch[cpu]->length >= sizeof(value))
		memcpy(&value, scratch[cpu]->data, sizeof(value));
	return value;
}

static void set(unsigned cpu, int which, uint32_t value)
{
	g_byte_array_set_size(scratch[cpu], 8);
	memset(scratch[cpu]->data, 0, 8);
	memcpy(scratch[cpu]->data, &value, sizeof(value));
	if (handles[which])
		qemu_plugin_write_register(handles[which], scratch[cpu]);
}

size_t qemu_plugin_insn_data(const void *insn, void *bytes, size_t length);

static int opcode(const void *insn)
{
	uint8_t bytes[2] = { 0, 0 };

	qemu_plugin_insn_data(insn, bytes, sizeof(bytes));
	return bytes[0] << 8 | bytes[1];
}
#else
const void *qemu_plugin_insn_data(const void *insn);
size_t qemu_plugin_insn_size(const void *insn);
static void *(*cpu_by_index)(int);
static int (*read_register)(void *, byte_array *, int);
static int (*write_register)(void *, uint8_t *, int);

static const char *find_registers(void)
{
	*(void **)&cpu_by_index = dlsym(RTLD_DEFAULT, "qemu_get_cpu");
	*(void **)&read_register = dlsym(RTLD_DEFAULT, "x86_cpu_gdb_read_register");
	*(void **)&write_register = dlsym(RTLD_DEFAULT, "x86_cpu_gdb_write_register");
	return cpu_by_index && read_register && write_register ? NULL : "this QEMU exports no access to registers";
}

static uint32_t get(unsigned cpu, int which)
{
	uint32_t value = 0;

	g_byte_array_set_size(scratch[cpu], 0);
	if (read_register(cpu_by_index((int)cpu), scratch[cpu], which) >= 4)
		memcpy(&value, scratch[cpu]->data, sizeof(value));
	return value;
}

static void set(unsigned cpu, int which, uint32_t value)
{
	uint64_t wide = value;

	write_register(cpu_by_index((int)cpu), (uint8_t *)&wide, which);
}

static int opcode(const void *insn)
{
	const uint8_t *bytes = qemu_plugin_insn_data(insn);

	return qemu_plugin_insn_size(insn) == 2 ? bytes[0] << 8 | bytes[1] : 0;
}
#endif

/* ---- Instructions ---- */

static void before(unsigned cpu, void *instruction)
{
	if (cpu >= MAX_CPUS)
		return;
	pending[cpu] = (struct pending){ (int)(uintptr_t)instruction, get(cpu, EAX), get(cpu, ECX) };
}

static void answer_cpuid(unsigned cpu, const struct pending *asked)
{
	struct commonhv_regs regs;

	if (asked->leaf == 1) {
		uint32_t ecx = get(cpu, ECX);

		set(cpu, ECX, settings.hypervisor_bit ? ecx | 1u << 31 : ecx & ~(1u << 31));
	}
	if (!commonhv_host_cpuid(&settings.description, asked->leaf, asked->index, &regs))
		return;
	set(cpu, EAX, regs.eax);
	set(cpu, EBX, regs.ebx);
	set(cpu, ECX, regs.ecx);
	set(cpu, EDX, regs.edx);
}

static void after(unsigned cpu, void *unused)
{
	struct pending asked;
	uint64_t value;

	(void)unused;
	if (cpu >= MAX_CPUS || !pending[cpu].instruction)
		return;
	asked = pending[cpu];
	pending[cpu].instruction = NONE;
	if (asked.instruction == CPUID) {
		answer_cpuid(cpu, &asked);
		return;
	}
	switch (commonhv_host_rdmsr(&host, asked.index, &value)) {
	case COMMONHV_OK:
		set(cpu, EAX, (uint32_t)value);
		set(cpu, EDX, (uint32_t)(value >> 32));
		break;
	case COMMONHV_STOP:
		fprintf(stderr, "commonhv: the kernel gives no random values\n");
		abort(); /* never a value that is not random */
	default:
		break;
	}
}

/* An answer is due at the next instruction: in this block, or the first of whichever is executed next. */
static void translate(void *tb)
{
	size_t i, count = qemu_plugin_tb_n_insns(tb);
	int due = 1;

	for (i = 0; i < count; i++) {
		void *insn = qemu_plugin_tb_get_insn(tb, i);
		int code = opcode(insn), instruction = code == 0x0fa2 ? CPUID : code == 0x0f32 ? RDMSR : NONE;

		if (due)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, after, WRITE_REGISTERS, NULL);
		if (instruction)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, before, READ_REGISTERS, (void *)(uintptr_t)instruction);
		due = instruction != NONE;
	}
}

#if API >= 7
static void translated(void *tb, void *unused)
{
	(void)unused;
	translate(tb);
}
#else
static void translated(plugin_id id, void *tb)
{
	(void)id;
	translate(tb);
}
#endif

/* ---- Restores ---- */

/* qapi/run-state.json: the numbers of RunState, and the virtual clock's of include/qemu/timer.h. */
enum { RESTORE_VM = 8, CLOCK_VIRTUAL = 1 };
enum { MAX_START_NS = 100000000 };
static int64_t (*clock_ns)(int);
static int64_t stopped_at;
static int restored;

/* The virtual clock stands while the machine does, and is part of the saved state: a jump is a loadvm of a paused machine. */
static void run_state(void *unused, _Bool running, int state)
{
	int64_t passed = clock_ns(CLOCK_VIRTUAL) - stopped_at;

	(void)unused;
	if (!running) {
		restored |= state == RESTORE_VM;
		stopped_at = clock_ns(CLOCK_VIRTUAL);
		return;
	}
	if (stopped_at && (restored || passed < 0 || passed > MAX_START_NS) && commonhv_host_restored(&host, NULL))
		abort();
	restored = 0;
}

static void watch_restores(void)
{
	void *(*add)(void (*)(void *, _Bool, int), void *);

	*(void **)&add = dlsym(RTLD_DEFAULT, "qemu_add_vm_change_state_handler");
	*(void **)&clock_ns = dlsym(RTLD_DEFAULT, "qemu_clock_get_ns");
	if (add && clock_ns) {
		add(run_state, NULL);
		return;
	}
	settings.description.features &= ~COMMONHV_FEATURE_GENERATION;
	fprintf(stderr, "commonhv: this QEMU does not say when it was restored: no generation is offered\n");
}

/* ---- The start ---- */

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
	const struct commonhv_tuple tcg = { 0x40000000, { 0x54474354, 0x43544743, 0x47435447 } }; /* "TCGTCGTCGTCG" */
	struct commonhv_description *d = &settings.description;
	const char *flaw = find_registers();
	int i;

	(void)info;
	commonhv_settings_default(&settings);
	d->features |= COMMONHV_FEATURE_RNG_INPUT; /* a write cannot raise #GP here, and is dropped */
	for (i = 0; i < argc && !flaw; i++)
		if (commonhv_settings_word(&settings, argv[i]))
			flaw = argv[i];
	d->features &= ~(COMMONHV_FEATURE_PAGE | COMMONHV_FEATURE_ACK);
	if (!settings.listed)
		d->tuples[d->count++] = tcg;
	watch_restores();
	if (!flaw && commonhv_settings_prefer(&settings))
		flaw = "prefer: not among the interfaces";
	if (!flaw)
		flaw = commonhv_description_flaw(d);
	if (!flaw && commonhv_host_start(&host, d, &ops, NULL))
		flaw = "the kernel gives no random values";
	if (flaw) {
		fprintf(stderr, "commonhv: the plugin cannot serve: %s\n", flaw);
		return 1;
	}
	for (i = 0; i < MAX_CPUS; i++)
		scratch[i] = g_byte_array_new();
#if API >= 7
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated, NULL);
#else
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
#endif
	return 0;
}
