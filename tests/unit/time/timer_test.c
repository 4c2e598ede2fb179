/* SPDX-License-Identifier: MIT */
/*
 * The helper thread and the LAPIC timer. Lower bounds on time are exact; upper bounds are only that
 * something happens within seconds, so a busy machine makes nothing fail.
 */
#include "tests/unit/world/devices.h"
#include "tests/unit/world/posts.h"

#include "engine/cpuid/cpuid.h"
#include "engine/irq/irq.h"
#include "engine/irq/lapic.h"
#include "engine/time/clock.h"
#include "engine/time/timer.h"

#include <errno.h>

static int setup(void **state)
{
	world_create(IRQCHIP_FULL, 1);
	vcpu_set_tsc_offset(cpu0, 0); /* deadlines here are in the host's */
	apic_enable(cpu0);
	return 0;
}

static int teardown(void **state)
{
	world_destroy();
	return 0;
}

/* ---- timers ---- */

#define MANY 200

struct probe {
	struct timer timer;
	u64 due;
	_Atomic u64 fired_at;
	_Atomic unsigned count;
	_Atomic unsigned rearm;
};

static void probe_fire(struct timer *t)
{
	struct probe *p = container_of(t, struct probe, timer);

	atomic_store(&p->fired_at, host_ns());
	atomic_fetch_add(&p->count, 1);
	if (atomic_load(&p->rearm)) {
		atomic_fetch_sub(&p->rearm, 1);
		timer_arm(world, t, host_ns() + 200000);
	}
}

static bool wait_count(struct probe *p, unsigned n)
{
	u64 end = host_ns() + 60000000000ull;

	while (atomic_load(&p->count) < n) {
		if (host_ns() > end)
			return false;
		nap_us(100);
	}
	return true;
}

static void test_many(void **state)
{
	static struct probe p[MANY];
	u64 base = host_ns() + 20000000;

	memset(p, 0, sizeof(p));
	for (unsigned i = 0; i < MANY; i++) {
		p[i].timer.fire = probe_fire;
		p[i].due = base + (i * 7919 % MANY) * 50000ull;
		timer_arm(world, &p[i].timer, p[i].due);
	}
	/* Some later, some never. On a very busy machine they may have fired before we get here. */
	for (unsigned i = 0; i < MANY; i += 3)
		timer_arm(world, &p[i].timer, p[i].due + 3000000);
	for (unsigned i = 1; i < MANY; i += 3)
		timer_cancel(world, &p[i].timer);
	for (unsigned i = 0; i < MANY; i++) {
		if (i % 3 == 1)
			continue;
		assert_true(wait_count(&p[i], 1));
		assert_true(atomic_load(&p[i].fired_at) >= p[i].due);
	}
	for (unsigned i = 1; i < MANY; i += 3)
		assert_true(atomic_load(&p[i].count) <= 1);
	nap_us(2000);
	for (unsigned i = 0; i < MANY; i++) {
		assert_true(atomic_load(&p[i].count) <= 1 + (i % 3 == 0));
		timer_cancel(world, &p[i].timer);
	}
}

static void test_rearm_in_fire(void **state)
{
	struct probe p = {.timer.fire = probe_fire, .rearm = 9};

	timer_arm(world, &p.timer, host_ns());
	assert_true(wait_count(&p, 10));
	nap_us(2000);
	assert_int_equal(atomic_load(&p.count), 10);
	atomic_store(&p.rearm, 1000000);
	timer_arm(world, &p.timer, host_ns());
	assert_true(wait_count(&p, 12));
	timer_cancel(world, &p.timer); /* although it arms itself again */
	atomic_store(&p.rearm, 0);
	atomic_store(&p.count, 0);
	nap_us(3000);
	assert_int_equal(atomic_load(&p.count), 0);
}

static void test_past(void **state)
{
	struct probe p = {.timer.fire = probe_fire};

	timer_arm(world, &p.timer, 1);
	assert_true(wait_count(&p, 1));
	timer_arm(world, &p.timer, 0);
	assert_true(wait_count(&p, 2));
	timer_cancel(world, &p.timer);
}

/* ---- LAPIC timer ---- */

static void test_one_shot(void **state)
{
	u64 start;

	apic_write(cpu0, R_LVT_TIMER, 0x40);
	apic_write(cpu0, R_TIMER_DIVIDE, 0xb); /* by 1 */
	start = host_ns();
	apic_write(cpu0, R_TIMER_INITIAL, 3000000);
	assert_in_range(apic_read(cpu0, R_TIMER_CURRENT), 0, 3000000);
	assert_true(wait_pending(cpu0));
	assert_true(host_ns() - start >= 3000000);
	assert_int_equal(irq_accept(cpu0), 0x40);
	apic_write(cpu0, R_EOI, 0);
	assert_int_equal(apic_read(cpu0, R_TIMER_CURRENT), 0);
	nap_us(5000);
	assert_int_equal(served_pending(cpu0), -1);
}

