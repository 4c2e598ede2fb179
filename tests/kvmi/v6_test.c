/* SPDX-License-Identifier: MIT */
/* What only the later dialect has: commands without replies, single steps, CPUID events, and questions about memory. */
#include <string.h>
#include <unistd.h>

#include "tests/kvmi/groups.h"
#include "tests/kvmi/world.h"

GUEST_COUNT;

/* ---- batches ---- */

/* now: the message's own reply goes by it already. */
static void response(struct tool *t, bool enable, bool now, u8 flags)
{
	const u8 request[8] = {enable, now, flags};

	tool_send(t, KVMI_V6_CONTROL_CMD_RESPONSE, request, sizeof(request));
}

static void response_on(struct tool *t)
{
	response(t, true, true, 0);
	CHECK_EQ(tool_reply(t, KVMI_V6_CONTROL_CMD_RESPONSE, NULL), 0);
}

static void send_control_cr(struct tool *t, u32 cr, bool on)
{
	u8 request[16] = {0};

	request[8] = on;
	put_u32(request + 12, cr);
	tool_send(t, KVMI_V6_CONTROL_CR, request, 16);
}

/* Of a batch only the last message is answered; all of it is done, errors are swallowed. */
static void test_batch(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	const u8 pause[16] = {0};
	u8 set[24] = {0};
	struct event e;

	vm_begin(w.vm);
	response(w.t, false, true, 0);
	send_control_cr(w.t, 3, true);
	send_control_cr(w.t, 2, true); /* there is no such one to watch */
	put_u16(set + 2, 1);
	put_u64(set + 8, VM_PAGE(1));
	set[16] = 5;
	tool_send(w.t, KVMI_V6_SET_PAGE_ACCESS, set, 24);
	tool_send(w.t, KVMI_V6_PAUSE_VCPU, pause, 16);
	response_on(w.t);
	e = tool_event(w.t, KVMI_EVENT_PAUSE_VCPU);
	tool_continue(w.t, &e);
	tool_quiet(w.t);
	world_close(&w);
}

/* now = 0: what holds for the message itself is what was before it. */
static void test_batch_later(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);

	response(w.t, false, false, 0);
	CHECK_EQ(tool_reply(w.t, KVMI_V6_CONTROL_CMD_RESPONSE, NULL), 0);
	send_control_cr(w.t, 3, true);
	response(w.t, true, false, 0);
	send_control_cr(w.t, 3, false);
	CHECK_EQ(tool_reply(w.t, KVMI_V6_CONTROL_CR, NULL), 0);
	tool_quiet(w.t);
	world_close(&w);
}

/* Commands that give something, and such that there are not or that are not allowed, cannot be in a batch. */
static void test_batch_closes(enum dialect d)
{
	static const struct {
		u16 id, size;
	} bad[] = {{KVMI_V6_GET_VERSION, 0}, {KVMI_V6_GET_GUEST_INFO, 0},
		{KVMI_V6_GET_REGISTERS, 16}, {KVMI_V6_READ_PHYSICAL, 16}, {KVMI_V6_GET_MAX_GFN, 0},
		{KVMI_V6_GET_CPUID, 16}, {KVMI_V6_GET_XSAVE, 8}, {40, 8}, {1000, 0}};
	struct world w = WORLD(d, 1, LONG, count);
	const u8 zeros[16] = {0};
	u8 write[17] = {0};

	vm_begin(w.vm);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		response(w.t, false, true, 0);
		tool_send(w.t, bad[i].id, zeros, bad[i].size);
		tool_closed(w.t);
		tool_close(w.t);
		w.t = tool_open(w.vm, d);
	}
	tool_close(w.t);
	w.t = tool_open_masked(w.vm, d, ~BIT(KVMI_WRITE_PHYSICAL), ~0u);
	response(w.t, false, true, 0);
	put_u64(write, VM_PAGE(1));
	put_u64(write + 8, 1);
	tool_send(w.t, KVMI_V6_WRITE_PHYSICAL, write, 17);
	tool_closed(w.t);
	vm_moves(w.vm, VM_DATA);
	world_close(&w);
}

