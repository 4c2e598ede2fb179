/* SPDX-License-Identifier: MIT */
/*
 * One table of MSRs on the whole engine: what is listed can be read and written back, guest and VMM read the same, and
 * every row's owner answers.
 */
#include <errno.h>

#include "tests/unit/world/world.h"
#include "engine/engine.h"
#include "engine/exit.h"
#include "engine/irqchip.h"
#include "x86/hyperv.h"
#include "x86/kvm_guest.h"
#include "x86/msr.h"
#include "x86/regs.h"

static void open_full(struct world *w, enum irqchip_mode mode)
{
	world_open(w, mode);
	world_give_cpuid(w->v);
	WORLD_PUT(w, 0x2000, 0xe6, 0x13); /* #GP: out 13h */
	world_vector(w, 13, 0x2000);
}

/* RDMSR in real mode. False: #GP. */
static bool guest_read(struct world *w, u32 index, u64 *ret)
{
	struct vcpu_state s;

	WORLD_CODE(w, 0x0f, 0x32, 0xe6, 0x10);
	vcpu_get(w->v, ST_REGS, &s);
	s.gpr[RCX] = index;
	assert_int_equal(vcpu_set(w->v, ST_REGS, &s), 0);
	if (run_to(w->v, EXIT_IO_OUT)->io.port != 0x10)
		return false;
	*ret = (u32)gpr_of(w->v, RAX) | gpr_of(w->v, RDX) << 32;
	return true;
}

static unsigned listed(u32 list[256])
{
	unsigned n = engine_msr_list(list, 256);

	assert_in_range(n, 90, 256);
	for (unsigned i = 1; i < n; i++)
		assert_true(list[i - 1] < list[i]);
	return n;
}

/* They go on by themselves, or are counted in real time. */
static bool moves(u32 index)
{
	return index == MSR_TSC || index == HV_VP_RUNTIME || index == HV_TIME_REF_COUNT;
}

static void round_trips(enum irqchip_mode mode)
{
	struct world w;
	u32 list[256];
	unsigned n = listed(list), read = 0;

	open_full(&w, mode);
	for (unsigned i = 0; i < n; i++) {
		u64 vmm, guest;

		if (vcpu_get_msr(w.v, list[i], &vmm, true))
			fail_msg("MSR 0x%x is listed and cannot be read", list[i]);
		if (vcpu_set_msr(w.v, list[i], vmm, true))
			fail_msg("MSR 0x%x refuses its own value", list[i]);
		if (!guest_read(&w, list[i], &guest))
			continue;
		read++;
		if (guest != vmm && !moves(list[i]))
			fail_msg("MSR 0x%x is 0x%lx for the VMM, 0x%lx for the guest", list[i],
				(unsigned long)vmm, (unsigned long)guest);
	}
	assert_true(read > 60);
	world_close(&w);
}

static void test_listed(void **state)
{
	round_trips(IRQCHIP_FULL);
	round_trips(IRQCHIP_NONE);
}

/* What the engine offers is what a new vcpu has. */
static void test_features(void **state)
{
	struct world w;
	u32 list[16];
	unsigned n = engine_feature_msr_list(list, ARRAY_SIZE(list));
	u64 offered, has;

	open_full(&w, IRQCHIP_FULL);
	assert_in_range(n, 4, ARRAY_SIZE(list));
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(engine_feature_msr(list[i], &offered), 0);
		assert_int_equal(vcpu_get_msr(w.v, list[i], &has, true), 0);
		assert_int_equal(offered, has);
	}
	assert_int_equal(engine_feature_msr(MSR_TSC, &offered), -ENOENT);
	assert_int_equal(engine_feature_msr(0x12345, &offered), -ENOENT);
	world_close(&w);
}

/* One of each owner, and none of them: by the VMM. */
static void test_owners(void **state)
{
	static const struct {
		u32 index;
		u64 value;
		int r;
	} rows[] = {
		{0x174, 8, 0},
		{MSR_TSC_ADJUST, 77, 0},
		{MSR_APIC_BASE, 0xfee00901, -EINVAL},
		{MSR_X2APIC + 8, 0, -EINVAL}, /* in xAPIC mode */
		{MSR_KVM_ASYNC_PF_INT, 0x100, -EINVAL},
		{MSR_KVM_ASYNC_PF_INT, 0x31, 0},
		{HV_VP_INDEX, 1ull << 20, -EINVAL},
		{HV_EOM + 1, 0, -EINVAL}, /* known to be nothing */
		{HV_GUEST_OS_ID, 0x1234, 0},
		{0x400001f0, 0, -ENOENT},
		{0x12345, 0, -ENOENT},
	};
	struct world w;
	u64 value;

	open_full(&w, IRQCHIP_FULL);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		int r = vcpu_set_msr(w.v, rows[i].index, rows[i].value, true);

		if (r != rows[i].r)
			fail_msg("MSR 0x%x: %d", rows[i].index, r);
		if (r)
			continue;
		assert_int_equal(vcpu_get_msr(w.v, rows[i].index, &value, true), 0);
		assert_int_equal(value, rows[i].value);
	}
	world_close(&w);
}

/* INIT ends what is written to guest memory and keeps the rest. */
static void test_init(void **state)
{
	static const struct {
		u32 index;
		u64 value;
		bool stays;
	} rows[] = {
		{0x174, 8, true},
		{MSR_KVM_POLL_CONTROL, 0, true},
		{MSR_KVM_WALL_CLOCK_NEW, 0x6000, true},
		{MSR_KVM_SYSTEM_TIME_NEW, 0x6101, false},
		{MSR_KVM_STEAL_TIME, 0x6201, false},
		{MSR_KVM_PV_EOI_EN, 0x6301, false},
		{MSR_KVM_ASYNC_PF_INT, 0x31, false},
	};
	const struct msi init = {.address = 0xfee00000, .data = 5 << 8};
	struct world w;
	u64 value;

	open_full(&w, IRQCHIP_FULL);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(vcpu_set_msr(w.v, rows[i].index, rows[i].value, true), 0);
	assert_int_equal(irq_msi(w.m, &init), 1);
	vcpu_kick(w.v); /* the reset vector has no RAM: stop there */
	assert_int_equal(vcpu_run(w.v, 0), 0);
	if (vcpu_exit(w.v)->reason == EXIT_INTR)
		assert_int_equal(vcpu_run(w.v, 0), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(vcpu_get_msr(w.v, rows[i].index, &value, true), 0);
		if (value != (rows[i].stays ? rows[i].value : 0))
			fail_msg("MSR 0x%x: 0x%lx", rows[i].index, (unsigned long)value);
	}
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listed),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_init),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
