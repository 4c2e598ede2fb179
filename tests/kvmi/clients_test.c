/* SPDX-License-Identifier: MIT */
/*
 * The order of calls of the tools that there are, each with the bytes that it sends: LibVMI, HVMI and libmicrovmi, which speak
 * V6, and the library of the kernel patches, which speaks V5.
 */
#include <string.h>

#include "tests/kvmi/groups.h"
#include "tests/kvmi/world.h"

/* Writes CR3 by turns, SYSENTER_EIP, PAGE1, and counts. */
GUEST64(busy, "1:	lock incq DATA\n"
	      "	movq %cr3, %rax\n"
	      "	xorq $8, %rax\n"
	      "	movq %rax, %cr3\n"
	      "	movl $0x176, %ecx\n"
	      "	movl DATA, %eax\n"
	      "	xorl %edx, %edx\n"
	      "	wrmsr\n"
	      "	movl %eax, PAGE1\n"
	      "guest_busy_nop:\n"
	      "	nop\n"
	      "	jmp 1b\n");
GUEST_LABEL(busy, nop);
#define NOP_AT AT_LABEL(0, busy, nop)

/* ---- what several of them do ---- */

static void send_response(struct tool *t, bool enable)
{
	const u8 request[8] = {enable, 1};

	tool_send(t, KVMI_V6_CONTROL_CMD_RESPONSE, request, 8);
}

/* All vcpus in one batch, as libkvmi does it: only the last message is answered. */
static void pause_batch(struct tool *t, unsigned n)
{
	u8 request[16] = {0};

	send_response(t, false);
	for (unsigned i = 0; i < n; i++) {
		put_u16(request, (u16)i);
		tool_send(t, KVMI_V6_PAUSE_VCPU, request, 16);
	}
	send_response(t, true);
	CHECK_EQ(tool_reply(t, KVMI_V6_CONTROL_CMD_RESPONSE, NULL), 0);
}

/* The batch is answered before the vcpus stand still; each tells when it does. */
static void await_pauses(struct tool *t, unsigned n, struct event *e)
{
	for (unsigned i = 0; i < n; i++) {
		e[i] = tool_next_of(t, i);
		CHECK_EQ(e[i].id, KVMI_EVENT_PAUSE_VCPU);
	}
}

static void continue_all(struct tool *t, unsigned n, const struct event *e)
{
	for (unsigned i = 0; i < n; i++)
		tool_continue(t, &e[i]);
}

static void resume(struct tool *t, unsigned n)
{
	struct event e[2];

	CHECK(n <= ARRAY_SIZE(e));
	await_pauses(t, n, e);
	continue_all(t, n, e);
}

static u64 max_gfn(struct tool *t)
{
	CHECK_EQ(tool_command(t, KVMI_V6_GET_MAX_GFN, NULL, 0, 8), 0);
	return get_u64(tool_data(t));
}

static s32 singlestep(struct tool *t, unsigned vcpu, bool on)
{
	u8 request[16] = {0};

	put_u16(request, (u16)vcpu);
	request[8] = on;
	return tool_command(t, KVMI_V6_CONTROL_SINGLESTEP, request, 16, 0);
}

static const u32 libvmi_msrs[] = {
	0x174, 0x175, 0x176, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083};

/* ---- LibVMI ---- */

/* What vmi_init(), a dump of all memory, and a pause with changed registers need. */
static void test_libvmi_read_only(enum dialect d)
{
	struct world w = WORLD(d, 2, LONG, busy);
	static u8 page[4096];
	struct regs_reply r;
	struct event e[2];
	u64 end, was;
	u32 n;

	vm_begin(w.vm);
	CHECK_EQ(cmd_guest_info(w.t, &n), 0);
	CHECK_EQ(n, 2);
	end = max_gfn(w.t);
	/* Pages of RAM, and holes behind it, which are refused. */
	for (u64 gfn = 0; gfn <= end + 2; gfn++)
		CHECK_EQ(cmd_read(w.t, gfn << 12, page, 4096),
			gfn < VM_BYTES / 4096 ? 0 : -KVM_ENOENT);
	CHECK_EQ(cmd_get_registers(w.t, 0, libvmi_msrs, ARRAY_SIZE(libvmi_msrs), &r), 0);
	CHECK_EQ(r.msr[3], r.sregs.efer);
	pause_batch(w.t, n);
	await_pauses(w.t, 2, e);
	was = vm_read64(w.vm, VM_DATA);
	CHECK_EQ(cmd_get_registers(w.t, 1, libvmi_msrs, ARRAY_SIZE(libvmi_msrs), &r), 0);
	CHECK_EQ(cmd_write(w.t, VM_PAGE(3) + 8, "written", 7), 0);
	r.regs = e[0].regs;
	r.regs.r14 = 0x1414;
	CHECK_EQ(cmd_set_registers(w.t, 0, &r.regs), 0);
	CHECK_EQ(vm_read64(w.vm, VM_DATA), was);
	continue_all(w.t, 2, e);
	vm_moves(w.vm, VM_DATA);
	CHECK_EQ(cmd_get_registers(w.t, 0, NULL, 0, &r), 0);
	CHECK_EQ(r.regs.r14, 0x1414);
	tool_quiet(w.t);
	world_close(&w);
}

