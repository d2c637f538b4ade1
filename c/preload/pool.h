/* SPDX-License-Identifier: MIT */
/* Random values and reports without a system call on the caller's thread: a thread of the library does both. */
#ifndef COMMONHV_POOL_H
#define COMMONHV_POOL_H

#include <stdint.h>

/** Starts the thread, once a process: NULL, or why there is none. `status`: a file for JSON lines, or NULL. */
const char *pool_start(const char *status);

/** A value of the kernel's generator that was drawn less than 1 ms ago and is nowhere else: 0, or -1: the source failed. */
int pool_take(uint64_t *value);

/** Whether the kernel gives no random values at present. */
int pool_failed(void);

/** Queues a line for the status file: {"event":EVENT,...}. `event` is a constant string. */
void pool_report(const char *event, unsigned machine, uint64_t generation);

/** One line on standard error, with the library's name before it. */
void pool_say(const char *text, const char *more);

#endif
