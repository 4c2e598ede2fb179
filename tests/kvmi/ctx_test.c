/* SPDX-License-Identifier: MIT */
/* Answers to page faults that say more: data in the place of what is there, and single steps with the page open. */
#include <string.h>
#include <unistd.h>

#include "tests/kvmi/groups.h"
#include "tests/kvmi/world.h"

/* ---- data ---- */

/* Reads of several sizes, each told. */
GUEST64(reads, "	movq PAGE1, %rax\n"
	       "	outl %eax, $0x10\n"
	       "	shrq $32, %rax\n"
	       "	outl %eax, $0x10\n"
	       "	movl PAGE1, %eax\n"
	       "	outl %eax, $0x11\n"
	       "	movzbl PAGE1 + 3, %eax\n"
	       "	outl %eax, $0x12\n"
	       "	xorl %eax, %eax\n"
	       "	cmpl $0x64636261, PAGE1\n"
	       "	sete %al\n"
	       "	outl %eax, $0x13\n"
	       "	movl $0x100, %ebx\n"
	       "	addl PAGE1, %ebx\n"
	       "	movl %ebx, %eax\n"
	       "	outl %eax, $0x14\n"
	       "	movl $PAGE1, %esi\n"
	       "	movl $PAGE2, %edi\n"
	       "	cld\n"
	       "	movsq\n"
	       "	movl PAGE2, %eax\n"
	       "	outl %eax, $0x15\n"
	       "	pushq PAGE1\n"
	       "	popq %rax\n"
	       "	outl %eax, $0x16\n"
	       "	movdqa PAGE1, %xmm0\n"
	       "	movq %xmm0, %rax\n"
	       "	outl %eax, $0x17\n"
	       "	hlt\n");

static struct world reads(enum dialect d, const u8 *code, const u8 *end)
{
	struct world w = world_open(d, 1, 0, LONG, code, end);

	memcpy(w.vm->ram + VM_PAGE(1), "ABCDEFGHIJKLMNOP", 16);
	event_on(w.t, 0, KVMI_EVENT_PF);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 6), 0);
	vm_begin(w.vm);
	return w;
}
#define READS(d, name) reads(d, guest_##name, guest_##name##_end)

static void hide(struct world *w, u64 gpa, const char *bytes, u32 n)
{
	const struct event e = tool_event_of(w->t, KVMI_EVENT_PF, 0);

	CHECK_EQ(e.gpa, gpa);
	CHECK_EQ(e.access, 1);
	tool_answer_pf(w->t, &e, KVMI_EVENT_ACTION_CONTINUE,
		(struct pf_answer){.ctx_addr = e.gva, .ctx_size = n, .ctx = bytes});
}

static void test_ctx_data(enum dialect d)
{
	struct world w = READS(d, reads);

	hide(&w, VM_PAGE(1), "abcdefgh", 8);
	VM_OUT(w.vm, 0, 0x10, 0x64636261);
	VM_OUT(w.vm, 0, 0x10, 0x68676665);
	hide(&w, VM_PAGE(1), "abcd", 4);
	VM_OUT(w.vm, 0, 0x11, 0x64636261);
	hide(&w, VM_PAGE(1) + 3, "z", 1);
	VM_OUT(w.vm, 0, 0x12, 'z');
	hide(&w, VM_PAGE(1), "abcd", 4);
	VM_OUT(w.vm, 0, 0x13, 1);
	hide(&w, VM_PAGE(1), "\1\0\0\0", 4);
	VM_OUT(w.vm, 0, 0x14, 0x101);
	hide(&w, VM_PAGE(1), "abcdefgh", 8);
	VM_OUT(w.vm, 0, 0x15, 0x64636261);
	CHECK(!memcmp(w.vm->ram + VM_PAGE(2), "abcdefgh", 8));
	hide(&w, VM_PAGE(1), "abcdefgh", 8);
	VM_OUT(w.vm, 0, 0x16, 0x64636261);
	hide(&w, VM_PAGE(1), "abcdefghijklmnop", 16);
	VM_OUT(w.vm, 0, 0x17, 0x64636261);
	CHECK(!memcmp(w.vm->ram + VM_PAGE(1), "ABCDEFGHIJKLMNOP", 16));
	tool_quiet(w.t);
	world_close(&w);
}

/* Less than is read: the rest is what is there. More: the rest is dropped, and means nothing for what comes later. */
static void test_ctx_other_size(enum dialect d)
{
	struct world w = READS(d, reads);
	char much[256];

	memset(much, 'x', sizeof(much));
	hide(&w, VM_PAGE(1), "ab", 2);
	VM_OUT(w.vm, 0, 0x10, 0x44436261);
	VM_OUT(w.vm, 0, 0x10, 0x48474645);
	hide(&w, VM_PAGE(1), much, 256);
	VM_OUT(w.vm, 0, 0x11, 0x78787878);
	hide(&w, VM_PAGE(1) + 3, NULL, 0);
	VM_OUT(w.vm, 0, 0x12, 'D');
	hide(&w, VM_PAGE(1), NULL, 0);
	VM_OUT(w.vm, 0, 0x13, 0);
	world_close(&w);
}