/* At its initialisation, for each vcpu */
static void libvmi_events_init(struct tool *t, unsigned n, bool on)
{
	static const u32 events[] = {
		KVMI_V6_EVENT_CR, KVMI_V6_EVENT_MSR, KVMI_V6_EVENT_PF, KVMI_V6_EVENT_SINGLESTEP};

	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < ARRAY_SIZE(events); k++)
			CHECK_EQ(cmd_control_event(t, i, events[k], on), 0);
}

/* A breakpoint that is stepped over: the byte is put back, one step, the byte is planted again. */
static void libvmi_breakpoint(struct world *w)
{
	struct event e;

	event_on(w->t, 0, KVMI_V6_EVENT_BREAKPOINT);
	for (unsigned i = 0; i < 5; i++) {
		CHECK_EQ(cmd_write(w->t, NOP_AT, "\xcc", 1), 0);
		e = tool_event_of(w->t, KVMI_V6_EVENT_BREAKPOINT, 0);
		CHECK_EQ(e.regs.rip, NOP_AT);
		CHECK_EQ(cmd_write(w->t, NOP_AT, "\x90", 1), 0);
		CHECK_EQ(singlestep(w->t, 0, true), 0);
		tool_retry(w->t, &e);
		e = tool_event_of(w->t, KVMI_V6_EVENT_SINGLESTEP, 0);
		CHECK_EQ(e.regs.rip, NOP_AT + 1);
		CHECK_EQ(singlestep(w->t, 0, false), 0);
		tool_continue(w->t, &e);
	}
	event_off(w->t, 0, KVMI_V6_EVENT_BREAKPOINT);
}

/* A page that may not be written: the access is done by CONTINUE, or the page is opened for one step. */
static void libvmi_page(struct world *w)
{
	struct event e;
	u32 was;

	CHECK_EQ(cmd_set_access(w->t, VM_PAGE(1), 5), 0);
	for (unsigned i = 0; i < 3; i++) {
		e = tool_event_of(w->t, KVMI_V6_EVENT_PF, 0);
		CHECK_EQ(e.gpa, VM_PAGE(1));
		was = (u32)e.regs.rax;
		tool_continue(w->t, &e);
	}
	e = tool_event_of(w->t, KVMI_V6_EVENT_PF, 0);
	CHECK_EQ((u32)vm_read64(w->vm, VM_PAGE(1)), was);
	CHECK_EQ(cmd_set_access(w->t, VM_PAGE(1), 7), 0);
	CHECK_EQ(singlestep(w->t, 0, true), 0);
	tool_continue(w->t, &e);
	e = tool_event_of(w->t, KVMI_V6_EVENT_SINGLESTEP, 0);
	CHECK_EQ(e.regs.rip, NOP_AT);
	CHECK_EQ(singlestep(w->t, 0, false), 0);
	tool_continue(w->t, &e);
}

static void libvmi_registers(struct world *w)
{
	struct event e;

	CHECK_EQ(cmd_control_cr(w->t, 0, 3, true), 0);
	for (unsigned i = 0; i < 3; i++) {
		e = tool_event_of(w->t, KVMI_V6_EVENT_CR, 0);
		CHECK_EQ(e.value, e.old ^ 8);
		tool_continue(w->t, &e);
	}
	e = tool_event_of(w->t, KVMI_V6_EVENT_CR, 0);
	CHECK_EQ(cmd_control_cr(w->t, 0, 3, false), 0);
	CHECK_EQ(cmd_control_msr(w->t, 0, 0x176, true), 0);
	tool_continue(w->t, &e);
	for (unsigned i = 0; i < 3; i++) {
		e = tool_event_of(w->t, KVMI_V6_EVENT_MSR, 0);
		CHECK_EQ(e.index, 0x176);
		tool_continue(w->t, &e);
	}
	e = tool_event_of(w->t, KVMI_V6_EVENT_MSR, 0);
	CHECK_EQ(cmd_control_msr(w->t, 0, 0x176, false), 0);
	tool_continue(w->t, &e);
}

