/*
 * A VMM without a guest, for the library of `commonhv preload`: commands on standard input, one line of answer each.
 * Each vCPU is run by a thread of its own, which `seal` forbids every system call.
 */
#define _GNU_SOURCE
#include "fake-kvm.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { IDLE, RUN, SEAL, END };

static struct vcpu {
	int fd;
	struct kvm_run *run;
	_Atomic int task;
	int result, error;
	pthread_t thread;
} vcpus[16];
static uint64_t last_read;
/* KVM_RUN's call: this program's, or that of a library which came by dlopen. */
static int (*request)(int, unsigned long, ...) = ioctl;
static int kvm, vms[16], vm_count, vcpu_count;

/* KVM_RUN may not allocate: a vCPU thread's allow-list, or its real-time priority, forbids it. */
static _Thread_local int running;

static void check_allocation(void)
{
	static const char flaw[] = "an allocation in KVM_RUN\n";

	if (running && write(2, flaw, sizeof(flaw) - 1))
		_exit(99);
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *at, size_t size);

void *malloc(size_t size)
{
	check_allocation();
	return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	check_allocation();
	return __libc_calloc(count, size);
}

void *realloc(void *at, size_t size)
{
	check_allocation();
	return __libc_realloc(at, size);
}

/* No system call at all: whichever comes ends the process. */
static void seal(void)
{
	struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS) };
	struct sock_fprog program = { 1, code };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void *thread(void *argument)
{
	struct vcpu *vcpu = argument;

	for (;;) {
		int task = atomic_load(&vcpu->task);

		if (task == RUN) {
			errno = 0;
			running = 1;
			vcpu->result = request(vcpu->fd, KVM_RUN, 0);
			running = 0;
			vcpu->error = errno;
		} else if (task == SEAL) {
			seal();
		} else if (task == END) {
			atomic_store(&vcpu->task, IDLE);
			return NULL;
		} else {
			__builtin_ia32_pause();
			continue;
		}
		atomic_store(&vcpu->task, IDLE);
	}
	return NULL;
}

static void ask(struct vcpu *vcpu, int task)
{
	int i;

	atomic_store(&vcpu->task, task);
	for (i = 0; i < 200000 && atomic_load(&vcpu->task) != IDLE; i++)
		usleep(100);
}

static void run(int v, uint32_t request, uint32_t index, uint64_t value)
{
	struct vcpu *vcpu = &vcpus[v];
	struct guest *guest = guest_of(vcpu->run);

	if (request != NOTHING) {
		guest->request = request;
		guest->index = index;
		guest->value = value;
		guest->done = 0;
	}
	ask(vcpu, RUN);
	if (request == RDMSR && guest->done)
		last_read = guest->value;
	printf("%s exit %u", vcpu->result < 0 ? strerror(vcpu->error) : "ok", vcpu->run->exit_reason);
	if (request == CPUID)
		printf(" %08x %08x %08x %08x", guest->regs[0], guest->regs[1], guest->regs[2], guest->regs[3]);
	else
		printf(" done %u fault %u value %016llx runs %u", guest->done, guest->fault, (unsigned long long)guest->value, guest->runs);
	printf("\n");
}

static void answer(int result)
{
	printf("%s\n", result < 0 ? strerror(errno) : "ok");
}

/* Leaves 0 and 1 without the hypervisor bit, KVM at 40000000H, and `more` leaves. */
static struct kvm_cpuid2 *table(unsigned more, uint32_t leaf)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 512 * sizeof(cpuid->entries[0]));
	unsigned i;

	cpuid->nent = 3 + more;
	cpuid->entries[0] = (struct kvm_cpuid_entry2){ .function = 0, .eax = 0xd };
	cpuid->entries[1] = (struct kvm_cpuid_entry2){ .function = 1, .eax = 0x123 };
	cpuid->entries[2] = (struct kvm_cpuid_entry2){
		.function = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b, .ecx = 0x564b4d56, .edx = 0x4d
	};
	for (i = 0; i < more; i++)
		cpuid->entries[3 + i] = (struct kvm_cpuid_entry2){ .function = leaf + i, .eax = 7 };
	return cpuid;
}

