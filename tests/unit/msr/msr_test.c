/* SPDX-License-Identifier: MIT */
/* The MSR table: lists, round trips, refused values, and who else must answer. */
#include <errno.h>

#include "tests/unit/world/insns.h"
#include "engine/core/cpu.h"
#include "engine/cpuid/cpuid.h"
#include "engine/engine.h"
#include "engine/exit.h"
#include "engine/msr/msr.h"
#include "x86/regs.h"

static int guest_write(u32 index, u64 value)
{
	w.cpu->gpr[RCX] = index;
	w.cpu->gpr[RAX] = (u32)value;
	w.cpu->gpr[RDX] = value >> 32;
	return EXEC(0x0f, 0x30);
}

static int guest_read(u32 index, u64 *ret)
{
	w.cpu->gpr[RCX] = index;
	int r = EXEC(0x0f, 0x32);
	*ret = (u32)w.cpu->gpr[RAX] | w.cpu->gpr[RDX] << 32;
	return r;
}

/* What a VMM saves it can restore: every listed MSR is readable, and takes its own value back. */
static void listed_msrs_round_trip(void **state)
{
	u32 list[256];
	unsigned n = engine_msr_list(list, ARRAY_SIZE(list));

	assert_in_range(n, 30, ARRAY_SIZE(list));
	start_long(0);
	for (unsigned i = 0; i < n; i++) {
		u64 value;
		int r = msr_get(w.cpu, list[i], &value, true);
		if (r == MSR_IS_OUTER)
			continue;
		assert_int_equal(r, 0);
		r = msr_set(w.cpu, list[i], value, true);
		if (r != 0 && r != MSR_IS_OUTER)
			fail_msg("MSR %x refuses its own value", list[i]);
		for (unsigned k = 0; k < i; k++)
			assert_int_not_equal(list[k], list[i]);
	}
	assert_int_equal(engine_msr_list(list, 0), n);
}

static void feature_msrs(void **state)
{
	u32 list[16];
	unsigned n = engine_feature_msr_list(list, ARRAY_SIZE(list));
	u64 value = 0x77;

	assert_in_range(n, 1, ARRAY_SIZE(list));
	assert_int_equal(engine_feature_msr(0x174, &value), -ENOENT);
	assert_int_equal(value, 0x77);
	start_long(0);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(engine_feature_msr(list[i], &value), 0);
		assert_int_equal(msr_set(w.cpu, list[i], value, true), 0);
	}
}

#define CANONICAL_LIMIT 0x800000000000ull

/* clang-format off */
static const struct {
	u32 index;
	u64 value;
	bool ok;
} values[] = {
	{0x174, ~0ull, true}, {0x175, CANONICAL_LIMIT, false}, {0x175, ~0ull, true},
	{0x176, CANONICAL_LIMIT - 1, true}, {0xc0000082, CANONICAL_LIMIT, false},
	{0xc0000083, BIT64(63), false}, {0xc0000084, BIT64(32), false},
	{0xc0000084, 0x47700, true}, {0xc0000100, CANONICAL_LIMIT, false},
	{0xc0000102, 0xffff800000000000, true}, {0xc0000103, BIT64(32), false},
	{0x277, 0x0007040600070406, true}, {0x277, 0x02, false}, {0x277, 0x08, false},
	{0x277, 0x0607050401000607, true}, {0x2ff, 0xc06, true}, {0x2ff, 0x100, false},
	{0x2ff, 0x2, false}, {0x250, 0x0606060606060606, true}, {0x250, 0x07, false},
	{0x200, 0xc0000006, true}, {0x200, 0xc0000002, false}, {0x200, 0x100, false},
	{0x201, 0xfff0000800, true}, {0x201, BIT64(41), false}, {0x201, 0x400, false},
	{0xda0, 0, true}, {0xda0, 1, false}, {0x1d9, 3, true}, {0x1d9, 0x40, false},
	{0x48, 7, true}, {0x48, 8, false}, {0x48, 0x400, true}, {0xce, 0, false}, {0x10a, 0, false},
	{0x140, 1, true}, {0x140, 2, false}, {0x1a0, 0x1801, true}, {0x1a0, 1, false}, {0x1fc, 0x1234, true},
	{0xc0010015, BIT64(18) | BIT64(24), true}, {0xc0010015, 1, false}, {0x4b564d05, 0, true},
	{0x4b564d05, 2, false}, {0x4b564d08, 0, false}, {0xc0000080, EFER_SCE | EFER_LME | EFER_NX, true},
	{0xc0000080, EFER_SCE | EFER_NX, false}, /* LME while paging */
	{0xc0000080, EFER_LME | BIT64(12), false}, {0x4b564d03, 1, true}, {0x4b564d03, 3, false},
	{0x12345678, 0, false}, {0x33, 0, false}, {0xc0010117, 0, false},
};
/* clang-format on */

