/* SPDX-License-Identifier: MIT */
/*
 * Where rip is when an OUT leaves, and what becomes of the OUT then. KVM on VMX and SVM leaves with rip on it (Linux 5.1
 * and later); a kernel that emulates the instruction is past it, so the kernel's is only asked what holds for both.
 */
#include "tests/abi/port.h"

#include <errno.h>
#include <string.h>

#define OUT  (RAM_GPA + 3)
#define NEXT (RAM_GPA + 5)

#define PORT    0x10
#define FL_TF   0x100u
#define FL_IF   0x200u
#define HANDLER 0x3000
#define STACK   0x8000

static u64 rip_of(const struct guest *g)
{
	return regs_of(g).rip;
}

static void set_regs(const struct guest *g, const struct kvm_regs *r)
{
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_REGS, r), 0);
}

static struct kvm_vcpu_events events_of(const struct guest *g)
{
	struct kvm_vcpu_events e = {0};

	assert_int_equal(kvm_p(g->vcpu, KVM_GET_VCPU_EVENTS, &e), 0);
	return e;
}

/* 0:HANDLER for a vector, which says its own number; the table lies where there is memory. */
static void set_handler(struct guest *g, u8 vector)
{
	const u16 entry[2] = {HANDLER, 0};
	const u8 code[] = {0xe6, vector, 0xcf}; /* out; iret */
	struct kvm_sregs s;

	assert_int_equal(kvm_p(g->vcpu, KVM_GET_SREGS, &s), 0);
	s.idt.base = 0x2000;
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_SREGS, &s), 0);
	memcpy(g->ram + 0x2000 - RAM_GPA + vector * 4u, entry, sizeof(entry));
	memcpy(g->ram + HANDLER - RAM_GPA, code, sizeof(code));
}

/* What the handler returns to, once it has left by its own OUT. */
static u16 return_of(const struct guest *g)
{
	u16 ip;

	memcpy(&ip, g->ram + regs_of(g).rsp - RAM_GPA, sizeof(ip));
	return ip;
}

/* At the exit of the OUT, with bx 0 and flags. */
static void open_at_out(struct guest *g, u64 flags)
{
	struct kvm_regs r;

	guest_open(g);
	GUEST_CODE(g, 0xbb, 0, 0, 0xe6, PORT, 0x43, 0xf4); /* mov $0, %bx; out; inc %bx; hlt */
	r = regs_of(g);
	r.rflags |= flags;
	r.rsp = STACK;
	set_regs(g, &r);
	run_to(g, KVM_EXIT_IO);
	assert_int_equal(g->run->io.port, PORT);
	if (!port.real)
		assert_int_equal(rip_of(g), OUT);
}

static void expect_end(struct guest *g)
{
	run_to(g, KVM_EXIT_HLT);
	assert_int_equal(regs_of(g).rbx, 1);
	guest_close(g);
}

static void test_goes_on(void **state)
{
	struct guest g;

	open_at_out(&g, 0);
	expect_end(&g);
}

/* Other registers may be changed there. */
static void test_registers(void **state)
{
	struct kvm_regs r;
	struct guest g;

	open_at_out(&g, 0);
	r = regs_of(&g);
	r.rdi = 5;
	set_regs(&g, &r);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(regs_of(&g).rdi, 5);
	assert_int_equal(regs_of(&g).rbx, 1);
	guest_close(&g);
}