static const struct {
	u32 config, divide;
} dividers[] = {{0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {10, 128}, {11, 1}};

static void test_divide(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(dividers); i++) {
		u64 before, after, t0, t1;
		u32 d = dividers[i].divide;

		apic_write(cpu0, R_TIMER_DIVIDE, dividers[i].config);
		assert_int_equal(apic_read(cpu0, R_TIMER_DIVIDE), dividers[i].config);
		before = host_ns();
		apic_write(cpu0, R_TIMER_INITIAL, 0xffffffff);
		t0 = host_ns();
		nap_us(500);
		t1 = host_ns();
		after = 0xffffffff - apic_read(cpu0, R_TIMER_CURRENT);
		assert_true(after >= (t1 - t0) / d - 1);
		assert_true(after <= (host_ns() - before) / d + 1);
	}
}

static void test_divide_change(void **state)
{
	u32 count;

	apic_write(cpu0, R_TIMER_DIVIDE, 0xb);
	apic_write(cpu0, R_TIMER_INITIAL, 4000000000);
	apic_write(cpu0, R_TIMER_DIVIDE, 0xa);
	count = apic_read(cpu0, R_TIMER_CURRENT);
	assert_in_range(count, 2000000000, 4000000000);
	apic_write(cpu0, R_TIMER_INITIAL, 0);
	assert_int_equal(apic_read(cpu0, R_TIMER_CURRENT), 0);
}

static void test_periodic(void **state)
{
	u64 start = host_ns();

	apic_write(cpu0, R_LVT_TIMER, 0x20041);
	apic_write(cpu0, R_TIMER_DIVIDE, 0xb);
	apic_write(cpu0, R_TIMER_INITIAL, 1000000);
	for (unsigned i = 0; i < 10; i++) {
		assert_true(wait_pending(cpu0));
		assert_int_equal(irq_accept(cpu0), 0x41);
		apic_write(cpu0, R_EOI, 0);
		assert_in_range(apic_read(cpu0, R_TIMER_CURRENT), 0, 1000000);
	}
	assert_true(host_ns() - start >= 10000000);
	apic_write(cpu0, R_LVT_TIMER, 0x30041); /* masked: goes on silently */
	while (irq_accept(cpu0) >= 0)
		apic_write(cpu0, R_EOI, 0);
	nap_us(3000);
	assert_int_equal(served_pending(cpu0), -1);
	apic_write(cpu0, R_LVT_TIMER, 0x20041);
	assert_true(wait_pending(cpu0));
}

/* What has run out stays so until the initial count is written. */
static void test_expired_made_periodic(void **state)
{
	apic_write(cpu0, R_LVT_TIMER, 0x40);
	apic_write(cpu0, R_TIMER_DIVIDE, 0xb);
	apic_write(cpu0, R_TIMER_INITIAL, 1000000);
	assert_true(wait_pending(cpu0));
	assert_int_equal(irq_accept(cpu0), 0x40);
	apic_write(cpu0, R_EOI, 0);
	apic_write(cpu0, R_LVT_TIMER, 0x20040);
	assert_int_equal(apic_read(cpu0, R_TIMER_CURRENT), 0);
	apic_write(cpu0, R_LVT_TIMER, 0x40);
	assert_int_equal(apic_read(cpu0, R_TIMER_CURRENT), 0);
	nap_us(3000);
	assert_int_equal(served_pending(cpu0), -1);
}

static u64 deadline(void)
{
	u64 v = 1;

	assert_int_equal(lapic_read_msr(cpu0, 0x6e0, &v), 0);
	return v;
}

static void test_tsc_deadline(void **state)
{
	u64 hz = machine_tsc_hz(world), start, tsc;

	cpu0->cpu.tsc_offset = -(s64)host_tsc();
	assert_int_equal(lapic_write_msr(cpu0, 0x6e0, 12345), 0); /* not in this mode: ignored */
	assert_int_equal(deadline(), 0);
	apic_write(cpu0, R_LVT_TIMER, 0x40042);
	start = host_ns();
	tsc = host_tsc() + (u64)cpu0->cpu.tsc_offset + hz / 250;
	assert_int_equal(lapic_write_msr(cpu0, 0x6e0, tsc), 0);
	assert_true(deadline() == tsc || host_tsc() + (u64)cpu0->cpu.tsc_offset >= tsc);
	assert_true(wait_pending(cpu0));
	assert_true(host_ns() - start > 3900000);
	assert_int_equal(irq_accept(cpu0), 0x42);
	apic_write(cpu0, R_EOI, 0);
	assert_int_equal(deadline(), 0);
	apic_write(cpu0, R_TIMER_INITIAL, 1000); /* ignored */
	assert_int_equal(apic_read(cpu0, R_TIMER_CURRENT), 0);

	assert_int_equal(lapic_write_msr(cpu0, 0x6e0, 1), 0); /* past: at once */
	assert_int_equal(served_pending(cpu0), 0x42);
	assert_int_equal(irq_accept(cpu0), 0x42);
	apic_write(cpu0, R_EOI, 0);
	assert_int_equal(lapic_write_msr(cpu0, 0x6e0, ~0ull), 0);
	assert_int_equal(deadline(), ~0ull);
	assert_int_equal(lapic_write_msr(cpu0, 0x6e0, 0), 0);
	assert_int_equal(deadline(), 0);
	assert_int_equal(lapic_write_msr(cpu0, 0x6e0, ~0ull), 0);
	apic_write(cpu0, R_LVT_TIMER, 0x42); /* leaving the mode disarms */
	assert_int_equal(deadline(), 0);
}

