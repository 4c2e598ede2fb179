/* SPDX-License-Identifier: MIT */
/* A line of the trace. One that is too long ends where the room does, closed properly. See line.h. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "shim/decode/line.h"

#define RESERVE 64 /* for what closes the line */

static void put(struct line *l, const char *format, va_list args)
{
	size_t room = sizeof(l->text) - l->n;
	int n = vsnprintf(l->text + l->n, room, format, args);

	if (n > 0)
		l->n += (size_t)n < room ? (size_t)n : room - 1;
}

static void add(struct line *l, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	put(l, format, args);
	va_end(args);
}

void line_text(struct line *l, const char *format, ...)
{
	va_list args;

	if (l->json)
		return;
	va_start(args, format);
	put(l, format, args);
	va_end(args);
	l->first = true;
}

static bool begin(struct line *l, const char *name, size_t need)
{
	if (l->n + need + RESERVE > sizeof(l->text))
		return false;
	if (l->json)
		add(l, "%s\"%s\":", l->first ? "" : ",", name ? name : "value");
	else
		add(l, name ? "%s%s=" : "%s%s", l->first ? "" : " ", name ? name : "");
	l->first = false;
	return true;
}

/* JSON has no hexadecimal, and its readers no more than 53 bits: such numbers are strings there. */
void line_number(struct line *l, const char *name, u64 value, enum line_format format)
{
	if (!begin(l, name, 64))
		return;
	switch (format) {
	case LINE_DEC: add(l, "%llu", (unsigned long long)value); break;
	case LINE_SIGNED: add(l, "%lld", (long long)value); break;
	case LINE_HEX: add(l, l->json ? "\"0x%llx\"" : "0x%llx", (unsigned long long)value); break;
	}
}

void line_word(struct line *l, const char *name, const char *word)
{
	if (begin(l, name, strlen(word) + 32))
		add(l, l->json ? "\"%s\"" : "%s", word);
}

void line_bytes(struct line *l, const char *name, const void *data, size_t n)
{
	const size_t shown = MIN(n, (size_t)64);

	if (!begin(l, name, 2 * shown + 16))
		return;
	add(l, l->json ? "\"" : "");
	for (size_t i = 0; i < shown; i++)
		add(l, "%02x", ((const u8 *)data)[i]);
	add(l, l->json ? "\"" : shown < n ? "..." : "");
}

void line_open(struct line *l, const char *name)
{
	if (l->json)
		add(l, "%s\"%s\":{", l->first ? "" : ",", name);
	else
		add(l, "{");
	l->first = true;
}

void line_close(struct line *l)
{
	add(l, "}");
	l->first = false;
}