/* Errors come as events, if the tool says so. */
static void test_batch_errors(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	struct event e;

	vm_begin(w.vm);
	response(w.t, false, true, KVMI_V6_RESPONSE_EVENT);
	send_control_cr(w.t, 3, true);
	send_control_cr(w.t, 2, true);
	e = tool_event(w.t, KVMI_V6_EVENT_CMD_ERROR);
	CHECK_EQ(e.err, -KVM_EINVAL);
	CHECK_EQ(e.msg_seq, w.t->seq);
	CHECK_EQ(e.msg_id, KVMI_V6_CONTROL_CR);
	response_on(w.t);
	tool_quiet(w.t);
	world_close(&w);
}

GUEST64(stop, "	int3\n"
	      "guest_stop_other:\n"
	      "	movl %ebx, %eax\n"
	      "	outl %eax, $0x11\n"
	      "	hlt\n");
GUEST_LABEL(stop, other);

/* What holds for a command is what the tool wanted when it sent it, whenever the vcpu does it. */
static void test_batch_errors_later(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, stop);
	struct event at, e;
	u32 seq;

	event_on(w.t, 0, KVMI_EVENT_BREAKPOINT);
	vm_begin(w.vm);
	at = tool_event(w.t,
		KVMI_EVENT_BREAKPOINT); /* it does commands meanwhile, but must wake up for them */
	for (unsigned i = 0; i < 50; i++) {
		response(w.t, false, true, KVMI_V6_RESPONSE_EVENT);
		send_control_cr(w.t, 2, true);
		seq = w.t->seq;
		response_on(w.t);
		e = tool_event(w.t, KVMI_V6_EVENT_CMD_ERROR);
		CHECK_EQ(e.msg_seq, seq);
	}
	tool_continue(w.t, &at);
	tool_quiet(w.t);
	world_close(&w);
}

/* An answer to an event may be in it; replies come on later. */
static void test_batch_answers(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, stop);
	struct kvm_regs r;
	struct event e;

	event_on(w.t, 0, KVMI_EVENT_BREAKPOINT);
	vm_begin(w.vm);
	e = tool_event(w.t, KVMI_EVENT_BREAKPOINT);
	r = e.regs;
	r.rip++;
	r.rbx = 0x321;
	response(w.t, false, true, 0);
	cmd_send_set_registers(w.t, 0, &r);
	tool_retry(w.t, &e);
	VM_OUT(w.vm, 0, 0x11, 0x321);
	response_on(w.t);
	tool_quiet(w.t);
	world_close(&w);
}

/* A new session begins with replies. */
static void test_batch_ends_with_session(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);

	response(w.t, false, true, 0);
	tool_close(w.t);
	w.t = tool_open(w.vm, d);
	tool_quiet(w.t);
	world_close(&w);
}

/* ---- single steps ---- */

static s32 singlestep(struct tool *t, unsigned vcpu, bool on)
{
	u8 request[16] = {0};

	put_u16(request, (u16)vcpu);
	request[8] = on;
	return tool_command(t, KVMI_V6_CONTROL_SINGLESTEP, request, 16, 0);
}

/* Each label is where an event comes. */
GUEST64(steps, "	int3\n"
	       "	nop\n"
	       "guest_steps_a:\n"
	       "	movl $PAGE1, %edi\n"
	       "guest_steps_b:\n"
	       "	movl $3, %ecx\n"
	       "guest_steps_rep:\n"
	       "	rep stosb\n"
	       "guest_steps_sti:\n"
	       "	sti\n"
	       "guest_steps_shadow:\n"
	       "	nop\n"
	       "guest_steps_cli:\n"
	       "	cli\n"
	       "guest_steps_call:\n"
	       "	call guest_steps_function\n"
	       "guest_steps_ss:\n"
	       "	movl %ss, %eax\n"
	       "guest_steps_ss2:\n"
	       "	movl %eax, %ss\n"
	       "guest_steps_lock:\n"
	       "	lock incl PAGE1\n"
	       "guest_steps_pushf:\n"
	       "	pushfq\n"
	       "guest_steps_popf:\n"
	       "	popfq\n"
	       "guest_steps_fault:\n"
	       "	ud2\n"
	       "guest_steps_function:\n"
	       "	ret\n");