/* The deadline is in ticks of the guest's TSC, whatever their rate. */
static void test_scaled_deadline(void **state)
{
	u64 hz, start, tsc;

	assert_int_equal(tsc_set_khz(cpu0, (u32)(machine_tsc_hz(world) / 10000)), 0);
	hz = vcpu_tsc_hz(cpu0);
	apic_write(cpu0, R_LVT_TIMER, 0x40042);
	start = host_ns();
	tsc = cpu_tsc_at(&cpu0->cpu, host_tsc()) + hz / 250;
	assert_int_equal(lapic_write_msr(cpu0, 0x6e0, tsc), 0);
	assert_true(wait_pending(cpu0));
	assert_true(host_ns() - start > 3900000);
}

/* A CPUID without it: bit 18 of the entry is reserved. */
static void test_no_deadline_mode(void **state)
{
	cpu0->cpu.lacks = LACKS_TSC_DEADLINE;
	apic_write(cpu0, R_LVT_TIMER, 0x40042);
	assert_int_equal(apic_read(cpu0, R_LVT_TIMER), 0x42);
	assert_int_equal(lapic_write_msr(cpu0, 0x6e0, 1), 0);
	assert_int_equal(served_pending(cpu0), -1);
}

static void test_restore(void **state)
{
	u8 page[1024];
	u32 v;

	apic_write(cpu0, R_LVT_TIMER, 0x43);
	apic_write(cpu0, R_TIMER_DIVIDE, 0xb);
	apic_write(cpu0, R_TIMER_INITIAL, 4000000000);
	nap_us(1000);
	vcpu_get_lapic(cpu0, page);
	memcpy(&v, page + 0x390, 4);
	assert_in_range(v, 1, 3999000000);
	v = 2000000; /* 2 ms are left */
	memcpy(page + 0x390, &v, 4);
	lapic_reset(cpu0, false);
	vcpu_set_lapic(cpu0, page);
	assert_int_equal(apic_read(cpu0, R_TIMER_INITIAL), 4000000000);
	assert_true(wait_pending(cpu0));
	assert_int_equal(irq_accept(cpu0), 0x43);
	apic_write(cpu0, R_EOI, 0);
	vcpu_get_lapic(cpu0, page); /* expired */
	vcpu_set_lapic(cpu0, page);
	nap_us(3000);
	assert_int_equal(served_pending(cpu0), -1);
}

/* The deadline is an MSR, so setting the page leaves it alone. */
static void test_restore_deadline(void **state)
{
	u8 page[1024];
	u64 hz = machine_tsc_hz(world), tsc = host_tsc() + hz / 4;

	apic_write(cpu0, R_LVT_TIMER, 0x40044);
	vcpu_get_lapic(cpu0, page);
	lapic_write_msr(cpu0, 0x6e0, tsc);
	assert_int_equal(vcpu_set_lapic(cpu0, page), 0);
	assert_true(deadline() == tsc || host_tsc() >= tsc);
	assert_true(wait_pending(cpu0));
	assert_int_equal(irq_accept(cpu0), 0x44);
}

/* ---- what a VMM reads of a vcpu that does not run ---- */

static bool page_requests(const u8 *page, u8 vector)
{
	return page[(R_IRR + vector / 32) * 16 + vector % 32 / 8] >> vector % 8 & 1;
}

/* Whoever reads the page first and the MSR later, or the reverse, finds the deadline in one of them. */
static void test_deadline_stays(void **state)
{
	u64 tsc = host_tsc() + machine_tsc_hz(world) / 500;
	u8 page[1024];

	apic_write(cpu0, R_LVT_TIMER, 0x40045);
	world_posts(cpu0);
	lapic_write_msr(cpu0, 0x6e0, tsc);
	while (!world_posts(cpu0))
		nap_us(100);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(deadline(), tsc);
		assert_int_equal(vcpu_get_lapic(cpu0, page), 0);
		assert_false(page_requests(page, 0x45));
	}
	assert_int_equal(served_pending(cpu0), 0x45);
	assert_int_equal(deadline(), 0);
	vcpu_get_lapic(cpu0, page);
	assert_true(page_requests(page, 0x45));
}

