/* SPDX-License-Identifier: MIT */
/*
 * Why a thread: VMMs put allow-lists on their vCPU threads, so those may not make our system calls. They take values
 * from a pool, and wait for it, when it is empty, by reading a page that is not there: userfaultfd wakes the thread.
 * Where userfaultfd is not permitted, the thread polls instead.
 *
 * Why 1 ms: the process may be part of a machine that is copied. The kernel's generator notices; values in the pool do
 * not. A value that was drawn ahead of its read is younger than that. One that was drawn while the reader waits is its
 * answer, however long the reader's thread then waits for a processor.
 */
#define _GNU_SOURCE
#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

enum { SLOTS = 512, MIN_FILL = 16, EVENTS = 64, DOORBELLS = 16, PAGE = 4096 }; /* slots: 4 KiB */
enum { REFILL_US = 750, POLL_US = 1000, RETRY_US = 100000 }; /* while values are read; idle without a doorbell; failed */
enum { IDLE_PASSES = 3 }; /* passes without a read before the pool is wiped and the thread sleeps */
enum { MAX_AGE_US = 1000, MAX_WAIT_MS = 10000, MAX_REPORT_MS = 1000 };

/* A reader takes a value by exchanging it with 0. */
static struct slot {
	_Atomic uint64_t value, drawn; /* drawn: by the time-stamp counter, set while the value is 0 */
} slots[SLOTS];
static _Atomic unsigned cursor, filled; /* the next slot to read, and the end of the slots that hold values */
static _Atomic int readers; /* inside a read: their answers stay until their threads get a processor */
static _Atomic int failed;

static struct event {
	const char *name;
	unsigned machine;
	uint64_t generation;
} events[EVENTS];
static unsigned first_event, last_event;
static atomic_flag events_lock = ATOMIC_FLAG_INIT;
static _Atomic unsigned written; /* events that are in the file */

static uint64_t ticks_per_us;
static volatile char *doorbell; /* DOORBELLS pages under userfaultfd; NULL: the thread polls */
static _Atomic unsigned current; /* the page whose reading notifies at present */
static int doorbell_fd = -1, status_fd = -1;
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static int started;

void pool_say(const char *text, const char *more)
{
	char line[512];
	int length = snprintf(line, sizeof(line), "commonhv: %s%s\n", text, more);

	if (length > 0 && write(2, line, length < (int)sizeof(line) ? (size_t)length : sizeof(line)) < 0)
		return;
}

int pool_failed(void)
{
	return atomic_load(&failed);
}

/* ---- Other threads ---- */

static void use_doorbell(void)
{
	if (doorbell)
		(void)doorbell[atomic_load(&current) * PAGE];
	else
		_mm_pause();
}

/* Ticks since `then`. Counters of two processors may differ a little, so it may be below 0. */
static int64_t ticks_since(uint64_t then)
{
	return (int64_t)(__rdtsc() - then);
}

/* For a read that began at `begin`. A counter that went back far belongs to a machine that was restored. */
static int is_usable(uint64_t drawn, uint64_t begin)
{
	int64_t ticks = ticks_since(drawn), most = MAX_AGE_US * (int64_t)ticks_per_us;

	return ticks > -most && (ticks < most || ticks < ticks_since(begin));
}

/* The slot's time is read first: if the slot is filled in between, the value counts as older than it is. */
static int try_to_take(uint64_t begin, uint64_t *value)
{
	for (;;) {
		unsigned at = atomic_fetch_add(&cursor, 1);
		uint64_t drawn, taken;

		if (at >= atomic_load(&filled))
			return 0;
		drawn = atomic_load(&slots[at].drawn);
		taken = atomic_exchange(&slots[at].value, 0);
		if (taken && is_usable(drawn, begin)) {
			*value = taken;
			return 1;
		}
	}
}

int pool_take(uint64_t *value)
{
	uint64_t begin = __rdtsc();
	int taken;

	atomic_fetch_add(&readers, 1);
	while (!(taken = try_to_take(begin, value)) && !pool_failed() &&
	       ticks_since(begin) < MAX_WAIT_MS * 1000 * (int64_t)ticks_per_us)
		use_doorbell();
	atomic_fetch_sub(&readers, 1);
	return taken ? 0 : -1;
}

static void lock_events(void)
{
	while (atomic_flag_test_and_set(&events_lock))
		_mm_pause();
}