static void accepted_value(unsigned i)
{
	u64 after;

	assert_int_equal(guest_write(values[i].index, values[i].value), CPU_OK);
	assert_int_equal(guest_read(values[i].index, &after), CPU_OK);
	if (values[i].index != 0xc0000080) /* LMA is added */
		assert_int_equal(after, values[i].value);
}

static void refused_value(unsigned i)
{
	u64 before = 0, after = 0;

	msr_get(w.cpu, values[i].index, &before, false);
	assert_gp(guest_write(values[i].index, values[i].value));
	msr_get(w.cpu, values[i].index, &after, false);
	assert_int_equal(after, before);
}

static void values_that_are_checked(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
		start_long(0);
		print_message("MSR %x\n", values[i].index);
		if (values[i].ok)
			accepted_value(i);
		else
			refused_value(i);
	}
}

static void efer_side_effects(void **state)
{
	start_long(0);
	assert_int_equal(guest_write(0xc0000080, EFER_LME | EFER_NX), CPU_OK);
	assert_int_equal(w.cpu->efer, EFER_LME | EFER_LMA | EFER_NX); /* LMA is not the guest's */
	assert_int_equal(seen.flush_all, 1);
	assert_int_equal(guest_write(0xc0000080, EFER_LME | EFER_NX | EFER_SCE), CPU_OK);
	assert_int_equal(seen.flush_all, 1);
}

static void time_stamp_counter(void **state)
{
	u64 v;

	start_long(0);
	w.cpu->tsc_offset = 1000000000000ll - (s64)__builtin_ia32_rdtsc();
	assert_int_equal(guest_read(0x10, &v), CPU_OK);
	assert_in_range(v, 1000000000000, 1010000000000);
	/* Others follow the TSC, so its writes leave. */
	assert_int_equal(guest_write(0x10, 1000000000000), CPU_EXIT);
	assert_int_equal(guest_write(0x3b, 5000), CPU_EXIT);
}

static void outer_registers_leave(void **state)
{
	u64 v;

	start_long(0);
	assert_int_equal(guest_write(0x6e0, 0x1234567890), CPU_EXIT);
	assert_int_equal(w.cpu->exit.reason, EXIT_WRMSR);
	assert_int_equal(w.cpu->exit.msr.index, 0x6e0);
	assert_int_equal(w.cpu->exit.msr.data, 0x1234567890);
	assert_int_equal(w.cpu->exit.msr.why, 0);
	answer(EXIT_WRMSR, 0x6e0, 8, 0);
	assert_int_equal(guest_write(0x6e0, 0x1234567890), CPU_OK);
	assert_int_equal(guest_read(0x802, &v), CPU_EXIT);
	assert_int_equal(w.cpu->exit.reason, EXIT_RDMSR);
	answer(EXIT_RDMSR, 0x802, 8, 0x1122334455);
	assert_int_equal(guest_read(0x802, &v), CPU_OK);
	assert_int_equal(v, 0x1122334455);
	answer(EXIT_RDMSR, 0x802, 8, 0);
	w.cpu->answers.answer[0].error = true;
	assert_gp(guest_read(0x802, &v));
	w.cpu->answers.filled = 0;
}

static void outer_registers_read_inside(void **state)
{
	u64 v;

	start_long(0);
	w.cpu->apic_own.base = 0xfee00900;
	assert_int_equal(guest_read(0x1b, &v), CPU_OK);
	assert_int_equal(v, 0xfee00900);
	assert_int_equal(guest_write(0x1b, 0), CPU_EXIT);
	w.cpu->msr.kvm_system_time = 0x5001;
	assert_int_equal(guest_read(0x4b564d01, &v), CPU_OK);
	assert_int_equal(v, 0x5001);
	assert_int_equal(guest_write(0x4b564d01, 0x6001), CPU_EXIT);
}

static void machine_check_banks(void **state)
{
	u64 v;

	start_long(0);
	w.cpu->msr.mcg_cap = 0;
	assert_gp(guest_read(0x400, &v)); /* no banks */
	w.cpu->msr.mcg_cap = 10 | BIT64(8);
	assert_int_equal(guest_write(0x400, ~0ull), CPU_OK);
	assert_gp(guest_write(0x400, 5));
	assert_int_equal(guest_write(0x401, 0), CPU_OK);
	assert_gp(guest_write(0x401, 1));
	assert_int_equal(msr_set(w.cpu, 0x401, BIT64(63), true), 0); /* a VMM injects one */
	assert_int_equal(guest_read(0x401, &v), CPU_OK);
	assert_int_equal(v, BIT64(63));
	assert_int_equal(guest_read(0x427, &v), CPU_OK);
	assert_gp(guest_read(0x428, &v));
	assert_int_equal(guest_write(0x17b, ~0ull), CPU_OK);
	assert_gp(guest_write(0x17b, 1));
	assert_gp(guest_write(0x179, 0));
}