GUEST_LABEL(steps, a);
GUEST_LABEL(steps, b);
GUEST_LABEL(steps, rep);
GUEST_LABEL(steps, sti);
GUEST_LABEL(steps, shadow);
GUEST_LABEL(steps, cli);
GUEST_LABEL(steps, call);
GUEST_LABEL(steps, ss);
GUEST_LABEL(steps, ss2);
GUEST_LABEL(steps, lock);
GUEST_LABEL(steps, pushf);
GUEST_LABEL(steps, popf);
GUEST_LABEL(steps, fault);
GUEST_LABEL(steps, function);
#define STEP(label) AT_LABEL(0, steps, label)

/* Stands behind INT3, and single steps are on from there. */
static struct world stepping(enum dialect d, const u8 *code, const u8 *end)
{
	struct world w = world_open(d, 1, 0, LONG, code, end);
	struct kvm_regs r;
	struct event e;

	event_on(w.t, 0, KVMI_EVENT_BREAKPOINT);
	event_on(w.t, 0, KVMI_V6_EVENT_SINGLESTEP);
	vm_begin(w.vm);
	e = tool_event(w.t, KVMI_EVENT_BREAKPOINT);
	CHECK_EQ(singlestep(w.t, 0, true), 0);
	r = e.regs;
	r.rip++;
	CHECK_EQ(cmd_set_registers(w.t, 0, &r), 0);
	tool_retry(w.t, &e);
	return w;
}

static struct event stepped(struct world *w, u64 rip)
{
	const struct event e = tool_event_of(w->t, KVMI_V6_EVENT_SINGLESTEP, 0);

	CHECK_EQ(e.failed, 0);
	CHECK_EQ(e.regs.rip, rip);
	return e;
}

/* As many events as instructions; of a repeated one, as many as it has passes. */
static void test_singlestep(enum dialect d)
{
	struct world w = stepping(d, guest_steps, guest_steps_end);
	const u64 rips[] = {STEP(a), STEP(b), STEP(rep), STEP(rep), STEP(rep), STEP(sti),
		STEP(shadow), STEP(cli), STEP(call), STEP(function), STEP(ss), STEP(ss2),
		STEP(lock), STEP(pushf), STEP(popf), STEP(fault), VM_GATES + 6 * 16};

	for (unsigned i = 0; i < ARRAY_SIZE(rips); i++) {
		const struct event e = stepped(&w, rips[i]);

		if (i >= 2 && i < 6)
			CHECK_EQ(e.regs.rcx, 5 - i);
		CHECK(!(e.regs.rflags & 0x100));
		tool_continue(w.t, &e);
	}
	for (unsigned i = 0; i < 2; i++) {
		const struct event e = tool_event(w.t, KVMI_V6_EVENT_SINGLESTEP);

		if (i)
			CHECK_EQ(singlestep(w.t, 0, false), 0);
		tool_continue(w.t, &e);
	}
	vm_vector(w.vm, 0, 6, NULL);
	tool_quiet(w.t);
	world_close(&w);
}

