/* SPDX-License-Identifier: MIT */
/*
 * Arguments of the requests about a vcpu's state: CPUID, MSRs and their filter, registers, events. What is taken, what
 * is refused and with what error. Every line holds for the kernel's KVM too.
 */
#include "tests/abi/port.h"

#include <errno.h>
#include <stdlib.h>

#define IS(fd, request, arg, expected)   assert_int_equal(kvm_p(fd, request, arg), expected)
#define IS_N(fd, request, arg, expected) assert_int_equal(kvm(fd, request, arg), expected)

static struct kvm_cpuid2 *cpuid_room(u32 n)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + n * sizeof(c->entries[0]));

	c->nent = n;
	return c;
}

static void test_cpuid(void **state)
{
	struct guest g;
	struct kvm_cpuid2 *c = cpuid_room(300);
	u32 n;

	guest_open(&g);
	IS(g.sys, KVM_GET_SUPPORTED_CPUID, (void *)BAD_POINTER, -EFAULT);
	c->nent = 0;
	IS(g.sys, KVM_GET_SUPPORTED_CPUID, c, -E2BIG);
	c->nent = 3;
	IS(g.sys, KVM_GET_SUPPORTED_CPUID, c, -E2BIG);
	assert_int_equal(c->nent, 3);
	c->nent = 256;
	IS(g.sys, KVM_GET_SUPPORTED_CPUID, c, 0);
	n = c->nent;
	assert_in_range(n, 10, 100);
	assert_int_equal(c->entries[1].function, 1); /* where dosemu2 looks */
	IS(g.vcpu, KVM_SET_CPUID2, c, 0);
	IS(g.vcpu, KVM_SET_CPUID2, (void *)BAD_POINTER, -EFAULT);
	c->nent = 1;
	IS(g.vcpu, KVM_GET_CPUID2, c, -E2BIG);
	c->nent = 256;
	IS(g.vcpu, KVM_GET_CPUID2, c, 0);
	if (port.real) /* some tell what the guest will see, with leaves left out or filled in */
		assert_in_range(c->nent, 10, 256);
	else
		assert_int_equal(c->nent, n);
	c->nent = 257;
	IS(g.vcpu, KVM_SET_CPUID2, c, -E2BIG);
	free(c);
	guest_close(&g);
}

static struct kvm_cpuid_entry2 *entry_of(struct kvm_cpuid2 *c, u32 function, u32 index)
{
	for (u32 i = 0; i < c->nent; i++)
		if (c->entries[i].function == function && c->entries[i].index == index)
			return &c->entries[i];
	fail_msg("no CPUID leaf %x.%x", function, index);
	return NULL;
}

/* What is read back is what the guest reads; the ids in it are the caller's. */
/* A VMM that hands the list on must not tell every vcpu that it is the first. */
static void test_no_topology(void **state)
{
	struct kvm_cpuid2 *c = cpuid_room(256);
	struct guest g;

	guest_open(&g);
	IS(g.sys, KVM_GET_SUPPORTED_CPUID, c, 0);
	for (u32 i = 0; i < c->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &c->entries[i];

		if (e->function == 0xb || e->function == 0x1f) {
			assert_int_equal(e->index, 0);
			assert_int_equal(e->eax | e->ebx | e->ecx, 0);
		}
	}
	free(c);
	guest_close(&g);
}

/* Without paging all addresses are what they are; ~0 is none. */
static void test_translate(void **state)
{
	static const u64 at[] = {
		0, 0x1000, 0xfffff000, 0x100000000, 0x123456789000, 0xfull << 56, ~0ull - 1, ~0ull};
	struct guest g;

	guest_open(&g);
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
		struct kvm_translation t = {.linear_address = at[i]};

		IS(g.vcpu, KVM_TRANSLATE, &t, 0);
		assert_int_equal(t.physical_address, at[i]);
		assert_int_equal(t.valid, at[i] != ~0ull);
	}
	guest_close(&g);
}