/* Two reads of one instruction, at two places: each asks, and has data of its own. */
GUEST64(cmps, "	movl $PAGE1, %esi\n"
	      "	movl $PAGE1 + 8, %edi\n"
	      "	cld\n"
	      "	xorl %eax, %eax\n"
	      "	cmpsl\n"
	      "	sete %al\n"
	      "	outl %eax, $0x10\n"
	      "	hlt\n");

static void test_ctx_two_reads(enum dialect d)
{
	struct world w = READS(d, cmps);

	hide(&w, VM_PAGE(1), "same", 4);
	hide(&w, VM_PAGE(1) + 8, "same", 4);
	VM_OUT(w.vm, 0, 0x10, 1);
	tool_quiet(w.t);
	world_close(&w);
}

/* V6 says where they are. */
static void test_ctx_addr(enum dialect d)
{
	struct world w = READS(d, reads);
	struct event e = tool_event(w.t, KVMI_EVENT_PF);

	tool_answer_pf(w.t, &e, KVMI_EVENT_ACTION_CONTINUE,
		(struct pf_answer){.ctx_addr = e.gva + 4, .ctx_size = 4, .ctx = "efgh"});
	VM_OUT(w.vm, 0, 0x10, 0x44434241);
	VM_OUT(w.vm, 0, 0x10, 0x68676665);
	world_close(&w);
}

/* A read-modify-write reads what is told, and writes what it makes of it. */
GUEST64(rmw, "	lock incl PAGE1\n"
	     "	TELL 0x10, 1\n"
	     "	hlt\n");

static void test_ctx_rmw(enum dialect d)
{
	struct world w = READS(d, rmw);

	hide(&w, VM_PAGE(1), "abcd", 4);
	VM_OUT(w.vm, 0, 0x10, 1);
	CHECK_EQ((u32)vm_read64(w.vm, VM_PAGE(1)), 0x64636262);
	tool_quiet(w.t);
	world_close(&w);
}

/* One byte more than there can be: the connection is closed, and the access done. */
static void test_ctx_too_much_closes(enum dialect d)
{
	static const u8 much[257];
	struct world w = READS(d, reads);
	struct event e = tool_event(w.t, KVMI_EVENT_PF);

	tool_answer_pf(w.t, &e, KVMI_EVENT_ACTION_CONTINUE,
		(struct pf_answer){.ctx_addr = e.gva, .ctx_size = 257, .ctx = much});
	tool_closed(w.t);
	VM_OUT(w.vm, 0, 0x10, 0x44434241);
	world_close(&w);
}

/* ---- single steps ---- */

GUEST64(stores, "	xorl %eax, %eax\n"
		"1:	incl %eax\n"
		"guest_stores_one:\n"
		"	movl %eax, PAGE1\n"
		"guest_stores_two:\n"
		"	movl %eax, PAGE1 + 4\n"
		"	cmpl $50, %eax\n"
		"	jne 1b\n"
		"	outl %eax, $0x10\n"
		"	hlt\n");
GUEST_LABEL(stores, one);
GUEST_LABEL(stores, two);

static void step(struct tool *t, const struct event *e)
{
	tool_answer_pf(t, e, KVMI_EVENT_ACTION_RETRY, (struct pf_answer){.singlestep = true});
}

/* Exactly one instruction has the page open. */
static void test_step(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, stores);
	u8 access;

	event_on(w.t, 0, KVMI_EVENT_PF);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 5), 0);
	vm_begin(w.vm);
	for (u32 i = 0; i < 100; i++) {
		struct event e = tool_event(w.t, KVMI_EVENT_PF);

		CHECK_EQ(e.regs.rip, i % 2 ? AT_LABEL(0, stores, two) : AT_LABEL(0, stores, one));
		CHECK_EQ((u32)e.regs.rax, i / 2 + 1);
		CHECK_EQ(get_u32(w.vm->ram + VM_PAGE(1) + (i % 2) * 4), i / 2);
		if (d == V5 && i % 10 == 1) {
			CHECK_EQ(cmd_get_access(w.t, VM_PAGE(1), &access), 0);
			CHECK_EQ(access, 5);
		}
		step(w.t, &e);
	}
	VM_OUT(w.vm, 0, 0x10, 50);
	tool_quiet(w.t);
	world_close(&w);
}

/* From one page to another: a step in a step. */
GUEST64(movsq, "	movl $PAGE1, %esi\n"
	       "	movl $PAGE2, %edi\n"
	       "	cld\n"
	       "	movsq\n"
	       "	TELL 0x10, 1\n"
	       "	movl $PAGE1, %esi\n"
	       "	movl $PAGE2, %edi\n"
	       "	movsq\n"
	       "	TELL 0x10, 2\n"
	       "	hlt\n");

