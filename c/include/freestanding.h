/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A Linux program without a C library, for i386 and x86-64: system calls, the entry, text. Starting a C library takes longer
 * than all the work of the programs here, and a static one makes a program of kilobytes hundreds of kilobytes large.
 *
 * The includer defines `static int program(int argc, char **argv, char **environment)`.
 */
#ifndef FREESTANDING_H
#define FREESTANDING_H

#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

/* A system call of up to five arguments, a sixth being 0; a failure is the negative error number. */
static long call(long number, long a, long b, long c, long d, long e)
{
	long result;
#ifdef __x86_64__
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = 0;
	__asm__ volatile("syscall" : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
#else
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
#endif
	return result;
}

static inline size_t length_of(const char *text)
{
	size_t length = 0;
	while (text[length])
		length++;
	return length;
}

static inline int equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static int program(int argc, char **argv, char **environment);

/* The kernel enters with the count of the arguments on the stack, then the arguments, a null pointer, the environment. */
__attribute__((used)) static void start(long *stack)
{
	char **argv = (char **)(stack + 1);
	call(__NR_exit_group, program(stack[0], argv, argv + stack[0] + 1), 0, 0, 0, 0);
}
#ifdef __x86_64__
__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call start");
#else
__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %esp, %eax\n and $-16, %esp\n sub $12, %esp\n push %eax\n call start");
#endif

#endif