static void test_cpuid_follows_state(void **state)
{
	struct guest g;
	struct kvm_cpuid2 *c = cpuid_room(256);
	struct kvm_sregs s;
	struct kvm_xcrs x = {.nr_xcrs = 1, .xcrs[0].value = 7};

	guest_open_irqchip(&g);
	IS(g.vcpu, KVM_GET_SREGS, &s, 0);
	s.cr4 |= 0x310fff; /* SMAP SMEP FSGSBASE MCE PAE PSE...: before there is a CPUID */
	if (!port.real)
		IS(g.vcpu, KVM_SET_SREGS, &s, 0);
	s.cr4 = 0;
	IS(g.vcpu, KVM_SET_SREGS, &s, 0);
	IS(g.sys, KVM_GET_SUPPORTED_CPUID, c, 0);
	if (!(entry_of(c, 1, 0)->ecx & 1 << 28) || port.real) {
		print_message("AVX is not there, or taken away by the kernel's KVM\n");
		free(c);
		guest_close(&g);
		return;
	}
	entry_of(c, 1, 0)->ebx |= 9u << 24;
	entry_of(c, 0xb, 0)->edx = 9;
	IS(g.vcpu, KVM_SET_CPUID2, c, 0);
	c->nent = 256;
	IS(g.vcpu, KVM_GET_CPUID2, c, 0);
	assert_int_equal(entry_of(c, 1, 0)->ebx >> 24, 9);
	assert_int_equal(entry_of(c, 0xb, 0)->edx, 9);
	assert_int_equal(entry_of(c, 1, 0)->ecx >> 27 & 1, 0);
	assert_int_equal(entry_of(c, 1, 0)->edx >> 9 & 1, 1);
	assert_int_equal(entry_of(c, 0xd, 0)->ebx, 576);
	s.cr4 |= 1 << 18; /* OSXSAVE */
	s.apic_base &= ~(1ull << 11);
	IS(g.vcpu, KVM_SET_SREGS, &s, 0);
	IS(g.vcpu, KVM_SET_XCRS, &x, 0);
	IS(g.vcpu, KVM_GET_CPUID2, c, 0);
	assert_int_equal(entry_of(c, 1, 0)->ecx >> 27 & 1, 1);
	assert_int_equal(entry_of(c, 1, 0)->edx >> 9 & 1, 0);
	assert_int_equal(entry_of(c, 0xd, 0)->ebx, 832);
	free(c);
	guest_close(&g);
}

static void test_emulated_cpuid(void **state)
{
	int sys = kvm_open();
	struct kvm_cpuid2 *c = cpuid_room(16);

	IS(sys, KVM_GET_EMULATED_CPUID, c, 0);
	assert_int_equal(c->nent, 3);
	assert_int_equal(c->entries[0].eax, 7);
	assert_int_equal(c->entries[2].function, 7);
	c->nent = 2;
	IS(sys, KVM_GET_EMULATED_CPUID, c, -E2BIG);
	c->nent = 16;
	c->entries[9].padding[1] = 1;
	IS(sys, KVM_GET_EMULATED_CPUID, c, -EINVAL);
	free(c);
	kvm_close(sys);
}

static void test_msr_lists(void **state)
{
	static const unsigned long requests[] = {
		KVM_GET_MSR_INDEX_LIST, KVM_GET_MSR_FEATURE_INDEX_LIST};
	struct kvm_msr_list *l = calloc(1, sizeof(*l) + 1024 * sizeof(u32));
	int sys = kvm_open();
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		IS(sys, requests[i], (void *)BAD_POINTER, -EFAULT);
		l->nmsrs = 0;
		IS(sys, requests[i], l, -E2BIG);
		assert_in_range(l->nmsrs, 1, 512);
		l->nmsrs = 1024;
		IS(sys, requests[i], l, 0);
		assert_in_range(l->nmsrs, 1, 512);
	}
	free(l);
	kvm_close(sys);
}

static void test_msrs(void **state)
{
	struct guest g;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e[3];
	} m = {.head = {.nmsrs = 3},
		.e = {{.index = 0x174}, {.index = 0xdeadbeef}, {.index = 0x175}}};

	guest_open(&g);
	IS(g.vcpu, KVM_GET_MSRS, &m, 1); /* stops at the unknown one */
	IS(g.vcpu, KVM_SET_MSRS, &m, 1);
	m.head.nmsrs = 256;
	IS(g.vcpu, KVM_GET_MSRS, &m, -E2BIG);
	m.head.nmsrs = 0;
	IS(g.vcpu, KVM_GET_MSRS, &m, 0);
	IS(g.vcpu, KVM_GET_MSRS, (void *)BAD_POINTER, -EFAULT);
	IS(g.sys, KVM_GET_MSRS, (void *)BAD_POINTER, -EFAULT);
	m.head.nmsrs = 1;
	m.e[0].index = 0xdeadbeef;
	IS(g.sys, KVM_GET_MSRS, &m, 0);
	guest_close(&g);
}

