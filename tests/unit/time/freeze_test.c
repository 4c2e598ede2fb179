/* SPDX-License-Identifier: MIT */
/*
 * A machine whose time stands still: the clock, the TSCs, the local APIC's timer in its three modes, and what is set meanwhile.
 * That something does not happen is looked for after a while in which it would have happened several times.
 */
#include "tests/unit/world/devices.h"
#include "tests/unit/world/posts.h"

#include "engine/irq/irq.h"
#include "engine/irq/lapic.h"
#include "engine/msr/msr.h"
#include "engine/time/clock.h"
#include "engine/time/timer.h"
#include "x86/msr.h"

#include <pthread.h>

#define MS     1000000ull
#define VECTOR 0x40

static int setup(void **state)
{
	world_create(IRQCHIP_FULL, 2);
	apic_enable(cpu0);
	apic_write(cpu0, R_TIMER_DIVIDE, 0xb);
	return 0;
}

static int teardown(void **state)
{
	machine_freeze_time(world, false);
	world_destroy();
	return 0;
}

static u64 tsc_of(struct vcpu *v)
{
	u64 value;

	assert_int_equal(vcpu_get_msr(v, MSR_TSC, &value, true), 0);
	return value;
}

static void freeze(void)
{
	machine_freeze_time(world, true);
}

static void thaw(void)
{
	machine_freeze_time(world, false);
}

/* ---- clock and TSC ---- */

static void test_stands_still(void **state)
{
	u64 clock, tsc, host, before = machine_get_clock(world);

	freeze();
	clock = machine_get_clock_at(world, &host, NULL);
	tsc = tsc_of(cpu0);
	assert_true(clock >= before);
	nap_us(20000);
	assert_int_equal(machine_get_clock(world), clock);
	assert_int_equal(tsc_of(cpu0), tsc);
	assert_int_equal(tsc_of(world_vcpu(1)), tsc);
	assert_int_equal(machine_guest_tsc(world), tsc);
	freeze(); /* it is */
	assert_int_equal(machine_get_clock(world), clock);

	before = host_ns();
	thaw();
	thaw();
	assert_in_range(machine_get_clock(world) - clock, 0, host_ns() - before + MS);
	assert_true(tsc_of(cpu0) >= tsc);
	/* They are where they would be had there been no pause: the clock and the TSC have lost the same. */
	clock = machine_get_clock_at(world, &host, NULL) - clock;
	tsc = cpu_tsc_at(&cpu0->cpu, host) - tsc;
	tsc = (u64)((unsigned __int128)tsc * 1000000000 / machine_tsc_hz(world));
	assert_in_range(tsc - clock + 1000, 0, 2000);
	host = host_tsc();
	assert_int_equal(cpu_tsc_at(&cpu0->cpu, host), cpu_tsc_at(&world_vcpu(1)->cpu, host));
}

/* A TSC of another rate shows the very same tick before and after. */
static void test_other_rate(void **state)
{
	u64 tsc;

	assert_int_equal(vcpu_set_tsc_khz(cpu0, 1234567), 0);
	freeze();
	tsc = tsc_of(cpu0);
	nap_us(5000);
	thaw();
	assert_in_range(tsc_of(cpu0) - tsc, 0, 60 * 1234567000ull);
	freeze();
	assert_true(tsc_of(cpu0) > tsc);
}

static void test_set_while_frozen(void **state)
{
	u64 hz = machine_tsc_hz(world), tsc;

	freeze();
	machine_set_clock(world, 5000000 * MS);
	tsc = tsc_of(cpu0);
	/* Near to what it shows, 0, and far away: each is what is then read. */
	for (unsigned i = 0; i < 4; i++) {
		u64 value = (u64[]){tsc + hz / 3, 0, 77 * hz, 77 * hz + 5}[i];

		assert_int_equal(vcpu_set_msr(cpu0, MSR_TSC, value, true), 0);
		nap_us(2000);
		assert_int_equal(vcpu_set_msr(world_vcpu(1), MSR_TSC, value, true), 0);
		assert_int_equal(tsc_of(cpu0), value);
		assert_int_equal(tsc_of(world_vcpu(1)), value);
	}
	nap_us(20000);
	assert_int_equal(machine_get_clock(world), 5000000 * MS);
	thaw();
	assert_in_range(machine_get_clock(world), 5000000 * MS, 5060000 * MS);
	assert_in_range(tsc_of(cpu0), 77 * hz + 5, 137 * hz);
	assert_int_equal(vcpu_tsc_offset(cpu0), vcpu_tsc_offset(world_vcpu(1)));
}

