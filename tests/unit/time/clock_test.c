/* SPDX-License-Identifier: MIT */
/* The machine's clock, its kvmclock pages, and the TSC's frequency. */
#include "tests/unit/world/devices.h"
#include "engine/core/cpu.h"
#include "engine/irqchip.h"
#include "engine/pv/clock.h"
#include "engine/pv/kvm/pvclock.h"
#include "engine/time/clock.h"
#include "engine/time/timer.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define PAGE_AT 0x800

struct page {
	u32 version, pad0;
	u64 tsc_timestamp, system_time;
	u32 mul;
	s8 shift;
	u8 flags, pad[2];
};

static int setup(void **state)
{
	world_create(IRQCHIP_FULL, 1);
	return 0;
}

static int teardown(void **state)
{
	world_destroy();
	return 0;
}

static struct page page(void)
{
	struct page p;

	memcpy(&p, world_ram + PAGE_AT, sizeof(p));
	return p;
}

/* What a guest computes (Linux, pvclock_scale_delta). */
static u64 guest_clock(const struct page *p, u64 guest_tsc)
{
	u64 delta = guest_tsc - p->tsc_timestamp;

	delta = p->shift < 0 ? delta >> -p->shift : delta << p->shift;
	return p->system_time + (u64)((unsigned __int128)delta * p->mul >> 32);
}

static u64 measure(void)
{
	u64 t0 = host_tsc(), ns0 = host_ns(), t1, ns1;

	nap_us(20000);
	t1 = host_tsc();
	ns1 = host_ns();
	return (u64)((unsigned __int128)(t1 - t0) * 1000000000 / (ns1 - ns0));
}

static void test_hz(void **state)
{
	u64 hz = machine_tsc_hz(world), seen = 0;

	/* Again if we were preempted between two readings. */
	for (unsigned i = 0; i < 50 && (seen < hz - hz / 200 || seen > hz + hz / 200); i++)
		seen = measure();
	assert_in_range(seen, hz - hz / 200, hz + hz / 200);
	assert_int_equal(vcpu_tsc_khz(cpu0), hz / 1000);
	assert_int_equal(tsc_set_khz(cpu0, 0), 0);
	assert_int_equal(tsc_set_khz(cpu0, vcpu_tsc_khz(cpu0)), 0);
	assert_int_equal(tsc_set_khz(cpu0, vcpu_tsc_khz(cpu0) + vcpu_tsc_khz(cpu0) / 5000), 0);
	assert_int_equal(cpu0->cpu.tsc_ratio, 0);
	assert_int_equal(tsc_set_khz(cpu0, TSC_KHZ_MAX), -EINVAL);
}

static void test_scale(void **state)
{
	static const u64 hz[] = {
		500000000, 1000000000, 1000000001, 2000000000, 2500000000, 6123456789};

	for (unsigned i = 0; i < ARRAY_SIZE(hz); i++) {
		struct clock c = {0};
		u64 ns;

		clock_scale(hz[i], &c.mult, &c.shift);
		ns = clock_at(&c, hz[i] * 1000); /* 1000 s */
		assert_in_range(ns, 1000000000000 - 2000, 1000000000000 + 2000);
	}
}

static void test_starts_at_zero_and_runs(void **state)
{
	u64 ns = host_ns(), a = machine_get_clock(world), b;

	assert_true(a < 60000000000ull);
	nap_us(10000);
	b = machine_get_clock(world);
	assert_in_range(b - a, 9900000, host_ns() - ns + 10000000);
	machine_set_clock(world, 5000000000000ull);
	assert_in_range(machine_get_clock(world), 5000000000000ull, 5060000000000ull);
}

static void test_page_agrees(void **state)
{
	u64 tsc, clock, realtime;
	struct page p;

	cpu0->cpu.tsc_offset = 123456789 - (s64)host_tsc();
	cpu0->cpu.msr.kvm_system_time = PAGE_AT | 1;
	pvclock_update(cpu0);
	p = page();
	assert_true(p.version && !(p.version & 1));
	assert_int_equal(p.flags, 1);
	for (unsigned i = 0; i < 1000; i++) {
		clock = machine_get_clock_at(world, &tsc, &realtime);
		assert_int_equal(guest_clock(&p, tsc + (u64)cpu0->cpu.tsc_offset), clock);
	}
	machine_set_clock(world, 77000000000ull);
	assert_int_equal(page().version, p.version + 2);
	p = page();
	clock = machine_get_clock_at(world, &tsc, NULL);
	assert_int_equal(guest_clock(&p, tsc + (u64)cpu0->cpu.tsc_offset), clock);
}

/* A TSC of another rate: the page has a multiplier of its own, of a rate in whole hertz, which of 50 MHz are 20 billionths. */
static void test_page_scaled(void **state)
{
	static const u32 khz[] = {50000, 1234567, 9000000};
	u64 host, clock;
	struct page p;

	cpu0->cpu.msr.kvm_system_time = PAGE_AT | 1;
	for (unsigned i = 0; i < ARRAY_SIZE(khz); i++) {
		assert_int_equal(tsc_set_khz(cpu0, khz[i]), 0);
		assert_int_equal(vcpu_tsc_khz(cpu0), khz[i]);
		assert_in_range(
			vcpu_tsc_hz(cpu0), khz[i] * 1000ull - 1000, khz[i] * 1000ull + 1000);
		pvclock_update(cpu0);
		p = page();
		clock = machine_get_clock_at(world, &host, NULL);
		assert_in_range(
			guest_clock(&p, cpu_tsc_at(&cpu0->cpu, host)) - clock + 100, 0, 200);
		host += 10 * machine_tsc_hz(world); /* and in ten seconds */
		assert_in_range(guest_clock(&p, cpu_tsc_at(&cpu0->cpu, host)) - clock,
			10000000000 - 300, 10000000000 + 300);
	}
}

