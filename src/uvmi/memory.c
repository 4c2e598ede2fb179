/* SPDX-License-Identifier: MIT */
/*
 * Guest-physical memory. A command reads or writes within one page; longer transfers are made of several, of which a
 * window is on its way at once. Its answers fit into the buffers of a socket, so that neither side waits for the other.
 */
#include <errno.h>
#include <string.h>

#include "uvmi/session.h"

#define WINDOW 16

/* What one command does: all of it is in one page. */
struct page_part {
	u64 gpa;
	u8 *data;
	size_t size;
	struct pending call;
};

struct transfer {
	bool write;
	u8 *present; /* NULL: a page without RAM is an error */
};

static int piece_start(struct uvmi *s, struct page_part *p, bool write)
{
	const struct kvmi_read_physical c = {.gpa = p->gpa, .size = p->size};
	const struct iovec in[2] = {PART(c), {p->data, p->size}};

	_Static_assert(offsetof(struct kvmi_write_physical, data) == sizeof(c),
		"both begin with the same");
	p->call = (struct pending){.out = write ? NULL : p->data,
		.min = write ? 0 : p->size,
		.max = write ? 0 : p->size};
	return command_start(
		s, &p->call, write ? UVMI_WRITE_PHYSICAL : UVMI_READ_PHYSICAL, in, write ? 2 : 1);
}

/* All that have been started are waited for, whatever becomes of them: they are on the stack. */
static int window(struct uvmi *s, struct page_part *pieces, unsigned n, const struct transfer *t)
{
	int r = 0, one;

	peer_lock(s);
	for (unsigned i = 0; i < n; i++)
		piece_start(s, &pieces[i], t->write);
	for (unsigned i = 0; i < n; i++) {
		one = command_finish(s, &pieces[i].call);
		if (t->present && (one == -ENOENT || one == -EINVAL)) {
			memset(pieces[i].data, 0, pieces[i].size);
			t->present[i] = 0;
			one = 0;
		} else if (t->present)
			t->present[i] = one == 0;
		if (!r)
			r = one;
	}
	peer_unlock(s);
	return r;
}

/* Cuts at pages; the result is how many bytes the pieces have. */
static size_t cut(u64 gpa, u8 *data, size_t size, struct page_part pieces[WINDOW], unsigned *ret_n)
{
	size_t done = 0;
	unsigned n = 0;

	for (; n < WINDOW && done < size; n++) {
		const size_t part = MIN(size - done, PAGE_SIZE - ((gpa + done) & ~PAGE_MASK));

		pieces[n] =
			(struct page_part){.gpa = gpa + done, .data = data + done, .size = part};
		done += part;
	}
	*ret_n = n;
	return done;
}

static int transfer(struct uvmi *s, u64 gpa, u8 *data, size_t size, struct transfer t)
{
	struct page_part pieces[WINDOW];
	unsigned n;
	int r = size && gpa + (size - 1) < gpa ? -EINVAL : 0;

	while (size && !r) {
		const size_t done = cut(gpa, data, size, pieces, &n);

		r = window(s, pieces, n, &t);
		gpa += done;
		data += done;
		size -= done;
		if (t.present)
			t.present += n;
	}
	return r;
}

int uvmi_read(struct uvmi *s, uint64_t gpa, void *data, size_t size)
{
	return transfer(s, gpa, data, size, (struct transfer){.write = false});
}

int uvmi_write(struct uvmi *s, uint64_t gpa, const void *data, size_t size)
{
	return transfer(s, gpa, (u8 *)data, size, (struct transfer){.write = true});
}

int uvmi_read_present(struct uvmi *s, uint64_t gpa, void *data, size_t size, uint8_t *present)
{
	return transfer(s, gpa, data, size, (struct transfer){.present = present});
}

static bool in_one_page(u64 gpa, size_t size)
{
	return size && size <= PAGE_SIZE && (gpa & ~PAGE_MASK) + size <= PAGE_SIZE;
}

int uvmi_read_physical(struct uvmi *s, uint64_t gpa, void *data, size_t size)
{
	return in_one_page(gpa, size) ? uvmi_read(s, gpa, data, size) : -EINVAL;
}

int uvmi_write_physical(struct uvmi *s, uint64_t gpa, const void *data, size_t size)
{
	return in_one_page(gpa, size) ? uvmi_write(s, gpa, data, size) : -EINVAL;
}