static void test_step_nested(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, movsq);
	struct event e;

	memcpy(w.vm->ram + VM_PAGE(1), "12345678", 8);
	event_on(w.t, 0, KVMI_EVENT_PF);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 0), 0);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(2), 0), 0);
	vm_begin(w.vm);
	for (u64 i = 1; i <= 2; i++) {
		e = tool_event(w.t, KVMI_EVENT_PF);
		CHECK_EQ(e.gpa, VM_PAGE(1));
		step(w.t, &e);
		e = tool_event(w.t, KVMI_EVENT_PF);
		CHECK_EQ(e.gpa, VM_PAGE(2));
		CHECK_EQ(e.access, 2);
		step(w.t, &e);
		VM_OUT(w.vm, 0, 0x10, i);
	}
	CHECK(!memcmp(w.vm->ram + VM_PAGE(2), "12345678", 8));
	tool_quiet(w.t);
	world_close(&w);
}

/* An exception ends the step: its handler has the page closed again. */
GUEST64(faulting, "	movl PAGE1, %eax\n"
		  "	ud2\n");

static void test_step_ends_with_exception(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, faulting);
	struct event e;

	event_on(w.t, 0, KVMI_EVENT_PF);
	/* The gates are in the same page as what is read: PAGE1 takes their place. */
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 0), 0);
	CHECK_EQ(cmd_set_access(w.t, VM_GATES, 3), 0);
	vm_begin(w.vm);
	e = tool_event(w.t, KVMI_EVENT_PF);
	step(w.t, &e);
	for (;;) {
		e = tool_event(w.t, KVMI_EVENT_PF);
		CHECK_EQ(e.access, 4);
		CHECK_EQ(e.gpa & ~0xfffull, VM_GATES);
		step(w.t, &e);
		if (!vm_silent(w.vm, 0))
			break;
	}
	CHECK_EQ(cmd_set_access(w.t, VM_GATES, 7), 0);
	tool_close(w.t);
	vm_vector(w.vm, 0, 6, NULL);
	w.t = NULL;
	world_close(&w);
}

/*
 * Two vcpus on one page. While one steps, the other makes no progress, and it never finds the page open: each of its
 * increments was asked for.
 */
GUEST64(two, "	cmpl $0x21000, %esp\n"
	     "	jne 2f\n"
	     "1:	lock incq PAGE1\n"
	     "	jmp 1b\n"
	     "2:	lock incq PAGE1 + 8\n"
	     "	jmp 2b\n");

static void test_step_alone(enum dialect d)
{
	struct world w = WORLD(d, 2, LONG, two);
	u64 done[2] = {0};

	event_on(w.t, 0, KVMI_EVENT_PF);
	event_on(w.t, 1, KVMI_EVENT_PF);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 5), 0);
	vm_begin(w.vm);
	for (unsigned i = 0; i < 400; i++) {
		const struct event e = tool_event(w.t, KVMI_EVENT_PF);

		CHECK_EQ(e.access, 2);
		CHECK_EQ(vm_read64(w.vm, VM_PAGE(1) + 8 * e.vcpu), done[e.vcpu]);
		step(w.t, &e);
		done[e.vcpu]++;
	}
	tool_close(w.t);
	w.t = NULL;
	world_close(&w);
}

/* One that only counts stands still while the other steps through a long instruction, whose data are in many pages. */
static void test_step_stops_others(enum dialect d)
{
	struct world w = WORLD(d, 2, LONG, two);
	struct event e;

	event_on(w.t, 0, KVMI_EVENT_PF);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 5), 0);
	vm_begin(w.vm);
	/* vcpu 1 does not ask, and its accesses go on. */
	vm_moves(w.vm, VM_PAGE(1) + 8);
	for (unsigned i = 0; i < 100; i++) {
		e = tool_event_of(w.t, KVMI_EVENT_PF, 0);
		step(w.t, &e);
	}
	vm_moves(w.vm, VM_PAGE(1) + 8);
	e = tool_event_of(w.t, KVMI_EVENT_PF, 0);
	CHECK_EQ(vm_read64(w.vm, VM_PAGE(1)), 100);
	tool_continue(w.t, &e);
	world_close(&w);
}

const struct test ctx_tests[] = {
	TEST(test_ctx_data, BOTH),
	TEST(test_ctx_other_size, BOTH),
	TEST(test_ctx_two_reads, BOTH),
	TEST(test_ctx_addr, V6),
	TEST(test_ctx_rmw, BOTH),
	TEST(test_ctx_too_much_closes, BOTH),
	TEST(test_step, BOTH),
	TEST(test_step_nested, BOTH),
	TEST(test_step_ends_with_exception, BOTH),
	TEST(test_step_alone, BOTH),
	TEST(test_step_stops_others, BOTH),
	{0},
};
