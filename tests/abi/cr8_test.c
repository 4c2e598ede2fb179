/* SPDX-License-Identifier: MIT */
/*
 * MOV CR8 and the TPR: one register, whether the local APIC is in KVM (SDM 3:10.8.6) or the caller's, who finds it in
 * kvm_run.cr8 and is told by KVM_EXIT_SET_TPR when it falls.
 */
#include "tests/abi/port.h"

#include <errno.h>
#include <string.h>

#define VECTOR  0x55
#define HANDLER 0x1800

#define MOV_EAX(n) 0xb8, n, 0, 0, 0
#define MOV_ECX(n) 0xb9, (n)&0xff, (n) >> 8, 0, 0
#define ZERO_EDX   0x31, 0xd2
#define WRMSR      0x0f, 0x30
#define CR8_EAX    0x44, 0x0f, 0x22, 0xc0 /* mov rax, cr8 */
#define EAX_CR8    0x44, 0x0f, 0x20, 0xc0
#define OUT(port)  0xe6, port
#define NOPS       0x90, 0x90, 0x90, 0x90

static void expect_port(struct guest *g, u16 port)
{
	run_to(g, KVM_EXIT_IO);
	assert_int_equal(g->run->io.port, port);
}

/* out 12h; EOI; iretq */
static void put_handler(struct guest *g)
{
	static const u8 code[] = {
		OUT(0x12), 0x51, MOV_ECX(0x80b), 0x31, 0xc0, ZERO_EDX, WRMSR, 0x59, 0x48, 0xcf};

	memcpy(g->ram + HANDLER - RAM_GPA, code, sizeof(code));
	guest_gate(g, VECTOR, HANDLER);
}

/* A vector waits while the class in CR8 is as high, and comes when it falls, at that very instruction. */
static void test_masks(void **state)
{
	struct guest g;

	guest_open_irqchip(&g);
	GUEST_LONG_CODE(&g, MOV_ECX(0x80f), 0xb8, 0xff, 1, 0, 0, ZERO_EDX, WRMSR, MOV_EAX(6),
		CR8_EAX, OUT(0x10), MOV_ECX(0x83f), MOV_EAX(VECTOR), WRMSR, 0xfb, NOPS, OUT(0x11),
		MOV_EAX(5), CR8_EAX, NOPS, OUT(0x13), MOV_EAX(4), CR8_EAX, OUT(0x14));
	put_handler(&g);
	if (!port.real) {
		expect_port(&g, 0x10);
		assert_int_equal(g.run->cr8, 6);
		assert_int_equal(lapic_of(g.vcpu, 0x80), 0x60);
		assert_int_equal(lapic_of(g.vcpu, 0xa0), 0x60);
		expect_port(&g, 0x11);
		expect_port(&g, 0x13);
		assert_int_equal(lapic_of(g.vcpu, 0x80), 0x50);
		expect_port(&g, 0x12);
		assert_int_equal(lapic_of(g.vcpu, 0x80), 0x40);
		assert_int_equal(lapic_of(g.vcpu, 0xa0), 0x50);
		expect_port(&g, 0x14);
		assert_int_equal(lapic_of(g.vcpu, 0xa0), 0x40);
	}
	guest_close(&g);
}

/* The other way round: what is written to the TPR is read from CR8. */
static void test_reads_tpr(void **state)
{
	struct guest g;

	guest_open_irqchip(&g);
	GUEST_LONG_CODE(&g, MOV_ECX(0x808), MOV_EAX(0x7f), ZERO_EDX, WRMSR, EAX_CR8, OUT(0x10));
	if (!port.real) {
		expect_port(&g, 0x10);
		assert_int_equal(regs_of(&g).rax, 7);
		assert_int_equal(lapic_of(g.vcpu, 0x80), 0x7f);
	}
	guest_close(&g);
}

/* The word that shows the TPR (KVM_SET_VAPIC_ADDR) shows what MOV CR8 has written, and does not take it back. */
static void test_vapic(void **state)
{
	struct kvm_vapic_addr a = {.vapic_addr = RAM_GPA + 0x4000};
	struct guest g;

	guest_open_irqchip(&g);
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_VAPIC_ADDR, &a), 0);
	/* mov cr8; mov 0x5000, bl; out */
	GUEST_LONG_CODE(&g, MOV_EAX(6), CR8_EAX, 0x8a, 0x1c, 0x25, 0, 0x50, 0, 0, OUT(0x10));
	if (!port.real) {
		expect_port(&g, 0x10);
		assert_int_equal(regs_of(&g).rbx, 0x60);
		assert_int_equal(lapic_of(g.vcpu, 0x80), 0x60);
	}
	guest_close(&g);
}

/* Told only when it falls, after the instruction. The next KVM_RUN takes over kvm_run.cr8. */
static void test_callers(void **state)
{
	struct guest g;

	guest_open(&g);
	GUEST_LONG_CODE(&g, MOV_EAX(6), CR8_EAX, CR8_EAX, OUT(0x10), MOV_EAX(3), CR8_EAX, OUT(0x11),
		EAX_CR8, OUT(0x12));
	if (!port.real) {
		expect_port(&g, 0x10);
		assert_int_equal(g.run->cr8, 6);
		run_to(&g, KVM_EXIT_SET_TPR);
		assert_int_equal(g.run->cr8, 3);
		assert_int_equal(regs_of(&g).rip, RAM_GPA + 5 + 4 + 4 + 2 + 5 + 4);
		expect_port(&g, 0x11);
		g.run->cr8 = 9;
		expect_port(&g, 0x12);
		assert_int_equal(regs_of(&g).rax, 9);
		g.run->cr8 = 16;
		assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EINVAL);
	}
	guest_close(&g);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_masks),
		cmocka_unit_test(test_reads_tpr),
		cmocka_unit_test(test_vapic),
		cmocka_unit_test(test_callers),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
