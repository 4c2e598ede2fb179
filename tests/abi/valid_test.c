/* SPDX-License-Identifier: MIT */
/*
 * What the VMM may set registers to, beside the kernel's KVM: the rules of engine/cpu/valid.c as far as they are KVM's
 * own, where it is laxer for the VMM than processors are for guests. tests/unit/engine/valid_test.c asks the same values
 * of the guest's instructions and of RSM.
 */
#include "tests/abi/port.h"

#include <errno.h>
#include <string.h>

#include "x86/regs.h"

/* All of CPUID that there is. */
static void give_cpuid(const struct guest *g)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 e[256];
	} c = {.head = {.nent = 256}};

	assert_int_equal(kvm_p(g->sys, KVM_GET_SUPPORTED_CPUID, &c), 0);
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_CPUID2, &c), 0);
}

static struct kvm_sregs sregs_of(const struct guest *g)
{
	struct kvm_sregs s = {0};

	assert_int_equal(kvm_p(g->vcpu, KVM_GET_SREGS, &s), 0);
	return s;
}

#define LONG_CR0  (CR0_PE | CR0_PG | CR0_ET)
#define LONG_EFER (EFER_LME | EFER_LMA)

static const struct {
	u64 cr0, cr3, cr4, efer;
	bool cs_l;
	long r;
} rows[] = {
	{CR0_ET, 0, 0, 0, false, 0},
	{CR0_ET | CR0_PG, 0, 0, 0, false, -EINVAL},
	{CR0_ET | CR0_NW, 0, 0, 0, false, -EINVAL},
	{CR0_ET | CR0_NW | CR0_CD, 0, 0, 0, false, 0},
	{CR0_ET | BIT64(32), 0, 0, 0, false, -EINVAL},
	{CR0_ET, 0, CR4_PAE, 0, false, 0},
	{CR0_ET, 0, BIT64(31), 0, false, -EINVAL},
	{CR0_ET, 0, BIT64(63), 0, false, -EINVAL},
	{CR0_ET, BIT64(52), 0, 0, false, 0}, /* CR3 counts in long mode only */
	{CR0_ET, 0, 0, EFER_LME, false, 0},
	{CR0_ET, 0, 0, EFER_LMA, false, -EINVAL},
	{CR0_ET, 0, 0, 0, true, -EINVAL},
	{LONG_CR0, 0, CR4_PAE, LONG_EFER, true, 0},
	{LONG_CR0, 0, CR4_PAE, LONG_EFER, false, 0},
	{LONG_CR0, 0, 0, LONG_EFER, true, -EINVAL},
	{LONG_CR0, 0, CR4_PAE, EFER_LME, false, -EINVAL},
	{LONG_CR0, 0, CR4_PAE, EFER_LMA, false, -EINVAL},
	{LONG_CR0, BIT64(52), CR4_PAE, LONG_EFER, true, -EINVAL},
	{LONG_CR0 & ~CR0_PG, 0, CR4_PAE, LONG_EFER, false, -EINVAL},
};

static void test_sregs(void **state)
{
	struct kvm_sregs s, before;
	struct guest g;

	guest_open(&g);
	give_cpuid(&g);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		before = s = sregs_of(&g);
		s.cr0 = rows[i].cr0;
		s.cr3 = rows[i].cr3;
		s.cr4 = rows[i].cr4;
		s.efer = rows[i].efer;
		s.cs.l = rows[i].cs_l;
		if (kvm_p(g.vcpu, KVM_SET_SREGS, &s) != rows[i].r)
			fail_msg("row %u", i);
		s = sregs_of(&g);
		if (rows[i].r)
			assert_memory_equal(&s, &before, sizeof(s));
		else
			assert_int_equal(
				s.cr0 | s.cr4 | s.efer, rows[i].cr0 | rows[i].cr4 | rows[i].efer);
	}
	guest_close(&g);
}

static void test_debugregs(void **state)
{
	struct kvm_debugregs d = {.dr6 = 0xffffffff, .dr7 = 0xffffffff}, is = {0};
	struct guest g;

	guest_open(&g);
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_DEBUGREGS, &d), 0); /* kept, reserved bits and all */
	assert_int_equal(kvm_p(g.vcpu, KVM_GET_DEBUGREGS, &is), 0);
	assert_int_equal(is.dr7, d.dr7);
	assert_int_equal(is.dr6, d.dr6);
	d.dr7 = BIT64(32);
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_DEBUGREGS, &d), -EINVAL);
	d.dr7 = 0x400;
	d.dr6 = BIT64(63);
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_DEBUGREGS, &d), -EINVAL);
	d.dr6 = 0;
	d.db[0] = 1ull << 62; /* any address */
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_DEBUGREGS, &d), 0);
	guest_close(&g);
}

static long set_xcr0(const struct guest *g, u64 value)
{
	struct kvm_xcrs x = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = value}}};

	return kvm_p(g->vcpu, KVM_SET_XCRS, &x);
}

static void test_xcrs(void **state)
{
	struct guest g;

	guest_open(&g);
	assert_int_equal(set_xcr0(&g, 1), 0); /* its value after RESET, without CPUID */
	assert_int_equal(set_xcr0(&g, 3), -EINVAL);
	give_cpuid(&g);
	assert_int_equal(set_xcr0(&g, 3), 0);
	assert_int_equal(set_xcr0(&g, 0), -EINVAL);
	assert_int_equal(set_xcr0(&g, 2), -EINVAL);
	assert_int_equal(set_xcr0(&g, 5), -EINVAL); /* AVX without SSE */
	assert_int_equal(set_xcr0(&g, BIT64(63) | 3), -EINVAL);
	guest_close(&g);
}

/* EFER's bits that CPUID lacks: the VMM may set them before it sets CPUID. */
static void test_efer(void **state)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e[1];
	} m = {.head = {.nmsrs = 1}, .e = {{.index = 0xc0000080}}};
	static const struct {
		u64 value;
		long r;
	} values[] = {{EFER_SCE | EFER_LME | EFER_NX, 1}, {BIT64(1), 0}, {BIT64(63), 0}};
	struct guest g;

	guest_open(&g);
	for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
		m.e[0].data = values[i].value;
		assert_int_equal(kvm_p(g.vcpu, KVM_SET_MSRS, &m), values[i].r);
	}
	guest_close(&g);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sregs),
		cmocka_unit_test(test_debugregs),
		cmocka_unit_test(test_xcrs),
		cmocka_unit_test(test_efer),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
