/* SPDX-License-Identifier: MIT */
/* GET_REGISTERS, SET_REGISTERS, and what each event says of its vcpu. */
#include <string.h>

#include "tests/kvmi/groups.h"
#include "tests/kvmi/world.h"

GUEST_COUNT;
/* INT3 stops it where registers are known; then it tells RBX. */
GUEST64(stop, "	movabsq $0x1122334455667788, %rbx\n"
	      "	movabsq $0x8877665544332211, %r15\n"
	      "	int3\n"
	      "	movl %ebx, %eax\n"
	      "	outl %eax, $0x10\n"
	      "	hlt\n"
	      "guest_stop_other:\n"
	      "	TELL 0x11, 0x77\n"
	      "	movl %ebx, %eax\n"
	      "	outl %eax, $0x11\n"
	      "	hlt\n");
GUEST_LABEL(stop, other);
GUEST16(spin16, "1:	jmp 1b\n");
GUEST32(spin32, "1:	jmp 1b\n");
GUEST64(spin64, "1:	jmp 1b\n");
/* For BP events: RIP behind INT3. */
#define INT3_BYTES 1

static struct world stopped(enum dialect d, struct event *ret)
{
	struct world w = WORLD(d, 1, LONG, stop);

	event_on(w.t, 0, KVMI_EVENT_BREAKPOINT);
	vm_begin(w.vm);
	*ret = tool_event(w.t, KVMI_EVENT_BREAKPOINT);
	return w;
}

static void go_on(struct world *w, const struct event *e, struct kvm_regs r)
{
	r.rip = e->regs.rip + INT3_BYTES;
	CHECK_EQ(cmd_set_registers(w->t, 0, &r), 0);
	tool_retry(w->t, e);
}

/* ---- modes ---- */

static void mode_is(enum dialect d, enum mode mode, const u8 *code, const u8 *end, u8 want)
{
	struct world w = world_open(d, 1, 0, mode, code, end);
	struct regs_reply r;
	struct event e;

	vm_begin(w.vm);
	CHECK_EQ(cmd_get_registers(w.t, 0, NULL, 0, &r), 0);
	CHECK_EQ(r.mode, want);
	e = pause_cpu(w.t, 0);
	CHECK_EQ(e.mode, want);
	tool_continue(w.t, &e);
	world_close(&w);
}

static void test_mode(enum dialect d)
{
	mode_is(d, REAL, guest_spin16, guest_spin16_end, 2);
	mode_is(d, PROT16, guest_spin16, guest_spin16_end, 2);
	mode_is(d, PROT32, guest_spin32, guest_spin32_end, 4);
	mode_is(d, COMPAT, guest_spin32, guest_spin32_end, 4);
	mode_is(d, LONG, guest_spin64, guest_spin64_end, 8);
	mode_is(d, USER, guest_spin64, guest_spin64_end, 8);
}

/* ---- what is read ---- */

/* The rest of struct kvm_segment is in the same place. */
static void same_sregs(const struct kvm_sregs *a, const struct kvm_sregs *b)
{
	CHECK(!memcmp(&a->cs, &b->cs, sizeof(a->cs)));
	CHECK(!memcmp(&a->ss, &b->ss, sizeof(a->ss)));
	CHECK(!memcmp(&a->tr, &b->tr, sizeof(a->tr)));
	CHECK(!memcmp(&a->ldt, &b->ldt, sizeof(a->ldt)));
	CHECK_EQ(a->gdt.base, b->gdt.base);
	CHECK_EQ(a->gdt.limit, b->gdt.limit);
	CHECK_EQ(a->idt.base, b->idt.base);
	CHECK_EQ(a->cr0, b->cr0);
	CHECK_EQ(a->cr3, b->cr3);
	CHECK_EQ(a->cr4, b->cr4);
	CHECK_EQ(a->cr8, b->cr8);
	CHECK_EQ(a->efer, b->efer);
	CHECK_EQ(a->apic_base, b->apic_base);
}

static void set_msr(struct vm *vm, u32 index, u64 value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} m = {.head.nmsrs = 1, .entry = {.index = index, .data = value}};

	CHECK_EQ(kvm_p(vm, vm->cpu[0].fd, KVM_SET_MSRS, &m), 1);
}

static const u32 state_msrs[] = {
	0x174, 0x175, 0x176, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083, 0x277, 0xc0000102};
static const u64 state_values[] = {0x10, 0x1111111111, 0x2222222222, 0xd01, 0x23001000000000,
	0x333333, 0x444444, 0x0007040600070406, 0x555555};