static void test_libvmi_events(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, busy);

	vm_begin(w.vm);
	libvmi_events_init(w.t, 1, true);
	event_on(w.t, 0, KVMI_V6_EVENT_DESCRIPTOR);
	event_on(w.t, 0, KVMI_V6_EVENT_CPUID);
	libvmi_registers(&w);
	libvmi_page(&w);
	libvmi_breakpoint(&w);
	/* The end: pause, all off, what waits is answered, resume. */
	pause_batch(w.t, 1);
	CHECK_EQ(singlestep(w.t, 0, false), 0);
	libvmi_events_init(w.t, 1, false);
	event_off(w.t, 0, KVMI_V6_EVENT_DESCRIPTOR);
	event_off(w.t, 0, KVMI_V6_EVENT_CPUID);
	resume(w.t, 1);
	vm_moves(w.vm, VM_DATA);
	tool_quiet(w.t);
	tool_close(w.t);
	vm_moves(w.vm, VM_DATA);
	w.t = NULL;
	world_close(&w);
}

/* ---- HVMI ---- */

/* May it do all that it needs? */
static void hvmi_checks(struct tool *t)
{
	static const u16 commands[] = {KVMI_V6_GET_GUEST_INFO, KVMI_V6_PAUSE_VCPU,
		KVMI_V6_CONTROL_EVENTS, KVMI_V6_CONTROL_CR, KVMI_V6_CONTROL_MSR,
		KVMI_V6_GET_REGISTERS, KVMI_V6_SET_REGISTERS, KVMI_V6_GET_CPUID, KVMI_V6_GET_XSAVE,
		KVMI_V6_INJECT_EXCEPTION, KVMI_V6_SET_PAGE_ACCESS, KVMI_V6_GET_MTRR_TYPE,
		KVMI_V6_GET_MAX_GFN};
	u8 request[24] = {0};

	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		put_u16(request, commands[i]);
		CHECK_EQ(tool_command(t, KVMI_V6_CHECK_COMMAND, request, 8, 0), 0);
	}
	for (u16 i = KVMI_V6_EVENT_CR; i <= KVMI_V6_EVENT_PAUSE_VCPU; i++) {
		put_u16(request, i);
		CHECK_EQ(tool_command(t, KVMI_V6_CHECK_EVENT, request, 8, 0), 0);
	}
}

static void test_hvmi(enum dialect d)
{
	struct world w = WORLD(d, 2, LONG, busy);
	static u8 area[4096];
	struct kvm_regs r;
	struct event e;
	u32 id[4];
	u64 hz;

	vm_begin(w.vm);
	hvmi_checks(w.t);
	for (unsigned i = 0; i < 2; i++)
		CHECK_EQ(cmd_tsc_speed(w.t, i, &hz), 0);
	CHECK_EQ(cmd_control_vm_event(w.t, KVMI_V6_EVENT_UNHOOK, true), 0);
	CHECK_EQ(cmd_control_vm_event(w.t, KVMI_V6_EVENT_CREATE_VCPU, true), 0);
	pause_batch(w.t, 2);
	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(cmd_get_registers(w.t, i, libvmi_msrs, ARRAY_SIZE(libvmi_msrs), NULL), 0);
		CHECK_EQ(cmd_cpuid(w.t, i, 1, 0, id), 0);
		CHECK_EQ(cmd_xsave(w.t, i, area), 0);
		for (u32 k = KVMI_V6_EVENT_CR; k <= KVMI_V6_EVENT_DESCRIPTOR; k++)
			event_on(w.t, i, k);
		event_on(w.t, i, KVMI_V6_EVENT_SINGLESTEP);
		CHECK_EQ(cmd_control_cr(w.t, i, 3, true), 0);
		CHECK_EQ(cmd_control_msr(w.t, i, 0x176, true), 0);
	}
	resume(w.t, 2);

	/* The way in which it answers all the time: batch of registers and the answer, and replies come on behind it. */
	for (unsigned i = 0; i < 50; i++) {
		e = tool_next_of(w.t, i % 2);
		CHECK(e.id == KVMI_V6_EVENT_CR || e.id == KVMI_V6_EVENT_MSR);
		r = e.regs;
		r.r13 = 0x1300 + i;
		send_response(w.t, false);
		cmd_send_set_registers(w.t, e.vcpu, &r);
		tool_continue(w.t, &e);
		send_response(w.t, true);
		CHECK_EQ(tool_reply(w.t, KVMI_V6_CONTROL_CMD_RESPONSE, NULL), 0);
	}
	e = tool_next_of(w.t, 0);
	CHECK_EQ(e.regs.r13, 0x1300 + 48);

	/* UNHOOK: it gives all back and goes. */
	CHECK_EQ(kvm(w.vm, w.vm->fd, KVM_INTROSPECTION_UNHOOK, 0), 0);
	tool_close(w.t);
	w.t = NULL;
	vm_moves(w.vm, VM_DATA);
	world_close(&w);
}

