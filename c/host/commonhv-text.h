/* SPDX-License-Identifier: MIT */
/* A description as text: words of the form KEY=VALUE, for an environment variable, a plugin's arguments, a test. */
#ifndef COMMONHV_TEXT_H
#define COMMONHV_TEXT_H

#include "commonhv-host.h"

/** A description, and how its interface list is to be made. */
struct commonhv_settings {
	struct commonhv_description description;
	int hypervisor_bit; /* CPUID.1.ECX bit 31: 1 set, 0 clear */
	int listed; /* 1: the list is given; 0: the VMM's own CPUID table is scanned */
	int required; /* 1: end the VMM where CommonHV cannot be offered */
	uint32_t prefer_index; /* from 1; 0 where prefer_signature or nothing was given */
	uint32_t prefer_signature[3];
};

/** Draft 3 with a secure RNG, a generation and acknowledgement at the default indices; interfaces by scan. */
void commonhv_settings_default(struct commonhv_settings *settings);

/**
 * Applies one word; 0, or -1 where it is none of:
 * draft=N hypervisor-bit=0|1 rng=HEX|none input=none|ignore secure=1|0|none generation=HEX|none ack=0|1 page=HEX|none
 * prefer=N|SIG interface=SIG@HEX list=1 require=1, where SIG is 24 hexadecimal digits, the twelve bytes in order.
 */
int commonhv_settings_word(struct commonhv_settings *settings, const char *word);

/** Applies words with blanks between; 0, or -1, where `text` begins with the first that is wrong. */
int commonhv_settings_text(struct commonhv_settings *settings, const char **text);

/** Applies the preference to the complete list: an index in draft 3, the order in drafts 1 and 2. -1: not in the list. */
int commonhv_settings_prefer(struct commonhv_settings *settings);

#endif
