/* SPDX-License-Identifier: MIT */
/* See tool.h: each command as bytes of both dialects. Offsets are the protocol's, not those of our structures. */
#include <string.h>

#include "tests/kvmi/tool.h"

/* V5 begins commands for a vcpu with 2 bytes, V6 with 8. */
static size_t vcpu_head(const struct tool *t, u8 *p, unsigned vcpu)
{
	put_u16(p, (u16)vcpu);
	return t->dialect == V5 ? 2 : 8;
}

static u16 id_of(const struct tool *t, u16 v5, u16 v6)
{
	return t->dialect == V5 ? v5 : v6;
}

s32 cmd_version(struct tool *t, u32 *ret_commands, u32 *ret_events)
{
	const u16 id = id_of(t, KVMI_GET_VERSION, KVMI_V6_GET_VERSION);
	const s32 err = tool_command(t, id, NULL, 0, 16);

	if (err)
		return err;
	CHECK_EQ(get_u32(tool_data(t)), 1);
	if (ret_commands)
		*ret_commands = get_u32(tool_data(t) + 4);
	if (ret_events)
		*ret_events = get_u32(tool_data(t) + 8);
	return 0;
}

s32 cmd_guest_info(struct tool *t, u32 *ret_vcpus)
{
	const u8 request[8] = {0};
	const s32 err = tool_command(t, id_of(t, KVMI_GET_GUEST_INFO, KVMI_V6_GET_GUEST_INFO),
		request, t->dialect == V5 ? 8 : 0, 16);

	if (!err)
		*ret_vcpus = get_u32(tool_data(t));
	return err;
}

s32 cmd_tsc_speed(struct tool *t, unsigned vcpu, u64 *ret_hz)
{
	u8 request[8] = {0};
	s32 err;

	put_u16(request, (u16)vcpu);
	err = tool_command(t, id_of(t, KVMI_GET_GUEST_INFO, KVMI_V6_GET_VCPU_INFO), request, 8,
		t->dialect == V5 ? 16 : 8);
	if (!err)
		*ret_hz = get_u64(tool_data(t) + (t->dialect == V5 ? 8 : 0));
	return err;
}

s32 cmd_get_registers(
	struct tool *t, unsigned vcpu, const u32 *msrs, unsigned n, struct regs_reply *ret)
{
	const u16 id = id_of(t, KVMI_GET_REGISTERS, KVMI_V6_GET_REGISTERS);
	const size_t head = t->dialect == V5 ? 8 : 16;
	u8 request[16 + 4 * 32] = {0};
	const u8 *p;
	s32 err;

	CHECK(n <= 32);
	put_u16(request + vcpu_head(t, request, vcpu), (u16)n);
	for (unsigned i = 0; i < n; i++)
		put_u32(request + head + 4 * i, msrs[i]);
	err = tool_command(t, id, request, head + 4 * n, 472 + 16 * n);
	if (err || !ret)
		return err;
	p = tool_data(t);
	CHECK(get_u32(p) == 2 || get_u32(p) == 4 || get_u32(p) == 8);
	ret->mode = p[0];
	memcpy(&ret->regs, p + 8, 144);
	memcpy(&ret->sregs, p + 152, 312);
	CHECK_EQ(get_u32(p + 464), n);
	for (unsigned i = 0; i < n; i++) {
		CHECK_EQ(get_u32(p + 472 + 16 * i), msrs[i]);
		CHECK_EQ(get_u32(p + 472 + 16 * i + 4), 0);
		ret->msr[i] = get_u64(p + 472 + 16 * i + 8);
	}
	return 0;
}

void cmd_send_set_registers(struct tool *t, unsigned vcpu, const struct kvm_regs *r)
{
	u8 request[152] = {0};

	vcpu_head(t, request, vcpu);
	memcpy(request + 8, r, 144);
	tool_send(t, id_of(t, KVMI_SET_REGISTERS, KVMI_V6_SET_REGISTERS), request, sizeof(request));
}

s32 cmd_set_registers(struct tool *t, unsigned vcpu, const struct kvm_regs *r)
{
	cmd_send_set_registers(t, vcpu, r);
	return tool_reply(t, id_of(t, KVMI_SET_REGISTERS, KVMI_V6_SET_REGISTERS), NULL);
}