/* The same in GET_REGISTERS, in an event, and in KVM. */
static void test_state(enum dialect d)
{
	struct world w = {.d = d, .vm = vm_open(1, 0)};
	struct kvm_sregs s;
	struct regs_reply r;
	struct event e;

	VM_GUEST(w.vm, 0, LONG, stop);
	for (unsigned i = 0; i < ARRAY_SIZE(state_msrs); i++)
		set_msr(w.vm, state_msrs[i], state_values[i]);
	s = vm_sregs(w.vm, 0);
	w.t = tool_open(w.vm, d);
	vm_go(w.vm);
	event_on(w.t, 0, KVMI_EVENT_BREAKPOINT);
	vm_begin(w.vm);
	e = tool_event(w.t, KVMI_EVENT_BREAKPOINT);
	CHECK_EQ(e.regs.rbx, 0x1122334455667788);
	CHECK_EQ(e.regs.r15, 0x8877665544332211);
	CHECK_EQ(e.regs.rsp, VM_STACK + 0x1000);
	CHECK_EQ(e.vcpu, 0);
	same_sregs(&e.sregs, &s);
	CHECK_EQ(cmd_get_registers(w.t, 0, state_msrs, ARRAY_SIZE(state_msrs), &r), 0);
	CHECK(!memcmp(&r.regs, &e.regs, sizeof(r.regs)));
	same_sregs(&r.sregs, &s);
	for (unsigned i = 0; i < ARRAY_SIZE(state_msrs); i++) {
		CHECK_EQ(r.msr[i], state_values[i]);
		CHECK_EQ(e.msrs[i], state_values[i]);
	}
	go_on(&w, &e, e.regs);
	VM_OUT(w.vm, 0, 0x10, 0x55667788);
	world_close(&w);
}

static void test_many_msrs(enum dialect d)
{
	static const u32 bad[] = {0x174, 0x175, 0xdead, 0x176};
	struct world w = WORLD(d, 1, LONG, count);
	static u32 same[32];
	struct regs_reply r;

	for (unsigned i = 0; i < 32; i++)
		same[i] = i % 2 ? 0xc0000080 : 0x10;
	CHECK_EQ(cmd_get_registers(w.t, 0, same, 0, &r), 0);
	CHECK_EQ(cmd_get_registers(w.t, 0, same, 1, &r), 0);
	CHECK_EQ(cmd_get_registers(w.t, 0, same, 32, &r), 0);
	for (unsigned i = 1; i < 32; i += 2)
		CHECK_EQ(r.msr[i], 0xd01);
	CHECK_EQ(cmd_get_registers(w.t, 0, bad, 4, &r), -KVM_EINVAL);
	CHECK_EQ(cmd_get_registers(w.t, 0, bad, 2, &r), 0);
	world_close(&w);
}

/* As many as fit; the reply would be larger than a message can be. */
static void test_too_many_msrs(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	static u8 request[65535];
	const u16 n = 16000;

	put_u16(request + 2, n);
	for (unsigned i = 0; i < n; i++)
		put_u32(request + 8 + 4 * i, 0x174);
	tool_send(w.t, KVMI_GET_REGISTERS, request, 8 + 4 * n);
	if (tool_receive(w.t)) {
		CHECK_EQ(w.t->msg.id, KVMI_GET_REGISTERS);
		CHECK_EQ(w.t->msg.size, 8);
		CHECK((s32)get_u32(w.t->msg.data) == -KVM_EINVAL ||
			(s32)get_u32(w.t->msg.data) == -KVM_ENOMEM ||
			(s32)get_u32(w.t->msg.data) == -KVM_E2BIG);
	}
	world_close(&w);
}

/* A vcpu that halts is asked, too. */
GUEST64(halt, "	movabsq $0x1122334455667788, %rbx\n"
	      "	movq $1, DATA\n"
	      "1:	hlt\n"
	      "	lock incq DATA\n"
	      "	jmp 1b\n");

static void test_halted(enum dialect d)
{
	struct world w = world_open(d, 1, VM_IRQCHIP, LONG, guest_halt, guest_halt_end);
	struct regs_reply r;

	vm_begin(w.vm);
	vm_wait64(w.vm, VM_DATA, 1);
	for (unsigned i = 0; i < 10; i++) {
		CHECK_EQ(cmd_get_registers(w.t, 0, NULL, 0, &r), 0);
		CHECK_EQ(r.regs.rbx, 0x1122334455667788);
	}
	CHECK_EQ(vm_read64(w.vm, VM_DATA), 1);
	world_close(&w);
}

/* ---- what is written ---- */

