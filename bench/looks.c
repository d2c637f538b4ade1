/* What the watch does at each look, on the processor of this machine: `looks TIMES FILE` waits 100 ms and reads eight
 * bytes of FILE, so often, and prints the nanoseconds of processor time of one look. FILE stands in for /dev/cpu/0/msr, which
 * adds the RDMSR. For bench/agent.ts. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec before, after;
	char bytes[8];
	int times = argc == 3 ? atoi(argv[1]) : 0;
	int file = times > 0 ? open(argv[2], O_RDONLY) : -1;
	if (file < 0)
		return 2;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	for (int i = 0; i < times; i++) {
		poll(NULL, 0, 100);
		if (pread(file, bytes, sizeof bytes, 0) != sizeof bytes)
			return 1;
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	printf("%lld\n", ((after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec) / times);
	return 0;
}
