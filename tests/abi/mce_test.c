/* SPDX-License-Identifier: MIT */
/* Machine checks that the VMM injects, and the TSC offset: KVM_X86_SETUP_MCE, KVM_X86_SET_MCE, vcpu attributes. */
#include "tests/abi/port.h"

#include <errno.h>
#include <string.h>
#include <x86intrin.h>

#define MCG_CTL_P  BIT64(8)
#define MCG_CMCI_P BIT64(10)
#define VAL        BIT64(63)
#define OVER       BIT64(62)
#define UC         BIT64(61)
#define AR         BIT64(55)

enum { MSR_MCG_CAP = 0x179, MSR_MCG_STATUS = 0x17a, MSR_MCG_CTL = 0x17b, MSR_MC0 = 0x400 };

static long msr_rw(int vcpu, unsigned long request, u32 index, u64 *value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} m = {{.nmsrs = 1}, {.index = index, .data = *value}};
	long r = kvm_p(vcpu, request, &m);

	*value = m.e.data;
	return r;
}

static u64 msr_of(int vcpu, u32 index)
{
	u64 value = 0;

	assert_int_equal(msr_rw(vcpu, KVM_GET_MSRS, index, &value), 1);
	return value;
}

static long msr_set(int vcpu, u32 index, u64 value)
{
	return msr_rw(vcpu, KVM_SET_MSRS, index, &value);
}

static void setup(struct guest *g, u64 cap)
{
	assert_int_equal(kvm_p(g->vcpu, KVM_X86_SETUP_MCE, &cap), 0);
}

static void test_setup(void **state)
{
	struct guest g;
	u64 cap = MCG_CTL_P | 10;

	guest_open_irqchip(&g);
	setup(&g, cap);
	assert_int_equal(msr_of(g.vcpu, MSR_MCG_CAP), cap);
	assert_int_equal(msr_of(g.vcpu, MSR_MCG_CTL), ~0ull);
	assert_int_equal(msr_of(g.vcpu, MSR_MC0), ~0ull);
	assert_int_equal(msr_of(g.vcpu, MSR_MC0 + 4 * 9), ~0ull);
	cap = MCG_CTL_P;
	assert_int_equal(kvm_p(g.vcpu, KVM_X86_SETUP_MCE, &cap), -EINVAL);
	cap = BIT64(40) | 10;
	assert_int_equal(kvm_p(g.vcpu, KVM_X86_SETUP_MCE, &cap), -EINVAL);
	assert_int_equal(kvm_p(g.vcpu, KVM_X86_SETUP_MCE, (void *)BAD_POINTER), -EFAULT);
	guest_close(&g);
}

/* MCG_CAP written as an MSR may say anything: there are 32 banks all the same. */
static void test_banks_by_msr(void **state)
{
	struct kvm_x86_mce mce = {.status = VAL, .addr = 1, .misc = 2, .bank = 32};
	struct guest g;

	guest_open_irqchip(&g);
	msr_set(g.vcpu, MSR_MCG_CAP, 0xff);
	for (unsigned bank = 32; bank < 256; bank++) {
		mce.bank = (u8)bank;
		assert_int_equal(kvm_p(g.vcpu, KVM_X86_SET_MCE, &mce), -EINVAL);
	}
	guest_close(&g);
}

static void test_corrected(void **state)
{
	struct kvm_x86_mce mce = {
		.status = VAL | BIT64(57) | 5, .addr = 0x1234, .misc = 6, .bank = 2};
	struct guest g;

	guest_open_irqchip(&g);
	setup(&g, MCG_CTL_P | 10);
	assert_int_equal(kvm_p(g.vcpu, KVM_X86_SET_MCE, &mce), 0);
	assert_int_equal(msr_of(g.vcpu, MSR_MC0 + 9), mce.status);
	assert_int_equal(msr_of(g.vcpu, MSR_MC0 + 10), 0x1234);
	assert_int_equal(msr_of(g.vcpu, MSR_MC0 + 11), 6);
	assert_int_equal(kvm_p(g.vcpu, KVM_X86_SET_MCE, &mce), 0);
	assert_int_equal(msr_of(g.vcpu, MSR_MC0 + 9), mce.status | OVER);
	mce.bank = 10;
	assert_int_equal(kvm_p(g.vcpu, KVM_X86_SET_MCE, &mce), -EINVAL);
	mce.bank = 2;
	mce.status = 5;
	assert_int_equal(kvm_p(g.vcpu, KVM_X86_SET_MCE, &mce), -EINVAL);
	guest_close(&g);
}