/* Without the event nothing is told; switched off, neither; and it goes with the session. */
static void test_singlestep_off(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);

	vm_begin(w.vm);
	CHECK_EQ(singlestep(w.t, 0, true), 0);
	vm_moves(w.vm, VM_DATA);
	tool_quiet(w.t);
	event_on(w.t, 0, KVMI_V6_EVENT_SINGLESTEP);
	tool_event(w.t, KVMI_V6_EVENT_SINGLESTEP);
	tool_close(w.t);
	vm_moves(w.vm, VM_DATA);
	w.t = tool_open(w.vm, d);
	event_on(w.t, 0, KVMI_V6_EVENT_SINGLESTEP);
	vm_moves(w.vm, VM_DATA);
	tool_quiet(w.t);
	world_close(&w);
}

/* HLT is over when the vcpu wakes: the first event is of what comes then, in front of its first instruction. */
GUEST64(step_halt, "	movq $1, DATA\n"
		   "	hlt\n"
		   "	incq DATA\n"
		   "	hlt\n");

static void test_singlestep_halted(enum dialect d)
{
	struct world w = world_open(d, 1, VM_IRQCHIP, LONG, guest_step_halt, guest_step_halt_end);
	struct kvm_msi nmi = {.address_lo = 0xfee00000, .data = 4 << 8};
	struct event e;

	event_on(w.t, 0, KVMI_V6_EVENT_SINGLESTEP);
	vm_begin(w.vm);
	vm_wait64(w.vm, VM_DATA, 1);
	CHECK_EQ(singlestep(w.t, 0, true), 0);
	CHECK_EQ(kvm_p(w.vm, w.vm->fd, KVM_SIGNAL_MSI, &nmi), 1);
	e = stepped(&w, VM_GATES + 2 * 16);
	CHECK_EQ(vm_read64(w.vm, VM_DATA), 1);
	CHECK_EQ(singlestep(w.t, 0, false), 0);
	tool_continue(w.t, &e);
	VM_OUT(w.vm, 0, PORT_ERROR, 0); /* the ports before it are those of the PIC */
	CHECK_EQ(vm_out(w.vm, 0, PORT_CR2), 0);
	tool_quiet(w.t);
	world_close(&w);
}

/* A page fault comes before the instruction, its step after it. */
GUEST64(step_store, "	int3\n"
		    "	movl %eax, PAGE1\n"
		    "guest_step_store_next:\n"
		    "	nop\n"
		    "	TELL 0x10, 1\n"
		    "	hlt\n");
GUEST_LABEL(step_store, next);

static void test_singlestep_and_pf(enum dialect d)
{
	struct world w = stepping(d, guest_step_store, guest_step_store_end);
	struct event e;

	/* Too late for this one: it may be done by now. */
	e = tool_event(w.t, KVMI_V6_EVENT_SINGLESTEP);
	CHECK_EQ(e.regs.rip, AT_LABEL(0, step_store, next));
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 5), 0);
	event_on(w.t, 0, KVMI_EVENT_PF);
	CHECK_EQ(cmd_set_registers(w.t, 0,
			 &(struct kvm_regs){.rip = VM_CODE + 1, .rflags = 2, .rsp = VM_STACK}),
		0);
	tool_continue(w.t, &e);
	e = tool_event(w.t, KVMI_EVENT_PF);
	CHECK_EQ(e.regs.rip, VM_CODE + 1);
	tool_continue(w.t, &e);
	e = stepped(&w, AT_LABEL(0, step_store, next));
	CHECK_EQ(singlestep(w.t, 0, false), 0);
	tool_continue(w.t, &e);
	VM_OUT(w.vm, 0, 0x10, 1);
	tool_quiet(w.t);
	world_close(&w);
}

/* One vcpu steps, the other one runs. */
static void test_singlestep_one(enum dialect d)
{
	struct world w = WORLD(d, 2, LONG, count);
	struct event e;

	event_on(w.t, 1, KVMI_V6_EVENT_SINGLESTEP);
	event_on(w.t, 0, KVMI_V6_EVENT_SINGLESTEP);
	vm_begin(w.vm);
	CHECK_EQ(singlestep(w.t, 1, true), 0);
	for (unsigned i = 0; i < 20; i++) {
		e = tool_event_of(w.t, KVMI_V6_EVENT_SINGLESTEP, 1);
		vm_moves(w.vm, VM_DATA);
		tool_continue(w.t, &e);
	}
	world_close(&w);
}

