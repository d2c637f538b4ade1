/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Programs that run after a restore, in the order of their names. A hook runs only where root owns it, its folder and
 * /etc/commonhv, nobody else can write to any of them, and none is a link. Environment: PATH and COMMONHV_GENERATION alone.
 * 30 s each, 120 s in all.
 */
#ifndef AGENT_HOOKS_H
#define AGENT_HOOKS_H

#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/stat.h>
#include <linux/wait.h>
#include "freestanding.h"
#include "report.h"

enum { MAX_HOOKS = 32, MAX_NAME = 48, KILL = 9 };
#define HOOKS "/etc/commonhv"
/* Of one hook, and of all of a folder. Tests build the agent with others. */
#ifndef HOOK_MS
#define HOOK_MS 30000
#define HOOKS_MS 120000
#endif

/* Owned by root, and writable by nobody else; `kind` is S_IFREG or S_IFDIR. Not by statx, which came with Linux 4.11. */
static int trusted(const char *path, unsigned kind)
{
#ifdef __x86_64__
	struct stat seen;
	long failed = call(__NR_newfstatat, AT_FDCWD, (long)path, (long)&seen, AT_SYMLINK_NOFOLLOW, 0);
#else
	struct stat64 seen;
	long failed = call(__NR_fstatat64, AT_FDCWD, (long)path, (long)&seen, AT_SYMLINK_NOFOLLOW, 0);
#endif
	return !failed && (seen.st_mode & S_IFMT) == kind && seen.st_uid == 0 && !(seen.st_mode & 022) && seen.st_mode & 0100;
}

/* A name that cannot leave the folder, nor the JSON: letters, digits, hyphens, underscores and dots, not first. */
static int plain_name(const char *name)
{
	if (*name == '.' || length_of(name) >= MAX_NAME)
		return 0;
	for (; *name; name++)
		if (!((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') || (*name >= '0' && *name <= '9') ||
		      *name == '-' || *name == '_' || *name == '.'))
			return 0;
	return 1;
}

static int before(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a < *b;
}

/* Whether `visit` returned 1 for a name of the folder, at which it ends; names that begin with a dot are left out. */
static int any_name(const char *folder, int (*visit)(const char *name, void *context), void *context)
{
	struct entry { uint64_t inode, offset; uint16_t length; uint8_t kind; char name[]; };
	static char buffer[4096];
	int found = 0;
	long read, fd = call(__NR_open, (long)folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0, 0, 0);
	if (fd < 0)
		return 0;
	while (!found && (read = call(__NR_getdents64, fd, (long)buffer, sizeof buffer, 0, 0)) > 0)
		for (long at = 0; at < read && !found;) {
			struct entry *entry = (struct entry *)(buffer + at);
			at += entry->length;
			found = *entry->name != '.' && visit(entry->name, context);
		}
	call(__NR_close, fd, 0, 0, 0, 0);
	return found;
}

struct hook_list {
	char (*names)[MAX_NAME];
	int count;
};

/* Inserts a plain name in its order. */
static int add_hook(const char *name, void *context)
{
	struct hook_list *list = context;
	int length = length_of(name);
	if (!plain_name(name) || list->count == MAX_HOOKS)
		return 0;
	int place = list->count++;
	for (; place > 0 && before(name, list->names[place - 1]); place--)
		for (int i = 0; i < MAX_NAME; i++)
			list->names[place][i] = list->names[place - 1][i];
	for (int i = 0; i < MAX_NAME; i++)
		list->names[place][i] = name[i < length ? i : length];
	return 0;
}

/* Up to MAX_HOOKS names of the folder, in order. */
static int hook_names(const char *folder, char names[MAX_HOOKS][MAX_NAME])
{
	struct hook_list list = {names, 0};
	any_name(folder, add_hook, &list);
	return list.count;
}

static unsigned now_ms(void)
{
	struct { long seconds, nanoseconds; } now = {0, 0};
	call(__NR_clock_gettime, 1, (long)&now, 0, 0, 0);
	return (unsigned)now.seconds * 1000u + (unsigned)(now.nanoseconds / 1000000);
}

/* Runs one program to its end, at most `limit` milliseconds, or until `changed` says that the machine was restored again. */
static int run_hook(const char *path, char *const environment[], unsigned limit, int (*changed)(void))
{
	unsigned start = now_ms();
	int status = 0;
	long child = call(__NR_fork, 0, 0, 0, 0, 0);
	if (child == 0) {
		const char *const argv[] = {path, 0};
		long null = call(__NR_open, (long)"/dev/null", O_RDWR, 0, 0, 0);
		call(__NR_setsid, 0, 0, 0, 0, 0);
		call(__NR_dup2, null, 0, 0, 0, 0);
		call(__NR_execve, (long)path, (long)argv, (long)environment, 0, 0);
		call(__NR_exit_group, 126, 0, 0, 0, 0);
	}
	while (child > 0 && call(__NR_wait4, child, (long)&status, WNOHANG, 0, 0) == 0) {
		if (now_ms() - start < limit && !changed()) {
			call(__NR_poll, 0, 0, 10, 0, 0);
			continue;
		}
		call(__NR_kill, -child, KILL, 0, 0, 0);
		call(__NR_wait4, child, (long)&status, 0, 0, 0);
		return 124;
	}
	if (child < 0)
		return 125;
	call(__NR_kill, -child, KILL, 0, 0, 0); /* whatever it left running */
	return status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff;
}

/* All hooks of a folder; JSON members of their exit statuses go to `results`. The number of those that failed or were refused. */
static int run_hooks(const char *folder, uint64_t generation, struct text *results, int (*changed)(void))
{
	static char names[MAX_HOOKS][MAX_NAME];
	struct text variable = {.used = 0};
	unsigned start = now_ms();
	int failed = 0, count = trusted(HOOKS, S_IFDIR) && trusted(folder, S_IFDIR) ? hook_names(folder, names) : 0;
	put(&variable, "COMMONHV_GENERATION="), put_hex(&variable, generation);
	char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", variable.bytes, 0};
	for (int i = 0; i < count && !changed(); i++) {
		struct text path = {.used = 0};
		unsigned used = now_ms() - start;
		put(&path, folder), put(&path, "/"), put(&path, names[i]);
		int status = !trusted(path.bytes, S_IFREG) ? 126 : used >= HOOKS_MS ? 124
			: run_hook(path.bytes, environment, HOOKS_MS - used < HOOK_MS ? HOOKS_MS - used : HOOK_MS, changed);
		put(results, results->used ? ",\"" : "\""), put(results, names[i]), put(results, "\":");
		put_number(results, status);
		failed += status != 0;
	}
	return failed;
}

#endif
