/* SPDX-License-Identifier: MIT */
/* A description as text; see commonhv-text.h. */
#include "commonhv-text.h"

#include <stdlib.h>
#include <string.h>

void commonhv_settings_default(struct commonhv_settings *s)
{
	struct commonhv_description *d = &s->description;

	memset(s, 0, sizeof(*s));
	s->hypervisor_bit = 1;
	d->draft = 3;
	d->features = COMMONHV_FEATURE_RNG | COMMONHV_FEATURE_GENERATION | COMMONHV_FEATURE_ACK;
	d->secure = 1;
	d->rng = COMMONHV_DEFAULT_RNG_MSR;
	d->generation = COMMONHV_DEFAULT_GENERATION_MSR;
	d->page = COMMONHV_DEFAULT_PAGE_MSR;
}

/* Up to eight hexadecimal digits and the end of the text. */
static int hex32(const char *text, uint32_t *value)
{
	size_t length = strlen(text);

	if (length < 1 || length > 8 || strspn(text, "0123456789abcdefABCDEF") != length)
		return -1;
	*value = (uint32_t)strtoul(text, NULL, 16);
	return 0;
}

/* 24 hexadecimal digits, twelve bytes: EBX first, of each register the lowest byte first. */
static int signature(const char *text, uint32_t *words)
{
	char digits[3] = { 0 };
	uint32_t i, byte;

	words[0] = words[1] = words[2] = 0;
	for (i = 0; i < 12; i++) {
		if (!text[2 * i] || !text[2 * i + 1])
			return -1;
		memcpy(digits, text + 2 * i, 2);
		if (hex32(digits, &byte))
			return -1;
		words[i / 4] |= byte << (8 * (i % 4));
	}
	return 0;
}

static int flag(const char *value, int *on)
{
	if (strcmp(value, "0") && strcmp(value, "1"))
		return -1;
	*on = *value == '1';
	return 0;
}

static int feature(struct commonhv_description *d, uint32_t bit, int on)
{
	d->features = on ? d->features | bit : d->features & ~bit;
	return 0;
}

/* An index, or `none`, which takes the feature away. */
static int msr(struct commonhv_description *d, uint32_t bit, const char *value, uint32_t *index)
{
	int none = !strcmp(value, "none");

	feature(d, bit, !none);
	return none ? 0 : hex32(value, index);
}

static int interface(struct commonhv_settings *s, const char *value)
{
	struct commonhv_tuple *tuple = &s->description.tuples[s->description.count];

	s->listed = 1;
	if (s->description.count == COMMONHV_MAX_INTERFACES || signature(value, tuple->signature) || value[24] != '@' ||
	    hex32(value + 25, &tuple->location))
		return -1;
	s->description.count++;
	return 0;
}

static int prefer(struct commonhv_settings *s, const char *value)
{
	if (strlen(value) == 24)
		return signature(value, s->prefer_signature);
	s->prefer_index = (uint32_t)strtoul(value, NULL, 10);
	return s->prefer_index >= 1 && strspn(value, "0123456789") == strlen(value) && strlen(value) <= 3 ? 0 : -1;
}

static int secure(struct commonhv_description *d, const char *value)
{
	d->secure = -1;
	return strcmp(value, "none") ? flag(value, &d->secure) : 0;
}

int commonhv_settings_word(struct commonhv_settings *s, const char *word)
{
	struct commonhv_description *d = &s->description;
	const char *value = strchr(word, '=');
	int on = 0;
#define KEY(name) (value && (size_t)(value - word) == sizeof(name) - 1 && !strncmp(word, name, sizeof(name) - 1))

	if (KEY("draft") && value[1] >= '1' && value[1] <= '3' && !value[2])
		return d->draft = value[1] - '0', 0;
	if (KEY("hypervisor-bit"))
		return flag(value + 1, &s->hypervisor_bit);
	if (KEY("rng"))
		return msr(d, COMMONHV_FEATURE_RNG, value + 1, &d->rng);
	if (KEY("input") && (!strcmp(value + 1, "none") || !strcmp(value + 1, "ignore")))
		return feature(d, COMMONHV_FEATURE_RNG_INPUT, value[1] == 'i');
	if (KEY("secure"))
		return secure(d, value + 1);
	if (KEY("generation"))
		return msr(d, COMMONHV_FEATURE_GENERATION, value + 1, &d->generation);
	if (KEY("ack"))
		return flag(value + 1, &on) || feature(d, COMMONHV_FEATURE_ACK, on);
	if (KEY("page"))
		return msr(d, COMMONHV_FEATURE_PAGE, value + 1, &d->page);
	if (KEY("prefer"))
		return prefer(s, value + 1);
	if (KEY("interface"))
		return interface(s, value + 1);
	if (KEY("list"))
		return flag(value + 1, &s->listed);
	if (KEY("require"))
		return flag(value + 1, &s->required);
	return -1;
#undef KEY
}

int commonhv_settings_text(struct commonhv_settings *s, const char **text)
{
	char word[64];
	size_t length;

	for (;;) {
		*text += strspn(*text, " ");
		length = strcspn(*text, " ");
		if (!length)
			return 0;
		if (length >= sizeof(word))
			return -1;
		memcpy(word, *text, length);
		word[length] = 0;
		if (commonhv_settings_word(s, word))
			return -1;
		*text += length;
	}
}

int commonhv_settings_prefer(struct commonhv_settings *s)
{
	struct commonhv_description *d = &s->description;
	struct commonhv_tuple chosen;
	uint32_t i = s->prefer_index, *sig = s->prefer_signature;

	if (!i && !(sig[0] | sig[1] | sig[2]))
		return 0;
	if (!i)
		for (i = 1; i <= d->count && memcmp(d->tuples[i - 1].signature, sig, 12); i++)
			;
	if (i > d->count)
		return -1;
	if (d->draft == 3) {
		d->preferred = i;
		return 0;
	}
	chosen = d->tuples[i - 1];
	memmove(d->tuples + 1, d->tuples, (i - 1) * sizeof(chosen));
	d->tuples[0] = chosen;
	return 0;
}