static s32 set_event_mask(struct tool *t, unsigned vcpu, u32 mask)
{
	u8 request[8] = {0};
	s32 err;

	put_u16(request, (u16)vcpu);
	put_u32(request + 4, mask);
	err = tool_command(t, KVMI_CONTROL_EVENTS, request, 8, 0);
	if (!err)
		t->mask[vcpu] = mask;
	return err;
}

s32 cmd_control_event(struct tool *t, unsigned vcpu, u32 event, bool on)
{
	u8 request[16] = {0};

	if (t->dialect == V5)
		return set_event_mask(
			t, vcpu, on ? t->mask[vcpu] | BIT(event) : t->mask[vcpu] & ~BIT(event));
	put_u16(request, (u16)vcpu);
	put_u16(request + 8, (u16)event);
	request[10] = on;
	return tool_command(t, KVMI_V6_CONTROL_EVENTS, request, 16, 0);
}

s32 cmd_control_vm_event(struct tool *t, u32 event, bool on)
{
	const u32 bit = event < 32 ? BIT(event) : 0,
		  mask = on ? t->vm_mask | bit : t->vm_mask & ~bit;
	u8 request[8] = {0};
	s32 err;

	if (t->dialect == V5) {
		put_u32(request, mask);
		err = tool_command(t, KVMI_CONTROL_VM_EVENTS, request, 8, 0);
	} else {
		put_u16(request, (u16)event);
		request[2] = on;
		err = tool_command(t, KVMI_V6_CONTROL_VM_EVENTS, request, 8, 0);
	}
	if (!err)
		t->vm_mask = mask;
	return err;
}

/* u8 enable behind the vcpu; the number is in the last four bytes. */
static s32 control_register(struct tool *t, u16 id, unsigned vcpu, u32 number, bool on)
{
	const size_t size = t->dialect == V5 ? 8 : 16;
	u8 request[16] = {0};

	request[vcpu_head(t, request, vcpu)] = on;
	put_u32(request + size - 4, number);
	return tool_command(t, id, request, size, 0);
}

s32 cmd_control_cr(struct tool *t, unsigned vcpu, u32 cr, bool on)
{
	return control_register(t, id_of(t, KVMI_CONTROL_CR, KVMI_V6_CONTROL_CR), vcpu, cr, on);
}

s32 cmd_control_msr(struct tool *t, unsigned vcpu, u32 msr, bool on)
{
	return control_register(t, id_of(t, KVMI_CONTROL_MSR, KVMI_V6_CONTROL_MSR), vcpu, msr, on);
}

/* V5: vcpu, count, view; V6: view, count. Both: 8 bytes, then 16 for each. */
s32 cmd_set_accesses(struct tool *t, const struct page_access *a, unsigned n)
{
	static u8 request[8 + 16 * 4095];

	CHECK(n <= 4095);
	memset(request, 0, 8 + 16 * n);
	put_u16(request + 2, (u16)n);
	for (unsigned i = 0; i < n; i++) {
		put_u64(request + 8 + 16 * i, a[i].gpa);
		request[16 + 16 * i] = a[i].access;
	}
	return tool_command(
		t, id_of(t, KVMI_SET_PAGE_ACCESS, KVMI_V6_SET_PAGE_ACCESS), request, 8 + 16 * n, 0);
}

s32 cmd_set_access(struct tool *t, u64 gpa, u8 access)
{
	return cmd_set_accesses(t, &(struct page_access){gpa, access}, 1);
}

s32 cmd_get_access(struct tool *t, u64 gpa, u8 *ret)
{
	u8 request[16] = {0};
	s32 err;

	put_u16(request + 2, 1);
	put_u64(request + 8, gpa);
	err = tool_command(
		t, id_of(t, KVMI_GET_PAGE_ACCESS, KVMI_V6_GET_PAGE_ACCESS), request, 16, 1);
	if (!err)
		*ret = tool_data(t)[0];
	return err;
}

