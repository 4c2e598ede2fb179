/* SPDX-License-Identifier: MIT */
/* Commands on memory: see ops.h. */
#include "introspect/ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "introspect/page.h"
#include "introspect/wire.h"

/* ---- reading and writing ---- */

static bool in_one_page(u64 gpa, u64 size)
{
	return size && size <= PAGE_SIZE && (gpa & (PAGE_SIZE - 1)) + size <= PAGE_SIZE;
}

int op_read_physical(struct tool_call *c, u64 gpa, u64 size, int missing)
{
	void *data;

	if (!in_one_page(gpa, size))
		return -KVM_EINVAL;
	data = call_answer(c, size);
	if (!data)
		return -KVM_ENOMEM;
	return machine_read(c->i->machine, gpa, data, size) ? missing : 0;
}

int op_write_physical(struct tool_call *c, u64 gpa, const void *data, u64 size, int missing)
{
	if (!in_one_page(gpa, size))
		return -KVM_EINVAL;
	return machine_write(c->i->machine, gpa, data, size) ? missing : 0;
}

int op_get_map_token(struct tool_call *c)
{
	struct kvmi_get_map_token_reply *a = call_answer(c, sizeof(*a));
	int r = a ? tokens_make(&c->i->tokens, &a->token) : -ENOMEM;

	return r == -EAGAIN ? -KVM_EAGAIN : r ? -KVM_ENOMEM : 0;
}

static int answer_ram(struct tool_call *c)
{
	const size_t bytes = c->ram.count * sizeof(*c->ram.region);
	struct kvmi_v6_get_ram_reply *a = call_answer(c, sizeof(*a) + bytes);

	if (!a)
		return -KVM_E2BIG;
	a->regions = c->ram.count;
	a->files = c->ram.files;
	memcpy(a + 1, c->ram.region, bytes);
	return 0;
}

int op_get_ram(struct tool_call *c)
{
	int r;

	if (!wire_takes_files(c->s->fd))
		return -KVM_EOPNOTSUPP;
	r = ram_files_find(c->i->machine, &c->ram);
	return r ? -KVM_ENOMEM : answer_ram(c);
}

/* ---- where memory is ---- */

u64 op_end_of_ram(struct tool_call *c)
{
	struct ram_region r;
	u64 end = 0;

	while (!machine_ram_at(c->i->machine, end, &r))
		end = r.gpa + r.size;
	return end / PAGE_SIZE;
}

bool op_find_ram(struct tool_call *c, u64 gfn, u64 *ret_first, u64 *ret_pages)
{
	const u64 wanted = gfn * PAGE_SIZE;
	u64 first = 0, end = 0;
	struct ram_region r;

	while (end <= wanted && !machine_ram_at(c->i->machine, end, &r)) {
		first = r.gpa == end ? first : r.gpa;
		end = r.gpa + r.size;
	}
	/* and its neighbours above */
	while (first <= wanted && end > wanted && !machine_ram_at(c->i->machine, end, &r) &&
		r.gpa == end)
		end = r.gpa + r.size;
	*ret_first = first / PAGE_SIZE;
	*ret_pages = (end - first) / PAGE_SIZE;
	return first <= wanted && end > wanted;
}

/* ---- which accesses the tool is asked about ---- */

int op_get_page_access(struct tool_call *c, u16 view, const __u64 *gpa, u16 count)
{
	u8 *access = call_answer(c, count);

	if (!access)
		return -KVM_ENOMEM;
	for (u16 n = 0; n < count; n++) {
		u32 rights;

		if (machine_page_rights(c->i->machine, view, gpa[n], &rights))
			return -KVM_EINVAL;
		access[n] = page_access_of(rights);
	}
	return 0;
}

#define ACCESS_ALL (KVMI_PAGE_ACCESS_R | KVMI_PAGE_ACCESS_W | KVMI_PAGE_ACCESS_X)

static bool is_valid(const struct kvmi_page_access_entry *e)
{
	u8 padding = 0;

	for (unsigned n = 0; n < sizeof(e->padding); n++)
		padding |= e->padding[n];
	return !padding && !(e->access & ~ACCESS_ALL);
}

/* One after the other, where an address among them is none. */
static int set_each(struct machine *m, u16 view, const struct page_rights *p, unsigned n)
{
	int r = 0;

	for (unsigned k = 0; k < n; k++) {
		int one = machine_set_page_rights(m, view, &p[k], 1);

		r = r ? r : one;
	}
	return r;
}

static int set_rights(struct machine *m, u16 view, const struct page_rights *p, unsigned n)
{
	int r = machine_set_page_rights(m, view, p, n);

	if (r == -EINVAL && n > 1)
		r = set_each(m, view, p, n);
	return r == -ENOMEM ? -KVM_ENOMEM : r ? -KVM_EINVAL : 0;
}

int op_set_page_access(
	struct tool_call *c, u16 view, const struct kvmi_page_access_entry *e, u16 count)
{
	struct page_rights *p = calloc((size_t)count + 1, sizeof(*p));
	unsigned valid = 0;
	int r;

	if (!p)
		return -KVM_ENOMEM;
	for (u16 n = 0; n < count; n++)
		if (is_valid(&e[n]))
			p[valid++] = (struct page_rights){.gpa = e[n].gpa & ~(u64)(PAGE_SIZE - 1),
				.rights = page_rights_of(e[n].access)};
	r = valid ? set_rights(c->i->machine, view, p, valid) : 0;
	free(p);
	return valid < count ? -KVM_EINVAL : r;
}
