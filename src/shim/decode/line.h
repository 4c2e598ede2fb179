/* SPDX-License-Identifier: MIT */
/* One line of a trace (line.c): names and values, as text or as the members of a JSON object. */
#ifndef SHIM_DECODE_LINE_H
#define SHIM_DECODE_LINE_H

#include "base/types.h"

enum line_format { LINE_DEC, LINE_HEX, LINE_SIGNED };

struct line {
	bool json;
	bool first; /* no member was written in the innermost group */
	size_t n;
	char text[8192];
};

/* name is shown in JSON, and in text unless it is NULL. */
void line_number(struct line *l, const char *name, u64 value, enum line_format format);
void line_word(struct line *l, const char *name, const char *word);
void line_bytes(struct line *l, const char *name, const void *data, size_t n);
void line_open(struct line *l, const char *name);
void line_close(struct line *l);
/* Only in text: what stands between. */
void line_text(struct line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