static void test_born_frozen(void **state)
{
	struct vcpu *v;
	u64 tsc;

	freeze();
	assert_int_equal(vcpu_create(world, 7, &v), 0);
	tsc = tsc_of(v);
	assert_int_equal(tsc, tsc_of(cpu0));
	nap_us(20000);
	assert_int_equal(tsc_of(v), tsc);
	thaw();
	assert_int_equal(vcpu_tsc_offset(v), vcpu_tsc_offset(cpu0));
	assert_in_range(tsc_of(v) - tsc, 0, 60 * machine_tsc_hz(world));
	vcpu_destroy(v);
}

/* Who reads while another thread freezes and thaws never sees time go back, nor a pause. */
static _Atomic bool stop;

static void *freezer(void *opaque)
{
	for (unsigned i = 0; !atomic_load(&stop); i++)
		machine_freeze_time(world, i & 1);
	thaw();
	return NULL;
}

static void test_readers(void **state)
{
	u64 last[3] = {0};
	pthread_t thread;

	atomic_store(&stop, false);
	assert_int_equal(pthread_create(&thread, NULL, freezer, NULL), 0);
	for (unsigned i = 0; i < 20000; i++) {
		u64 now[3] = {machine_ns(world), machine_get_clock(world), tsc_of(cpu0)};

		for (unsigned k = 0; k < 3; k++) {
			assert_true(now[k] >= last[k]);
			last[k] = now[k];
		}
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
}

/* ---- the local APIC's timer ---- */

static bool nothing_comes(void)
{
	nap_us(30000);
	return served_pending(cpu0) < 0;
}

/* Since machine_ns() was start, ns have passed for the guest when the interrupt is there. */
static void assert_comes_after(u64 start, u64 ns)
{
	assert_true(wait_pending(cpu0));
	assert_true(machine_ns(world) - start >= ns);
	assert_int_equal(irq_accept(cpu0), VECTOR);
	apic_write(cpu0, R_EOI, 0);
}

static void test_one_shot(void **state)
{
	u32 left, divided = 5 * MS;
	u64 start;

	freeze();
	apic_write(cpu0, R_LVT_TIMER, VECTOR);
	apic_write(cpu0, R_TIMER_INITIAL, divided);
	left = apic_read(cpu0, R_TIMER_CURRENT);
	assert_int_equal(left, divided); /* not a tick */
	assert_true(nothing_comes());
	assert_int_equal(apic_read(cpu0, R_TIMER_CURRENT), divided);
	start = machine_ns(world);
	thaw();
	assert_comes_after(start, 5 * MS);

	/* One that ran before. */
	start = machine_ns(world);
	apic_write(cpu0, R_TIMER_INITIAL, 10 * MS);
	freeze();
	if (served_pending(cpu0) < 0) { /* on a busy machine it is over already */
		left = apic_read(cpu0, R_TIMER_CURRENT);
		assert_true(nothing_comes());
		assert_int_equal(apic_read(cpu0, R_TIMER_CURRENT), left);
	}
	thaw();
	assert_comes_after(start, 10 * MS);
}

static void test_periodic(void **state)
{
	u8 page[1024], again[1024];
	u64 start;
	u32 left;

	apic_write(cpu0, R_LVT_TIMER, VECTOR | TIMER_PERIODIC << 17);
	start = machine_ns(world);
	apic_write(cpu0, R_TIMER_INITIAL, 4 * MS);
	assert_comes_after(start, 4 * MS);
	freeze();
	assert_int_equal(vcpu_get_lapic(cpu0, page), 0);
	while (served_pending(cpu0) >= 0) { /* those that were late */
		irq_accept(cpu0);
		apic_write(cpu0, R_EOI, 0);
	}
	assert_true(nothing_comes());
	left = apic_read(cpu0, R_TIMER_CURRENT);
	assert_in_range(left, 0, 4 * MS);
	assert_int_equal(vcpu_get_lapic(cpu0, again), 0);
	assert_memory_equal(page + R_TIMER_CURRENT * 16, &left, 4);
	assert_memory_equal(again + R_TIMER_CURRENT * 16, &left, 4);
	start = machine_ns(world);
	thaw();
	assert_comes_after(start, left);
	assert_comes_after(start, left + 4 * MS);
}

/* The page is restored while time stands: it goes on with the count that was given. */
static void test_page_set_while_frozen(void **state)
{
	u32 initial = 8 * MS, current = 3 * MS, entry = VECTOR;
	u8 page[1024];
	u64 start;

	freeze();
	assert_int_equal(vcpu_get_lapic(cpu0, page), 0);
	memcpy(page + R_LVT_TIMER * 16, &entry, 4);
	memcpy(page + R_TIMER_INITIAL * 16, &initial, 4);
	memcpy(page + R_TIMER_CURRENT * 16, &current, 4);
	assert_int_equal(vcpu_set_lapic(cpu0, page), 0);
	assert_true(nothing_comes());
	assert_int_equal(apic_read(cpu0, R_TIMER_CURRENT), current);
	start = machine_ns(world);
	thaw();
	assert_comes_after(start, 3 * MS);
}

static void test_deadline(void **state)
{
	u64 hz = machine_tsc_hz(world), deadline, value;

	apic_write(cpu0, R_LVT_TIMER, VECTOR | TIMER_TSC_DEADLINE << 17);
	deadline = tsc_of(cpu0) + hz / 100;
	assert_int_equal(lapic_write_msr(cpu0, MSR_TSC_DEADLINE, deadline), 0);
	freeze();
	if (tsc_of(cpu0) < deadline) {
		assert_true(nothing_comes());
		assert_int_equal(lapic_read_msr(cpu0, MSR_TSC_DEADLINE, &value), 0);
		assert_int_equal(value, deadline);
	}
	thaw();
	assert_true(wait_pending(cpu0));
	assert_true(
		tsc_of(cpu0) >= deadline - hz / 2000); /* the clocks of the host differ a little */
	assert_int_equal(irq_accept(cpu0), VECTOR);
	apic_write(cpu0, R_EOI, 0);

	/* Set while time stands, and moved by a TSC that is set; then one that has passed. */
	freeze();
	assert_int_equal(vcpu_set_msr(cpu0, MSR_TSC, 50 * hz, true), 0);
	assert_int_equal(vcpu_set_msr(cpu0, MSR_TSC_DEADLINE, 60 * hz, true), 0);
	assert_int_equal(vcpu_set_msr(cpu0, MSR_TSC, 60 * hz - hz / 200, true), 0);
	assert_true(nothing_comes());
	thaw();
	assert_true(wait_pending(cpu0));
	assert_in_range(tsc_of(cpu0), 60 * hz - hz / 2000, 120 * hz);
}

/* Host timers go on: the heartbeat of running vcpus is one. */
static _Atomic unsigned fired;

static void count_fire(struct timer *t)
{
	atomic_fetch_add(&fired, 1);
}

static void test_hosts_timers_fire(void **state)
{
	struct timer host = {.fire = count_fire}, guest = {.fire = count_fire, .guest = true};

	atomic_store(&fired, 0);
	freeze();
	timer_arm(world, &guest, machine_ns(world) + 1);
	timer_arm(world, &host, host_ns() + 10 * MS);
	while (!atomic_load(&fired))
		nap_us(100);
	nap_us(5000);
	assert_int_equal(atomic_load(&fired), 1);
	thaw();
	while (atomic_load(&fired) < 2)
		nap_us(100);
	timer_arm(world, &guest, machine_ns(world) + 1000 * 1000 * MS);
	freeze();
	timer_cancel(world, &guest); /* one that is armed and does not run */
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_stands_still),
		T(test_other_rate),
		T(test_set_while_frozen),
		T(test_born_frozen),
		T(test_readers),
		T(test_one_shot),
		T(test_periodic),
		T(test_page_set_while_frozen),
		T(test_deadline),
		T(test_hosts_timers_fire),
	};

	return cmocka_run_group_tests_name("freeze", tests, NULL, NULL);
}
