/* SPDX-License-Identifier: MIT */
/* inspect info: who the VM is, how many vCPUs it has, and what it permits. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "cli/inspect/inspect.h"

static void put_uuid(struct inspect *in, const u8 uuid[16])
{
	char text[40], *at = text;

	for (int i = 0; i < 16; i++)
		at += sprintf(
			at, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", uuid[i]);
	record_text(in, "uuid", text);
}

static void tell_vm(struct inspect *in)
{
	const struct uvmi_vm_info *vm = uvmi_vm(in->s);
	const time_t start = (time_t)vm->start_time;
	char text[32];
	struct tm tm;

	record_begin(in, "vm");
	record_text(in, "name", vm->name);
	put_uuid(in, vm->uuid);
	if (start && gmtime_r(&start, &tm) &&
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		record_text(in, "start", text);
	record_text(in, "dialect", uvmi_get_dialect(in->s) == UVMI_V5 ? "v5" : "v6");
	record_end(in);
}

static int tell_guest(struct inspect *in)
{
	struct uvmi_version v;
	u64 gfn;
	int r = uvmi_get_version(in->s, &v);

	if (r)
		return r;
	record_begin(in, "guest");
	record_number(in, "version", v.version);
	record_number(in, "vcpus", in->vcpus);
	if (!uvmi_get_max_gfn(in->s, &gfn))
		record_hex(in, "max_gpa", gfn << PAGE_SHIFT | (PAGE_SIZE - 1));
	else if (uvmi_vm(in->s)->max_gpa)
		record_hex(in, "max_gpa", uvmi_vm(in->s)->max_gpa);
	record_end(in);
	return 0;
}

static int tell_vcpu(struct inspect *in, unsigned vcpu)
{
	u64 hz = 0;
	const int r = uvmi_get_vcpu_info(in->s, vcpu, &hz);

	if (r && r != -EAGAIN)
		return r;
	record_begin(in, "vcpu");
	record_number(in, "vcpu", vcpu);
	record_text(in, "started", r ? "no" : "yes");
	if (hz)
		record_number(in, "tsc_hz", hz);
	record_end(in);
	return 0;
}

/* What the answer to "may I" means, as a word; a broken session is no answer. */
static const char *permission(int r)
{
	switch (r) {
	case 0: return "yes";
	case -EPERM:
	case -EACCES: return "no";
	case -ENOSYS:
	case -EOPNOTSUPP: return "unknown";
	default: return NULL;
	}
}

static int tell_permission(struct inspect *in, const char *type, const char *name, int r)
{
	const char *text = permission(r);

	if (!text)
		return r;
	record_begin(in, type);
	record_text(in, "name", name);
	record_text(in, "permitted", text);
	record_end(in);
	return 0;
}

static int tell_permissions(struct inspect *in)
{
	int r = 0;

	for (unsigned i = 0; i < UVMI_COMMANDS && !r; i++)
		r = tell_permission(
			in, "command", uvmi_command_name(i), uvmi_check_command(in->s, i));
	for (unsigned i = 0; i < UVMI_EVENTS && !r; i++)
		r = tell_permission(in, "event", uvmi_event_name(i), uvmi_check_event(in->s, i));
	return r;
}

int inspect_info(struct inspect *in)
{
	int r;

	tell_vm(in);
	r = tell_guest(in);
	for (unsigned i = 0; i < in->vcpus && !r; i++)
		r = tell_vcpu(in, i);
	if (!r)
		r = tell_permissions(in);
	return r ? inspect_failed(in, "the VM cannot be asked", r) : 0;
}
