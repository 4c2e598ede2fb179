/* SPDX-License-Identifier: MIT */
/* What the guest may do with pages. Long lists go out as several commands, each of which fits into a message of v6. */
#include <errno.h>
#include <string.h>

#include "uvmi/session.h"

#define ENTRIES_MAX 256
#define WINDOW      16 /* commands on their way at once */

/* In v5 a vCPU does it, any that is there. */
static int set_start(struct uvmi *s, struct pending *call, u16 view,
	const struct uvmi_page_access *pages, unsigned n)
{
	const struct kvmi_set_page_access v5 = {.count = (u16)n, .view = view};
	const struct kvmi_v6_set_page_access v6 = {.count = (u16)n, .view = view};
	struct kvmi_v6_page_access_entry entries[ENTRIES_MAX];
	const struct iovec in[2] = {EITHER(s, v5, v6), {entries, n * sizeof(*entries)}};

	_Static_assert(sizeof(*entries) == sizeof(struct kvmi_page_access_entry) &&
			       offsetof(struct kvmi_v6_page_access_entry, access) ==
				       offsetof(struct kvmi_page_access_entry, access),
		"both dialects have the same");
	for (unsigned i = 0; i < n; i++)
		entries[i] = (struct kvmi_v6_page_access_entry){
			.gpa = pages[i].gpa, .access = pages[i].access};
	*call = (struct pending){.min = 0};
	return command_start(s, call, UVMI_SET_PAGE_ACCESS, in, 2);
}

/* All that have been started are waited for, whatever becomes of them: they are on the stack. */
static int set_window(struct uvmi *s, u16 view, const struct uvmi_page_access *pages, unsigned n)
{
	struct pending calls[WINDOW];
	unsigned started = 0;
	int r = 0, one;

	peer_lock(s);
	for (unsigned done = 0, part; done < n && !r; done += part) {
		part = MIN(n - done, (unsigned)ENTRIES_MAX);
		r = set_start(s, &calls[started++], view, pages + done, part);
	}
	for (unsigned i = 0; i < started; i++) {
		one = command_finish(s, &calls[i]);
		if (!r)
			r = one;
	}
	peer_unlock(s);
	return r;
}

int uvmi_set_page_access(
	struct uvmi *s, uint16_t view, const struct uvmi_page_access *pages, unsigned n)
{
	int r = 0;

	while (n && !r) {
		const unsigned part = MIN(n, (unsigned)(WINDOW * ENTRIES_MAX));

		r = set_window(s, view, pages, part);
		pages += part;
		n -= part;
	}
	return r;
}

static int get_part(struct uvmi *s, u16 view, struct uvmi_page_access *pages, unsigned n)
{
	const struct kvmi_get_page_access v5 = {.count = (u16)n, .view = view};
	const struct kvmi_v6_get_page_access v6 = {.count = (u16)n, .view = view};
	u64 gpas[ENTRIES_MAX];
	u8 access[ENTRIES_MAX];
	const struct iovec in[2] = {EITHER(s, v5, v6), {gpas, n * sizeof(*gpas)}};
	struct pending spec = {.out = access, .min = n, .max = n};
	int r;

	for (unsigned i = 0; i < n; i++)
		gpas[i] = pages[i].gpa;
	r = command_open(s, UVMI_GET_PAGE_ACCESS, in, 2, &spec);
	for (unsigned i = 0; !r && i < n; i++)
		pages[i].access = access[i];
	return r;
}

int uvmi_get_page_access(struct uvmi *s, uint16_t view, struct uvmi_page_access *pages, unsigned n)
{
	int r = 0;

	while (n && !r) {
		const unsigned part = MIN(n, (unsigned)ENTRIES_MAX);

		r = get_part(s, view, pages, part);
		pages += part;
		n -= part;
	}
	return r;
}