s32 cmd_inject(struct tool *t, unsigned vcpu, u8 nr, bool has_error, u32 error, u64 address)
{
	const size_t size = t->dialect == V5 ? 16 : 24;
	u8 request[24] = {0};
	const size_t at = vcpu_head(t, request, vcpu);

	request[at] = nr;
	request[at + 1] = has_error;
	if (t->dialect == V5)
		put_u16(request + 4, (u16)error);
	else
		put_u32(request + 12, error);
	put_u64(request + size - 8, address);
	return tool_command(
		t, id_of(t, KVMI_INJECT_EXCEPTION, KVMI_V6_INJECT_EXCEPTION), request, size, 0);
}

s32 cmd_read(struct tool *t, u64 gpa, void *ret, u64 n)
{
	u8 request[16];
	s32 err;

	put_u64(request, gpa);
	put_u64(request + 8, n);
	err = tool_command(t, id_of(t, KVMI_READ_PHYSICAL, KVMI_V6_READ_PHYSICAL), request, 16, n);
	if (!err)
		memcpy(ret, tool_data(t), n);
	return err;
}

s32 cmd_write(struct tool *t, u64 gpa, const void *data, u64 n)
{
	static u8 request[16 + 8192];

	CHECK(n <= 8192);
	put_u64(request, gpa);
	put_u64(request + 8, n);
	memcpy(request + 16, data, n);
	return tool_command(
		t, id_of(t, KVMI_WRITE_PHYSICAL, KVMI_V6_WRITE_PHYSICAL), request, 16 + n, 0);
}

s32 cmd_cpuid(struct tool *t, unsigned vcpu, u32 function, u32 index, u32 ret[4])
{
	u8 request[16] = {0};
	s32 err;

	vcpu_head(t, request, vcpu);
	put_u32(request + 8, function);
	put_u32(request + 12, index);
	err = tool_command(t, id_of(t, KVMI_GET_CPUID, KVMI_V6_GET_CPUID), request, 16, 16);
	if (!err)
		memcpy(ret, tool_data(t), 16);
	return err;
}

s32 cmd_xsave(struct tool *t, unsigned vcpu, u8 ret[4096])
{
	u8 request[8] = {0};
	s32 err;

	vcpu_head(t, request, vcpu);
	err = tool_command(t, id_of(t, KVMI_GET_XSAVE, KVMI_V6_GET_XSAVE), request, 8, 4096);
	if (!err)
		memcpy(ret, tool_data(t), 4096);
	return err;
}

static u32 guest_vcpus(struct tool *t)
{
	u32 n;

	CHECK_EQ(cmd_guest_info(t, &n), 0);
	return n;
}

u32 cmd_pause_all(struct tool *t)
{
	u8 request[16] = {0};
	u32 n;

	if (t->dialect == V5) {
		CHECK_EQ(tool_command(t, KVMI_PAUSE_ALL_VCPUS, NULL, 0, 8), 0);
		CHECK_EQ(get_u32(tool_data(t) + 4), 0);
		return get_u32(tool_data(t));
	}
	n = guest_vcpus(t);
	request[8] = 1; /* wait */
	for (u32 i = 0; i < n; i++) {
		put_u16(request, (u16)i);
		CHECK_EQ(tool_command(t, KVMI_V6_PAUSE_VCPU, request, 16, 0), 0);
	}
	return n;
}

s32 cmd_map_token(struct tool *t, u8 ret[32])
{
	const s32 err =
		tool_command(t, id_of(t, KVMI_GET_MAP_TOKEN, KVMI_V6_GET_MAP_TOKEN), NULL, 0, 32);

	if (!err)
		memcpy(ret, tool_data(t), 32);
	return err;
}

/* ---- for tests about something else ---- */

void event_on(struct tool *t, unsigned vcpu, u32 event)
{
	CHECK_EQ(cmd_control_event(t, vcpu, event, true), 0);
}

void event_off(struct tool *t, unsigned vcpu, u32 event)
{
	CHECK_EQ(cmd_control_event(t, vcpu, event, false), 0);
}

struct event pause_cpu(struct tool *t, unsigned vcpu)
{
	const u32 n = cmd_pause_all(t);
	struct event wanted = {0};

	for (u32 i = 0; i < n; i++) {
		const struct event e = tool_next_of(t, i);

		CHECK_EQ(e.id, KVMI_EVENT_PAUSE_VCPU);
		if (i == vcpu)
			wanted = e;
		else
			tool_continue(t, &e);
	}
	return wanted;
}
