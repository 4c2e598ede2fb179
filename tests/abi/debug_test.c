/* SPDX-License-Identifier: MIT */
/* Guest debugging and events beyond what run_test.c has: interrupts held off, DR7.GD, triple fault. */
#include <errno.h>
#include <string.h>

#include "port.h"

#define IS(fd, req, p, want)   assert_int_equal(kvm_p(fd, req, p), want)
#define IS_N(fd, req, n, want) assert_int_equal(kvm(fd, req, n), want)

#define DR7_GD (1u << 13)
#define DR6_BD (1u << 13)

/* Ours only: kernels that emulate real mode in software (kvm_pvm, old VMX) do not look at DR7 there. */
static void test_general_detect(void **state)
{
	struct kvm_guest_debug d = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
		.arch.debugreg = {[7] = 0x400 | DR7_GD}};
	struct guest g;

	if (port.real)
		skip();
	guest_open(&g);
	GUEST_CODE(&g, 0x90, 0x0f, 0x21, 0xc0, 0xf4); /* nop; mov %dr0, %eax; hlt */
	IS(g.vcpu, KVM_SET_GUEST_DEBUG, &d, 0);
	run_to(&g, KVM_EXIT_DEBUG);
	assert_int_equal(g.run->debug.arch.exception, 1);
	assert_int_equal(g.run->debug.arch.pc, RAM_GPA + 1);
	assert_int_equal(g.run->debug.arch.dr6, 0xffff0ff0 | DR6_BD);
	d.control = 0;
	IS(g.vcpu, KVM_SET_GUEST_DEBUG, &d, 0);
	run_to(&g, KVM_EXIT_HLT);
	guest_close(&g);
}

/* An NMI waits while the debugger steps, and comes when it does not want to block any more. */
static void test_block_irq(void **state)
{
	struct kvm_guest_debug d = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ};
	struct guest g;
	u64 next;

	guest_open(&g);
	if (!(kvm(g.sys, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG2) & KVM_GUESTDBG_BLOCKIRQ)) {
		guest_close(&g);
		skip();
	}
	GUEST_CODE(&g, 0x90, 0x90, 0x90, 0xf4);
	IS_N(g.vcpu, KVM_NMI, 0, 0);
	IS(g.vcpu, KVM_SET_GUEST_DEBUG, &d, 0);
	for (next = RAM_GPA + 1; next < RAM_GPA + 4; next++) {
		run_to(&g, KVM_EXIT_DEBUG);
		assert_int_equal(g.run->debug.arch.pc, next);
	}
	guest_close(&g);
}

static void test_triple_fault_event(void **state)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_X86_TRIPLE_FAULT_EVENT, .args = {1}};
	struct kvm_vcpu_events e;
	struct guest g;

	guest_open(&g);
	if (kvm(g.sys, KVM_CHECK_EXTENSION, KVM_CAP_X86_TRIPLE_FAULT_EVENT) < 1) {
		guest_close(&g);
		skip();
	}
	GUEST_CODE(&g, 0x90, 0xf4);
	IS(g.vcpu, KVM_GET_VCPU_EVENTS, &e, 0);
	assert_false(e.flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
	e.flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	IS(g.vcpu, KVM_SET_VCPU_EVENTS, &e, -EINVAL); /* not enabled */
	IS(g.vm, KVM_ENABLE_CAP, &cap, 0);
	IS(g.vcpu, KVM_GET_VCPU_EVENTS, &e, 0);
	assert_true(e.flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
	assert_int_equal(e.triple_fault.pending, 0);
	e.triple_fault.pending = 1;
	IS(g.vcpu, KVM_SET_VCPU_EVENTS, &e, 0);
	IS(g.vcpu, KVM_GET_VCPU_EVENTS, &e, 0);
	assert_int_equal(e.triple_fault.pending, 1);
	run_to(&g, KVM_EXIT_SHUTDOWN);
	IS(g.vcpu, KVM_GET_VCPU_EVENTS, &e, 0);
	assert_int_equal(e.triple_fault.pending, 0);
	guest_close(&g);
}

/* What needs hardware that there is not is not offered. */
static void test_honest(void **state)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_X86_NOTIFY_VMEXIT, .args = {1}};
	struct guest g;

	guest_open(&g);
	if (!kvm(g.sys, KVM_CHECK_EXTENSION, cap.cap))
		IS(g.vm, KVM_ENABLE_CAP, &cap, -EINVAL);
	guest_close(&g);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_general_detect),
		cmocka_unit_test(test_block_irq),
		cmocka_unit_test(test_triple_fault_event),
		cmocka_unit_test(test_honest),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