/* By the VMM: one that has passed waits for KVM_RUN as well, and the next one takes its place. */
static void test_deadline_passed(void **state)
{
	apic_write(cpu0, R_LVT_TIMER, 0x40045);
	world_posts(cpu0);
	lapic_write_msr(cpu0, 0x6e0, 5);
	assert_int_equal(world_posts(cpu0), 1);
	assert_int_equal(irq_pending(cpu0), -1);
	assert_int_equal(deadline(), 5);
	lapic_write_msr(cpu0, 0x6e0, ~0ull);
	assert_int_equal(served_pending(cpu0), -1);
	assert_int_equal(deadline(), ~0ull);
	lapic_write_msr(cpu0, 0x6e0, 6);
	lapic_write_msr(cpu0, 0x6e0, 0);
	assert_int_equal(served_pending(cpu0), -1);
	/* The guest finds the request made. */
	lapic_write_msr(cpu0, 0x6e0, 7);
	lapic_timer_before_msr(cpu0, 0x6e0);
	assert_int_equal(deadline(), 0);
	assert_int_equal(irq_pending(cpu0), 0x45);
}

static _Atomic bool held, let_go;

static void stuck_fire(struct timer *t)
{
	atomic_store(&held, true);
	while (!atomic_load(&let_go))
		nap_us(100);
}

/* The helper thread does nothing else until it is let go. */
static struct timer stuck = {.fire = stuck_fire};

static void helper_holds(void)
{
	atomic_store(&let_go, false);
	atomic_store(&held, false);
	timer_arm(world, &stuck, 1);
	while (!atomic_load(&held))
		nap_us(100);
}

static void helper_goes_on(void)
{
	atomic_store(&let_go, true);
	timer_cancel(world, &stuck);
}

static void start_late(u32 lvt)
{
	helper_holds();
	apic_write(cpu0, R_LVT_TIMER, lvt);
	apic_write(cpu0, R_TIMER_DIVIDE, 0xb);
	apic_write(cpu0, R_TIMER_INITIAL, 2000000);
	nap_us(3000);
	assert_int_equal(irq_pending(cpu0), -1);
}

/* A count that has run out is shown together with its request, and asks only once. */
static void test_late_helper(void **state)
{
	static const u32 lvt[] = {0x46, 0x20046};
	u8 page[1024];
	u32 count;

	for (unsigned i = 0; i < ARRAY_SIZE(lvt); i++) {
		start_late(lvt[i]);
		assert_int_equal(vcpu_get_lapic(cpu0, page), 0);
		assert_true(page_requests(page, 0x46));
		memcpy(&count, page + R_TIMER_CURRENT * 16, 4);
		assert_true(!!count == i);
		assert_int_equal(irq_accept(cpu0), 0x46);
		apic_write(cpu0, R_EOI, 0);
		helper_goes_on();
		if (!i) {
			nap_us(2000);
			assert_int_equal(served_pending(cpu0), -1);
		} else {
			assert_true(wait_pending(cpu0));
			irq_accept(cpu0);
			apic_write(cpu0, R_EOI, 0);
		}
	}
}

/* What has run out goes to the vector that was there when it did, whatever is written then. */
static void test_late_changes(void **state)
{
	static const struct {
		enum lapic_reg r;
		u32 value;
	} change[] = {{R_LVT_TIMER, 0x20047}, {R_LVT_TIMER, 0x47}, {R_LVT_TIMER, 0x40047},
		{R_TIMER_INITIAL, 0}, {R_TIMER_DIVIDE, 2}};

	for (unsigned i = 0; i < ARRAY_SIZE(change); i++) {
		start_late(0x46);
		apic_write(cpu0, change[i].r, change[i].value);
		assert_int_equal(irq_accept(cpu0), 0x46);
		apic_write(cpu0, R_EOI, 0);
		assert_int_equal(apic_read(cpu0, R_TIMER_CURRENT), 0);
		helper_goes_on();
		nap_us(1000);
		assert_int_equal(served_pending(cpu0), -1);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_many),
		T(test_rearm_in_fire),
		T(test_past),
		T(test_one_shot),
		T(test_divide),
		T(test_divide_change),
		T(test_periodic),
		T(test_expired_made_periodic),
		T(test_tsc_deadline),
		T(test_scaled_deadline),
		T(test_no_deadline_mode),
		T(test_restore),
		T(test_restore_deadline),
		T(test_deadline_stays),
		T(test_deadline_passed),
		T(test_late_helper),
		T(test_late_changes),
	};

	return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
