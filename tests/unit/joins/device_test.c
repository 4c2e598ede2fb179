/* SPDX-License-Identifier: MIT */
/* A guest's instruction reaches a device's register, the device interrupts, the handler runs and ends it. */
#include "tests/unit/joins/joins.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/irqchip.h"

extern const u8 guest_pit[], guest_on_pit[], guest_sender[], guest_receiver[], guest_on_ipi[],
	guest_ioapic[], guest_on_ioapic[], guest_timer[], guest_on_timer[], guest_pvclock[];

/* OUT to the PIT and the PICs; the handler ends the interrupt by OUT. */
static void pit_through_pic(void **state)
{
	struct pic_state pic;

	assert_int_equal(machine_create_pit(w.m, false), 0);
	join_handler(V_PIC, guest_on_pit);
	join_start(w.v, guest_pit);
	assert_int_equal(join_run(w.v), 1);
	assert_int_equal(peek32(COUNT), 3);
	assert_int_equal(peek32(SEEN), 1);      /* in service in the handler, */
	assert_int_equal(peek32(SEEN_NEXT), 0); /* and not after the EOI */
	assert_int_equal(machine_get_pic(w.m, 0, &pic), 0);
	assert_int_equal(pic.isr, 0);
	assert_int_equal(pic.imr, 0xfe);
}

static void *run_receiver(void *v)
{
	return (void *)(intptr_t)vcpu_run(v, 0);
}

/* ICR by MMIO: the other vcpu takes it when it runs next, and out of HLT. */
static void icr_to_other(void **state)
{
	struct vcpu *other = join_add_vcpu();
	pthread_t t;
	void *r;

	join_handler(V_IPI, guest_on_ipi);
	for (unsigned i = 0; i < 2; i++) {
		world_put(&w, COUNT, &(u32){0}, 4);
		join_start(other, guest_receiver);
		join_start(w.v, guest_sender);
		assert_int_equal(join_run(other), 1);
		if (i == 1)
			pthread_create(&t, NULL, run_receiver, other);
		assert_int_equal(join_run(w.v), 1);
		if (i == 1)
			pthread_join(t, &r);
		else
			r = run_receiver(other);
		assert_null(r);
		assert_int_equal(vcpu_exit(other)->io.data[0], 2);
		assert_int_equal(peek32(COUNT), 1);
		assert_int_equal(peek32(SEEN), 1 << 24);
	}
}

static u64 take(int fd)
{
	u64 n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void put(int fd)
{
	assert_int_equal(write(fd, &(u64){1}, 8), 8);
}

/* A redirection entry by MMIO, an irqfd; the EOI by MMIO lowers the line and tells the device. */
static void irqfd_through_ioapic(void **state)
{
	int irq = eventfd(0, EFD_NONBLOCK), resample = eventfd(0, EFD_NONBLOCK);
	struct ioapic_state ioapic;

	assert_int_equal(irqfd_assign(w.m, irq, IOAPIC_PIN, resample), 0);
	join_handler(V_IOAPIC, guest_on_ioapic);
	join_start(w.v, guest_ioapic);
	assert_int_equal(join_run(w.v), 1);
	assert_int_equal(machine_get_ioapic(w.m, &ioapic), 0);
	assert_int_equal(ioapic.redirtbl[IOAPIC_PIN] & 0xffff, 0x8000 | V_IOAPIC);
	for (u32 i = 1; i <= 2; i++) {
		put(irq);
		assert_int_equal(join_run(w.v), 1 + i);
		assert_int_equal(peek32(COUNT), i);
		assert_true(peek32(SEEN) & 1 << 14); /* remote IRR, before the EOI */
		assert_int_equal(take(resample), 1);
		assert_int_equal(machine_get_ioapic(w.m, &ioapic), 0);
		assert_false(ioapic.redirtbl[IOAPIC_PIN] & 1 << 14);
		assert_false(ioapic.irr & 1 << IOAPIC_PIN);
	}
	assert_int_equal(irqfd_deassign(w.m, irq, IOAPIC_PIN), 0);
	close(irq);
	close(resample);
}

static void apic_timer(void **state)
{
	u64 began = machine_get_clock(w.m);

	join_handler(V_TIMER, guest_on_timer);
	join_start(w.v, guest_timer);
	assert_int_equal(join_run(w.v), 1);
	assert_true(machine_get_clock(w.m) - began >= 300000); /* a count is a nanosecond */
	assert_int_equal(peek32(COUNT), 2);
	assert_int_equal(peek32(SEEN), 1 << V_TIMER % 32);
	assert_int_equal(peek32(SEEN_NEXT), 0);
}

/* What the guest makes of the page and its TSC is the VMM's clock, also after that was set. */
static void kvmclock(void **state)
{
	const u64 slack = 200; /* ns: the page's factor is rounded */
	u64 before, after;

	join_start(w.v, guest_pvclock);
	for (unsigned i = 0; i < 6; i++) {
		if (i == 3)
			machine_set_clock(w.m, 1ull << 50);
		before = machine_get_clock(w.m);
		assert_int_equal(join_run(w.v), 1);
		after = machine_get_clock(w.m);
		assert_in_range(peek64(RESULT) + slack, before, after + 2 * slack);
		assert_int_equal(peek32(SEEN) & 1, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_WAYS(pit_through_pic),
		BOTH_WAYS(icr_to_other),
		BOTH_WAYS(irqfd_through_ioapic),
		BOTH_WAYS(apic_timer),
		BOTH_WAYS(kvmclock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