static void set_cr4_mce(struct guest *g)
{
	struct kvm_sregs s;

	assert_int_equal(kvm_p(g->vcpu, KVM_GET_SREGS, &s), 0);
	s.cr4 |= 0x40;
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_SREGS, &s), 0);
}

/* #MC is queued; before the guest has seen it, the next one is the end. */
static void test_fatal(void **state)
{
	struct kvm_x86_mce mce = {
		.status = VAL | UC | AR, .addr = 0x5678, .mcg_status = 5, .bank = 1};
	struct kvm_vcpu_events e;
	struct guest g;

	guest_open_irqchip(&g);
	GUEST_CODE(&g, 0xf4);
	setup(&g, MCG_CTL_P | 10);
	set_cr4_mce(&g);
	assert_int_equal(kvm_p(g.vcpu, KVM_X86_SET_MCE, &mce), 0);
	assert_int_equal(msr_of(g.vcpu, MSR_MCG_STATUS), 5);
	assert_int_equal(msr_of(g.vcpu, MSR_MC0 + 6), 0x5678);
	assert_int_equal(kvm_p(g.vcpu, KVM_GET_VCPU_EVENTS, &e), 0);
	assert_int_equal(e.exception.nr, 18);
	assert_int_equal(e.exception.injected, 1);
	if (!port.real) { /* the first runs into an empty vector table; the second stops the machine */
		assert_int_equal(kvm_p(g.vcpu, KVM_X86_SET_MCE, &mce), 0);
		assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), 0);
		assert_int_equal(g.run->exit_reason, KVM_EXIT_SHUTDOWN);
	}
	guest_close(&g);
}

/* Switched off by the guest: nothing is recorded. */
static void test_switched_off(void **state)
{
	struct kvm_x86_mce mce = {.status = VAL | UC | AR, .addr = 0x5678, .bank = 1};
	struct guest g;

	guest_open_irqchip(&g);
	setup(&g, MCG_CTL_P | 10);
	assert_int_equal(msr_set(g.vcpu, MSR_MC0 + 4, 0), 1);
	assert_int_equal(kvm_p(g.vcpu, KVM_X86_SET_MCE, &mce), 0);
	assert_int_equal(msr_of(g.vcpu, MSR_MC0 + 6), 0);
	assert_int_equal(msr_set(g.vcpu, MSR_MC0 + 4, ~0ull), 1);
	assert_int_equal(msr_set(g.vcpu, MSR_MCG_CTL, 0), 1);
	assert_int_equal(kvm_p(g.vcpu, KVM_X86_SET_MCE, &mce), 0);
	assert_int_equal(msr_of(g.vcpu, MSR_MC0 + 6), 0);
	guest_close(&g);
}

