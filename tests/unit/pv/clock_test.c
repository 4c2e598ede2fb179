/* SPDX-License-Identifier: MIT */
/* MSRs that the clock is made from: the guest's writes to its TSC move kvmclock and the deadline along. */
#include "tests/unit/world/world.h"
#include "engine/engine.h"
#include "engine/exit.h"
#include "engine/irqchip.h"
#include "x86/regs.h"

#define MSR_TSC          0x10
#define MSR_APIC_BASE    0x1b
#define MSR_TSC_ADJUST   0x3b
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_SYSTEM_TIME  0x4b564d01
#define CLOCK_PAGE       0x5000u
#define SECOND           1000000000ll

static u64 msr_of(struct vcpu *v, u32 index)
{
	u64 value;

	assert_int_equal(vcpu_get_msr(v, index, &value, true), 0);
	return value;
}

static void set_msr(struct vcpu *v, u32 index, u64 value)
{
	assert_int_equal(vcpu_set_msr(v, index, value, true), 0);
}

/* The guest does wrmsr; hlt, or #GP. Returns whether it was allowed. */
static bool guest_write(struct world *w, u32 index, u64 value)
{
	struct vcpu_state s;

	WORLD_CODE(w, 0x0f, 0x30, 0xe6, 0x10);
	WORLD_PUT(w, 0x3000, 0xe6, 0x11);
	world_vector(w, X86_GP, 0x3000);
	vcpu_get(w->v, ST_REGS, &s);
	s.gpr[RCX] = index;
	s.gpr[RAX] = (u32)value;
	s.gpr[RDX] = value >> 32;
	assert_int_equal(vcpu_set(w->v, ST_REGS, &s), 0);
	return run_to(w->v, EXIT_IO_OUT)->io.port == 0x10;
}

/* What the guest computes from its page (Linux: Documentation/virt/kvm/x86/msr.rst). */
static u64 guest_clock(struct world *w)
{
	const u8 *p = w->ram + CLOCK_PAGE;
	u64 delta = msr_of(w->v, MSR_TSC) - *(u64 *)(p + 8);
	s8 shift = (s8)p[28];

	delta = shift < 0 ? delta >> -shift : delta << shift;
	return *(u64 *)(p + 16) + (u64)((unsigned __int128)delta * *(u32 *)(p + 24) >> 32);
}

static void assert_clock_right(struct world *w)
{
	s64 wrong = (s64)(guest_clock(w) - machine_get_clock(w->m));

	assert_true(wrong > -SECOND / 10 && wrong < SECOND / 10);
}

static void test_tsc_moves_clock(void **state)
{
	struct world w;
	u64 tsc = 1000000000000000ull;
	s64 adjust;

	world_open(&w, IRQCHIP_FULL);
	assert_true(guest_write(&w, MSR_SYSTEM_TIME, CLOCK_PAGE | 1));
	assert_int_equal(msr_of(w.v, MSR_SYSTEM_TIME), CLOCK_PAGE | 1);
	assert_clock_right(&w);
	assert_true(guest_write(&w, MSR_TSC, tsc));
	assert_in_range(msr_of(w.v, MSR_TSC), tsc, tsc + 100000000000);
	assert_clock_right(&w);
	adjust = (s64)msr_of(w.v, MSR_TSC_ADJUST);
	assert_true(adjust > 0); /* moved along */
	assert_true(guest_write(&w, MSR_TSC_ADJUST, (u64)adjust + tsc));
	assert_in_range(msr_of(w.v, MSR_TSC), 2 * tsc, 2 * tsc + 100000000000);
	assert_clock_right(&w);
	/* A VMM restores the number; the TSC has its own. */
	set_msr(w.v, MSR_TSC_ADJUST, 7);
	assert_int_equal(msr_of(w.v, MSR_TSC_ADJUST), 7);
	assert_in_range(msr_of(w.v, MSR_TSC), 2 * tsc, 2 * tsc + 100000000000);
	world_close(&w);
}

/* A deadline hours ahead comes at once when the TSC is set beyond it. */
static void test_tsc_moves_deadline(void **state)
{
	struct world w;
	u64 deadline;

	world_open(&w, IRQCHIP_FULL);
	WORLD_CODE(&w, 0x66, 0xc7, 0x06, 0xf0, 0x00, 0xff, 0x01, 0, 0, /* spurious vector: on */
		0x66, 0xc7, 0x06, 0x20, 0x03, 0x50, 0, 0x04, 0,        /* timer: deadline, 0x50 */
		0xe6, 0x10);
	set_segment(w.v, SEG_DS, 0xfee00000);
	run_to(w.v, EXIT_IO_OUT);
	set_segment(w.v, SEG_DS, 0);
	deadline = msr_of(w.v, MSR_TSC) + 100000000000000ull;
	assert_true(guest_write(&w, MSR_TSC_DEADLINE, deadline));
	assert_int_equal(msr_of(w.v, MSR_TSC_DEADLINE), deadline);
	assert_true(guest_write(&w, MSR_TSC, deadline + 1));
	assert_int_equal(msr_of(w.v, MSR_TSC_DEADLINE), 0);
	WORLD_CODE(&w, 0xfb, 0xf4);
	WORLD_PUT(&w, 0x3100, 0xe6, 0x50);
	world_vector(&w, 0x50, 0x3100);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x50);
	world_close(&w);
}

/* IA32_APIC_BASE is there without an APIC of ours, too. */
static void test_apic_base_without_apic(void **state)
{
	struct world w;

	world_open(&w, IRQCHIP_NONE);
	assert_true(guest_write(&w, MSR_APIC_BASE, 0xfee00100));
	assert_int_equal(msr_of(w.v, MSR_APIC_BASE), 0xfee00100);
	assert_false(guest_write(&w, MSR_APIC_BASE, 0xfee00101));
	world_close(&w);
}

/* Asynchronous page faults and paravirtual EOI, by the guest: what is reserved, or not memory, is #GP. */
static void test_pv_pages(void **state)
{
	static const struct {
		u32 index;
		u64 value;
		bool works;
	} writes[] = {{0x4b564d02, CLOCK_PAGE | 9, true}, {0x4b564d02, CLOCK_PAGE | 0x10, false},
		{0x4b564d02, RAM_BYTES | 9, false}, {0x4b564d02, 0, true}, {0x4b564d06, 0x60, true},
		{0x4b564d06, 0x160, false}, {0x4b564d07, 1, true},
		{0x4b564d04, CLOCK_PAGE | 1, true}, {0x4b564d04, CLOCK_PAGE | 2, false},
		{0x4b564d04, RAM_BYTES | 1, false}};
	struct world w;

	world_open(&w, IRQCHIP_FULL);
	for (unsigned i = 0; i < ARRAY_SIZE(writes); i++)
		assert_int_equal(
			guest_write(&w, writes[i].index, writes[i].value), writes[i].works);
	assert_int_equal(msr_of(w.v, 0x4b564d02), 0);
	assert_int_equal(msr_of(w.v, 0x4b564d04), CLOCK_PAGE | 1);
	assert_int_equal(msr_of(w.v, 0x4b564d06), 0x60);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tsc_moves_clock),
		cmocka_unit_test(test_tsc_moves_deadline),
		cmocka_unit_test(test_apic_base_without_apic),
		cmocka_unit_test(test_pv_pages),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
