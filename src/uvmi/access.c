/* SPDX-License-Identifier: MIT */
/* What the guest may do with pages. Long lists go out as several commands, each of which fits into a message of v6. */
#include <errno.h>
#include <string.h>

#include "uvmi/session.h"

#define ENTRIES_MAX 256

/* In v5 a vCPU does it, any that is there. */
static int set_v5(struct uvmi *s, u16 view, const struct uvmi_page_access *pages, unsigned n)
{
	const struct kvmi_set_page_access c = {.count = (u16)n, .view = view};
	struct kvmi_page_access_entry entries[ENTRIES_MAX];
	const struct iovec in[2] = {PART(c), {entries, n * sizeof(*entries)}};
	struct pending spec = {.min = 0};

	for (unsigned i = 0; i < n; i++)
		entries[i] = (struct kvmi_page_access_entry){
			.gpa = pages[i].gpa, .access = pages[i].access};
	return command_open(s, UVMI_SET_PAGE_ACCESS, in, 2, &spec);
}

static int set_v6(struct uvmi *s, u16 view, const struct uvmi_page_access *pages, unsigned n)
{
	const struct kvmi_v6_set_page_access c = {.count = (u16)n, .view = view};
	struct kvmi_v6_page_access_entry entries[ENTRIES_MAX];
	const struct iovec in[2] = {PART(c), {entries, n * sizeof(*entries)}};
	struct pending spec = {.min = 0};

	for (unsigned i = 0; i < n; i++)
		entries[i] = (struct kvmi_v6_page_access_entry){
			.gpa = pages[i].gpa, .access = pages[i].access};
	return command_open(s, UVMI_SET_PAGE_ACCESS, in, 2, &spec);
}

int uvmi_set_page_access(
	struct uvmi *s, uint16_t view, const struct uvmi_page_access *pages, unsigned n)
{
	int r = 0;

	while (n && !r) {
		const unsigned part = MIN(n, (unsigned)ENTRIES_MAX);

		r = s->dialect == UVMI_V5 ? set_v5(s, view, pages, part)
					  : set_v6(s, view, pages, part);
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
