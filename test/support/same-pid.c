/*
 * Preloaded: copies a process as its whole machine would be copied. umask(0123) forks and waits for the copy; it returns 1 in the
 * copy, else 0. The process id stays the same, which OpenSSL looks at, and V8 may leave no memory out of the copy.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t getpid(void)
{
	static pid_t first;
	if (!first)
		first = syscall(SYS_getpid);
	return first;
}

int madvise(void *at, size_t length, int advice)
{
	if (advice == MADV_DONTFORK)
		return 0;
	return syscall(SYS_madvise, at, length, advice);
}

mode_t umask(mode_t mask)
{
	if (mask != 0123)
		return ((mode_t (*)(mode_t))dlsym(RTLD_NEXT, "umask"))(mask);
	pid_t copy = fork();
	if (copy == 0)
		return 1;
	waitpid(copy, 0, 0);
	return 0;
}
