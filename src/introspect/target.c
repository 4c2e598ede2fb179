/* SPDX-License-Identifier: MIT */
/* The text by which a user says where the tool is: introspect_parse(). One function for each option, in one table. */
#include "introspect/target.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "introspect/session.h"

/* ---- the address ---- */

static int parse_unix(struct introspect_target *t, const char *path, struct refusal *why)
{
	struct sockaddr_un *a = (void *)&t->address;
	size_t n = strlen(path);

	if (!n || n >= sizeof(a->sun_path))
		return refuse(why, -EINVAL, "unix:PATH: the path must have 1 to %lu characters",
			(u64)sizeof(a->sun_path) - 1);
	a->sun_family = AF_UNIX;
	memcpy(a->sun_path, path, n + 1);
	t->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
	return 0;
}

static bool parse_number(const char *text, u32 *ret)
{
	char *end;
	unsigned long value;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoul(text, &end, 10);
	*ret = (u32)value;
	return !errno && !*end && value <= UINT32_MAX;
}

static int parse_vsock(struct introspect_target *t, const char *text, struct refusal *why)
{
	struct sockaddr_vm *a = (void *)&t->address;
	char cid[16] = "2"; /* the host */
	const char *colon = strchr(text, ':');

	if (colon && (size_t)(colon - text) < sizeof(cid)) {
		memcpy(cid, text, (size_t)(colon - text));
		cid[colon - text] = 0;
	}
	a->svm_family = AF_VSOCK;
	t->address_size = sizeof(*a);
	if (!parse_number(cid, &a->svm_cid) ||
		!parse_number(colon ? colon + 1 : text, &a->svm_port))
		return refuse(
			why, -EINVAL, "vsock:PORT or vsock:CID:PORT: these are decimal numbers");
	return 0;
}

static int parse_address(struct introspect_target *t, char *text, struct refusal *why)
{
	if (!strncmp(text, "unix:", 5))
		return parse_unix(t, text + 5, why);
	if (!strncmp(text, "vsock:", 6))
		return parse_vsock(t, text + 6, why);
	return refuse(why, -EINVAL,
		"the address must be unix:PATH, vsock:PORT or vsock:CID:PORT, on which the tool "
		"listens");
}

/* ---- options ---- */

#define COOKIE_MAX 4096

static int parse_cookie(struct introspect_target *t, const char *path, struct refusal *why)
{
	u8 cookie[COOKIE_MAX + 1];
	int fd = sys_open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : sys_read(fd, cookie, sizeof(cookie));
	int error = n < 0 ? -errno : 0;

	if (fd >= 0)
		sys_close(fd);
	if (error)
		return refuse(why, error, "cookie: the file cannot be read");
	if (!n || n > COOKIE_MAX)
		return refuse(
			why, -EINVAL, "cookie: the file must have 1 to %lu bytes", (u64)COOKIE_MAX);
	sha1(cookie, (size_t)n, t->cookie_hash);
	explicit_bzero(cookie, sizeof(cookie));
	t->has_cookie = true;
	return 0;
}

static int parse_name(struct introspect_target *t, const char *name, struct refusal *why)
{
	if (strlen(name) > INTROSPECT_NAME_MAX)
		return refuse(
			why, -EINVAL, "name: at most %lu characters", (u64)INTROSPECT_NAME_MAX);
	memset(t->name, 0, sizeof(t->name));
	memcpy(t->name, name, strlen(name));
	return 0;
}

static const char *const event_names[] = {
	[KVMI_V6_EVENT_UNHOOK] = "unhook",
	[KVMI_V6_EVENT_CR] = "cr",
	[KVMI_V6_EVENT_MSR] = "msr",
	[KVMI_V6_EVENT_XSETBV] = "xsetbv",
	[KVMI_V6_EVENT_BREAKPOINT] = "breakpoint",
	[KVMI_V6_EVENT_HYPERCALL] = "hypercall",
	[KVMI_V6_EVENT_PF] = "pf",
	[KVMI_V6_EVENT_TRAP] = "trap",
	[KVMI_V6_EVENT_DESCRIPTOR] = "descriptor",
	[KVMI_V6_EVENT_CREATE_VCPU] = "create-vcpu",
	[KVMI_V6_EVENT_PAUSE_VCPU] = "pause",
	[KVMI_V6_EVENT_SINGLESTEP] = "singlestep",
	[KVMI_V6_EVENT_CMD_ERROR] = "cmd-error",
	[KVMI_V6_EVENT_CPUID] = "cpuid",
};

static int parse_event(struct introspect_target *t, const char *name, struct refusal *why)
{
	for (unsigned n = 0; n < ARRAY_SIZE(event_names); n++)
		if (!strcmp(name, event_names[n])) {
			t->rights.events |= BIT(n);
			return 0;
		}
	return refuse(why, -EINVAL,
		"allow: the events are unhook, cr, msr, xsetbv, breakpoint, hypercall, pf, trap, "
		"descriptor, create-vcpu, pause, singlestep, cpuid; join several by +");
}

static int parse_allow(struct introspect_target *t, const char *list, struct refusal *why)
{
	char *copy = strdup(list), *rest, *name;
	int r = copy ? 0 : -ENOMEM;

	t->rights.events = 0;
	for (name = r ? NULL : strtok_r(copy, "+", &rest); name && !r;
		name = strtok_r(NULL, "+", &rest))
		r = parse_event(t, name, why);
	free(copy);
	return r;
}

static const struct {
	const char *name; /* with = if it has a value */
	int (*parse)(struct introspect_target *t, const char *value, struct refusal *why);
} options[] = {
	{"cookie=", parse_cookie},
	{"allow=", parse_allow},
	{"name=", parse_name},
};

static int parse_option(struct introspect_target *t, const char *text, struct refusal *why)
{
	if (!strcmp(text, "read-only")) {
		t->rights.read_only = true;
		return 0;
	}
	for (unsigned n = 0; n < ARRAY_SIZE(options); n++)
		if (!strncmp(text, options[n].name, strlen(options[n].name)))
			return options[n].parse(t, text + strlen(options[n].name), why);
	return refuse(why, -EINVAL,
		"the options after the address are cookie=FILE, allow=EVENT+EVENT, name=NAME, "
		"read-only");
}

static int parse_all(struct introspect_target *t, char *text, struct refusal *why)
{
	char *rest, *option = strtok_r(text, ",", &rest);
	int r = parse_address(t, option ? option : "", why);

	while (!r && (option = strtok_r(NULL, ",", &rest)))
		r = parse_option(t, option, why);
	return r;
}

int introspect_parse(const char *text, struct introspect_target **ret, struct refusal *why)
{
	struct introspect_target *t = calloc(1, sizeof(*t));
	char *copy = strdup(text);
	int r = t && copy ? 0 : -ENOMEM;

	if (!r) {
		t->rights = (struct introspect_rights){.commands = ~0u, .events = ~0u};
		r = parse_all(t, copy, why);
	}
	free(copy);
	if (r)
		free(t);
	else
		*ret = t;
	return r;
}

void introspect_forget(struct introspect_target *t)
{
	free(t);
}