/* ---- libmicrovmi ---- */

static void test_libmicrovmi(enum dialect d)
{
	struct world w = WORLD(d, 2, LONG, busy);
	static u8 page[4096];
	struct regs_reply r;
	struct event paused[2], e;
	u32 n;

	vm_begin(w.vm);
	CHECK_EQ(cmd_guest_info(w.t, &n), 0);
	for (u32 i = 0; i < n; i++) {
		event_on(w.t, i, KVMI_V6_EVENT_CR);
		event_on(w.t, i, KVMI_V6_EVENT_MSR);
		event_on(w.t, i, KVMI_V6_EVENT_PF);
	}
	CHECK_EQ(n, 2);
	pause_batch(w.t, n);
	CHECK_EQ(max_gfn(w.t), VM_BYTES / 4096 - 1);
	for (u64 gpa = 0; gpa < VM_BYTES; gpa += 4096)
		CHECK_EQ(cmd_read(w.t, gpa, page, 4096), 0);
	CHECK_EQ(cmd_get_registers(w.t, 0, libvmi_msrs, ARRAY_SIZE(libvmi_msrs), &r), 0);
	await_pauses(w.t, n, paused); /* a vcpu takes registers while it stands */
	CHECK_EQ(cmd_set_registers(w.t, 0, &r.regs), 0);
	continue_all(w.t, n, paused);
	for (u32 i = 0; i < n; i++)
		CHECK_EQ(cmd_control_cr(w.t, i, 3, true), 0);
	for (unsigned i = 0; i < 20; i++) {
		e = tool_event(w.t, KVMI_V6_EVENT_CR);
		tool_continue(w.t, &e);
	}
	tool_close(w.t);
	w.t = NULL;
	vm_moves(w.vm, VM_DATA);
	world_close(&w);
}

/* ---- the library of the kernel patches ---- */

static void test_v5_library(enum dialect d)
{
	struct world w = WORLD(d, 2, LONG, busy);
	static u8 page[4096];
	struct regs_reply r;
	struct event e;
	u8 access;
	u32 n;

	vm_begin(w.vm);
	CHECK_EQ(cmd_guest_info(w.t, &n), 0);
	CHECK_EQ(n, 2);
	CHECK_EQ(cmd_control_vm_event(w.t, KVMI_EVENT_UNHOOK, true), 0);
	CHECK_EQ(cmd_control_vm_event(w.t, KVMI_EVENT_CREATE_VCPU, true), 0);
	CHECK_EQ(cmd_pause_all(w.t), 2);
	for (u32 i = 0; i < n; i++) {
		e = tool_next_of(w.t, i);
		while (e.id == KVMI_EVENT_CREATE_VCPU) {
			tool_continue(w.t, &e);
			e = tool_next_of(w.t, i);
		}
		CHECK_EQ(e.id, KVMI_EVENT_PAUSE_VCPU);
		CHECK_EQ(cmd_get_registers(w.t, i, libvmi_msrs, ARRAY_SIZE(libvmi_msrs), &r), 0);
		CHECK_EQ(cmd_control_cr(w.t, i, 3, true), 0);
		CHECK_EQ(cmd_control_msr(w.t, i, 0x176, true), 0);
		event_on(w.t, i, KVMI_EVENT_CR);
		event_on(w.t, i, KVMI_EVENT_MSR);
		event_on(w.t, i, KVMI_EVENT_PF);
		CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 5), 0);
		CHECK_EQ(cmd_get_access(w.t, VM_PAGE(1), &access), 0);
		CHECK_EQ(access, 5);
		tool_continue(w.t, &e);
	}
	CHECK_EQ(cmd_read(w.t, VM_CODE, page, 4096), 0);
	for (unsigned i = 0; i < 100; i++) {
		e = tool_next_of(w.t, i % 2);
		CHECK(e.id == KVMI_EVENT_CR || e.id == KVMI_EVENT_MSR || e.id == KVMI_EVENT_PF);
		tool_continue(w.t, &e);
	}
	CHECK_EQ(kvm(w.vm, w.vm->fd, KVM_INTROSPECTION_UNHOOK, 0), 0);
	for (;;) {
		e = tool_event(w.t, tool_next_id(w.t));
		if (e.id == KVMI_EVENT_UNHOOK)
			break;
		tool_continue(w.t, &e);
	}
	tool_close(w.t);
	w.t = NULL;
	vm_moves(w.vm, VM_DATA);
	world_close(&w);
}

const struct test clients_tests[] = {
	TEST(test_libvmi_read_only, V6),
	TEST(test_libvmi_events, V6),
	TEST(test_hvmi, V6),
	TEST(test_libmicrovmi, V6),
	TEST(test_v5_library, V5),
	{0},
};
