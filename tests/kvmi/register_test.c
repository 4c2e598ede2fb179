/* SPDX-License-Identifier: MIT */
/* Events of control registers, MSRs and XCR0. */
#include "tests/kvmi/groups.h"
#include "tests/kvmi/world.h"

/* CR3, CR3 as it is, CR0.MP, CR4.PGE; each is told. */
GUEST64(crs, "	movq %cr3, %rax\n"
	     "	orq $8, %rax\n"
	     "guest_crs_cr3:\n"
	     "	movq %rax, %cr3\n"
	     "	movq %cr3, %rax\n"
	     "	outl %eax, $0x13\n"
	     "	movq %rax, %cr3\n"
	     "	movq %cr0, %rax\n"
	     "	orq $2, %rax\n"
	     "guest_crs_cr0:\n"
	     "	movq %rax, %cr0\n"
	     "	movq %cr0, %rax\n"
	     "	outl %eax, $0x10\n"
	     "	movq %cr4, %rax\n"
	     "	orq $0x80, %rax\n"
	     "guest_crs_cr4:\n"
	     "	movq %rax, %cr4\n"
	     "	movq %cr4, %rax\n"
	     "	outl %eax, $0x14\n"
	     "	hlt\n");
GUEST_LABEL(crs, cr3);
GUEST_LABEL(crs, cr0);
GUEST_LABEL(crs, cr4);
#define CR0_OLD 0x80000031
#define CR0_NEW 0x80000033
#define CR4_OLD 0x40620
#define CR4_NEW 0x406a0

static struct world crs(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, crs);

	CHECK_EQ(cmd_control_cr(w.t, 0, 3, true), 0);
	CHECK_EQ(cmd_control_cr(w.t, 0, 0, true), 0);
	CHECK_EQ(cmd_control_cr(w.t, 0, 4, true), 0);
	event_on(w.t, 0, KVMI_EVENT_CR);
	vm_begin(w.vm);
	return w;
}

static struct event cr_event(struct world *w, u32 cr, u64 old, u64 value, u64 rip)
{
	const struct event e = tool_event_of(w->t, KVMI_EVENT_CR, 0);

	CHECK_EQ(e.index, cr);
	CHECK_EQ(e.old, old);
	CHECK_EQ(e.value, value);
	CHECK_EQ(e.regs.rip, rip);
	return e;
}

static void test_cr(enum dialect d)
{
	struct world w = crs(d);
	struct event e;

	e = cr_event(&w, 3, VM_TABLES, VM_TABLES | 8, AT_LABEL(0, crs, cr3));
	CHECK_EQ(e.sregs.cr3, VM_TABLES);
	tool_continue(w.t, &e);
	VM_OUT(w.vm, 0, 0x13, VM_TABLES | 8);
	e = cr_event(&w, 0, CR0_OLD, CR0_NEW, AT_LABEL(0, crs, cr0));
	tool_continue(w.t, &e);
	VM_OUT(w.vm, 0, 0x10, CR0_NEW);
	e = cr_event(&w, 4, CR4_OLD, CR4_NEW, AT_LABEL(0, crs, cr4));
	tool_continue(w.t, &e);
	VM_OUT(w.vm, 0, 0x14, CR4_NEW);
	CHECK_EQ(vm_ended(w.vm, 0), KVM_EXIT_HLT);
	tool_quiet(w.t);
	world_close(&w);
}

/* Another value; the old one, which blocks it. */
static void test_cr_altered(enum dialect d)
{
	struct world w = crs(d);
	struct event e;

	e = tool_event(w.t, KVMI_EVENT_CR);
	tool_answer_value(w.t, &e, KVMI_EVENT_ACTION_CONTINUE, e.old);
	VM_OUT(w.vm, 0, 0x13, VM_TABLES);
	e = tool_event(w.t, KVMI_EVENT_CR);
	tool_answer_value(w.t, &e, KVMI_EVENT_ACTION_CONTINUE, CR0_OLD | 0x40000);
	VM_OUT(w.vm, 0, 0x10, CR0_OLD | 0x40000);
	e = tool_event(w.t, KVMI_EVENT_CR);
	tool_answer_value(w.t, &e, KVMI_EVENT_ACTION_CONTINUE, CR4_OLD);
	VM_OUT(w.vm, 0, 0x14, CR4_OLD);
	world_close(&w);
}