static void host_may_set_what_the_guest_may_not(void **state)
{
	u64 v;

	start_long(0);
	assert_int_equal(msr_set(w.cpu, 0x10a, 0x69, true), 0);
	assert_int_equal(guest_read(0x10a, &v), CPU_OK);
	assert_int_equal(v, 0x69);
	assert_int_equal(msr_set(w.cpu, 0x8b, 0x500000000, true), 0);
	assert_int_equal(guest_write(0x8b, 0), CPU_OK);
	assert_int_equal(guest_read(0x8b, &v), CPU_OK);
	assert_int_equal(v, 0x500000000);
	assert_int_equal(msr_set(w.cpu, 0x3a, 5, true), 0);
	assert_gp(guest_write(0x3a, 0)); /* locked */
	assert_int_equal(msr_get(w.cpu, 0x99999999, &v, true), -ENOENT);
	assert_int_equal(msr_set(w.cpu, 0x99999999, 0, true), -ENOENT);
}

/* ---- what CPUID does not offer ---- */

static const struct {
	u32 index, lack;
	bool reads; /* where it is offered */
	u64 bad;    /* a value that is refused even then */
} offered[] = {
	{0x48, LACKS_SPEC_CTRL, true, 8},
	{0x49, LACKS_PRED_CMD, false, 2},
	{0x10a, LACKS_ARCH_CAPABILITIES, true, 0},
	{0x10b, LACKS_FLUSH_CMD, false, 2},
	{0x345, LACKS_PERF_CAPABILITIES, true, 0},
	{0xda0, LACKS_XSAVES, true, 1},
	{0xc0000103, LACKS_TSC_AUX, true, BIT64(32)},
};

static void what_cpuid_lacks_faults(void **state)
{
	u64 value;

	for (unsigned i = 0; i < ARRAY_SIZE(offered); i++) {
		u32 index = offered[i].index;

		start_long(0);
		if (offered[i].reads)
			assert_int_equal(guest_read(index, &value), CPU_OK);
		else
			assert_gp(guest_read(index, &value));
		assert_gp(guest_write(index, offered[i].bad));
		if (index != 0x10a && index != 0x345) /* read-only */
			assert_int_equal(guest_write(index, 0), CPU_OK);
		w.cpu->lacks = offered[i].lack;
		assert_gp(guest_read(index, &value));
		assert_gp(guest_write(index, 0));
		assert_int_equal(msr_set(w.cpu, index, 0, true), 0); /* the VMM may */
		w.cpu->lacks = 0;
	}
}

static void sbpb_and_efer(void **state)
{
	start_long(0);
	w.cpu->cr0 &= ~CR0_PG;
	assert_int_equal(guest_write(0x49, 0x80), CPU_OK);
	w.cpu->lacks = LACKS_SBPB | LACKS_NX | LACKS_LONG_MODE;
	assert_gp(guest_write(0x49, 0x80));
	assert_int_equal(guest_write(0x49, 1), CPU_OK);
	assert_gp(guest_write(0xc0000080, EFER_NX));
	assert_gp(guest_write(0xc0000080, EFER_LME));
	assert_int_equal(guest_write(0xc0000080, EFER_SCE), CPU_OK);
	assert_int_equal(msr_set(w.cpu, 0xc0000080, EFER_NX | EFER_LME, true), 0);
	w.cpu->lacks = 0;
}

/* One row is enough to offer; without a table all is there. */
static void lacks_follow_cpuid(void **state)
{
	start_long(0);
	w.cpu->cpuid_count = 0;
	cpuid_changed(w.cpu);
	assert_int_equal(w.cpu->lacks, 0);
	w.cpu->cpuid_count = 2;
	w.cpu->cpuid[0] = (struct cpuid_entry){.function = 7, .flags = CPUID_INDEXED};
	w.cpu->cpuid[1] = (struct cpuid_entry){.function = 0x80000008};
	cpuid_changed(w.cpu);
	assert_true(w.cpu->lacks & LACKS_SPEC_CTRL && w.cpu->lacks & LACKS_INVPCID);
	w.cpu->cpuid[1].ebx = BIT(24);
	w.cpu->cpuid[0].ebx = BIT(10);
	cpuid_changed(w.cpu);
	assert_false(w.cpu->lacks & (LACKS_SPEC_CTRL | LACKS_INVPCID));
	assert_true(w.cpu->lacks & LACKS_PRED_CMD);
	w.cpu->cpuid_count = 0;
	cpuid_changed(w.cpu);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(listed_msrs_round_trip),
		cmocka_unit_test(feature_msrs),
		cmocka_unit_test(values_that_are_checked),
		cmocka_unit_test(efer_side_effects),
		cmocka_unit_test(time_stamp_counter),
		cmocka_unit_test(outer_registers_leave),
		cmocka_unit_test(outer_registers_read_inside),
		cmocka_unit_test(machine_check_banks),
		cmocka_unit_test(host_may_set_what_the_guest_may_not),
		cmocka_unit_test(what_cpuid_lacks_faults),
		cmocka_unit_test(sbpb_and_efer),
		cmocka_unit_test(lacks_follow_cpuid),
	};

	return cmocka_run_group_tests(tests, NULL, processor_close);
}
