/* SPDX-License-Identifier: MIT */
/* Arguments that are refused: padding, vcpus that there are not or not yet, numbers out of range. */
#include <string.h>

#include "tests/kvmi/groups.h"
#include "tests/kvmi/world.h"

GUEST_COUNT;

/* A message that is right but for its padding, and where that is. vcpu: it begins with one. */
struct shape {
	u16 id, size;
	bool vcpu;
	u8 padding[32]; /* offsets; ends with 0 */
	struct {
		u8 at, value;
	} set[2];
};

static const struct shape v5_shapes[] = {
	{KVMI_GET_GUEST_INFO, 8, true, {2, 3, 4, 5, 6, 7}},
	{KVMI_GET_REGISTERS, 8, true, {4, 5, 6, 7}},
	{KVMI_SET_REGISTERS, 152, true, {2, 3, 4, 5, 6, 7}},
	{KVMI_GET_PAGE_ACCESS, 16, true, {6, 7}, {{2, 1}}},
	{KVMI_SET_PAGE_ACCESS, 24, true, {6, 7, 17, 18, 19, 20, 21, 22, 23}, {{2, 1}, {16, 7}}},
	{KVMI_INJECT_EXCEPTION, 16, true, {6, 7}, {{2, 6}}},
	{KVMI_CONTROL_EVENTS, 8, true, {2, 3}},
	{KVMI_CONTROL_CR, 8, true, {3}, {{4, 3}}},
	{KVMI_CONTROL_MSR, 8, true, {3}, {{4, 0x10}}},
	{KVMI_GET_CPUID, 16, true, {2, 3, 4, 5, 6, 7}},
	{KVMI_GET_XSAVE, 8, true, {2, 3, 4, 5, 6, 7}},
	{KVMI_CONTROL_VM_EVENTS, 8, false, {4, 5, 6, 7}},
};

#define HEAD 2, 3, 4, 5, 6, 7
static const struct shape v6_shapes[] = {
	{KVMI_V6_CHECK_COMMAND, 8, false, {HEAD}, {{0, 2}}},
	{KVMI_V6_CHECK_EVENT, 8, false, {HEAD}, {{0, 1}}},
	{KVMI_V6_GET_VCPU_INFO, 8, true, {HEAD}},
	{KVMI_V6_PAUSE_VCPU, 16, true, {HEAD, 9, 10, 11, 12, 13, 14, 15}},
	{KVMI_V6_CONTROL_VM_EVENTS, 8, false, {3, 4, 5, 6, 7}},
	{KVMI_V6_CONTROL_EVENTS, 16, true, {HEAD, 11, 12, 13, 14, 15}, {{8, 1}}},
	{KVMI_V6_CONTROL_CR, 16, true, {HEAD, 9, 10, 11}, {{12, 3}}},
	{KVMI_V6_CONTROL_MSR, 16, true, {HEAD, 9, 10, 11}, {{12, 0x10}}},
	{KVMI_V6_GET_REGISTERS, 16, true, {HEAD, 10, 11, 12, 13, 14, 15}},
	{KVMI_V6_SET_REGISTERS, 152, true, {HEAD}},
	{KVMI_V6_GET_CPUID, 16, true, {HEAD}},
	{KVMI_V6_GET_XSAVE, 8, true, {HEAD}},
	{KVMI_V6_INJECT_EXCEPTION, 24, true, {HEAD, 10, 11}, {{8, 6}}},
	{KVMI_V6_SET_PAGE_ACCESS, 24, false, {4, 5, 6, 7, 17, 18, 19, 20, 21, 22, 23},
		{{2, 1}, {16, 7}}},
	{KVMI_V6_GET_MTRR_TYPE, 16, true, {HEAD}},
	{KVMI_V6_CONTROL_CMD_RESPONSE, 8, false, {3, 4, 5, 6, 7}, {{0, 1}, {1, 1}}},
	{KVMI_V6_GET_EPT_VIEW, 8, true, {HEAD}},
	{KVMI_V6_TRANSLATE_GVA, 16, true, {HEAD}},
	{KVMI_V6_GET_XCR, 16, true, {HEAD, 9, 10, 11, 12, 13, 14, 15}},
	{KVMI_V6_CONTROL_SINGLESTEP, 16, true, {HEAD, 9, 10, 11, 12, 13, 14, 15}},
};

static const struct shape *shapes(enum dialect d, unsigned *ret_n)
{
	*ret_n = d == V5 ? ARRAY_SIZE(v5_shapes) : ARRAY_SIZE(v6_shapes);
	return d == V5 ? v5_shapes : v6_shapes;
}

