/* SPDX-License-Identifier: MIT */
/* What only some VMs have, and only v6: views, #VE, and rights to write to parts of pages. */
#include <errno.h>
#include <string.h>

#include "uvmi/session.h"

#define BITMAPS_MAX 256

struct control_spp {
	u8 enable;
	u8 padding[7];
};

/* GET_PAGE_WRITE_BITMAP and SET_PAGE_WRITE_BITMAP begin with this. */
struct bitmap_command {
	u16 view;
	u16 count;
	u32 padding;
};

struct bitmap_entry {
	u64 gpa;
	u32 bitmap;
	u32 padding;
};

struct set_page_sve {
	u16 view;
	u8 suppress;
	u8 padding1;
	u32 padding2;
	u64 gpa;
};

struct set_ve_info_page {
	struct kvmi_v6_vcpu_hdr hdr;
	u64 gpa;
	u8 trigger_vmexit;
	u8 padding[7];
};

_Static_assert(sizeof(struct control_spp) == 8, "the protocol's");
_Static_assert(sizeof(struct bitmap_command) == 8, "the protocol's");
_Static_assert(sizeof(struct bitmap_entry) == 16, "the protocol's");
_Static_assert(sizeof(struct set_page_sve) == 16, "the protocol's");
_Static_assert(sizeof(struct set_ve_info_page) == 24, "the protocol's");

static int get_view(struct uvmi *s, enum uvmi_command command, struct iovec in, uint16_t *ret_view)
{
	struct kvmi_v6_ept_view reply;
	const int r = command_fixed(s, command, in, &reply, sizeof(reply));

	if (!r)
		*ret_view = reply.view;
	return r;
}

int uvmi_get_ept_view(struct uvmi *s, unsigned vcpu, uint16_t *ret_view)
{
	const struct kvmi_v6_vcpu_hdr c = {.vcpu = (u16)vcpu};

	return vcpu_check(vcpu) ? -EINVAL : get_view(s, UVMI_GET_EPT_VIEW, PART(c), ret_view);
}

int uvmi_switch_ept_view(struct uvmi *s, unsigned vcpu, uint16_t view)
{
	const struct kvmi_v6_switch_ept_view c = {.hdr.vcpu = (u16)vcpu, .view = view};

	return vcpu_check(vcpu) ? -EINVAL : command_plain(s, UVMI_SWITCH_EPT_VIEW, PART(c));
}

int uvmi_control_ept_view(struct uvmi *s, unsigned vcpu, uint16_t view, int visible)
{
	const struct kvmi_v6_control_ept_view c = {
		.hdr.vcpu = (u16)vcpu, .view = view, .visible = visible != 0};

	return vcpu_check(vcpu) ? -EINVAL : command_plain(s, UVMI_CONTROL_EPT_VIEW, PART(c));
}

int uvmi_create_ept_view(struct uvmi *s, uint16_t *ret_view)
{
	return get_view(s, UVMI_CREATE_EPT_VIEW, (struct iovec){NULL, 0}, ret_view);
}

int uvmi_destroy_ept_view(struct uvmi *s, uint16_t view)
{
	const struct kvmi_v6_ept_view c = {.view = view};

	return command_plain(s, UVMI_DESTROY_EPT_VIEW, PART(c));
}

int uvmi_change_gfn(
	struct uvmi *s, unsigned vcpu, uint16_t view, uint64_t old_gfn, uint64_t new_gfn)
{
	const struct kvmi_v6_change_gfn c = {
		.hdr.vcpu = (u16)vcpu, .view = view, .old_gfn = old_gfn, .new_gfn = new_gfn};

	return vcpu_check(vcpu) ? -EINVAL : command_plain(s, UVMI_CHANGE_GFN, PART(c));
}

int uvmi_alloc_gfn(struct uvmi *s, uint64_t gfn)
{
	const struct kvmi_v6_own_gfn c = {.gfn = gfn};

	return command_plain(s, UVMI_ALLOC_GFN, PART(c));
}

