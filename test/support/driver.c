/*
 * For test/driver.test.ts, inside a guest: a process in front of /dev/commonhv and /dev/sysgenid. Prints one line for each fact.
 *   driver maps            the mappings that must succeed, and those that must fail
 *   driver draw            spins; draws from the kernel at each change of the page, by draft 3's reading pattern
 *   driver sysgenid        spins on the u32, as AWS-LC compares it (for inequality), and draws at each change
 *   driver read | poll | event | hold    one read(2); poll(2) until a change; the uevent; a mapping kept until standard input ends
 *   driver ack HEX         write(2) of a generation
 *   driver samples         waits for a restore (a gap of a second in its time), then prints 400 samples, one a millisecond:
 *                          microseconds since the restore, four bytes of the kernel's, four bytes of its own generator
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static volatile const uint32_t *page;

static uint64_t word(int index)
{
	uint32_t low = page[2 * index], high = page[2 * index + 1];

	return low | (uint64_t)high << 32;
}

static double milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static volatile const uint32_t *map(const char *device)
{
	int fd = open(device, O_RDONLY);
	void *at = mmap(NULL, 4, PROT_READ, MAP_SHARED, fd, 0);

	if (fd < 0 || at == MAP_FAILED) {
		printf("%s: %s\n", device, strerror(errno));
		exit(1);
	}
	close(fd);
	return at;
}

static const char *result(const void *at)
{
	return at == MAP_FAILED ? strerror(errno) : "mapped";
}

static void maps(void)
{
	const char *devices[] = { "/dev/commonhv", "/dev/sysgenid" };
	int i;

	for (i = 0; i < 2; i++) {
		int fd = open(devices[i], O_RDONLY), both = open(devices[i], O_RDWR);
		void *at;

		printf("%s write %s\n", devices[i], result(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, both, 0)));
		printf("%s writable %s\n", devices[i], result(mmap(NULL, 4096, PROT_READ, MAP_SHARED, both, 0)));
		printf("%s private %s\n", devices[i], result(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0)));
		printf("%s offset %s\n", devices[i], result(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 4096)));
		printf("%s far %s\n", devices[i], result(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0x7ffff000)));
		printf("%s long %s\n", devices[i], result(mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0)));
		at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
		printf("%s read %s\n", devices[i], result(at));
		printf("%s mprotect %s\n", devices[i], mprotect(at, 4096, PROT_READ | PROT_WRITE) ? strerror(errno) : "allowed");
		printf("%s remap %s\n", devices[i], result(mremap(at, 4096, 8192, MREMAP_MAYMOVE)));
	}
}

static void io(void)
{
	int fd = open("/dev/commonhv", O_RDWR);
	char buffer[64], *volatile nowhere = (char *)16;

	printf("short %s\n", read(fd, buffer, 7) < 0 ? strerror(errno) : "read");
	printf("pread %s\n", pread(fd, buffer, 8, 1ll << 40) < 0 ? strerror(errno) : "read");
	printf("null %s\n", read(fd, nowhere, 8) < 0 ? strerror(errno) : "read");
	printf("long %zd\n", read(fd, buffer, 64));
	printf("write 7 %s\n", write(fd, buffer, 7) < 0 ? strerror(errno) : "written");
	printf("write null %s\n", write(fd, nowhere, 8) < 0 ? strerror(errno) : "written");
}

/* Keeps values only where both words are equal before and after; asks the kernel to reseed now where they are not. */
static void draw(void)
{
	int fd = open("/dev/commonhv", O_RDONLY);
	uint64_t seen = word(0), now;
	unsigned char bytes[16];
	unsigned int discarded = 0, i;
	double start;

	printf("drawing\n");
	for (;;) {
		while (word(0) == seen)
			;
		start = milliseconds();
		for (;;) {
			now = word(0);
			if (word(1) == now && getrandom(bytes, sizeof(bytes), 0) == sizeof(bytes) && word(0) == now && word(1) == now)
				break;
			discarded++;
			if (read(fd, &now, sizeof(now)) < 0 && errno != EAGAIN)
				printf("read: %s\n", strerror(errno));
		}
		printf("drew %016llx ", (unsigned long long)now);
		for (i = 0; i < sizeof(bytes); i++)
			printf("%02x", bytes[i]);
		printf(" %u %d us.\n", discarded, (int)((milliseconds() - start) * 1000));
		seen = now;
	}
}