/* ---- CPUID ---- */

GUEST64(cpuid, "	movl $7, %eax\n"
	       "	movl $1, %ecx\n"
	       "guest_cpuid_here:\n"
	       "	cpuid\n"
	       "	outl %eax, $0x10\n"
	       "	hlt\n");
GUEST_LABEL(cpuid, here);

static void test_cpuid_event(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, cpuid);
	struct event e;
	u32 got[4];

	CHECK_EQ(cmd_cpuid(w.t, 0, 7, 0, got), 0);
	event_on(w.t, 0, KVMI_V6_EVENT_CPUID);
	vm_begin(w.vm);
	e = tool_event_of(w.t, KVMI_V6_EVENT_CPUID, 0);
	CHECK_EQ(e.function, 7);
	CHECK_EQ(e.leaf_index, 1);
	CHECK_EQ(e.insn_len, 2);
	CHECK_EQ(e.regs.rip, AT_LABEL(0, cpuid, here));
	tool_continue(w.t, &e);
	vm_out(w.vm, 0, 0x10);
	tool_quiet(w.t);
	world_close(&w);
}

static void test_cpuid_event_off(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, cpuid);

	vm_begin(w.vm);
	vm_out(w.vm, 0, 0x10);
	tool_quiet(w.t);
	world_close(&w);
}

/* ---- questions ---- */

static void test_max_gfn(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);

	CHECK_EQ(tool_command(w.t, KVMI_V6_GET_MAX_GFN, NULL, 0, 8), 0);
	CHECK_EQ(get_u64(tool_data(w.t)), VM_BYTES / 4096 - 1);
	CHECK_EQ(tool_command(w.t, KVMI_V6_GET_NEXT_AVAILABLE_GFN, NULL, 0, 8), 0);
	CHECK(get_u64(tool_data(w.t)) >= VM_BYTES / 4096);
	world_close(&w);
}

static void test_query_physical(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	u8 request[8];

	put_u64(request, 0x123);
	CHECK_EQ(tool_command(w.t, KVMI_V6_QUERY_PHYSICAL, request, 8, 16), 0);
	CHECK_EQ(get_u64(tool_data(w.t)), 0);
	CHECK_EQ(get_u64(tool_data(w.t) + 8), VM_BYTES / 4096);
	world_close(&w);
}

static s32 translate(struct tool *t, u64 gva, u64 *ret)
{
	u8 request[16] = {0};
	s32 err;

	put_u64(request + 8, gva);
	err = tool_command(t, KVMI_V6_TRANSLATE_GVA, request, 16, 8);
	if (!err)
		*ret = get_u64(tool_data(t));
	return err;
}

static void test_translate(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	u64 gpa;

	CHECK_EQ(translate(w.t, VM_ALIAS + VM_PAGE(1) + 0x123, &gpa), 0);
	CHECK_EQ(gpa, VM_PAGE(1) + 0x123);
	CHECK_EQ(translate(w.t, VM_DATA, &gpa), 0);
	CHECK_EQ(gpa, VM_DATA);
	CHECK_EQ(translate(w.t, 0x123456789000, &gpa), 0);
	CHECK_EQ(gpa, ~0ull);
	CHECK_EQ(translate(w.t, 0x8000000000000000, &gpa), 0);
	CHECK_EQ(gpa, ~0ull);
	world_close(&w);
}

static void test_get_xcr(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	u8 request[16] = {0};

	CHECK_EQ(tool_command(w.t, KVMI_V6_GET_XCR, request, 16, 8), 0);
	CHECK_EQ(get_u64(tool_data(w.t)) & 1, 1);
	request[8] = 1;
	CHECK_EQ(tool_command(w.t, KVMI_V6_GET_XCR, request, 16, 8), -KVM_EINVAL);
	world_close(&w);
}