void pool_report(const char *event, unsigned machine, uint64_t generation)
{
	uint64_t begin = __rdtsc();
	unsigned number;

	if (status_fd < 0)
		return;
	lock_events();
	number = last_event;
	/* Full only where the file cannot be written for long: the newest is lost. */
	if (last_event - first_event < EVENTS)
		events[last_event++ % EVENTS] = (struct event){ event, machine, generation };
	atomic_flag_clear(&events_lock);
	/* The line is in the file before the guest goes on, unless that takes too long. */
	while ((int)(atomic_load(&written) - number) <= 0 && ticks_since(begin) < MAX_REPORT_MS * 1000 * (int64_t)ticks_per_us)
		use_doorbell();
}

/* ---- The thread ---- */

static void write_event(const struct event *event)
{
	struct timespec now;
	struct tm utc;
	char line[256], date[32];
	int length;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
	length = snprintf(line, sizeof(line),
			  "{\"event\":\"%s\",\"pid\":%d,\"machine\":%u,\"generation\":\"%016llx\",\"time\":\"%s.%03ldZ\"}\n",
			  event->name, (int)getpid(), event->machine, (unsigned long long)event->generation, date,
			  now.tv_nsec / 1000000);
	if (write(status_fd, line, (size_t)length) != length)
		pool_say("the status file cannot be written: ", strerror(errno));
}

static void write_events(void)
{
	for (;;) {
		struct event event = { 0 };

		lock_events();
		if (first_event != last_event)
			event = events[first_event++ % EVENTS];
		atomic_flag_clear(&events_lock);
		if (!event.name)
			return;
		write_event(&event);
		atomic_fetch_add(&written, 1);
	}
}

static void wipe(void)
{
	int i;

	atomic_store(&filled, 0);
	for (i = 0; i < SLOTS; i++)
		atomic_store_explicit(&slots[i].value, 0, memory_order_release);
}

/*
 * Each slot gets a new value or none, so none grows older than the interval of two passes. As many are drawn as twice
 * the reads since the last pass, so a pass costs little where little is read.
 */
static void fill(void)
{
	static unsigned count;
	uint64_t values[SLOTS], now = __rdtsc();
	unsigned i, reads = atomic_load(&cursor);
	int was = pool_failed();
	ssize_t size, got;

	count /= 2; /* a pass soon after another one sees few reads */
	if (count < MIN_FILL + 2 * (uint64_t)reads)
		count = reads < SLOTS / 4 ? MIN_FILL + 2 * reads : SLOTS;
	size = (ssize_t)(count * sizeof(*values));
	got = getrandom(values, (size_t)size, GRND_NONBLOCK);
	if (got != size) {
		wipe();
		atomic_store(&failed, 1);
		if (!was)
			pool_say("the kernel gives no random values, the vCPUs are stopped: ", got < 0 ? strerror(errno) : "too few");
		return;
	}
	if (was)
		pool_say("the kernel gives random values again", "");
	for (i = 0; i < SLOTS; i++) {
		atomic_store_explicit(&slots[i].value, 0, memory_order_release);
		if (i >= count)
			continue;
		atomic_store_explicit(&slots[i].drawn, now, memory_order_release);
		atomic_store_explicit(&slots[i].value, values[i], memory_order_release);
	}
	explicit_bzero(values, (size_t)size);
	atomic_store(&filled, count);
	atomic_store(&cursor, 0);
	atomic_store(&failed, 0);
}

static void wait_for(long us)
{
	struct pollfd fd = { .fd = doorbell_fd, .events = POLLIN };
	struct timespec time = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };

	if (doorbell_fd < 0)
		nanosleep(&time, NULL);
	else
		ppoll(&fd, 1, us < 0 ? NULL : &time, NULL);
}

/*
 * Lets the waiting threads go on. Once a page is answered it is there for a while, and reading it notifies nobody: the
 * next doorbell is another page, taken away first. Bounded, for threads that ask again at once: the rest waits in the
 * descriptor for the next pass.
 */
static void answer_doorbell(void)
{
	struct uffd_msg message;
	int i;

	for (i = 0; i < DOORBELLS && read(doorbell_fd, &message, sizeof(message)) == sizeof(message); i++) {
		uintptr_t at = (uintptr_t)message.arg.pagefault.address & ~(uintptr_t)(PAGE - 1);
		struct uffdio_zeropage page = { .range = { .start = at, .len = PAGE } };
		unsigned next = (atomic_load(&current) + 1) % DOORBELLS;

		if (at == (uintptr_t)doorbell + atomic_load(&current) * PAGE) {
			madvise((void *)(doorbell + next * PAGE), PAGE, MADV_DONTNEED);
			atomic_store(&current, next);
		}
		if (ioctl(doorbell_fd, UFFDIO_ZEROPAGE, &page) != 0)
			ioctl(doorbell_fd, UFFDIO_WAKE, &page.range);
	}
}

