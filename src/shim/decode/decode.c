/* SPDX-License-Identifier: MIT */
/* See decode.h. */
#include <errno.h>
#include <string.h>

#include "base/sys.h"
#include "shim/decode/kvm.h"
#include "shim/decode/mshv.h"

static const struct decoder *const decoders[] = {&decoder_kvm, &decoder_mshv};

const struct decoder *decoder_of(const char *interface)
{
	for (unsigned i = 0; i < ARRAY_SIZE(decoders); i++)
		if (!strcmp(decoders[i]->interface, interface))
			return decoders[i];
	return NULL;
}

void decoders_closed(int fd)
{
	for (unsigned i = 0; i < ARRAY_SIZE(decoders); i++)
		if (decoders[i]->closed)
			decoders[i]->closed(fd);
}

/* ---- members ---- */

static u64 value_at(const u8 *data, const struct member *m)
{
	u64 v = 0;

	memcpy(&v, data + m->offset, MIN((size_t)m->size, sizeof(v)));
	return m->format == LINE_SIGNED && m->size == 4 ? (u64)(s64)(s32)v : v;
}

void add_members(struct line *l, const void *data, const struct member *m, unsigned n)
{
	for (; n; n--, m++)
		line_number(l, m->name, value_at(data, m), m->format);
}

const char *name_in(const struct named_value *list, u32 value)
{
	while (list->name && list->value != value)
		list++;
	return list->name;
}

void add_named(struct line *l, const char *member, const struct named_value *list, u32 value)
{
	const char *name = name_in(list, value);

	if (name)
		line_word(l, l->json ? member : NULL, name);
	else
		line_number(l, member, value, LINE_HEX);
}

bool read_program(unsigned long from, void *to, size_t n)
{
	return !sys_copy(to, (const void *)from, n);
}

/* ---- arguments ---- */

static size_t bytes_of(const struct part *p)
{
	size_t n = 0;

	for (unsigned i = 0; i < p->count; i++)
		n = MAX(n, (size_t)p->members[i].offset + p->members[i].size);
	return n;
}

const struct layout *layout_of(const struct decoder *d, const char *label, u32 request)
{
	for (unsigned i = 0; d && i < d->count; i++)
		if (d->layouts[i].request == request &&
			(!d->layouts[i].on || !strcmp(d->layouts[i].on, label)))
			return &d->layouts[i];
	return NULL;
}

static bool is_empty(const struct part *p)
{
	return !p->count && !p->list;
}

static void add_part(
	struct line *l, const char *name, const struct part *p, unsigned long arg, bool list)
{
	u8 data[1024];

	if (bytes_of(p) > sizeof(data) || (p->count && !read_program(arg, data, bytes_of(p))))
		return;
	line_open(l, name);
	add_members(l, data, p->members, p->count);
	if (list && p->list)
		p->list(l, arg);
	line_close(l);
}

void decode_in(const struct layout *y, struct line *l, unsigned long arg)
{
	if (y && !is_empty(&y->in))
		add_part(l, "data", &y->in, arg, true);
}

void decode_out(const struct layout *y, struct line *l, unsigned long arg, long result)
{
	enum answered what = ANSWERED_ALL;

	if (!y || is_empty(&y->out))
		return;
	if (result < 0)
		what = y->answered ? y->answered(arg, result) : ANSWERED_NOTHING;
	if (what == ANSWERED_NOTHING)
		return;
	if (!is_empty(&y->in))
		line_text(l, " -> ");
	add_part(l, is_empty(&y->in) ? "data" : "answer", &y->out, arg, what == ANSWERED_ALL);
}

/* ---- names ---- */

const char *decode_errno(long error)
{
	static const char *const names[] = {
#define X(name) [name] = #name
		X(EPERM),
		X(ENOENT),
		X(EINTR),
		X(EIO),
		X(ENXIO),
		X(E2BIG),
		X(EBADF),
		X(EAGAIN),
		X(ENOMEM),
		X(EACCES),
		X(EFAULT),
		X(EBUSY),
		X(EEXIST),
		X(ENODEV),
		X(EINVAL),
		X(EMFILE),
		X(ENOTTY),
		X(ENOSPC),
		X(ENOSYS),
		X(EOPNOTSUPP),
#undef X
	};

	return -error < (long)ARRAY_SIZE(names) ? names[-error] : NULL;
}
