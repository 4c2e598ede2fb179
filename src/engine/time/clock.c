/* SPDX-License-Identifier: MIT */
/* The TSC's frequency, and the machine's clock made from it (see time.h). */
#include <cpuid.h>
#include <errno.h>
#include <time.h>

#include "engine/core/machine.h"
#include "engine/irqchip.h"
#include "engine/time/clock.h"
#include "engine/time/timer.h"

#define NS_PER_SEC   1000000000ull
#define CALIBRATE_NS 10000000ull /* at least; two samples are within 100 ns: 10 ppm */

u64 host_tsc(void)
{
	return __builtin_ia32_rdtsc();
}

static u64 raw_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return (u64)ts.tv_sec * NS_PER_SEC + (u64)ts.tv_nsec;
}

/* CPUID 15h: TSC = crystal * ebx / eax; 40000010h: kHz, by a hypervisor that defines the leaf. */
static u64 cpuid_says(void)
{
	u32 a, b, c, d;

	if (__get_cpuid(0x15, &a, &b, &c, &d) && a && b && c)
		return (u64)c * b / a;
	__cpuid(1, a, b, c, d);
	if (!(c & BIT(31)))
		return 0;
	__cpuid(0x40000000, a, b, c, d);
	if (a < 0x40000010 || a > 0x400000ff)
		return 0;
	__cpuid(0x40000010, a, b, c, d);
	return (u64)a * 1000;
}

static u64 hz_by_cpuid(void)
{
	u64 hz = cpuid_says();

	/* Anything else is a leaf that means something different. */
	return hz >= 100000000 && hz < 20000000000 ? hz : 0;
}

/* A TSC value and the time it was read; the narrowest of a few tries, so that being preempted between the two does no harm. */
static u64 sample(u64 *ret_ns)
{
	u64 best = UINT64_MAX, tsc = 0;

	for (int i = 0; i < 8; i++) {
		u64 before = host_tsc(), ns = raw_ns(), after = host_tsc();

		if (after - before >= best)
			continue;
		best = after - before;
		tsc = before + best / 2;
		*ret_ns = ns;
	}
	return tsc;
}

/* No sleep: this may be a vcpu's thread, whose system calls the VMM has restricted. */
static u64 hz_since(u64 tsc0, u64 ns0)
{
	u64 ns1, tsc1;

	while (raw_ns() - ns0 < CALIBRATE_NS)
		__builtin_ia32_pause();
	tsc1 = sample(&ns1);
	return (u64)((unsigned __int128)(tsc1 - tsc0) * NS_PER_SEC / (ns1 - ns0));
}

u64 host_tsc_hz(void)
{
	u64 hz = hz_by_cpuid(), ns, tsc;

	if (hz)
		return hz;
	tsc = sample(&ns);
	return hz_since(tsc, ns);
}

/* The largest multiplier that fits into 32 bits: mult / 2^32 * 2^shift = 1e9 / hz. */
void clock_scale(u64 hz, u32 *ret_mult, s8 *ret_shift)
{
	s8 shift = 0;

	while (hz > 2 * NS_PER_SEC) {
		hz >>= 1;
		shift--;
	}
	while (hz <= NS_PER_SEC) {
		hz <<= 1;
		shift++;
	}
	*ret_mult = (u32)((NS_PER_SEC << 32) / hz);
	*ret_shift = shift;
}

void clock_init(struct clock *c)
{
	pthread_mutex_init(&c->lock, NULL);
	atomic_init(&c->tsc_hz, 0);
	c->start_tsc = sample(&c->start_raw);
	c->tsc = host_tsc();
	c->ns = 0;
	c->tsc_offset = -(s64)c->tsc;
	c->tsc_was_set = false;
	c->tsc_ratio = c->default_ratio = c->default_khz = 0;
}

void clock_settle(struct clock *c)
{
	u64 hz;

	if (atomic_load(&c->tsc_hz))
		return;
	hz = hz_by_cpuid();
	if (!hz)
		hz = hz_since(c->start_tsc, c->start_raw);
	clock_scale(hz, &c->mult, &c->shift);
	atomic_store(&c->tsc_hz, hz);
}

void clock_fini(struct clock *c)
{
	pthread_mutex_destroy(&c->lock);
}

u64 clock_at(const struct clock *c, u64 host_tsc)
{
	u64 ticks = host_tsc - c->tsc;

	ticks = c->shift < 0 ? ticks >> -c->shift : ticks << c->shift;
	return c->ns + (u64)((unsigned __int128)ticks * c->mult >> 32);
}

u64 machine_tsc_hz(struct machine *m)
{
	struct clock *c = machine_clock(m);

	if (unlikely(!atomic_load_explicit(&c->tsc_hz, memory_order_relaxed))) {
		pthread_mutex_lock(&c->lock);
		clock_settle(c);
		pthread_mutex_unlock(&c->lock);
	}
	return atomic_load_explicit(&c->tsc_hz, memory_order_relaxed);
}

u64 machine_get_clock_at(struct machine *m, u64 *ret_host_tsc, u64 *ret_realtime)
{
	struct clock *c = machine_clock(m);
	struct timespec ts;
	u64 tsc, ns;

	pthread_mutex_lock(&c->lock);
	clock_settle(c);
	clock_gettime(CLOCK_REALTIME, &ts);
	tsc = machine_host_tsc(m);
	ns = clock_at(c, tsc);
	pthread_mutex_unlock(&c->lock);
	if (ret_host_tsc)
		*ret_host_tsc = tsc;
	if (ret_realtime)
		*ret_realtime = (u64)ts.tv_sec * NS_PER_SEC + (u64)ts.tv_nsec;
	return ns;
}

u64 machine_get_clock_and_tsc(struct machine *m, u64 *ret_guest_tsc)
{
	struct clock *c = machine_clock(m);
	u64 tsc, ns;

	pthread_mutex_lock(&c->lock);
	clock_settle(c);
	tsc = machine_host_tsc(m);
	ns = clock_at(c, tsc);
	*ret_guest_tsc = clock_guest_tsc(c, tsc);
	pthread_mutex_unlock(&c->lock);
	return ns;
}

u64 machine_get_clock(struct machine *m)
{
	return machine_get_clock_at(m, NULL, NULL);
}

void clock_set(struct machine *m, u64 ns)
{
	struct clock *c = machine_clock(m);

	pthread_mutex_lock(&c->lock);
	c->tsc = machine_host_tsc(m);
	c->ns = ns;
	pthread_mutex_unlock(&c->lock);
}