static void test_set_in_event(enum dialect d)
{
	struct kvm_regs r;
	struct regs_reply now;
	struct event e;
	struct world w = stopped(d, &e);

	r = e.regs;
	r.rbx = 0x1234;
	r.rip = 0x666;
	CHECK_EQ(cmd_set_registers(w.t, 0, &r), 0);
	/* It waits for the answer, and the last one wins. */
	CHECK_EQ(cmd_get_registers(w.t, 0, NULL, 0, &now), 0);
	CHECK(!memcmp(&now.regs, &e.regs, sizeof(r)));
	r.rbx = 0xabcd;
	r.rip = AT_LABEL(0, stop, other);
	r.rflags = 0x8d7;
	CHECK_EQ(cmd_set_registers(w.t, 0, &r), 0);
	tool_retry(w.t, &e);
	VM_OUT(w.vm, 0, 0x11, 0x77);
	VM_OUT(w.vm, 0, 0x11, 0xabcd);
	CHECK_EQ(vm_ended(w.vm, 0), KVM_EXIT_HLT);
	CHECK_EQ(vm_regs(w.vm, 0).rflags, 0x8d7);
	world_close(&w);
}

static void test_set_in_pause(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, stop);
	struct kvm_regs r;
	struct event e;

	e = pause_cpu(w.t, 0);
	r = e.regs;
	r.rbx = 0x4321;
	r.rip = AT_LABEL(0, stop, other);
	CHECK_EQ(cmd_set_registers(w.t, 0, &r), 0);
	tool_continue(w.t, &e);
	VM_OUT(w.vm, 0, 0x11, 0x77);
	VM_OUT(w.vm, 0, 0x11, 0x4321);
	world_close(&w);
}

/* Outside of an event it has no effect; V6 says so. */
static void test_set_outside(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	struct kvm_regs r = {.rip = 0x666, .rflags = 2};
	struct regs_reply now;

	vm_begin(w.vm);
	CHECK_EQ(cmd_set_registers(w.t, 0, &r), d == V5 ? 0 : -KVM_EOPNOTSUPP);
	CHECK_EQ(cmd_get_registers(w.t, 0, NULL, 0, &now), 0);
	CHECK(now.regs.rip != 0x666);
	vm_moves(w.vm, VM_DATA);
	vm_moves(w.vm, VM_DATA);
	world_close(&w);
}

/* What was set before the answer is set, even if the answer itself is worth nothing. */
static void test_set_with_bad_answer(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, stop);
	struct kvm_regs r;
	struct event e, as_cr;
	u8 bytes[64];

	e = pause_cpu(w.t, 0);
	r = e.regs;
	r.rbx = 0x99;
	r.rip = AT_LABEL(0, stop, other);
	CHECK_EQ(cmd_set_registers(w.t, 0, &r), 0);
	as_cr = e;
	as_cr.id = KVMI_EVENT_CR;
	tool_send_answer(w.t, e.seq, bytes, tool_answer_bytes(d, &as_cr, 0, bytes));
	VM_OUT(w.vm, 0, 0x11, 0x77);
	VM_OUT(w.vm, 0, 0x11, 0x99);
	tool_quiet(w.t);
	world_close(&w);
}

GUEST64(cr3_again, "1:	movq %cr3, %rax\n"
		   "	xorq $8, %rax\n"
		   "	movq %rax, %cr3\n"
		   "	jmp 1b\n");

/* The answer, and right behind it a command: it finds what was set. */
static void get_behind(struct tool *t, const struct event *e, u64 rbx)
{
	struct kvm_regs r = e->regs;
	struct regs_reply now;

	r.rbx = rbx;
	CHECK_EQ(cmd_set_registers(t, 0, &r), 0);
	tool_continue(t, e);
	CHECK_EQ(cmd_get_registers(t, 0, NULL, 0, &now), 0);
	CHECK_EQ(now.regs.rbx, rbx);
}

static void test_set_then_get(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, cr3_again);
	struct event e;
	u64 last = 0;

	vm_begin(w.vm);
	for (unsigned i = 0; i < 300; i++) {
		e = pause_cpu(w.t, 0);
		get_behind(w.t, &e, 0x1000 + i);
	}
	event_on(w.t, 0, KVMI_V6_EVENT_CR);
	CHECK_EQ(cmd_control_cr(w.t, 0, 3, true), 0);
	for (unsigned i = 0; i < 300; i++) {
		e = tool_event(w.t, KVMI_EVENT_CR);
		CHECK(e.value != last); /* rip was set to what it was: the instruction goes on */
		last = e.value;
		get_behind(w.t, &e, 0x2000 + i);
	}
	world_close(&w);
}

const struct test regs_tests[] = {
	TEST(test_mode, BOTH),
	TEST(test_state, BOTH),
	TEST(test_many_msrs, BOTH),
	TEST(test_too_many_msrs, V5),
	TEST(test_halted, BOTH),
	TEST(test_set_in_event, BOTH),
	TEST(test_set_in_pause, BOTH),
	TEST(test_set_outside, BOTH),
	TEST(test_set_with_bad_answer, V5),
	TEST(test_set_then_get, BOTH),
	{0},
};
