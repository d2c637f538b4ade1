/* Ends at once: what starting and ending any program costs, beside run-time.c. */
.globl _start
_start:
	movl $1, %eax /* exit */
	xorl %ebx, %ebx
	int $0x80