static void test_mtrr_type(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	u8 request[16] = {0};
	u8 type;

	put_u64(request + 8, VM_DATA);
	CHECK_EQ(tool_command(w.t, KVMI_V6_GET_MTRR_TYPE, request, 16, 8), 0);
	type = tool_data(w.t)[0];
	CHECK(type == 0 || type == 1 || (type >= 4 && type <= 6));
	CHECK_EQ(get_u64(tool_data(w.t)) >> 8, 0);
	world_close(&w);
}

/* There is one view, which is 0. */
static void test_views(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	u8 request[16] = {0};
	s32 err;

	CHECK_EQ(tool_command(w.t, KVMI_V6_GET_EPT_VIEW, request, 8, 8), 0);
	CHECK_EQ(get_u64(tool_data(w.t)), 0);
	put_u16(request + 8, 1);
	err = tool_command(w.t, KVMI_V6_SWITCH_EPT_VIEW, request, 16, 0);
	CHECK(err == -KVM_EINVAL || err == -KVM_EOPNOTSUPP || err == -KVM_ENOSYS);
	world_close(&w);
}

/* What nobody can do here is said to be so, and the connection stays. */
static void test_optional(enum dialect d)
{
	static const struct {
		u16 id, size;
	} all[] = {{KVMI_V6_CONTROL_VE, 16}, {KVMI_V6_CONTROL_SPP, 8},
		{KVMI_V6_GET_PAGE_WRITE_BITMAP, 8}, {KVMI_V6_SET_PAGE_WRITE_BITMAP, 8},
		{KVMI_V6_SET_VE_INFO_PAGE, 24}, {KVMI_V6_SET_PAGE_SVE, 16},
		{KVMI_V6_SWITCH_EPT_VIEW, 16}, {KVMI_V6_DISABLE_VE, 8},
		{KVMI_V6_CONTROL_EPT_VIEW, 16}, {KVMI_V6_ALLOC_GFN, 16}, {KVMI_V6_FREE_GFN, 16},
		{KVMI_V6_CREATE_EPT_VIEW, 0}, {KVMI_V6_DESTROY_EPT_VIEW, 8},
		{KVMI_V6_CHANGE_GFN, 32}, {KVMI_V6_GET_PAGE_ACCESS, 8}, {KVMI_V6_SET_XSAVE, 8}};
	struct world w = WORLD(d, 1, LONG, count);
	const u8 zeros[64] = {0};

	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		s32 err;

		tool_send(w.t, all[i].id, zeros, all[i].size);
		err = tool_reply(w.t, all[i].id, NULL);
		if (err && err != -KVM_EOPNOTSUPP && err != -KVM_ENOSYS && err != -KVM_EINVAL)
			test_failed(__FILE__, __LINE__, "command %u: %d", all[i].id, err);
	}
	tool_quiet(w.t);
	world_close(&w);
}

const struct test v6_tests[] = {
	TEST(test_batch, V6),
	TEST(test_batch_later, V6),
	TEST(test_batch_closes, V6),
	TEST(test_batch_errors, V6),
	TEST(test_batch_errors_later, V6),
	TEST(test_batch_answers, V6),
	TEST(test_batch_ends_with_session, V6),
	TEST(test_singlestep, V6),
	TEST(test_singlestep_off, V6),
	TEST(test_singlestep_halted, V6),
	TEST(test_singlestep_and_pf, V6),
	TEST(test_singlestep_one, V6),
	TEST(test_cpuid_event, V6),
	TEST(test_cpuid_event_off, V6),
	TEST(test_max_gfn, V6),
	TEST(test_query_physical, V6),
	TEST(test_translate, V6),
	TEST(test_get_xcr, V6),
	TEST(test_mtrr_type, V6),
	TEST(test_views, V6),
	TEST(test_optional, V6),
	{0},
};