static s32 send_shape(struct tool *t, const struct shape *s, u16 vcpu, u8 padding)
{
	u8 request[160] = {0};

	if (s->vcpu)
		put_u16(request, vcpu);
	for (unsigned i = 0; i < ARRAY_SIZE(s->set); i++)
		request[s->set[i].at] |= s->set[i].value;
	if (padding)
		request[padding] = 0x80;
	tool_send(t, s->id, request, s->size);
	return tool_reply(t, s->id, NULL);
}

static void test_padding(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	const struct shape *s;
	unsigned n;

	vm_begin(w.vm);
	s = shapes(d, &n);
	for (unsigned i = 0; i < n; i++)
		for (const u8 *p = s[i].padding; *p; p++) {
			const s32 err = send_shape(w.t, &s[i], 0, *p);

			if (err != -KVM_EINVAL)
				test_failed(__FILE__, __LINE__, "command %u, padding at %u: %d",
					s[i].id, *p, err);
		}
	tool_quiet(w.t);
	vm_moves(w.vm, VM_DATA);
	world_close(&w);
}

static void all_for(struct world *w, u16 vcpu, s32 want)
{
	const struct shape *s;
	unsigned n;

	s = shapes(w->d, &n);
	for (unsigned i = 0; i < n; i++) {
		s32 err;

		/* A pause waits for who has not begun. */
		if (!s[i].vcpu ||
			(want == -KVM_EAGAIN && s[i].id == KVMI_V6_PAUSE_VCPU && w->d == V6))
			continue;
		err = send_shape(w->t, &s[i], vcpu, 0);
		if (err != want)
			test_failed(__FILE__, __LINE__, "command %u for vcpu %u: %d, not %d",
				s[i].id, vcpu, err, want);
	}
}

static void test_no_such_vcpu(enum dialect d)
{
	struct world w = WORLD(d, 2, LONG, count);

	all_for(&w, 2, -KVM_EINVAL);
	all_for(&w, 0x100, -KVM_EINVAL);
	all_for(&w, 0xffff, -KVM_EINVAL);
	world_close(&w);
}

/* A vcpu that waits for INIT and SIPI, whether a thread runs it or not. What is wrong with the padding comes after it. */
static void test_not_started(enum dialect d)
{
	struct world w = {.d = d, .vm = vm_open(3, VM_IRQCHIP)};

	VM_GUEST(w.vm, 0, LONG, count);
	w.t = tool_open(w.vm, d);
	vm_start(w.vm, 0);
	vm_start(w.vm, 2);
	all_for(&w, 1, -KVM_EAGAIN);
	all_for(&w, 2, -KVM_EAGAIN);
	all_for(&w, 3, -KVM_EINVAL);
	CHECK_EQ(cmd_get_registers(w.t, 0, NULL, 0, NULL), 0);
	world_close(&w);
}

static void test_cr_numbers(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);

	for (u32 cr = 0; cr < 20; cr++)
		CHECK_EQ(cmd_control_cr(w.t, 0, cr, true),
			cr == 0 || cr == 3 || cr == 4 ? 0 : -KVM_EINVAL);
	CHECK_EQ(cmd_control_cr(w.t, 0, 0x10003, true), -KVM_EINVAL);
	CHECK_EQ(cmd_control_cr(w.t, 0, ~0u, false), -KVM_EINVAL);
	world_close(&w);
}

static void test_msr_numbers(enum dialect d)
{
	static const u32 good[] = {0, 0x174, 0x1fff, 0xc0000000, 0xc0000080, 0xc0001fff},
			 bad[] = {0x2000, 0x40000000, 0xbfffffff, 0xc0002000, 0xffffffff};
	struct world w = WORLD(d, 1, LONG, count);

	for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
		CHECK_EQ(cmd_control_msr(w.t, 0, good[i], true), 0);
		CHECK_EQ(cmd_control_msr(w.t, 0, good[i], false), 0);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_EQ(cmd_control_msr(w.t, 0, bad[i], true), -KVM_EINVAL);
	world_close(&w);
}

/* Any byte but 0 is on. */
static void test_enable_byte(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	u8 request[8] = {0, 0, 0x80, 0, 3};

	CHECK_EQ(tool_command(w.t, KVMI_CONTROL_CR, request, 8, 0), 0);
	request[2] = 0xff;
	CHECK_EQ(tool_command(w.t, KVMI_CONTROL_CR, request, 8, 0), 0);
	world_close(&w);
}

const struct test args_tests[] = {
	TEST(test_padding, BOTH),
	TEST(test_no_such_vcpu, BOTH),
	TEST(test_not_started, BOTH),
	TEST(test_cr_numbers, BOTH),
	TEST(test_msr_numbers, BOTH),
	TEST(test_enable_byte, V5),
	{0},
};