static void test_cr_disabled(enum dialect d)
{
	struct world w = crs(d);
	struct event e;

	e = tool_event(w.t, KVMI_EVENT_CR);
	CHECK_EQ(cmd_control_cr(w.t, 0, 0, false), 0);
	tool_continue(w.t, &e);
	VM_OUT(w.vm, 0, 0x13, VM_TABLES | 8);
	VM_OUT(w.vm, 0, 0x10, CR0_NEW);
	e = tool_event(w.t, KVMI_EVENT_CR);
	CHECK_EQ(e.index, 4);
	event_off(w.t, 0, KVMI_EVENT_CR);
	tool_continue(w.t, &e);
	VM_OUT(w.vm, 0, 0x14, CR4_NEW);
	world_close(&w);
}

/* The event without a register, and a register without the event */
static void test_cr_needs_both(enum dialect d)
{
	for (unsigned i = 0; i < 2; i++) {
		struct world w = WORLD(d, 1, LONG, crs);

		if (i)
			event_on(w.t, 0, KVMI_EVENT_CR);
		else
			CHECK_EQ(cmd_control_cr(w.t, 0, 3, true), 0);
		vm_begin(w.vm);
		VM_OUT(w.vm, 0, 0x13, VM_TABLES | 8);
		tool_quiet(w.t);
		world_close(&w);
	}
}

/* Any other answer than CONTINUE: the write fails. */
static void test_cr_refused(enum dialect d)
{
	struct world w = crs(d);
	u64 rip;
	struct event e;

	e = tool_event(w.t, KVMI_EVENT_CR);
	tool_answer_value(w.t, &e, KVMI_EVENT_ACTION_RETRY, e.value);
	CHECK_EQ(vm_vector(w.vm, 0, 13, &rip), 0);
	CHECK_EQ(rip, AT_LABEL(0, crs, cr3));
	world_close(&w);
}

/* What the register cannot hold is #GP also if the tool says it. */
static void test_cr_invalid(enum dialect d)
{
	struct world w = crs(d);
	u64 rip;
	struct event e;

	e = tool_event(w.t, KVMI_EVENT_CR);
	tool_answer_value(w.t, &e, KVMI_EVENT_ACTION_CONTINUE, BIT64(62));
	CHECK_EQ(vm_vector(w.vm, 0, 13, &rip), 0);
	CHECK_EQ(rip, AT_LABEL(0, crs, cr3));
	tool_quiet(w.t);
	world_close(&w);
}

/* CLTS and LMSW come by, too. */
GUEST64(clts, "	movq %cr0, %rax\n"
	      "	orq $8, %rax\n"
	      "	movq %rax, %cr0\n"
	      "	clts\n"
	      "	movw $0x3b, %ax\n"
	      "	lmsw %ax\n"
	      "	movq %cr0, %rax\n"
	      "	outl %eax, $0x10\n"
	      "	hlt\n");

static void test_clts_lmsw(enum dialect d)
{
	static const u64 values[][2] = {
		{CR0_OLD, CR0_OLD | 8}, {CR0_OLD | 8, CR0_OLD}, {CR0_OLD, CR0_OLD | 0xa}};
	struct world w = WORLD(d, 1, LONG, clts);

	CHECK_EQ(cmd_control_cr(w.t, 0, 0, true), 0);
	event_on(w.t, 0, KVMI_EVENT_CR);
	vm_begin(w.vm);
	for (unsigned i = 0; i < 3; i++) {
		const struct event e = tool_event(w.t, KVMI_EVENT_CR);

		CHECK_EQ(e.old, values[i][0]);
		CHECK_EQ(e.value, values[i][1]);
		tool_continue(w.t, &e);
	}
	VM_OUT(w.vm, 0, 0x10, CR0_OLD | 0xa);
	world_close(&w);
}

