/* SPDX-License-Identifier: MIT */
/* KVM_TPR_ACCESS_REPORTING and KVM_SET_VAPIC_ADDR: the VMM's part in making TPR accesses cheap. */
#include "tests/abi/port.h"

#include <errno.h>
#include <string.h>

#define VAPIC_AT 0x4000
#define TPR      0x80

static long report(struct guest *g, u32 enabled, u32 flags)
{
	struct kvm_tpr_access_ctl t = {.enabled = enabled, .flags = flags};

	return kvm_p(g->vcpu, KVM_TPR_ACCESS_REPORTING, &t);
}

/* DS reaches the local APIC. */
static void ds_at_apic(struct guest *g)
{
	struct kvm_sregs s;

	assert_int_equal(kvm_p(g->vcpu, KVM_GET_SREGS, &s), 0);
	s.ds.base = 0xfee00000;
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_SREGS, &s), 0);
}

/* Told after the access, with the address of the instruction; then the guest goes on behind it. */
static void test_reporting(void **state)
{
	struct guest g;
	struct kvm_regs r;

	guest_open_irqchip(&g);
	assert_int_equal(report(&g, 1, 1), -EINVAL);
	assert_int_equal(report(&g, 1, 0), 0);
	if (port.real) {
		guest_close(&g);
		return;
	}
	GUEST_CODE(&g, 0x90, 0x66, 0xa3, 0x80, 0x00, /* mov %eax, 0x80 */
		0x66, 0x8b, 0x1e, 0x80, 0x00,        /* mov 0x80, %ebx */
		0xe6, 0x10,                          /* out %al, $0x10 */
		0x66, 0xa3, 0x80, 0x00, 0xe6, 0x11); /* the first again, out %al, $0x11 */
	ds_at_apic(&g);
	r = regs_of(&g);
	r.rax = 0x30;
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_REGS, &r), 0);
	run_to(&g, KVM_EXIT_TPR_ACCESS);
	assert_int_equal(g.run->tpr_access.rip, RAM_GPA + 1);
	assert_int_equal(g.run->tpr_access.is_write, 1);
	assert_int_equal(lapic_of(g.vcpu, TPR), 0x30);
	assert_int_equal(regs_of(&g).rip, RAM_GPA + 5);
	run_to(&g, KVM_EXIT_TPR_ACCESS);
	assert_int_equal(g.run->tpr_access.rip, RAM_GPA + 5);
	assert_int_equal(g.run->tpr_access.is_write, 0);
	assert_int_equal(regs_of(&g).rbx, 0x30);
	assert_int_equal(regs_of(&g).rip, RAM_GPA + 10);
	run_to(&g, KVM_EXIT_IO);
	assert_int_equal(report(&g, 0, 0), 0);
	run_to(&g, KVM_EXIT_IO);
	assert_int_equal(g.run->io.port, 0x11);
	guest_close(&g);
}

static long set_vapic(struct guest *g, u64 gpa)
{
	struct kvm_vapic_addr a = {.vapic_addr = gpa};

	return kvm_p(g->vcpu, KVM_SET_VAPIC_ADDR, &a);
}

static void set_tpr(struct guest *g, u8 tpr)
{
	struct kvm_lapic_state l;

	assert_int_equal(kvm_p(g->vcpu, KVM_GET_LAPIC, &l), 0);
	l.regs[0x80] = (char)tpr;
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_LAPIC, &l), 0);
}

static void test_vapic(void **state)
{
	struct guest g;

	guest_open(&g);
	assert_int_equal(set_vapic(&g, RAM_GPA), -EINVAL); /* no local APIC */
	guest_close(&g);
	guest_open_irqchip(&g);
	assert_int_equal(set_vapic(&g, 0x80000000), -EINVAL);
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_VAPIC_ADDR, (void *)BAD_POINTER), -EFAULT);
	assert_int_equal(set_vapic(&g, RAM_GPA + VAPIC_AT), 0);
	if (!port.real) {
		/* movb $0x20, the word; out */
		GUEST_CODE(&g, 0xe6, 0x10, 0xc6, 0x06, 0x00, 0x50, 0x20, 0xe6, 0x11);
		set_tpr(&g, 0x40);
		run_to(&g, KVM_EXIT_IO);
		assert_int_equal(g.ram[VAPIC_AT], 0x40);
		run_to(&g, KVM_EXIT_IO);
		assert_int_equal(lapic_of(g.vcpu, TPR), 0x20);
		assert_int_equal(g.run->cr8, 2);
	}
	assert_int_equal(set_vapic(&g, 0), 0);
	guest_close(&g);
}

/* An impossible cr8 is left out, the rest of the registers is taken. */
static void test_cr8_too_large(void **state)
{
	struct kvm_sregs sregs;
	struct guest g;

	guest_open(&g);
	assert_int_equal(kvm_p(g.vcpu, KVM_GET_SREGS, &sregs), 0);
	sregs.cr8 = 5;
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_SREGS, &sregs), 0);
	sregs.cr8 = 16;
	sregs.cr2 = 0x1234;
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(kvm_p(g.vcpu, KVM_GET_SREGS, &sregs), 0);
	assert_int_equal(sregs.cr8, 5);
	assert_int_equal(sregs.cr2, 0x1234);
	guest_close(&g);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reporting),
		cmocka_unit_test(test_vapic),
		cmocka_unit_test(test_cr8_too_large),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