int uvmi_free_gfn(struct uvmi *s, uint64_t gfn)
{
	const struct kvmi_v6_own_gfn c = {.gfn = gfn};

	return command_plain(s, UVMI_FREE_GFN, PART(c));
}

int uvmi_set_page_sve(struct uvmi *s, uint16_t view, uint64_t gpa, int suppress)
{
	const struct set_page_sve c = {.view = view, .suppress = suppress != 0, .gpa = gpa};

	return command_plain(s, UVMI_SET_PAGE_SVE, PART(c));
}

int uvmi_set_ve_info_page(struct uvmi *s, unsigned vcpu, uint64_t gpa, int trigger_vmexit)
{
	const struct set_ve_info_page c = {
		.hdr.vcpu = (u16)vcpu, .gpa = gpa, .trigger_vmexit = trigger_vmexit != 0};

	return vcpu_check(vcpu) ? -EINVAL : command_plain(s, UVMI_SET_VE_INFO_PAGE, PART(c));
}

int uvmi_disable_ve(struct uvmi *s, unsigned vcpu)
{
	const struct kvmi_v6_vcpu_hdr c = {.vcpu = (u16)vcpu};

	return vcpu_check(vcpu) ? -EINVAL : command_plain(s, UVMI_DISABLE_VE, PART(c));
}

int uvmi_control_spp(struct uvmi *s, int enable)
{
	const struct control_spp c = {.enable = enable != 0};

	return command_plain(s, UVMI_CONTROL_SPP, PART(c));
}

static int set_bitmaps(struct uvmi *s, u16 view, const struct uvmi_write_bitmap *pages, unsigned n)
{
	const struct bitmap_command c = {.view = view, .count = (u16)n};
	struct bitmap_entry entries[BITMAPS_MAX];
	const struct iovec in[2] = {PART(c), {entries, n * sizeof(*entries)}};
	struct pending spec = {.min = 0};

	for (unsigned i = 0; i < n; i++)
		entries[i] = (struct bitmap_entry){.gpa = pages[i].gpa, .bitmap = pages[i].bitmap};
	return command_open(s, UVMI_SET_PAGE_WRITE_BITMAP, in, 2, &spec);
}

static int get_bitmaps(struct uvmi *s, u16 view, struct uvmi_write_bitmap *pages, unsigned n)
{
	const struct bitmap_command c = {.view = view, .count = (u16)n};
	u64 gpas[BITMAPS_MAX];
	u32 bitmaps[BITMAPS_MAX];
	const struct iovec in[2] = {PART(c), {gpas, n * sizeof(*gpas)}};
	struct pending spec = {
		.out = bitmaps, .min = n * sizeof(*bitmaps), .max = n * sizeof(*bitmaps)};
	int r;

	for (unsigned i = 0; i < n; i++)
		gpas[i] = pages[i].gpa;
	r = command_open(s, UVMI_GET_PAGE_WRITE_BITMAP, in, 2, &spec);
	for (unsigned i = 0; !r && i < n; i++)
		pages[i].bitmap = bitmaps[i];
	return r;
}

int uvmi_set_page_write_bitmap(
	struct uvmi *s, uint16_t view, const struct uvmi_write_bitmap *pages, unsigned n)
{
	int r = 0;

	for (unsigned part; n && !r; pages += part, n -= part) {
		part = MIN(n, (unsigned)BITMAPS_MAX);
		r = set_bitmaps(s, view, pages, part);
	}
	return r;
}

int uvmi_get_page_write_bitmap(
	struct uvmi *s, uint16_t view, struct uvmi_write_bitmap *pages, unsigned n)
{
	int r = 0;

	for (unsigned part; n && !r; pages += part, n -= part) {
		part = MIN(n, (unsigned)BITMAPS_MAX);
		r = get_bitmaps(s, view, pages, part);
	}
	return r;
}
