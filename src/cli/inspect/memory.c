/* SPDX-License-Identifier: MIT */
/* inspect read, inspect write: bytes of memory. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/inspect/inspect.h"

#define ROW   16
#define CHUNK 65536

static int read_part(
	struct inspect *in, const struct address_word *p, u64 offset, void *data, size_t n)
{
	if (p->virtual_address)
		return uvmi_read_gva(in->s, inspect_one_vcpu(in), p->at + offset, data, n);
	return uvmi_read(in->s, p->at + offset, data, n);
}

/* As every debugger shows it: address, bytes, characters. */
static bool put_row(struct inspect *in, u64 at, bool is_virtual, const u8 *bytes, size_t n)
{
	char text[ROW + 1] = "";

	if (in->json) {
		record_begin(in, "memory");
		record_hex(in, is_virtual ? "gva" : "gpa", at);
		record_bytes(in, "bytes", bytes, n);
		return record_end(in);
	}
	printf("%016" PRIx64 " ", at);
	for (size_t i = 0; i < ROW; i++) {
		printf(i < n ? " %02x" : "   ", i < n ? bytes[i] : 0);
		if (i < n)
			text[i] = bytes[i] >= ' ' && bytes[i] < 0x7f ? (char)bytes[i] : '.';
	}
	printf("  |%s|\n", text);
	return !ferror(stdout);
}

static int put_chunk(struct inspect *in, FILE *f, u64 at, bool is_virtual, const u8 *data, size_t n)
{
	if (f)
		return fwrite(data, 1, n, f) == n ? 0 : -EIO;
	for (size_t i = 0; i < n; i += ROW)
		if (!put_row(in, at + i, is_virtual, data + i, MIN((size_t)ROW, n - i)))
			return -EIO;
	return 0;
}

static int read_all(struct inspect *in, const struct address_word *p, u64 length, FILE *f)
{
	u8 *data = malloc(CHUNK);
	int r = data ? 0 : -ENOMEM;

	for (u64 done = 0, n; done < length && !r; done += n) {
		n = MIN(length - done, (u64)CHUNK);
		r = read_part(in, p, done, data, n);
		if (!r)
			r = put_chunk(in, f, p->at + done, p->virtual_address, data, n);
		if (inspect_ended(in))
			r = -EINTR;
	}
	free(data);
	return r;
}

static int memory_failed(struct inspect *in, const char *what, int error)
{
	switch (-error) {
	case ENOENT:
	case EINVAL:
		cli_say("inspect", "%s: there is no RAM at a part of these addresses", what);
		return 1;
	case EFAULT:
		cli_say("inspect",
			"%s: a part of these virtual addresses is not mapped on vCPU %u now", what,
			inspect_one_vcpu(in));
		return 1;
	case EIO: cli_say("inspect", "%s: the output cannot be written", what); return 1;
	default: return inspect_failed(in, what, error);
	}
}

int inspect_read(struct inspect *in)
{
	struct address_word place;
	FILE *f = NULL;
	u64 length;
	int r = inspect_place(in->args[0], false, &place);

	if (r)
		return r;
	if (!inspect_number(in->args[1], &length))
		return inspect_usage("'%s' is not a length: give a number of bytes", in->args[1]);
	if (in->output) {
		f = fopen(in->output, "we");
		if (!f)
			return inspect_usage(
				"%s cannot be written: %s", in->output, strerror(errno));
	}
	r = read_all(in, &place, length, f);
	if (f && fclose(f) && !r)
		r = -EIO;
	return r ? memory_failed(in, "memory cannot be read", r) : 0;
}

/* ---- write ---- */

static int digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c | 0x20 : c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* All arguments behind the place, two digits for each byte. */
static int parse_bytes(struct inspect *in, u8 *bytes, size_t *ret_n)
{
	size_t n = 0;

	for (int i = 1; i < in->n_args; i++)
		for (const char *at = in->args[i]; *at; at += 2, n++) {
			const int high = digit(at[0]), low = high < 0 ? -1 : digit(at[1]);

			if (low < 0)
				return inspect_usage("'%s' is not a number of bytes: give two "
						     "hexadecimal digits for "
						     "each, for example 9090cc",
					in->args[i]);
			bytes[n] = (u8)(high << 4 | low);
		}
	*ret_n = n;
	return 0;
}

static int bytes_of_arguments(struct inspect *in, u8 **ret, size_t *ret_n)
{
	size_t most = 1;
	int r;

	for (int i = 1; i < in->n_args; i++)
		most += strlen(in->args[i]);
	*ret = malloc(most);
	if (!*ret)
		return inspect_failed(in, "the bytes", -ENOMEM);
	r = parse_bytes(in, *ret, ret_n);
	if (!r && !*ret_n)
		r = inspect_usage(
			"there is nothing to write: give bytes in hexadecimal, or --input FILE");
	return r;
}

static int bytes_of_file(struct inspect *in, u8 **ret, size_t *ret_n)
{
	FILE *f = fopen(in->input, "re");
	size_t n = 0, got;
	u8 *more;

	if (!f)
		return inspect_usage("%s cannot be read: %s", in->input, strerror(errno));
	do {
		more = realloc(*ret, n + CHUNK);
		if (!more)
			break;
		*ret = more;
		got = fread(*ret + n, 1, CHUNK, f);
		n += got;
	} while (got);
	fclose(f);
	*ret_n = n;
	return more ? 0 : inspect_failed(in, in->input, -ENOMEM);
}

static int write_bytes(struct inspect *in, const struct address_word *p, const u8 *bytes, size_t n)
{
	if (p->virtual_address)
		return uvmi_write_gva(in->s, inspect_one_vcpu(in), p->at, bytes, n);
	return uvmi_write(in->s, p->at, bytes, n);
}

static int write_and_tell(
	struct inspect *in, const struct address_word *p, const u8 *bytes, size_t n)
{
	const int r = write_bytes(in, p, bytes, n);

	if (r)
		return memory_failed(in, "memory cannot be written", r);
	record_begin(in, "written");
	record_hex(in, p->virtual_address ? "gva" : "gpa", p->at);
	record_number(in, "length", n);
	record_end(in);
	return 0;
}

int inspect_write(struct inspect *in)
{
	struct address_word place;
	u8 *bytes = NULL;
	size_t n = 0;
	int r = inspect_place(in->args[0], false, &place);

	if (r)
		return r;
	r = in->input ? bytes_of_file(in, &bytes, &n) : bytes_of_arguments(in, &bytes, &n);
	if (!r)
		r = write_and_tell(in, &place, bytes, n);
	free(bytes);
	return r;
}