static void test_cmci(void **state)
{
	enum { CTL2 = 0x280, VERSION = 0x30, LVT_CMCI = 0x2f0, IRR5 = 0x250 };
	struct kvm_x86_mce mce = {.status = VAL | UC, .addr = 0x9abc, .bank = 1};
	struct kvm_lapic_state l;
	struct guest g;
	u64 supported = 0;
	u32 cmci = 0xa9, svr = 0x1ff;

	guest_open_irqchip(&g);
	assert_int_equal(kvm_p(g.sys, KVM_X86_GET_MCE_CAP_SUPPORTED, &supported), 0);
	if (!(supported & MCG_CMCI_P)) {
		assert_true(port.real);
		guest_close(&g);
		return;
	}
	setup(&g, 10);
	assert_int_equal(msr_set(g.vcpu, CTL2 + 1, BIT64(30)), 0);
	assert_int_equal(lapic_of(g.vcpu, VERSION) >> 16, 5);
	setup(&g, MCG_CMCI_P | 10);
	assert_int_equal(lapic_of(g.vcpu, VERSION) >> 16, 6);
	assert_int_equal(lapic_of(g.vcpu, LVT_CMCI), 0x10000);
	assert_int_equal(msr_set(g.vcpu, CTL2 + 1, BIT64(29)), 0);
	assert_int_equal(msr_set(g.vcpu, CTL2 + 10, 0), 0);
	assert_int_equal(msr_set(g.vcpu, CTL2 + 1, BIT64(30) | 3), 1);
	assert_int_equal(kvm_p(g.vcpu, KVM_GET_LAPIC, &l), 0);
	memcpy(l.regs + LVT_CMCI, &cmci, sizeof(cmci));
	memcpy(l.regs + 0xf0, &svr, sizeof(svr));
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_LAPIC, &l), 0);
	assert_int_equal(kvm_p(g.vcpu, KVM_X86_SET_MCE, &mce), 0);
	assert_int_equal(msr_of(g.vcpu, MSR_MC0 + 6), 0x9abc);
	assert_int_equal(lapic_of(g.vcpu, IRR5), 1 << (0xa9 & 31));
	guest_close(&g);
}

/* ---- the TSC offset ---- */

static long attr(struct guest *g, unsigned long request, u32 group, u64 number, void *value)
{
	struct kvm_device_attr a = {.group = group, .attr = number, .addr = (unsigned long)value};

	return kvm_p(g->vcpu, request, &a);
}

static void test_tsc_offset(void **state)
{
	enum { MSR_TSC = 0x10 };
	s64 offset = 1ll << 40, got = 0;
	struct guest g;
	u64 before, tsc, after;

	guest_open(&g);
	assert_int_equal(attr(&g, KVM_HAS_DEVICE_ATTR, 0, KVM_VCPU_TSC_OFFSET, NULL), 0);
	assert_int_equal(attr(&g, KVM_HAS_DEVICE_ATTR, 0, 1, NULL), -ENXIO);
	assert_int_equal(attr(&g, KVM_HAS_DEVICE_ATTR, 1, 0, NULL), -ENXIO);
	assert_int_equal(attr(&g, KVM_GET_DEVICE_ATTR, 1, 0, &got), -ENXIO);
	assert_int_equal(attr(&g, KVM_SET_DEVICE_ATTR, 1, 0, &got), -ENXIO);
	assert_int_equal(attr(&g, KVM_GET_DEVICE_ATTR, 0, 0, (void *)BAD_POINTER), -EFAULT);
	assert_int_equal(attr(&g, KVM_SET_DEVICE_ATTR, 0, 0, (void *)BAD_POINTER), -EFAULT);
	assert_int_equal(attr(&g, KVM_SET_DEVICE_ATTR, 0, 0, &offset), 0);
	assert_int_equal(attr(&g, KVM_GET_DEVICE_ATTR, 0, 0, &got), 0);
	if (port.real && got != offset) { /* some kernels only pretend */
		guest_close(&g);
		return;
	}
	assert_int_equal(got, offset);
	before = __rdtsc();
	tsc = msr_of(g.vcpu, MSR_TSC);
	after = __rdtsc();
	assert_in_range(tsc - (u64)offset, before, after);
	guest_close(&g);
}

static void test_tsc_khz(void **state)
{
	struct guest g;
	long khz;

	guest_open(&g);
	khz = kvm(g.vm, KVM_GET_TSC_KHZ, 0);
	assert_true(khz > 100000);
	if (!port.real) { /* newer kernels: before the first vcpu only */
		assert_int_equal(kvm(g.vm, KVM_SET_TSC_KHZ, 0), 0);
		assert_int_equal(kvm(g.vm, KVM_SET_TSC_KHZ, khz), 0);
		assert_int_equal(kvm(g.vm, KVM_SET_TSC_KHZ, khz / 2), 0);
		assert_int_equal(kvm(g.vm, KVM_GET_TSC_KHZ, 0), khz / 2);
		assert_int_equal(kvm(g.vcpu, KVM_GET_TSC_KHZ, 0), khz); /* made before */
		assert_int_equal(kvm(g.vm, KVM_SET_TSC_KHZ, 0x7fffffff), -EINVAL);
		assert_int_equal(kvm(g.vcpu, KVM_SET_TSC_KHZ, 0x7fffffff), -EINVAL);
		assert_int_equal(kvm(g.vm, KVM_SET_TSC_KHZ, 0), 0);
	}
	assert_int_equal(kvm(g.vm, KVM_GET_TSC_KHZ, 0), khz);
	guest_close(&g);
}