static void get_cpuid(int fd, unsigned room)
{
	struct kvm_cpuid2 *cpuid = table(0, 0);
	unsigned i;

	cpuid->nent = room;
	if (ioctl(fd, KVM_GET_CPUID2, cpuid) < 0)
		printf("%s nent %u\n", strerror(errno), cpuid->nent);
	else
		for (printf("ok"), i = 0; i < cpuid->nent; i++)
			printf(" %x:%x%s", cpuid->entries[i].function, cpuid->entries[i].ecx, i + 1 < cpuid->nent ? "" : "\n");
	free(cpuid);
}

static void set_filter(int fd, unsigned ranges, uint32_t base)
{
	static uint8_t none[1];
	struct kvm_msr_filter filter = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW };
	unsigned i;

	for (i = 0; i < ranges; i++)
		filter.ranges[i] = (struct kvm_msr_filter_range){ .flags = 3, .nmsrs = 1, .base = base + i, .bitmap = none };
	answer(ioctl(fd, KVM_X86_SET_MSR_FILTER, &filter));
}

static void set_regs(int fd, uint64_t rip, uint16_t cs, uint64_t base)
{
	struct kvm_regs regs = { .rip = rip };
	struct kvm_sregs sregs = { .cs = { .selector = cs, .base = base } };

	ioctl(fd, KVM_SET_SREGS, &sregs);
	answer(ioctl(fd, KVM_SET_REGS, &regs));
}

static void set_msr(int fd, uint32_t index)
{
	char buffer[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)] = { 0 };
	struct kvm_msrs *msrs = (struct kvm_msrs *)buffer;

	msrs->nmsrs = 1;
	msrs->entries[0].index = index;
	answer(ioctl(fd, KVM_SET_MSRS, msrs));
}

static void add_vcpu(int vm)
{
	struct vcpu *vcpu = &vcpus[vcpu_count];
	vcpu->fd = ioctl(vms[vm], KVM_CREATE_VCPU, 0);
	if (vcpu->fd < 0)
		return answer(-1);
	vcpu->run = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	pthread_create(&vcpu->thread, NULL, thread, vcpu);
	printf("vcpu %d fd %d\n", vcpu_count++, vcpu->fd);
}

/* How many mappings of memory files this process has: those of the VMM, of the stand-in KVM, and of the library. */
static int count_mappings(void)
{
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "r");
	int count = 0;

	while (fgets(line, sizeof(line), maps))
		count += strstr(line, "memfd:kvm") != NULL;
	fclose(maps);
	return count;
}

/* The descriptor as a duplicate alone, made in one of the ways that there are. */
static int replaced(int fd, int way)
{
	int made = way == 0 ? dup(fd) : way == 1 ? fcntl(fd, F_DUPFD_CLOEXEC, 100) : way == 2 ? dup2(fd, 200 + fd) : dup3(fd, 300 + fd, O_CLOEXEC);

	printf("%s\n", made >= 0 && close(fd) == 0 ? "ok" : strerror(errno));
	return made;
}

/* A child that closes every descriptor, as programs do before they execute another one; its status is how many mappings it had. */
static void child(pid_t (*start)(void))
{
	int status = 0;
	pid_t pid = start();

	if (pid == 0) {
		int mappings = start == fork ? count_mappings() : 0;

		for (int fd = 3; fd < 1024; fd++)
			close(fd);
		_exit(mappings);
	}
	waitpid(pid, &status, 0);
	printf("child %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

/* Machines that come and go, each with a vCPU. */
static void many(unsigned count)
{
	while (count-- > 0) {
		int vm = ioctl(kvm, KVM_CREATE_VM, 0), vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);

		ioctl(vcpu, KVM_SET_CPUID2, table(0, 0));
		close(count % 2 ? vm : vcpu);
		close(count % 2 ? vcpu : vm);
	}
	printf("ok\n");
}

static void load(const char *path)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	void *found = library ? dlsym(library, "request") : NULL;

	if (found)
		*(void **)&request = found;
	printf("%s\n", found ? "ok" : dlerror());
}