static void sysgenid(void)
{
	uint32_t seen = *page;
	unsigned char bytes[16];
	unsigned int i;

	printf("drawing\n");
	for (;;) {
		while (*page == seen)
			;
		seen = *page;
		if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
			return;
		printf("drew %u ", seen);
		for (i = 0; i < sizeof(bytes); i++)
			printf("%02x", bytes[i]);
		printf(".\n");
	}
}

static void wait_for_change(void)
{
	struct pollfd poller = { .fd = open("/dev/commonhv", O_RDONLY), .events = POLLIN };
	uint64_t generation = 0;
	int ready;

	if (read(poller.fd, &generation, 8) != 8)
		printf("read: %s\n", strerror(errno));
	printf("polling %016llx %d\n", (unsigned long long)generation, poll(&poller, 1, 0));
	ready = poll(&poller, 1, 60000);
	if (read(poller.fd, &generation, 8) != 8)
		printf("read: %s\n", strerror(errno));
	printf("polled %d %016llx.\n", ready, (unsigned long long)generation);
}

/* The kernel's multicast of uevents; prints the first that has the variable. */
static void event(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT);
	char text[4096];
	ssize_t length;

	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		printf("bind: %s\n", strerror(errno));
	printf("listening\n");
	while ((length = recv(fd, text, sizeof(text) - 1, 0)) > 0) {
		char *at;

		text[length] = 0;
		for (at = text; at < text + length; at += strlen(at) + 1)
			if (!strncmp(at, "COMMONHV_", 9)) {
				printf("event %s %s.\n", text, at);
				return;
			}
	}
}

/* The process' own generator is seeded before the restore, and again by draft 3's pattern where there is a page. */
static void samples(void)
{
	static struct { uint32_t at, kernel, own; } taken[400];
	uint64_t own, more, seen = 0;
	double before, now, start;
	unsigned int i;

	if (access("/dev/commonhv", R_OK) == 0) {
		page = map("/dev/commonhv");
		seen = word(0);
	}
	if (getrandom(&own, sizeof(own), 0) != sizeof(own))
		return;
	printf("sampling\n");
	for (before = now = milliseconds(); now - before < 1000; now = milliseconds())
		before = now;
	start = now;
	for (i = 0; i < 400; i++) {
		while (milliseconds() < start + i)
			;
		if (page && word(0) != seen && word(1) == word(0)) {
			seen = word(0);
			if (getrandom(&more, sizeof(more), 0) == sizeof(more) && word(0) == seen && word(1) == seen)
				own ^= more;
			else
				seen = 0;
		}
		own ^= own << 13;
		own ^= own >> 7;
		own ^= own << 17;
		taken[i].at = (milliseconds() - start) * 1000;
		taken[i].own = own >> 32;
		if (getrandom(&taken[i].kernel, 4, 0) != 4)
			return;
	}
	for (i = 0; i < 400; i++)
		printf("sample %u %08x %08x\n", taken[i].at, taken[i].kernel, taken[i].own);
	printf("sampled\n");
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(command, "maps")) {
		maps();
	} else if (!strcmp(command, "io")) {
		io();
	} else if (!strcmp(command, "draw")) {
		page = map("/dev/commonhv");
		draw();
	} else if (!strcmp(command, "sysgenid")) {
		page = map("/dev/sysgenid");
		sysgenid();
	} else if (!strcmp(command, "poll")) {
		wait_for_change();
	} else if (!strcmp(command, "event")) {
		event();
	} else if (!strcmp(command, "samples")) {
		samples();
	} else if (!strcmp(command, "hold")) {
		page = map("/dev/commonhv");
		printf("holding\n");
		pause();
	} else if (!strcmp(command, "read")) {
		uint64_t generation;
		int fd = open("/dev/commonhv", O_RDONLY | (argc > 2 ? O_NONBLOCK : 0));
		ssize_t got = read(fd, &generation, sizeof(generation));

		if (got == sizeof(generation))
			printf("%016llx\n", (unsigned long long)generation);
		else
			printf("%s\n", strerror(errno));
	} else if (!strcmp(command, "page")) {
		page = map("/dev/commonhv");
		printf("%016llx %016llx %u\n", (unsigned long long)word(0), (unsigned long long)word(1), *map("/dev/sysgenid"));
	} else if (!strcmp(command, "ack") && argc > 2) {
		uint64_t generation = strtoull(argv[2], NULL, 16);
		int fd = open("/dev/commonhv", O_WRONLY);

		printf("%s\n", write(fd, &generation, 8) == 8 ? "acknowledged" : strerror(errno));
	} else {
		return 2;
	}
	return 0;
}