/* ---- a TSC of another rate than the host's ---- */

enum { MSR_TSC_INDEX = 0x10 };

/* 64-bit code: out 10h; ten times rdtsc and rdtscp, then r8 what they gave last; out 11h. */
static const u8 reads_tsc[] = {0xe6, 0x10, 0xb9, 10, 0, 0, 0, 0x0f, 0x31, 0x41, 0x89, 0xca, 0x0f,
	0x01, 0xf9, 0x44, 0x89, 0xd1, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xc2, 0x49, 0x89, 0xd0,
	0xff, 0xc9, 0x75, 0xe7, 0xe6, 0x11};

/* What the guest reads lies between what its VMM reads before and after, and that runs at this rate. */
static void rate_is(struct guest *g, double ratio)
{
	u64 first, host, before, seen, least;

	run_to(g, KVM_EXIT_IO);
	first = __rdtsc();
	before = msr_of(g->vcpu, MSR_TSC_INDEX);
	host = __rdtsc();
	run_to(g, KVM_EXIT_IO);
	seen = regs_of(g).r8;
	assert_in_range(seen, before, msr_of(g->vcpu, MSR_TSC_INDEX));
	while (__rdtsc() - host < 50000000)
		;
	least = __rdtsc() - host; /* between the two, whenever others have the processor */
	seen = msr_of(g->vcpu, MSR_TSC_INDEX) - before;
	assert_true((double)seen > 0.99 * ratio * (double)least);
	assert_true((double)seen < 1.01 * ratio * (double)(__rdtsc() - first));
}

static void test_tsc_rates(void **state)
{
	static const unsigned by[][2] = {{1, 1}, {1, 2}, {3, 1}, {1, 10}};

	for (unsigned i = 0; i < ARRAY_SIZE(by) && !port.real; i++) {
		double ratio = (double)by[i][0] / by[i][1];
		struct guest g;
		long khz;

		guest_open(&g);
		khz = kvm(g.vm, KVM_GET_TSC_KHZ, 0) * by[i][0] / by[i][1];
		assert_int_equal(kvm(g.vcpu, KVM_SET_TSC_KHZ, khz), 0);
		assert_int_equal(kvm(g.vcpu, KVM_GET_TSC_KHZ, 0), khz);
		memcpy(g.ram, reads_tsc, sizeof(reads_tsc));
		guest_long(&g);
		rate_is(&g, ratio);
		guest_close(&g);
	}
}

/* Of other types; for VFIO's see vfio_test.c. */
static void test_no_devices(void **state)
{
	struct kvm_create_device d = {.type = KVM_DEV_TYPE_XICS};
	struct guest g;

	guest_open(&g);
	assert_int_equal(kvm_p(g.vm, KVM_CREATE_DEVICE, &d), -ENODEV);
	d.flags = KVM_CREATE_DEVICE_TEST;
	d.type = 12345;
	assert_int_equal(kvm_p(g.vm, KVM_CREATE_DEVICE, &d), -ENODEV);
	assert_int_equal(kvm_p(g.vm, KVM_CREATE_DEVICE, (void *)BAD_POINTER), -EFAULT);
	guest_close(&g);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_setup),
		cmocka_unit_test(test_banks_by_msr),
		cmocka_unit_test(test_corrected),
		cmocka_unit_test(test_fatal),
		cmocka_unit_test(test_switched_off),
		cmocka_unit_test(test_cmci),
		cmocka_unit_test(test_tsc_offset),
		cmocka_unit_test(test_tsc_khz),
		cmocka_unit_test(test_tsc_rates),
		cmocka_unit_test(test_no_devices),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
