/* SPDX-License-Identifier: MIT */
/* Numbers on the command line, and the form of messages. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

void cli_say(const char *command, const char *format, ...)
{
	char text[640];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "uservisor %s: %s\n", command, text);
}

/* Digits only: no sign, no white space, no other base, no overflow. */
static const char *parse_digits(const char *text, u64 *value)
{
	const char *at = text;

	*value = 0;
	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(*value, 10, value) ||
			__builtin_add_overflow(*value, (u64)(*at - '0'), value))
			return NULL;
	return at == text ? NULL : at;
}

bool cli_parse_size(const char *text, u64 *bytes)
{
	static const char suffixes[] = "KMGT";
	const char *end = parse_digits(text, bytes), *suffix;

	if (!end || !*end)
		return end != NULL;
	suffix = strchr(suffixes, *end & ~0x20);
	if (!suffix || end[1])
		return false;
	return !__builtin_mul_overflow(*bytes, 1ull << 10 * (suffix - suffixes + 1), bytes);
}

bool cli_parse_count(const char *text, unsigned *count)
{
	u64 value;
	const char *end = parse_digits(text, &value);

	if (!end || *end || value > UINT32_MAX)
		return false;
	*count = (unsigned)value;
	return true;
}
