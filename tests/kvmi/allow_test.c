/* SPDX-License-Identifier: MIT */
/* What the tool may do: the masks of the hook, and how they are told. */
#include "tests/kvmi/groups.h"
#include "tests/kvmi/world.h"

/* Writes CR3 as it is told, and tells. */
GUEST64(cr3, "	movq %cr3, %rax\n"
	     "	orq $8, %rax\n"
	     "	movq %rax, %cr3\n"
	     "	TELL 0x10, 1\n"
	     "	hlt\n");
GUEST_COUNT;

static struct world masked(enum dialect d, u32 commands, u32 events, const u8 *code, const u8 *end)
{
	struct world w = {.d = d, .vm = vm_open(1, 0)};

	vm_guest(w.vm, 0, LONG, code, end);
	w.t = tool_open_masked(w.vm, d, commands, events);
	vm_go(w.vm);
	return w;
}
#define MASKED(d, commands, events, name)                                                          \
	masked(d, commands, events, guest_##name, guest_##name##_end)

/* ---- V5: masks ---- */

static void version_says(u32 commands, u32 events, u32 want_commands, u32 want_events)
{
	struct world w = MASKED(V5, commands, events, count);
	u32 got_commands, got_events;

	CHECK_EQ(cmd_version(w.t, &got_commands, &got_events), 0);
	CHECK_EQ(got_commands, want_commands);
	CHECK_EQ(got_events, want_events);
	CHECK_EQ(get_u32(tool_data(w.t) + 12), 0);
	world_close(&w);
}

/* GET_VERSION is always allowed, and so are events and their replies. */
#define ALWAYS (BIT(KVMI_GET_VERSION) | BIT(KVMI_EVENT) | BIT(KVMI_EVENT_REPLY))

static void test_version_masks(enum dialect d)
{
	version_says(~0u, ~0u, KVMI_KNOWN_COMMANDS, KVMI_KNOWN_EVENTS);
	version_says(KVMI_KNOWN_COMMANDS, KVMI_KNOWN_EVENTS, 0x1f8efcca, 0x7ff);
	version_says(0, 0, ALWAYS, 0);
	version_says(BIT(KVMI_READ_PHYSICAL), BIT(KVMI_EVENT_CR), BIT(KVMI_READ_PHYSICAL) | ALWAYS,
		BIT(KVMI_EVENT_CR));
	version_says(~KVMI_KNOWN_COMMANDS, ~KVMI_KNOWN_EVENTS, ALWAYS, 0);
}

static void test_command_disallowed(enum dialect d)
{
	/* With a vcpu that there is not: it is not looked at. */
	static const u8 request[16] = {9};
	static const struct {
		u16 id, size;
	} all[] = {{KVMI_GET_GUEST_INFO, 8}, {KVMI_GET_REGISTERS, 8}, {KVMI_GET_PAGE_ACCESS, 8},
		{KVMI_SET_PAGE_ACCESS, 8}, {KVMI_INJECT_EXCEPTION, 16}, {KVMI_READ_PHYSICAL, 16},
		{KVMI_GET_MAP_TOKEN, 0}, {KVMI_CONTROL_EVENTS, 8}, {KVMI_CONTROL_CR, 8},
		{KVMI_CONTROL_MSR, 8}, {KVMI_GET_CPUID, 16}, {KVMI_GET_XSAVE, 8},
		{KVMI_PAUSE_ALL_VCPUS, 0}, {KVMI_CONTROL_VM_EVENTS, 8}};
	struct world w = MASKED(d, 0, ~0u, count);

	for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
		CHECK_EQ(tool_command(w.t, all[i].id, request, all[i].size, 0), -KVM_EACCES);
	CHECK_EQ(cmd_set_registers(w.t, 0, &(struct kvm_regs){0}), -KVM_EACCES);
	CHECK_EQ(cmd_write(w.t, VM_DATA + 64, "x", 1), -KVM_EACCES);
	CHECK_EQ(w.vm->ram[VM_DATA + 64], 0);
	/* A number without a command is no such command, and not a disallowed one. */
	CHECK_EQ(tool_command(w.t, 2, NULL, 0, 0), -KVM_ENOSYS);
	tool_quiet(w.t);
	world_close(&w);
}

static s32 set_events(struct tool *t, u32 mask)
{
	u8 request[8] = {0};

	put_u32(request + 4, mask);
	return tool_command(t, KVMI_CONTROL_EVENTS, request, 8, 0);
}

static s32 set_vm_events(struct tool *t, u32 mask)
{
	u8 request[8] = {0};

	put_u32(request, mask);
	return tool_command(t, KVMI_CONTROL_VM_EVENTS, request, 8, 0);
}

/* A mask that is refused changes nothing: CR stays on. */
static void test_event_mask(enum dialect d)
{
	struct world w = MASKED(d, ~0u, ~BIT(KVMI_EVENT_PF), cr3);
	struct event e;

	CHECK_EQ(cmd_control_cr(w.t, 0, 3, true), 0);
	CHECK_EQ(set_events(w.t, BIT(KVMI_EVENT_CR)), 0);
	CHECK_EQ(set_events(w.t, BIT(KVMI_EVENT_PF)), -KVM_EPERM);
	CHECK_EQ(set_events(w.t, BIT(KVMI_EVENT_PF) | BIT(KVMI_EVENT_CR)), -KVM_EPERM);
	for (u32 bit = 0; bit < 32; bit++)
		if (!(BIT(bit) & KVMI_KNOWN_VCPU_EVENTS))
			CHECK_EQ(set_events(w.t, BIT(bit)), -KVM_EINVAL);
	vm_begin(w.vm);
	e = tool_event(w.t, KVMI_EVENT_CR);
	tool_continue(w.t, &e);
	VM_OUT(w.vm, 0, 0x10, 1);
	world_close(&w);
}

/* It is a whole mask: what it lacks is off. PAUSE is taken, and means nothing. */
static void test_event_mask_replaces(enum dialect d)
{
	struct world w = MASKED(d, ~0u, ~0u, cr3);

	CHECK_EQ(cmd_control_cr(w.t, 0, 3, true), 0);
	CHECK_EQ(set_events(w.t, KVMI_KNOWN_VCPU_EVENTS), 0);
	CHECK_EQ(set_events(w.t, BIT(KVMI_EVENT_PAUSE_VCPU)), 0);
	vm_begin(w.vm);
	VM_OUT(w.vm, 0, 0x10, 1);
	tool_quiet(w.t);
	world_close(&w);
}

static void test_vm_event_mask(enum dialect d)
{
	struct world w = MASKED(d, ~0u, ~BIT(KVMI_EVENT_CREATE_VCPU), count);

	CHECK_EQ(set_vm_events(w.t, BIT(KVMI_EVENT_CREATE_VCPU)), -KVM_EPERM);
	CHECK_EQ(set_vm_events(w.t, KVMI_KNOWN_VM_EVENTS), -KVM_EPERM);
	for (u32 bit = 0; bit < 32; bit++)
		if (!(BIT(bit) & KVMI_KNOWN_VM_EVENTS))
			CHECK_EQ(set_vm_events(w.t, BIT(bit)), -KVM_EINVAL);
	CHECK_EQ(set_vm_events(w.t, BIT(KVMI_EVENT_UNHOOK)), 0);
	CHECK_EQ(set_vm_events(w.t, 0), 0);
	world_close(&w);
}

/* ---- V6: one question for each ---- */

static s32 check(struct tool *t, u16 command, u16 id)
{
	u8 request[8] = {0};

	put_u16(request, id);
	return tool_command(t, command, request, 8, 0);
}

/* What each client asks for. */
static const u16 needed[] = {KVMI_V6_GET_VERSION, KVMI_V6_CHECK_COMMAND, KVMI_V6_CHECK_EVENT,
	KVMI_V6_GET_GUEST_INFO, KVMI_V6_GET_VCPU_INFO, KVMI_V6_PAUSE_VCPU,
	KVMI_V6_CONTROL_VM_EVENTS, KVMI_V6_CONTROL_EVENTS, KVMI_V6_CONTROL_CR, KVMI_V6_CONTROL_MSR,
	KVMI_V6_GET_REGISTERS, KVMI_V6_SET_REGISTERS, KVMI_V6_GET_CPUID, KVMI_V6_GET_XSAVE,
	KVMI_V6_READ_PHYSICAL, KVMI_V6_WRITE_PHYSICAL, KVMI_V6_INJECT_EXCEPTION,
	KVMI_V6_SET_PAGE_ACCESS, KVMI_V6_GET_MTRR_TYPE, KVMI_V6_CONTROL_CMD_RESPONSE,
	KVMI_V6_GET_MAX_GFN, KVMI_V6_GET_NEXT_AVAILABLE_GFN, KVMI_V6_GET_EPT_VIEW,
	KVMI_V6_TRANSLATE_GVA, KVMI_V6_GET_XCR, KVMI_V6_QUERY_PHYSICAL, KVMI_V6_CONTROL_SINGLESTEP};

static void test_check_command(enum dialect d)
{
	static const u16 unknown[] = {40, 45, 59, 61, 62, 64, 255, 256, 0xffff};
	struct world w = MASKED(d, ~0u, ~0u, count);

	for (unsigned i = 0; i < ARRAY_SIZE(needed); i++)
		if (check(w.t, KVMI_V6_CHECK_COMMAND, needed[i]))
			test_failed(__FILE__, __LINE__, "command %u is not allowed", needed[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(unknown); i++)
		CHECK_EQ(check(w.t, KVMI_V6_CHECK_COMMAND, unknown[i]), -KVM_EINVAL);
	world_close(&w);
}

static void test_check_event(enum dialect d)
{
	struct world w = MASKED(d, ~0u, ~BIT(KVMI_V6_EVENT_PF), count);

	for (u16 id = 0; id <= KVMI_V6_EVENT_SINGLESTEP; id++)
		CHECK_EQ(check(w.t, KVMI_V6_CHECK_EVENT, id),
			id == KVMI_V6_EVENT_PF ? -KVM_EPERM : 0);
	CHECK_EQ(check(w.t, KVMI_V6_CHECK_EVENT, KVMI_V6_EVENT_CPUID), 0);
	for (u16 id = KVMI_V6_NUM_EVENTS; id < 70; id++)
		CHECK_EQ(check(w.t, KVMI_V6_CHECK_EVENT, id), -KVM_EINVAL);
	CHECK_EQ(check(w.t, KVMI_V6_CHECK_EVENT, 0xffff), -KVM_EINVAL);
	world_close(&w);
}

/* The hook's numbers are V5's; V6's messages count as what is like them. */
static void test_disallowed(enum dialect d)
{
	struct world w = MASKED(
		d, ~(BIT(KVMI_WRITE_PHYSICAL) | BIT(KVMI_CONTROL_MSR)), ~BIT(KVMI_EVENT_PF), count);

	CHECK_EQ(check(w.t, KVMI_V6_CHECK_COMMAND, KVMI_V6_WRITE_PHYSICAL), -KVM_EPERM);
	CHECK_EQ(check(w.t, KVMI_V6_CHECK_COMMAND, KVMI_V6_CONTROL_MSR), -KVM_EPERM);
	CHECK_EQ(check(w.t, KVMI_V6_CHECK_COMMAND, KVMI_V6_CONTROL_CR), 0);
	CHECK_EQ(cmd_write(w.t, VM_DATA + 64, "x", 1), -KVM_EPERM);
	CHECK_EQ(w.vm->ram[VM_DATA + 64], 0);
	CHECK_EQ(cmd_control_msr(w.t, 0, 0x174, true), -KVM_EPERM);
	CHECK_EQ(cmd_control_event(w.t, 0, KVMI_V6_EVENT_PF, true), -KVM_EPERM);
	CHECK_EQ(cmd_control_event(w.t, 0, KVMI_V6_EVENT_CR, true), 0);
	world_close(&w);
}

/* Always allowed */
static void test_always(enum dialect d)
{
	struct world w = MASKED(d, 0, 0, count);

	CHECK_EQ(check(w.t, KVMI_V6_CHECK_COMMAND, KVMI_V6_GET_VERSION), 0);
	CHECK_EQ(check(w.t, KVMI_V6_CHECK_COMMAND, KVMI_V6_CHECK_COMMAND), 0);
	CHECK_EQ(check(w.t, KVMI_V6_CHECK_COMMAND, KVMI_V6_CHECK_EVENT), 0);
	CHECK_EQ(check(w.t, KVMI_V6_CHECK_EVENT, KVMI_V6_EVENT_CR), -KVM_EPERM);
	CHECK_EQ(cmd_version(w.t, NULL, NULL), 0);
	world_close(&w);
}

/* Of each kind only its own */
static void test_event_ids(enum dialect d)
{
	static const u32 vcpu_events[] = {1, 2, 3, 4, 5, 6, 7, 8, 11, 13},
			 not_vcpu[] = {0, 9, 14, 15, 32, 255, 256, 0xffff},
			 not_vm[] = {1, 2, 6, 11, 13, 14, 255, 0xffff};
	struct world w = MASKED(d, ~0u, ~0u, count);

	for (unsigned i = 0; i < ARRAY_SIZE(vcpu_events); i++) {
		CHECK_EQ(cmd_control_event(w.t, 0, vcpu_events[i], true), 0);
		CHECK_EQ(cmd_control_event(w.t, 0, vcpu_events[i], false), 0);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(not_vcpu); i++)
		CHECK_EQ(cmd_control_event(w.t, 0, not_vcpu[i], true), -KVM_EINVAL);
	for (unsigned i = 0; i < ARRAY_SIZE(not_vm); i++)
		CHECK_EQ(cmd_control_vm_event(w.t, not_vm[i], true), -KVM_EINVAL);
	CHECK_EQ(cmd_control_vm_event(w.t, KVMI_V6_EVENT_UNHOOK, true), 0);
	CHECK_EQ(cmd_control_vm_event(w.t, KVMI_V6_EVENT_CREATE_VCPU, true), 0);
	world_close(&w);
}

const struct test allow_tests[] = {
	TEST(test_version_masks, V5),
	TEST(test_command_disallowed, V5),
	TEST(test_event_mask, V5),
	TEST(test_event_mask_replaces, V5),
	TEST(test_vm_event_mask, V5),
	TEST(test_check_command, V6),
	TEST(test_check_event, V6),
	TEST(test_disallowed, V6),
	TEST(test_always, V6),
	TEST(test_event_ids, V6),
	{0},
};
