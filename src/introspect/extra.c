/* SPDX-License-Identifier: MIT */
#include "introspect/extra.h"

#include <string.h>

size_t extra_cr(const struct tool_event *r, u8 *to)
{
	const struct kvmi_event_cr e = {
		.cr = (u16)r->reg.index, .old_value = r->reg.old, .new_value = r->reg.value};

	memcpy(to, &e, sizeof(e));
	return sizeof(e);
}

size_t extra_msr(const struct tool_event *r, u8 *to)
{
	const struct kvmi_event_msr e = {
		.msr = r->reg.index, .old_value = r->reg.old, .new_value = r->reg.value};

	memcpy(to, &e, sizeof(e));
	return sizeof(e);
}