static u64 guest_tsc_at(u64 host)
{
	return clock_guest_tsc(machine_clock(world), host);
}

/* It goes on from where it is; the second one to be changed is in step with the first, and so is a new one. */
static void test_rate_changes(void **state)
{
	u64 hz = machine_tsc_hz(world), at = host_tsc(), before = machine_guest_tsc(world);
	struct vcpu *other;

	assert_int_equal(vcpu_create(world, 1, &other), 0);
	tsc_init(cpu0);
	tsc_init(other);
	assert_int_equal(tsc_set_khz(cpu0, (u32)(hz / 2000)), 0);
	assert_in_range(cpu_tsc_at(&cpu0->cpu, host_tsc()), before, before + 60 * hz);
	assert_int_equal(tsc_set_khz(other, (u32)(hz / 2000)), 0);
	at = host_tsc();
	assert_int_equal(cpu_tsc_at(&cpu0->cpu, at), cpu_tsc_at(&other->cpu, at));
	assert_in_range(cpu_tsc_at(&cpu0->cpu, at + hz) - cpu_tsc_at(&cpu0->cpu, at),
		hz / 2 - hz / 1000, hz / 2 + hz / 1000);
	assert_int_equal(guest_tsc_at(at), cpu_tsc_at(&cpu0->cpu, at));
	vcpu_set_tsc(cpu0, 1ull << 50);
	vcpu_set_tsc(other, 0);
	at = host_tsc();
	assert_int_equal(cpu_tsc_at(&cpu0->cpu, at), cpu_tsc_at(&other->cpu, at));
	assert_int_equal(machine_set_tsc_khz(world, (u32)(hz / 500)), 0);
	tsc_init(other);
	assert_in_range(cpu_tsc_at(&other->cpu, host_tsc()), 0, 60 * hz);
	assert_int_equal(vcpu_tsc_khz(other), hz / 500);
	vcpu_destroy(other);
}

static void test_page_off(void **state)
{
	struct page p;

	cpu0->cpu.msr.kvm_system_time = PAGE_AT;
	pvclock_update(cpu0);
	assert_int_equal(page().version, 0);
	assert_int_equal(vcpu_clock_stopped(cpu0), -EINVAL);
	cpu0->cpu.msr.kvm_system_time = BIT64(40) | 1; /* no RAM there */
	pvclock_update(cpu0);
	cpu0->cpu.msr.kvm_system_time = PAGE_AT | 1;
	assert_int_equal(vcpu_clock_stopped(cpu0), 0);
	assert_int_equal(page().flags, 3);
	pvclock_update(cpu0); /* stays until the guest has seen it */
	p = page();
	assert_int_equal(p.flags, 3);
	p.flags = 1;
	p.version = 0x10001; /* the guest's mess */
	memcpy(world_ram + PAGE_AT, &p, sizeof(p));
	pvclock_update(cpu0);
	assert_int_equal(page().flags, 1);
	assert_int_equal(page().version & 1, 0);
}

static void test_wall_clock(void **state)
{
	u32 w[3];
	u64 boot, now;
	struct timespec ts;

	pvclock_write_wall_clock(world, 0x100);
	memcpy(w, world_ram + 0x100, sizeof(w));
	assert_true(w[0] && !(w[0] & 1));
	boot = w[1] * 1000000000ull + w[2];
	now = boot + machine_get_clock(world);
	clock_gettime(CLOCK_REALTIME, &ts);
	assert_in_range(
		ts.tv_sec * 1000000000ull + (u64)ts.tv_nsec, now - 1000000, now + 2000000000);
}

/* TSCs that are set one after the other stay in step. */
static void test_tsc_in_step(void **state)
{
	u64 hz;
	s64 offset;

	teardown(state);
	world_create(IRQCHIP_FULL, 2);
	hz = machine_tsc_hz(world);
	assert_in_range(machine_guest_tsc(world), 0, 60 * hz);
	offset = (s64)guest_tsc_at(0);
	vcpu_set_tsc(cpu0, 0);
	assert_int_equal(cpu0->cpu.tsc_offset, offset);
	vcpu_set_tsc(cpu0, 100 * hz); /* restored */
	assert_int_not_equal(cpu0->cpu.tsc_offset, offset);
	offset = cpu0->cpu.tsc_offset;
	nap_us(1000);
	vcpu_set_tsc(world_vcpu(1), host_tsc() + (u64)offset - hz / 2);
	assert_int_equal(world_vcpu(1)->cpu.tsc_offset, offset);
	vcpu_set_tsc(world_vcpu(1), host_tsc() + (u64)offset + hz / 2);
	assert_int_equal(world_vcpu(1)->cpu.tsc_offset, offset);
	vcpu_set_tsc(world_vcpu(1), 200 * hz);
	assert_true(world_vcpu(1)->cpu.tsc_offset > offset);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_hz),
		T(test_scale),
		T(test_starts_at_zero_and_runs),
		T(test_page_agrees),
		T(test_page_scaled),
		T(test_rate_changes),
		T(test_page_off),
		T(test_wall_clock),
		T(test_tsc_in_step),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