/* A write that is #GP anyway asks nobody. */
GUEST64(badcr, "	movq %cr4, %rax\n"
	       "	btsq $40, %rax\n"
	       "	movq %rax, %cr4\n"
	       "	hlt\n");

static void test_cr_checked_first(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, badcr);

	CHECK_EQ(cmd_control_cr(w.t, 0, 4, true), 0);
	event_on(w.t, 0, KVMI_EVENT_CR);
	vm_begin(w.vm);
	vm_vector(w.vm, 0, 13, NULL);
	tool_quiet(w.t);
	world_close(&w);
}

/* Each vcpu has masks of its own. */
static void test_cr_per_vcpu(enum dialect d)
{
	struct world w = WORLD(d, 2, LONG, crs);
	struct event e;

	CHECK_EQ(cmd_control_cr(w.t, 1, 3, true), 0);
	event_on(w.t, 0, KVMI_EVENT_CR);
	event_on(w.t, 1, KVMI_EVENT_CR);
	vm_begin(w.vm);
	VM_OUT(w.vm, 0, 0x13, VM_TABLES | 8);
	e = tool_event_of(w.t, KVMI_EVENT_CR, 1);
	tool_continue(w.t, &e);
	VM_OUT(w.vm, 1, 0x13, VM_TABLES | 8);
	tool_quiet(w.t);
	world_close(&w);
}

/* ---- MSRs ---- */

/* Twice the same to SYSENTER_ESP, then to SYSENTER_EIP; a read. */
GUEST64(msrs, "	movl $0x175, %ecx\n"
	      "	movl $0x1234, %eax\n"
	      "	movl $0x5678, %edx\n"
	      "guest_msrs_write:\n"
	      "	wrmsr\n"
	      "	rdmsr\n"
	      "	outl %eax, $0x10\n"
	      "	wrmsr\n"
	      "	movl $0x176, %ecx\n"
	      "	wrmsr\n"
	      "	rdmsr\n"
	      "	outl %eax, $0x11\n"
	      "	hlt\n");
GUEST_LABEL(msrs, write);

static struct world msrs(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, msrs);

	CHECK_EQ(cmd_control_msr(w.t, 0, 0x175, true), 0);
	event_on(w.t, 0, KVMI_EVENT_MSR);
	vm_begin(w.vm);
	return w;
}

static void test_msr(enum dialect d)
{
	struct world w = msrs(d);
	struct event e;

	e = tool_event_of(w.t, KVMI_EVENT_MSR, 0);
	CHECK_EQ(e.index, 0x175);
	CHECK_EQ(e.old, 0);
	CHECK_EQ(e.value, 0x567800001234);
	CHECK_EQ(e.regs.rip, AT_LABEL(0, msrs, write));
	tool_continue(w.t, &e);
	VM_OUT(w.vm, 0, 0x10, 0x1234);
	VM_OUT(w.vm, 0, 0x11, 0x1234);
	CHECK_EQ(vm_ended(w.vm, 0), KVM_EXIT_HLT);
	tool_quiet(w.t);
	world_close(&w);
}

static void test_msr_altered(enum dialect d)
{
	struct world w = msrs(d);
	struct event e;

	e = tool_event(w.t, KVMI_EVENT_MSR);
	tool_answer_value(w.t, &e, KVMI_EVENT_ACTION_CONTINUE, 0x4321);
	VM_OUT(w.vm, 0, 0x10, 0x4321);
	world_close(&w);
}

static void test_msr_blocked(enum dialect d)
{
	struct world w = msrs(d);
	struct event e;

	e = tool_event(w.t, KVMI_EVENT_MSR);
	tool_answer_value(w.t, &e, KVMI_EVENT_ACTION_CONTINUE, e.old);
	VM_OUT(w.vm, 0, 0x10, 0);
	world_close(&w);
}

