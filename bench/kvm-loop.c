/*
 * The yardstick of bench/kvm.ts: the same guest on KVM from C. Reads lines from standard input; for each, lets the guest
 * read the RNG's MSR until it writes to a port, answers each exit with a word of the system's generator, read ahead 1,024
 * bytes at a time and wiped as it is served, and prints the microseconds that it took.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define MEMORY 0x200000
#define RNG 0x400000a0u

static int must(int result, const char *what) {
  if (result >= 0) return result;
  perror(what);
  exit(1);
}

static uint8_t ahead[1024];
static size_t at = sizeof ahead;

static uint64_t word(void) {
  uint64_t value;
  if (at == sizeof ahead) {
    if (getrandom(ahead, sizeof ahead, 0) != sizeof ahead) exit(1);
    at = 0;
  }
  memcpy(&value, ahead + at, 8);
  memset(ahead + at, 0, 8);
  at += 8;
  return value;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

int main(int argc, char **argv) {
  uint8_t code[4096];
  int length = 0;
  if (argc != 2) return 2;
  for (char *p = argv[1]; p[0] && p[1] && length < (int)sizeof code; p += 2) {
    char digits[3] = {p[0], p[1], 0};
    code[length++] = (uint8_t)strtoul(digits, 0, 16);
  }
  int kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
  int vm = must(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
  struct kvm_enable_cap enable = {.cap = KVM_CAP_X86_USER_SPACE_MSR};
  enable.args[0] = KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN;
  must(ioctl(vm, KVM_ENABLE_CAP, &enable), "KVM_ENABLE_CAP");
  uint8_t *memory = mmap(0, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) must(-1, "mmap");
  memcpy(memory + 0x100020, code, length);
  struct kvm_userspace_memory_region region = {.memory_size = MEMORY, .userspace_addr = (uintptr_t)memory};
  must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
  int vcpu = must(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
  int size = must(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
  struct kvm_run *run = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  if (run == MAP_FAILED) must(-1, "mmap");
  struct kvm_sregs special;
  must(ioctl(vcpu, KVM_GET_SREGS, &special), "KVM_GET_SREGS");
  struct kvm_segment flat = {.limit = 0xffffffff, .selector = 0x18, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1};
  special.ds = special.es = special.fs = special.gs = special.ss = flat;
  flat.selector = 0x10;
  flat.type = 0xb;
  special.cs = flat;
  special.cr0 = 0x11;
  must(ioctl(vcpu, KVM_SET_SREGS, &special), "KVM_SET_SREGS");
  struct kvm_regs registers = {.rip = 0x100020, .rflags = 2};
  must(ioctl(vcpu, KVM_SET_REGS, &registers), "KVM_SET_REGS");

  char line[16];
  while (fgets(line, sizeof line, stdin)) {
    double started = now();
    for (int ended = 0; !ended;) {
      must(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
      uint8_t *data = (uint8_t *)run + run->io.data_offset;
      switch (run->exit_reason) {
        case KVM_EXIT_X86_RDMSR:
          run->msr.error = run->msr.index != RNG;
          run->msr.data = word();
          break;
        case KVM_EXIT_IO:
          if (run->io.direction == KVM_EXIT_IO_IN) *data = run->io.port == 0x3fd ? 0x61 : 'g';
          else ended = *data == '\n';
          break;
        default:
          fprintf(stderr, "exit %u\n", run->exit_reason);
          return 1;
      }
    }
    printf("%.1f\n", now() - started);
    fflush(stdout);
  }
  return 0;
}