/* Who moves rip ends the OUT: nothing is skipped, neither behind it nor somewhere else. */
static void test_moved(void **state)
{
	struct kvm_regs r;
	struct kvm_sregs s;
	struct guest g;

	open_at_out(&g, 0);
	r = regs_of(&g);
	r.rip = NEXT;
	set_regs(&g, &r);
	expect_end(&g);

	open_at_out(&g, 0);
	GUEST_CODE(&g, 0xbb, 7, 0, 0xf4); /* rip 0x1000 */
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(regs_of(&g).rbx, 7);
	guest_close(&g);

	/* It is the linear address that counts (kernels: only where rip is on the OUT). */
	open_at_out(&g, 0);
	if (!port.real) {
		assert_int_equal(kvm_p(g.vcpu, KVM_GET_SREGS, &s), 0);
		s.cs.base = 0x100;
		s.cs.selector = 0x10;
		assert_int_equal(kvm_p(g.vcpu, KVM_SET_SREGS, &s), 0);
		memcpy(g.ram + 0x100, g.ram, 16);
		run_to(&g, KVM_EXIT_IO); /* another OUT */
		r = regs_of(&g);
		r.rip += 0x100;
		set_regs(&g, &r);
		s.cs.base = s.cs.selector = 0;
		assert_int_equal(kvm_p(g.vcpu, KVM_SET_SREGS, &s), 0); /* the same place */
	}
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(regs_of(&g).rbx, 1);
	guest_close(&g);
}

/* A state that is taken there and put into another vm does the OUT again, with rip on it; with rip behind it, not. */
static void test_taken_elsewhere(void **state)
{
	struct guest from, to;
	struct kvm_regs r;

	open_at_out(&from, 0);
	r = regs_of(&from);
	guest_open(&to);
	GUEST_CODE(&to, 0xbb, 0, 0, 0xe6, PORT, 0x43, 0xf4);
	set_regs(&to, &r);
	if (r.rip == OUT) {
		run_to(&to, KVM_EXIT_IO);
		assert_int_equal(to.run->io.port, PORT);
	}
	expect_end(&to);
	expect_end(&from);
}

static void test_immediate_exit(void **state)
{
	struct guest g;

	open_at_out(&g, 0);
	g.run->immediate_exit = 1;
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EINTR);
	assert_int_equal(rip_of(&g), NEXT);
	g.run->immediate_exit = 0;
	expect_end(&g);
}

static void test_synchronised_registers(void **state)
{
	struct guest g;

	open_at_out(&g, 0);
	g.run->kvm_valid_regs = KVM_SYNC_X86_REGS;
	g.run->s.regs.regs = regs_of(&g);
	g.run->s.regs.regs.rdi = 9;
	g.run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(g.run->s.regs.regs.rbx, 1);
	assert_int_equal(g.run->s.regs.regs.rdi, 9);
	guest_close(&g);
}

static void test_port_7e(void **state)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_DISABLE_QUIRKS2, .args = {KVM_X86_QUIRK_OUT_7E_INC_RIP}};
	struct guest g;

	for (int quirk = 1; quirk >= 0; quirk--) {
		guest_open(&g);
		if (!quirk)
			assert_int_equal(kvm_p(g.vm, KVM_ENABLE_CAP, &cap), 0);
		GUEST_CODE(&g, 0xbb, 0, 0, 0xe6, 0x7e, 0x43, 0xf4);
		run_to(&g, KVM_EXIT_IO);
		if (quirk || !port.real)
			assert_int_equal(rip_of(&g), quirk ? NEXT : OUT);
		expect_end(&g);
	}
}

/* ---- events at that point: the OUT is over before they come ---- */

static void test_interrupt(void **state)
{
	struct kvm_interrupt irq = {.irq = 0x20};
	struct guest g;

	open_at_out(&g, FL_IF);
	set_handler(&g, 0x20);
	assert_int_equal(kvm_p(g.vcpu, KVM_INTERRUPT, &irq), 0);
	run_to(&g, KVM_EXIT_IO);
	assert_int_equal(g.run->io.port, 0x20);
	assert_int_equal(return_of(&g), NEXT);
	expect_end(&g);
}

static void test_set_events(void **state)
{
	struct kvm_vcpu_events e;
	struct guest g;

	open_at_out(&g, 0);
	set_handler(&g, 0x30);
	e = events_of(&g);
	e.interrupt.injected = 1;
	e.interrupt.nr = 0x30;
	e.interrupt.soft = 0;
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_VCPU_EVENTS, &e), 0);
	set_regs(&g, &(struct kvm_regs){.rip = rip_of(&g), .rflags = 2 | FL_IF, .rsp = STACK});
	run_to(&g, KVM_EXIT_IO);
	assert_int_equal(g.run->io.port, 0x30);
	assert_int_equal(return_of(&g), NEXT);
	expect_end(&g);
}