static void test_msr_refused(enum dialect d)
{
	struct world w = msrs(d);
	struct event e;
	u64 rip;

	e = tool_event(w.t, KVMI_EVENT_MSR);
	tool_answer_value(w.t, &e, KVMI_EVENT_ACTION_RETRY, e.value);
	CHECK_EQ(vm_vector(w.vm, 0, 13, &rip), 0);
	CHECK_EQ(rip, AT_LABEL(0, msrs, write));
	world_close(&w);
}

static void test_msr_disabled(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, msrs);

	CHECK_EQ(cmd_control_msr(w.t, 0, 0x175, true), 0);
	CHECK_EQ(cmd_control_msr(w.t, 0, 0x176, true), 0);
	CHECK_EQ(cmd_control_msr(w.t, 0, 0x175, false), 0);
	CHECK_EQ(cmd_control_msr(w.t, 0, 0x176, false), 0);
	event_on(w.t, 0, KVMI_EVENT_MSR);
	vm_begin(w.vm);
	VM_OUT(w.vm, 0, 0x10, 0x1234);
	VM_OUT(w.vm, 0, 0x11, 0x1234);
	tool_quiet(w.t);
	world_close(&w);
}

/* The second bank of MSRs */
GUEST64(star, "	movl $0xc0000082, %ecx\n"
	      "	movl $0x1000, %eax\n"
	      "	xorl %edx, %edx\n"
	      "	wrmsr\n"
	      "	TELL 0x10, 1\n"
	      "	hlt\n");

static void test_msr_high(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, star);
	struct event e;

	CHECK_EQ(cmd_control_msr(w.t, 0, 0xc0000082, true), 0);
	event_on(w.t, 0, KVMI_EVENT_MSR);
	vm_begin(w.vm);
	e = tool_event(w.t, KVMI_EVENT_MSR);
	CHECK_EQ(e.index, 0xc0000082);
	CHECK_EQ(e.value, 0x1000);
	tool_continue(w.t, &e);
	VM_OUT(w.vm, 0, 0x10, 1);
	world_close(&w);
}

/* ---- XCR0 ---- */

GUEST64(xsetbv, "	xorl %ecx, %ecx\n"
		"	xgetbv\n"
		"	xorl $2, %eax\n"
		"	orl $1, %eax\n"
		"guest_xsetbv_first:\n"
		"	xsetbv\n"
		"	xsetbv\n"
		"	xgetbv\n"
		"	outl %eax, $0x10\n"
		"	hlt\n");
GUEST_LABEL(xsetbv, first);

/* A change is told, a write of what is there is not. */
static void test_xsetbv(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, xsetbv);
	struct event e;

	event_on(w.t, 0, KVMI_EVENT_XSETBV);
	vm_begin(w.vm);
	e = tool_event_of(w.t, KVMI_EVENT_XSETBV, 0);
	CHECK_EQ(e.regs.rip, AT_LABEL(0, xsetbv, first));
	CHECK_EQ(e.regs.rcx, 0);
	tool_continue(w.t, &e);
	VM_OUT(w.vm, 0, 0x10, (u32)e.regs.rax);
	tool_quiet(w.t);
	world_close(&w);
}

static void test_xsetbv_off(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, xsetbv);

	vm_begin(w.vm);
	vm_out(w.vm, 0, 0x10);
	tool_quiet(w.t);
	world_close(&w);
}

const struct test register_tests[] = {
	TEST(test_cr, BOTH),
	TEST(test_cr_altered, BOTH),
	TEST(test_cr_disabled, BOTH),
	TEST(test_cr_needs_both, BOTH),
	TEST(test_cr_refused, BOTH),
	TEST(test_cr_invalid, BOTH),
	TEST(test_clts_lmsw, BOTH),
	TEST(test_cr_checked_first, BOTH),
	TEST(test_cr_per_vcpu, BOTH),
	TEST(test_msr, BOTH),
	TEST(test_msr_altered, BOTH),
	TEST(test_msr_blocked, BOTH),
	TEST(test_msr_refused, BOTH),
	TEST(test_msr_disabled, BOTH),
	TEST(test_msr_high, BOTH),
	TEST(test_xsetbv, BOTH),
	TEST(test_xsetbv_off, BOTH),
	{0},
};
