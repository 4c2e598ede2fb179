/* SPDX-License-Identifier: MIT */
/* What the VM tells of its guest as a whole. */
#include <errno.h>
#include <string.h>

#include "uvmi/session.h"

_Static_assert(sizeof(struct kvmi_map_mem_token) == 4 * sizeof(u64), "as the public header has it");

/* v5 asks a vCPU for both. */
static int guest_info_v5(struct uvmi *s, unsigned vcpu, struct kvmi_get_guest_info_reply *reply)
{
	const struct kvmi_get_guest_info c = {.vcpu = (u16)vcpu};

	return command_fixed(s, UVMI_GET_GUEST_INFO, PART(c), reply, sizeof(*reply));
}

int uvmi_get_guest_info(struct uvmi *s, uint32_t *ret_vcpus)
{
	struct kvmi_v6_get_guest_info_reply v6;
	struct kvmi_get_guest_info_reply v5;
	int r;

	if (s->dialect == UVMI_V5)
		r = guest_info_v5(s, 0, &v5);
	else
		r = command_fixed(s, UVMI_GET_GUEST_INFO, (struct iovec){NULL, 0}, &v6, sizeof(v6));
	if (!r)
		*ret_vcpus = s->dialect == UVMI_V5 ? v5.vcpu_count : v6.vcpu_count;
	return r;
}

int uvmi_get_vcpu_info(struct uvmi *s, unsigned vcpu, uint64_t *ret_tsc_hz)
{
	const struct kvmi_v6_vcpu_hdr c = {.vcpu = (u16)vcpu};
	struct kvmi_v6_get_vcpu_info_reply v6;
	struct kvmi_get_guest_info_reply v5;
	int r = vcpu_check(vcpu);

	if (r)
		return r;
	if (s->dialect == UVMI_V5)
		r = guest_info_v5(s, vcpu, &v5);
	else
		r = command_fixed(s, UVMI_GET_VCPU_INFO, PART(c), &v6, sizeof(v6));
	if (!r)
		*ret_tsc_hz = s->dialect == UVMI_V5 ? v5.tsc_speed : v6.tsc_speed;
	return r;
}

static int get_gfn(struct uvmi *s, enum uvmi_command command, uint64_t *ret_gfn)
{
	struct kvmi_v6_gfn_reply reply;
	const int r = command_fixed(s, command, (struct iovec){NULL, 0}, &reply, sizeof(reply));

	if (!r)
		*ret_gfn = reply.gfn;
	return r;
}

int uvmi_get_max_gfn(struct uvmi *s, uint64_t *ret_gfn)
{
	return get_gfn(s, UVMI_GET_MAX_GFN, ret_gfn);
}

int uvmi_get_next_available_gfn(struct uvmi *s, uint64_t *ret_gfn)
{
	return get_gfn(s, UVMI_GET_NEXT_AVAILABLE_GFN, ret_gfn);
}

int uvmi_query_physical(struct uvmi *s, uint64_t gfn, uint64_t *ret_first_gfn, uint64_t *ret_pages)
{
	const struct kvmi_v6_query_physical c = {.gfn = gfn};
	struct kvmi_v6_query_physical_reply reply;
	const int r = command_fixed(s, UVMI_QUERY_PHYSICAL, PART(c), &reply, sizeof(reply));

	if (!r) {
		*ret_first_gfn = reply.gfn;
		*ret_pages = reply.pages;
	}
	return r;
}

int uvmi_get_map_token(struct uvmi *s, uint64_t ret_token[4])
{
	struct kvmi_map_mem_token token;
	const int r = command_fixed(
		s, UVMI_GET_MAP_TOKEN, (struct iovec){NULL, 0}, &token, sizeof(token));

	if (!r)
		memcpy(ret_token, token.token, sizeof(token));
	return r;
}