/* The guest acknowledges the generation that it read last. */
static void acknowledge(int v, uint32_t index)
{
	run(v, WRMSR, index, last_read);
}

static void command(const char *word, const char *text, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { b } };
#define IS(text) (!strcmp(word, text))

	if (IS("vm"))
		printf("vm %d fd %d\n", vm_count, vms[vm_count] = ioctl(kvm, KVM_CREATE_VM, a)), vm_count++;
	else if (IS("vcpu"))
		add_vcpu((int)a);
	else if (IS("cpuid"))
		answer(ioctl(vcpus[a].fd, KVM_SET_CPUID2, table((unsigned)b, (uint32_t)c)));
	else if (IS("getcpuid"))
		get_cpuid(vcpus[a].fd, (unsigned)b);
	else if (IS("filter"))
		set_filter(vms[a], (unsigned)b, (uint32_t)c);
	else if (IS("cap"))
		answer(ioctl(vms[a], KVM_ENABLE_CAP, &cap));
	else if (IS("guest"))
		run((int)a, (uint32_t)b, (uint32_t)c, d);
	else if (IS("acknowledge"))
		acknowledge((int)a, (uint32_t)b);
	else if (IS("create"))
		answer(close(creat(text, 0600)));
	else if (IS("remove"))
		answer(unlink(text));
	else if (IS("sleep"))
		usleep((useconds_t)a * 1000), printf("ok\n");
	else if (IS("immediate"))
		vcpus[a].run->immediate_exit = (uint8_t)b, printf("ok\n");
	else if (IS("fill")) /* the exit's data, as the VMM that asked for it does */
		vcpus[a].run->msr.data = b, vcpus[a].run->msr.error = 0, printf("ok\n");
	else if (IS("seal"))
		ask(&vcpus[a], SEAL), printf("ok\n");
	else if (IS("regs"))
		set_regs(vcpus[a].fd, b, (uint16_t)c, d);
	else if (IS("msr"))
		set_msr(vcpus[a].fd, (uint32_t)b);
	else if (IS("lapic"))
		answer(ioctl(vcpus[a].fd, KVM_SET_LAPIC, calloc(1, sizeof(struct kvm_lapic_state))));
	else if (IS("khz"))
		answer(ioctl(vcpus[a].fd, KVM_SET_TSC_KHZ, 1000000));
	else if (IS("closevcpu"))
		munmap(vcpus[a].run, 4096), answer(close(vcpus[a].fd));
	else if (IS("closevm"))
		answer(close(vms[a]));
	else if (IS("mappings"))
		printf("mappings %d\n", count_mappings());
	else if (IS("dupvcpu"))
		vcpus[a].fd = replaced(vcpus[a].fd, (int)b);
	else if (IS("dupvm"))
		vms[a] = replaced(vms[a], (int)b);
	else if (IS("closerange"))
		answer(close_range((unsigned)vcpus[a].fd, (unsigned)vcpus[a].fd, 0));
	else if (IS("fork"))
		child(fork);
	else if (IS("vfork"))
		child(vfork);
	else if (IS("many"))
		many((unsigned)a);
	else if (IS("dlopen"))
		load(text);
	else if (IS("thread")) /* another thread runs the vCPU from now on */
		ask(&vcpus[a], END), pthread_create(&vcpus[a].thread, NULL, thread, &vcpus[a]), printf("ok\n");
	else
		printf("unknown command %s\n", word);
}

int main(void)
{
	char line[256], word[32];

	setvbuf(stdout, NULL, _IOLBF, 0);
	kvm = open("/dev/kvm", O_RDWR);
	while (fgets(line, sizeof(line), stdin)) {
		unsigned long n[4] = { 0 };

		if (sscanf(line, "%31s %lx %lx %lx %lx", word, n, n + 1, n + 2, n + 3) < 1)
			continue;
		line[strcspn(line, "\n")] = 0;
		command(word, line + strcspn(line, " ") + 1, n[0], n[1], n[2], n[3]);
	}
	_exit(0); /* threads that were sealed cannot end by themselves */
}