static void test_msr_filter(void **state)
{
	struct guest g;
	u8 bitmap[KVM_MSR_FILTER_MAX_BITMAP_SIZE] = {0};
	struct kvm_msr_filter f = {
		.ranges[0] = {
			.flags = KVM_MSR_FILTER_READ, .nmsrs = 8, .base = 0x100, .bitmap = bitmap}};

	guest_open(&g);
	IS(g.vm, KVM_X86_SET_MSR_FILTER, (void *)BAD_POINTER, -EFAULT);
	IS(g.vm, KVM_X86_SET_MSR_FILTER, &f, 0);
	f.flags = 2;
	IS(g.vm, KVM_X86_SET_MSR_FILTER, &f, -EINVAL);
	f.flags = KVM_MSR_FILTER_DEFAULT_DENY;
	IS(g.vm, KVM_X86_SET_MSR_FILTER, &f, 0);
	f.ranges[0].nmsrs = 0;
	IS(g.vm, KVM_X86_SET_MSR_FILTER, &f, -EINVAL); /* deny everything */
	f.flags = 0;
	IS(g.vm, KVM_X86_SET_MSR_FILTER, &f, 0);
	f.ranges[0].nmsrs = KVM_MSR_FILTER_MAX_BITMAP_SIZE * 8 + 1;
	IS(g.vm, KVM_X86_SET_MSR_FILTER, &f, -EINVAL);
	f.ranges[0].nmsrs = 8;
	f.ranges[0].flags = 4;
	IS(g.vm, KVM_X86_SET_MSR_FILTER, &f, -EINVAL);
	f.ranges[0].flags = 0;
	IS(g.vm, KVM_X86_SET_MSR_FILTER, &f, -EINVAL);
	f.ranges[0].flags = KVM_MSR_FILTER_READ;
	f.ranges[0].bitmap = (void *)BAD_POINTER;
	IS(g.vm, KVM_X86_SET_MSR_FILTER, &f, -EFAULT);
	guest_close(&g);
}

static void test_vcpu_pointers(void **state)
{
	static const unsigned long requests[] = {KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS,
		KVM_SET_SREGS, KVM_GET_SREGS2, KVM_SET_SREGS2, KVM_GET_FPU, KVM_SET_FPU,
		KVM_GET_XSAVE, KVM_SET_XSAVE, KVM_GET_XSAVE2, KVM_GET_XCRS, KVM_SET_XCRS,
		KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS,
		KVM_GET_MP_STATE, KVM_SET_MP_STATE, KVM_INTERRUPT, KVM_TRANSLATE,
		KVM_SET_GUEST_DEBUG, KVM_ENABLE_CAP, KVM_X86_SETUP_MCE, KVM_TPR_ACCESS_REPORTING,
		KVM_SET_SIGNAL_MASK, KVM_SET_CPUID};
	struct guest g;
	unsigned i;

	guest_open(&g);
	for (i = 0; i < ARRAY_SIZE(requests); i++)
		IS(g.vcpu, requests[i], (void *)BAD_POINTER, -EFAULT);
	guest_close(&g);
}

static void test_vcpu_small(void **state)
{
	struct guest g;
	struct kvm_interrupt irq = {256};
	struct kvm_tpr_access_ctl tac = {.flags = 1};
	struct kvm_vapic_addr vapic = {1ull << 40};
	struct kvm_mp_state mp;
	struct {
		struct kvm_signal_mask head;
		u8 set[8];
	} mask = {.head = {.len = 4}};
	u64 mce = 0;

	guest_open_irqchip(&g);
	IS(g.vcpu, KVM_INTERRUPT, &irq, -EINVAL);
	irq.irq = 32;
	IS(g.vcpu, KVM_INTERRUPT, &irq, -ENXIO);
	IS_N(g.vcpu, KVM_NMI, 0x123, 0);
	IS_N(g.vcpu, _IO(KVMIO, 0xfe), 0, -EINVAL); /* unknown */
	IS(g.vcpu, KVM_TPR_ACCESS_REPORTING, &tac, -EINVAL);
	tac.flags = 0;
	IS(g.vcpu, KVM_TPR_ACCESS_REPORTING, &tac, 0);
	IS(g.vcpu, KVM_SET_VAPIC_ADDR, &vapic, -EINVAL);
	vapic.vapic_addr = RAM_GPA;
	IS(g.vcpu, KVM_SET_VAPIC_ADDR, &vapic, 0);
	IS(g.vcpu, KVM_SET_SIGNAL_MASK, &mask, -EINVAL);
	mask.head.len = 8;
	IS(g.vcpu, KVM_SET_SIGNAL_MASK, &mask, 0);
	IS(g.vcpu, KVM_SET_SIGNAL_MASK, NULL, 0);
	assert_true(kvm(g.vcpu, KVM_GET_TSC_KHZ, 0x55) > 100000);
	IS_N(g.vcpu, KVM_KVMCLOCK_CTRL, 0, -EINVAL); /* the guest has no kvmclock */
	for (mp.mp_state = 0; mp.mp_state < 4; mp.mp_state++)
		IS(g.vcpu, KVM_SET_MP_STATE, &mp, 0);
	for (mp.mp_state = 5; mp.mp_state < 9; mp.mp_state++)
		IS(g.vcpu, KVM_SET_MP_STATE, &mp, -EINVAL);
	IS(g.sys, KVM_X86_GET_MCE_CAP_SUPPORTED, &mce, 0);
	mce |= 10;
	IS(g.vcpu, KVM_X86_SETUP_MCE, &mce, 0);
	mce = 33;
	IS(g.vcpu, KVM_X86_SETUP_MCE, &mce, -EINVAL);
	mce = 0;
	IS(g.vcpu, KVM_X86_SETUP_MCE, &mce, -EINVAL);
	guest_close(&g);
}

