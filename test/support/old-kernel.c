/*
 * For test/agent-watch.test.ts, inside an i386 guest: runs a program as an older Linux would, by ptrace.
 *   old-kernel RELEASE PROGRAM [ARGUMENT]...
 * uname(2) gives RELEASE. Below 4.14, or where RELEASE ends in "refuses", RNDRESEEDCRNG gives EINVAL, as an unknown request of
 * /dev/random does; below 4.11 statx(2) gives ENOSYS. Prints a line for each such refusal and for each write of 64 bytes.
 */
#include <errno.h>
#include <linux/random.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

/* The child stops with SIGTRAP | 80H at the entry and at the exit of each system call. */
enum { SYSCALL_STOP = SIGTRAP | 0x80 };

static const char *release;
static int version;

static void put_release(pid_t child, long at)
{
	char text[64] = "";
	size_t i;

	snprintf(text, sizeof(text), "%s", release);
	for (i = 0; i < sizeof(text); i += sizeof(long)) {
		long word;

		memcpy(&word, text + i, sizeof(word));
		ptrace(PTRACE_POKEDATA, child, at + i, word);
	}
}

/* Whether this old kernel has no such system call or request; `*error` is its answer then. */
static int refused(const struct user_regs_struct *regs, int *error)
{
	if (regs->orig_eax == SYS_ioctl && (unsigned long)regs->ecx == RNDRESEEDCRNG) {
		*error = EINVAL;
		return version < 4014 || strstr(release, "refuses");
	}
	*error = ENOSYS;
	return regs->orig_eax == SYS_statx && version < 4011;
}

static void follow(pid_t child)
{
	struct user_regs_struct regs;
	int status, entry = 1, error = 0, signal = 0;

	for (;; ptrace(PTRACE_SYSCALL, child, 0, signal)) {
		if (waitpid(child, &status, 0) != child || WIFEXITED(status) || WIFSIGNALED(status))
			exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
		signal = WSTOPSIG(status) == SYSCALL_STOP ? 0 : WSTOPSIG(status);
		if (signal) {
			signal = signal == SIGTRAP ? 0 : signal;
			continue;
		}
		ptrace(PTRACE_GETREGS, child, 0, &regs);
		if (entry) {
			error = 0;
			if (refused(&regs, &error)) {
				printf("old-kernel: %s refused\n", regs.orig_eax == SYS_ioctl ? "RNDRESEEDCRNG" : "statx");
				regs.orig_eax = -1;
				ptrace(PTRACE_SETREGS, child, 0, &regs);
			} else {
				error = 0;
			}
		} else if (error) {
			regs.eax = -error;
			ptrace(PTRACE_SETREGS, child, 0, &regs);
		} else if (regs.orig_eax == SYS_uname && regs.eax == 0) {
			put_release(child, regs.ebx + offsetof(struct utsname, release));
		} else if (regs.orig_eax == SYS_write && regs.eax == 64) {
			printf("old-kernel: 64 bytes written\n");
		}
		entry = !entry;
	}
}

int main(int argc, char **argv)
{
	int major, minor;
	pid_t child;

	if (argc < 3 || sscanf(argv[1], "%d.%d", &major, &minor) != 2)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	release = argv[1];
	version = major * 1000 + minor;
	child = fork();
	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		execv(argv[2], argv + 2);
		return 127;
	}
	waitpid(child, NULL, 0);
	ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	ptrace(PTRACE_SYSCALL, child, 0, 0);
	follow(child);
}
