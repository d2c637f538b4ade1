/* Times a program from its start to its end by the guest's own clock: `run-time TIMES PROGRAM [ARGUMENT...]` runs it so
 * often, its output thrown away, and prints the nanoseconds of each run, one a line. For bench/agent.ts. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

static long long now(void)
{
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1000000000LL + at.tv_nsec;
}

int main(int argc, char **argv)
{
	posix_spawn_file_actions_t quiet;
	char *none[] = {NULL};
	if (argc < 3)
		return 2;
	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);
	for (int i = atoi(argv[1]); i > 0; i--) {
		pid_t pid;
		int status;
		long long start = now();
		if (posix_spawn(&pid, argv[2], &quiet, NULL, argv + 2, none) || waitpid(pid, &status, 0) != pid || status)
			return 1;
		printf("%lld\n", now() - start);
	}
	return 0;
}