static void *serve(void *unused)
{
	int idle = IDLE_PASSES;

	(void)unused;
	for (;;) {
		idle = atomic_load(&cursor) || atomic_load(&readers) ? 0 : idle < IDLE_PASSES ? idle + 1 : idle;
		if (idle < IDLE_PASSES || pool_failed())
			fill();
		else
			wipe();
		write_events();
		if (doorbell_fd >= 0)
			answer_doorbell();
		/* A read that came meanwhile has used the doorbell, or is seen by the next pass. */
		wait_for(pool_failed() ? RETRY_US : idle < IDLE_PASSES ? REFILL_US : doorbell_fd < 0 ? POLL_US : -1);
	}
	return NULL;
}

/* ---- The start ---- */

static void open_doorbell(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	void *page = fd < 0 ? MAP_FAILED : mmap(NULL, DOORBELLS * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	range.range.start = (uintptr_t)page;
	range.range.len = DOORBELLS * PAGE;
	if (page != MAP_FAILED && ioctl(fd, UFFDIO_API, &api) == 0 && ioctl(fd, UFFDIO_REGISTER, &range) == 0) {
		madvise(page, DOORBELLS * PAGE, MADV_DONTFORK);
		madvise(page, DOORBELLS * PAGE, MADV_DONTDUMP);
		doorbell_fd = fd;
		doorbell = page;
		return;
	}
	if (page != MAP_FAILED)
		munmap(page, DOORBELLS * PAGE);
	if (fd >= 0)
		close(fd);
}

/* The counter, and the clock in microseconds, at the same time: of some readings the one that was not interrupted. */
static uint64_t ticks_now(int64_t *us)
{
	uint64_t shortest = UINT64_MAX, ticks = 0;
	int i;

	for (i = 0; i < 16; i++) {
		struct timespec now;
		uint64_t begin = __rdtsc(), took;

		clock_gettime(CLOCK_MONOTONIC, &now);
		took = __rdtsc() - begin;
		if (took >= shortest)
			continue;
		shortest = took;
		ticks = begin;
		*us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	}
	return ticks;
}

/* The time-stamp counter's rate: vCPU threads read it where a clock might be a system call. */
static int measure_ticks(void)
{
	struct timespec wait = { .tv_nsec = 2000000 };
	int64_t from = 0, to = 0;
	uint64_t begin = ticks_now(&from), ticks;

	nanosleep(&wait, NULL);
	ticks = ticks_now(&to) - begin;
	ticks_per_us = to > from ? ticks / (uint64_t)(to - from) : 0;
	return ticks_per_us > 0;
}

/* A child has no thread: it begins anew, with nothing of its parent's. */
static void after_fork(void)
{
	started = 0;
	doorbell = NULL;
	doorbell_fd = -1;
	wipe();
	pthread_mutex_init(&start_lock, NULL);
}

static const char *start_thread(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all, before;
	int error;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* the VMM's signals are for the VMM's threads */
	error = pthread_create(&thread, &attributes, serve, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (error)
		return strerror(error);
	pthread_setname_np(thread, "commonhv");
	return NULL;
}

const char *pool_start(const char *status)
{
	static int registered;
	const char *why = NULL;
	uint64_t probe[2] = { 0, 0 };

	pthread_mutex_lock(&start_lock);
	if (!started) {
		ssize_t got = getrandom(probe, sizeof(probe), GRND_NONBLOCK);

		if (got != sizeof(probe))
			why = got < 0 && errno == EAGAIN ? "the kernel's random generator is not ready" :
							   "the kernel gives no random values";
		else if (!measure_ticks())
			why = "the time-stamp counter stands still";
		else if (status && status_fd < 0 && (status_fd = open(status, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)) < 0)
			why = "the status file cannot be opened";
		if (!why) {
			open_doorbell();
			why = start_thread();
		}
		if (!why && !registered)
			registered = pthread_atfork(NULL, NULL, after_fork) == 0;
		started = !why;
	}
	pthread_mutex_unlock(&start_lock);
	return why;
}
