/* SPDX-License-Identifier: MIT */
/* Which version the VM speaks, and what it permits. v5 tells all at once, v6 is asked each time. */
#include <errno.h>
#include <string.h>

#include "uvmi/session.h"

static int get_v5(struct uvmi *s, struct uvmi_version *ret)
{
	struct kvmi_get_version_reply reply;
	const int r =
		command_fixed(s, UVMI_GET_VERSION, (struct iovec){NULL, 0}, &reply, sizeof(reply));

	if (!r)
		*ret = (struct uvmi_version){.version = reply.version,
			.commands = reply.commands,
			.events = reply.events};
	return r;
}

/* The first ones end before the features. */
static int get_v6(struct uvmi *s, struct uvmi_version *ret)
{
	struct kvmi_v6_get_version_reply reply = {.version = 0};
	struct pending spec = {.out = &reply,
		.min = offsetof(struct kvmi_v6_get_version_reply, spp),
		.max = sizeof(reply)};
	const int r = command_open(s, UVMI_GET_VERSION, NULL, 0, &spec);

	if (!r)
		*ret = (struct uvmi_version){.version = reply.version,
			.spp = reply.spp,
			.vmfunc = reply.vmfunc,
			.eptp = reply.eptp,
			.ve = reply.ve};
	return r;
}

int uvmi_get_version(struct uvmi *s, struct uvmi_version *ret)
{
	return s->dialect == UVMI_V5 ? get_v5(s, ret) : get_v6(s, ret);
}

int version_learn(struct uvmi *s)
{
	const int r = uvmi_get_version(s, &s->version);

	if (r)
		return r;
	return s->version.version ? 0 : -EPROTO;
}

static int check(struct uvmi *s, enum uvmi_command how, u16 id)
{
	const struct kvmi_v6_check c = {.id = id};
	const int r = command_plain(s, how, PART(c));

	/* "No such command" has had two names. */
	return r == -EINVAL || r == -ENOENT ? -ENOSYS : r;
}

int uvmi_check_command(struct uvmi *s, enum uvmi_command command)
{
	const int id = command_id(s->dialect, command);

	if (id < 0)
		return -ENOSYS;
	if (s->dialect == UVMI_V5)
		return s->version.commands & BIT(id) ? 0 : -EPERM;
	return check(s, UVMI_CHECK_COMMAND, (u16)id);
}

int uvmi_check_event(struct uvmi *s, enum uvmi_event_id event)
{
	if (!event_exists(s->dialect, event))
		return -ENOSYS;
	if (s->dialect == UVMI_V5)
		return s->version.events & BIT(event) ? 0 : -EPERM;
	return check(s, UVMI_CHECK_EVENT, (u16)event);
}