#define XSAVE_MXCSR     (24 / 4)
#define XSAVE_XSTATE_BV (512 / 4)

static void test_state_checks(void **state)
{
	struct guest g;
	struct kvm_xsave xsave;
	struct kvm_debugregs d;
	struct kvm_xcrs x;
	struct kvm_vcpu_events e;
	struct kvm_sregs s;
	struct kvm_sregs2 s2;
	struct kvm_mp_state mp = {KVM_MP_STATE_HALTED};

	guest_open(&g);
	IS(g.vcpu, KVM_GET_DEBUGREGS, &d, 0);
	IS(g.vcpu, KVM_SET_DEBUGREGS, &d, 0);
	d.flags = 1;
	IS(g.vcpu, KVM_SET_DEBUGREGS, &d, -EINVAL);
	d.flags = 0;
	d.dr7 |= 1ull << 32;
	IS(g.vcpu, KVM_SET_DEBUGREGS, &d, -EINVAL);
	IS(g.vcpu, KVM_GET_XSAVE, &xsave, 0);
	IS(g.vcpu, KVM_SET_XSAVE, &xsave, 0);
	xsave.region[XSAVE_MXCSR] |= 1u << 16; /* no processor has it: loading it would fault */
	xsave.region[XSAVE_XSTATE_BV] = 0;     /* and is not looked at without its components */
	IS(g.vcpu, KVM_SET_XSAVE, &xsave, 0);
	xsave.region[XSAVE_XSTATE_BV] = 3;
	IS(g.vcpu, KVM_SET_XSAVE, &xsave, -EINVAL);
	IS(g.vcpu, KVM_GET_XCRS, &x, 0);
	assert_int_equal(x.nr_xcrs, 1);
	IS(g.vcpu, KVM_SET_XCRS, &x, 0);
	x.flags = 1;
	IS(g.vcpu, KVM_SET_XCRS, &x, -EINVAL);
	x.flags = 0;
	x.nr_xcrs = 17;
	IS(g.vcpu, KVM_SET_XCRS, &x, -EINVAL);
	IS(g.vcpu, KVM_GET_VCPU_EVENTS, &e, 0);
	assert_int_equal(e.flags, 0xd);
	IS(g.vcpu, KVM_SET_VCPU_EVENTS, &e, 0);
	e.flags = 0x80;
	IS(g.vcpu, KVM_SET_VCPU_EVENTS, &e, -EINVAL);
	e.flags = KVM_VCPUEVENT_VALID_PAYLOAD; /* not enabled */
	IS(g.vcpu, KVM_SET_VCPU_EVENTS, &e, -EINVAL);
	e.flags = 0;
	e.exception.injected = 1;
	e.exception.nr = 32;
	IS(g.vcpu, KVM_SET_VCPU_EVENTS, &e, -EINVAL);
	IS(g.vcpu, KVM_GET_SREGS, &s, 0);
	IS(g.vcpu, KVM_SET_SREGS, &s, 0);
	s.cr0 = 0x80000000; /* PG without PE */
	IS(g.vcpu, KVM_SET_SREGS, &s, -EINVAL);
	IS(g.vcpu, KVM_GET_SREGS2, &s2, 0);
	IS(g.vcpu, KVM_SET_SREGS2, &s2, 0);
	s2.flags = 2;
	IS(g.vcpu, KVM_SET_SREGS2, &s2, -EINVAL);
	IS(g.vcpu, KVM_SET_MP_STATE, &mp, -EINVAL); /* no local APIC */
	guest_close(&g);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpuid),
		cmocka_unit_test(test_no_topology),
		cmocka_unit_test(test_translate),
		cmocka_unit_test(test_cpuid_follows_state),
		cmocka_unit_test(test_emulated_cpuid),
		cmocka_unit_test(test_msr_lists),
		cmocka_unit_test(test_msrs),
		cmocka_unit_test(test_msr_filter),
		cmocka_unit_test(test_vcpu_pointers),
		cmocka_unit_test(test_vcpu_small),
		cmocka_unit_test(test_state_checks),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