/* STI holds interrupts off until the OUT is over. */
static void test_shadow(void **state)
{
	struct kvm_interrupt irq = {.irq = 0x20};
	struct guest g;

	guest_open(&g);
	set_handler(&g, 0x20);
	GUEST_CODE(&g, 0xbc, 0x00, 0x80, 0xfb, 0xe6, PORT, 0x43, 0xf4); /* sti; out; inc; hlt */
	run_to(&g, KVM_EXIT_IO);
	if (!port.real) { /* a kernel that emulates the OUT is past it */
		assert_int_equal(events_of(&g).interrupt.shadow, KVM_X86_SHADOW_INT_STI);
		assert_int_equal(g.run->ready_for_interrupt_injection, 0);
	}
	assert_int_equal(kvm_p(g.vcpu, KVM_INTERRUPT, &irq), 0);
	run_to(&g, KVM_EXIT_IO);
	assert_int_equal(g.run->io.port, 0x20);
	assert_int_equal(return_of(&g), RAM_GPA + 6);
	guest_close(&g);
}

/* ---- traps: by TF as it is when the OUT ends ---- */

static void test_trap(void **state)
{
	struct kvm_regs r;
	struct guest g;

	for (int set = 0; set < 2 && !port.real; set++) {
		open_at_out(&g, 0);
		set_handler(&g, 1);
		r = regs_of(&g);
		r.rflags = set ? r.rflags | FL_TF : r.rflags & ~(u64)FL_TF;
		set_regs(&g, &r);
		if (set) {
			run_to(&g, KVM_EXIT_IO);
			assert_int_equal(g.run->io.port, 1);
			assert_int_equal(return_of(&g), NEXT);
			guest_close(&g);
			continue;
		}
		expect_end(&g);
	}
}

/* The trap is among the events where nothing has run since: a snapshot keeps it. */
static void test_trap_waits(void **state)
{
	struct kvm_regs r;
	struct guest g;

	if (port.real)
		return;
	open_at_out(&g, 0);
	set_handler(&g, 1);
	r = regs_of(&g);
	r.rflags |= FL_TF;
	set_regs(&g, &r);
	g.run->immediate_exit = 1;
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EINTR);
	assert_int_equal(rip_of(&g), NEXT);
	assert_true(events_of(&g).exception.injected);
	assert_int_equal(events_of(&g).exception.nr, 1);
	g.run->immediate_exit = 0;
	run_to(&g, KVM_EXIT_IO);
	assert_int_equal(g.run->io.port, 1);
	guest_close(&g);
}

/* With a debugger that steps, the step after the OUT is told, whoever wanted out in between. */
static void test_debugger(void **state)
{
	struct kvm_guest_debug d = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP};
	struct guest g;

	open_at_out(&g, 0);
	if (!port.real) {
		assert_int_equal(kvm_p(g.vcpu, KVM_SET_GUEST_DEBUG, &d), 0);
		run_to(&g, KVM_EXIT_DEBUG);
		assert_int_equal(g.run->debug.arch.pc, NEXT);
		d.control = 0;
		assert_int_equal(kvm_p(g.vcpu, KVM_SET_GUEST_DEBUG, &d), 0);
	}
	expect_end(&g);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_goes_on),
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_moved),
		cmocka_unit_test(test_taken_elsewhere),
		cmocka_unit_test(test_immediate_exit),
		cmocka_unit_test(test_synchronised_registers),
		cmocka_unit_test(test_port_7e),
		cmocka_unit_test(test_interrupt),
		cmocka_unit_test(test_set_events),
		cmocka_unit_test(test_shadow),
		cmocka_unit_test(test_trap),
		cmocka_unit_test(test_trap_waits),
		cmocka_unit_test(test_debugger),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
