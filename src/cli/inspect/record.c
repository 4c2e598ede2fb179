/* SPDX-License-Identifier: MIT */
/* Lines of output, as text or as JSON. JSON has addresses as strings: its numbers are not that long everywhere. */
#include <inttypes.h>
#include <string.h>

#include "cli/inspect/inspect.h"

/*
 * JSON: RFC 8259, section 7. Text needs quotes if it would look like several members. The VM chooses some of it, so what
 * a terminal might obey is escaped, and so is all that is not ASCII.
 */
static void put_string(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		const unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

void record_begin(struct inspect *in, const char *type)
{
	if (in->json) {
		printf("{\"type\": ");
		put_string(type);
	} else
		printf("%s", type);
}

static void name_of(const struct inspect *in, const char *name)
{
	if (in->json) {
		printf(", ");
		put_string(name);
		printf(": ");
	} else
		printf(" %s=", name);
}

static bool needs_quotes(const char *text)
{
	if (!*text)
		return true;
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f || *text == '"' ||
			*text == '=' || *text == '\\')
			return true;
	return false;
}

void record_text(struct inspect *in, const char *name, const char *text)
{
	name_of(in, name);
	if (in->json || needs_quotes(text))
		put_string(text);
	else
		printf("%s", text);
}

void record_number(struct inspect *in, const char *name, u64 value)
{
	name_of(in, name);
	printf("%" PRIu64, value);
}

void record_hex(struct inspect *in, const char *name, u64 value)
{
	name_of(in, name);
	printf(in->json ? "\"0x%" PRIx64 "\"" : "0x%" PRIx64, value);
}

void record_bytes(struct inspect *in, const char *name, const u8 *bytes, size_t n)
{
	name_of(in, name);
	if (in->json)
		putchar('"');
	for (size_t i = 0; i < n; i++)
		printf("%02x", bytes[i]);
	if (in->json)
		putchar('"');
}

/* Whoever reads a pipe sees each line at once. */
bool record_end(struct inspect *in)
{
	printf(in->json ? "}\n" : "\n");
	return fflush(stdout) == 0 && !ferror(stdout);
}

void record_event(struct inspect *in, const char *type, const struct uvmi_event *e)
{
	record_begin(in, type);
	record_number(in, "vcpu", e->vcpu);
	record_hex(in, "rip", e->regs.rip);
	record_hex(in, "cr3", e->sregs.cr3);
}
