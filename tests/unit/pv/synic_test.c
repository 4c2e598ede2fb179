/* SPDX-License-Identifier: MIT */
/*
 * Messages and event flags that a partition's VMM posts: slot, queue, what the guest is told and when the VMM is, from one
 * thread and from several.
 */
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "tests/unit/world/hvguest.h"
#include "engine/core/vcpu.h"
#include "engine/msr/msr.h"
#include "engine/pv/hyperv/hv.h"

#define EVENTS_AT 0x12000u

static struct hv_message *slot(struct world *w, unsigned sint)
{
	return (struct hv_message *)(w->ram + PAGE_AT + sint * 256);
}

static struct hv_message message(u32 type)
{
	struct hv_message msg = {.type = type, .len = 240, .sender = 0x1122334455667788};

	memset(msg.payload, (int)type, sizeof(msg.payload));
	return msg;
}

static int post(struct world *w, unsigned sint, u32 type)
{
	struct hv_message msg = message(type);

	return vcpu_synic_post(w->v, sint, &msg);
}

/* Of the vector, waiting in the local APIC: taken out of it. */
static bool take_interrupt(struct world *w)
{
	u8 page[1024];
	u32 at = 0x200 + VECTOR / 32 * 16, bits;

	assert_int_equal(vcpu_get_lapic(w->v, page), 0);
	memcpy(&bits, page + at, 4);
	bool waits = bits & BIT(VECTOR % 32);
	bits &= ~BIT(VECTOR % 32);
	memcpy(page + at, &bits, 4);
	assert_int_equal(vcpu_set_lapic(w->v, page), 0);
	return waits;
}

/* What a guest does with a message. */
static void consume(struct world *w, unsigned sint)
{
	bool tell;

	__atomic_store_n(&slot(w, sint)->type, 0, __ATOMIC_SEQ_CST);
	tell = slot(w, sint)->flags & 1;
	if (tell)
		wrmsr(w, EOM, 0);
}

/* ---- messages ---- */

static void test_slot(void **state)
{
	struct hv_message msg = message(0x55);
	struct world w;

	hv_open_partition(&w);
	assert_int_equal(post(&w, 2, 0x55), 0);
	assert_memory_equal(slot(&w, 2), &msg, sizeof(msg));
	assert_true(take_interrupt(&w));
	assert_int_equal(slot(&w, 1)->type, 0);
	assert_int_equal(slot(&w, 3)->type, 0);
	assert_int_equal(post(&w, 16, 1), -EINVAL);
	assert_int_equal(post(&w, 2, 0), -EINVAL);
	msg.len = 241;
	assert_int_equal(vcpu_synic_post(w.v, 2, &msg), -EINVAL);

	/* Masked and polling ones are for guests that look. */
	wrmsr(&w, 0x40000093, VECTOR | BIT(16));
	assert_int_equal(post(&w, 3, 7), 0);
	wrmsr(&w, 0x40000094, VECTOR | BIT(18));
	assert_int_equal(post(&w, 4, 7), 0);
	assert_int_equal(slot(&w, 3)->type, 7);
	assert_int_equal(slot(&w, 4)->type, 7);
	assert_false(take_interrupt(&w));
	world_close(&w);
}

static void test_disabled(void **state)
{
	struct world w;

	world_open_partition(&w);
	hv_give_cpuid(w.v);
	enable_interrupts(&w);
	/* After reset: nothing is enabled, and no call was needed for the guest to have it. */
	assert_int_equal(msr_of(&w, SCONTROL), 0);
	assert_int_equal(msr_of(&w, 0x40000081), 1);
	for (u32 i = 0; i < 16; i++)
		assert_int_equal(msr_of(&w, 0x40000090 + i), 0x10000);
	assert_int_equal(msr_of(&w, SIMP) | msr_of(&w, SIEFP) | msr_of(&w, EOM), 0);
	/* Messages wait, as many as there is room for. */
	assert_int_equal(post(&w, 2, 1), 0);
	wrmsr(&w, SCONTROL, 1);
	for (u32 i = 2; i <= SYNIC_QUEUE_MAX; i++)
		assert_int_equal(post(&w, 2, i), 0);
	assert_int_equal(post(&w, 2, 99), -EAGAIN);
	wrmsr(&w, SCONTROL, 0);
	wrmsr(&w, SIMP, PAGE_AT | 1);
	assert_int_equal(slot(&w, 2)->type, 0);
	wrmsr(&w, SCONTROL, 1);
	for (u32 i = 1; i <= SYNIC_QUEUE_MAX; i++) {
		assert_int_equal(slot(&w, 2)->type, i);
		slot(&w, 2)->type = 0;
		wrmsr(&w, EOM, 0);
	}
	assert_int_equal(slot(&w, 2)->type, 0);
	wrmsr(&w, SIMP, 0xf0000000);
	assert_int_equal(vcpu_set_msr(w.v, SIMP, 0xf0000001, true), 0); /* no RAM */
	assert_int_equal(post(&w, 2, 1), -ENOENT);
	world_close(&w);
}

/* The pages are the guest's once it has placed them: as new, but not each time it says the same. */
static void test_pages(void **state)
{
	struct world w;

	hv_open_partition(&w);
	assert_int_equal(post(&w, 2, 9), 0);
	wrmsr(&w, SIMP, PAGE_AT | 1);
	assert_int_equal(slot(&w, 2)->type, 9);
	wrmsr(&w, SIMP, 0);
	wrmsr(&w, SIMP, PAGE_AT | 1);
	assert_int_equal(slot(&w, 2)->type, 0);
	slot(&w, 5)->type = 77;
	assert_int_equal(vcpu_set_msr(w.v, SIMP, PAGE_AT, true), 0);
	assert_int_equal(vcpu_set_msr(w.v, SIMP, PAGE_AT | 1, true), 0); /* restored */
	assert_int_equal(slot(&w, 5)->type, 77);
	world_close(&w);
}

static void test_queue(void **state)
{
	struct world w;

	hv_open_partition(&w);
	for (u32 i = 1; i <= 1 + SYNIC_QUEUE_MAX; i++)
		assert_int_equal(post(&w, 2, i), 0);
	assert_int_equal(post(&w, 2, 99), -EAGAIN);
	assert_int_equal(post(&w, 3, 99), 0); /* has its own */
	for (u32 i = 1; i <= 1 + SYNIC_QUEUE_MAX; i++) {
		struct hv_message msg = message(i);

		assert_true(take_interrupt(&w));
		msg.flags = i <= SYNIC_QUEUE_MAX;
		assert_memory_equal(slot(&w, 2), &msg, sizeof(msg));
		consume(&w, 2);
	}
	assert_int_equal(slot(&w, 2)->type, 0);
	assert_false(take_interrupt(&w));

	/* Without EOM: the end of the interrupt, and the next one that is posted. */
	assert_int_equal(post(&w, 2, 1), 0);
	assert_int_equal(post(&w, 2, 2), 0);
	assert_int_equal(post(&w, 2, 3), 0);
	wait_for_interrupt(&w);
	slot(&w, 2)->type = 0;
	hv_eoi(&w);
	assert_int_equal(slot(&w, 2)->type, 2);
	slot(&w, 2)->type = 0;
	assert_int_equal(post(&w, 2, 4), 0);
	assert_int_equal(slot(&w, 2)->type, 3);
	assert_int_equal(slot(&w, 2)->flags, 1);
	consume(&w, 2);
	assert_int_equal(slot(&w, 2)->type, 4);
	assert_int_equal(slot(&w, 2)->flags, 0);
	world_close(&w);
}

/* What waits while the controller or the page is off goes on when they are on. */
static void test_waits_for_controller(void **state)
{
	struct world w;

	hv_open_partition(&w);
	assert_int_equal(post(&w, 2, 1), 0);
	assert_int_equal(post(&w, 2, 2), 0);
	wrmsr(&w, SCONTROL, 0);
	slot(&w, 2)->type = 0;
	wrmsr(&w, EOM, 0);
	assert_int_equal(slot(&w, 2)->type, 0);
	wrmsr(&w, SCONTROL, 1);
	assert_int_equal(slot(&w, 2)->type, 2);
	assert_int_equal(post(&w, 2, 3), 0);
	wrmsr(&w, SIMP, 0);
	wrmsr(&w, SIMP, PAGE_AT + 0x1001);
	assert_int_equal(slot(&w, 2 + 16)->type, 3);
	world_close(&w);
}

/* ---- several posters, and a guest that takes ---- */

#define EACH 3000

struct poster {
	struct world *w;
	u32 number;
};

static void nap(void)
{
	struct timespec ts = {.tv_nsec = 20000};

	nanosleep(&ts, NULL);
}

static void *poster(void *opaque)
{
	struct poster *p = opaque;

	for (u32 i = 1; i <= EACH; i++) {
		struct hv_message msg = message(p->number << 16 | i);
		int r;

		while ((r = vcpu_synic_post(p->w->v, 2, &msg)) == -EAGAIN)
			nap();
		if (r)
			return (void *)1;
	}
	return NULL;
}

/* As the vcpu's thread does it for the guest. */
static void eom(struct world *w)
{
	assert_int_equal(outer_msr_set(w->v, EOM, 0, false), 0);
}

static void test_posters(void **state)
{
	struct poster p[2];
	pthread_t t[2];
	u32 seen[2] = {0};
	struct world w;
	void *failed;

	hv_open_partition(&w);
	for (u32 i = 0; i < 2; i++) {
		p[i] = (struct poster){&w, i};
		assert_int_equal(pthread_create(&t[i], NULL, poster, &p[i]), 0);
	}
	while (seen[0] < EACH || seen[1] < EACH) {
		u32 type = __atomic_load_n(&slot(&w, 2)->type, __ATOMIC_ACQUIRE);

		if (!type)
			continue;
		/* Each one's in order, none twice, none lost, none torn. */
		assert_true(type >> 16 < 2);
		assert_int_equal(type & 0xffff, ++seen[type >> 16]);
		assert_int_equal(slot(&w, 2)->payload[239], (u8)type);
		__atomic_store_n(&slot(&w, 2)->type, 0, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&slot(&w, 2)->flags, __ATOMIC_SEQ_CST) & 1)
			eom(&w);
	}
	for (u32 i = 0; i < 2; i++) {
		pthread_join(t[i], &failed);
		assert_null(failed);
	}
	world_close(&w);
}

/* ---- event flags ---- */

static void test_signal(void **state)
{
	struct world w;
	bool fresh;

	hv_open_partition(&w);
	assert_int_equal(vcpu_synic_signal(w.v, 16, 0, &fresh), -EINVAL);
	assert_int_equal(vcpu_synic_signal(w.v, 0, 2048, &fresh), -EINVAL);
	/* Without a page they are kept, and tell nobody. */
	assert_int_equal(vcpu_synic_signal(w.v, 2, 2047, &fresh), 0);
	assert_true(fresh);
	assert_int_equal(vcpu_synic_signal(w.v, 2, 2047, &fresh), 0);
	assert_false(fresh);
	assert_false(take_interrupt(&w));
	memset(w.ram + EVENTS_AT, 0xff, 4096);
	wrmsr(&w, SIEFP, EVENTS_AT | 1);
	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(w.ram[EVENTS_AT + i], i == 3 * 256 - 1 ? 0x80 : 0);
	assert_int_equal(vcpu_synic_signal(w.v, 2, 2047, &fresh), 0);
	assert_false(fresh);

	assert_int_equal(vcpu_synic_signal(w.v, 2, 9, &fresh), 0);
	assert_true(fresh);
	assert_int_equal(w.ram[EVENTS_AT + 512 + 1], 2);
	assert_true(take_interrupt(&w));
	assert_int_equal(vcpu_synic_signal(w.v, 2, 9, &fresh), 0);
	assert_false(fresh);
	assert_false(take_interrupt(&w));
	wrmsr(&w, SCONTROL, 0);
	assert_int_equal(vcpu_synic_signal(w.v, 2, 10, &fresh), 0);
	assert_true(fresh);
	assert_false(take_interrupt(&w));

	/* Kept ones are not seen twice. */
	wrmsr(&w, SIEFP, 0);
	wrmsr(&w, SIEFP, EVENTS_AT | 1);
	assert_int_equal(w.ram[EVENTS_AT + 3 * 256 - 1], 0);
	assert_int_equal(vcpu_set_msr(w.v, SIEFP, 0xf0000001, true), 0);
	assert_int_equal(vcpu_synic_signal(w.v, 2, 10, &fresh), -EFAULT);
	world_close(&w);
}

static _Atomic unsigned fresh_flags;

static void *signaller(void *opaque)
{
	struct world *w = opaque;

	for (u16 i = 0; i < 2048; i++) {
		bool fresh = false;

		if (vcpu_synic_signal(w->v, 2, i, &fresh))
			return (void *)1;
		if (fresh)
			atomic_fetch_add(&fresh_flags, 1);
	}
	return NULL;
}

static void test_signallers(void **state)
{
	pthread_t t[3];
	struct world w;
	void *failed;

	hv_open_partition(&w);
	wrmsr(&w, SIEFP, EVENTS_AT | 1);
	atomic_store(&fresh_flags, 0);
	for (u32 i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, signaller, &w), 0);
	for (u32 i = 0; i < 3; i++) {
		pthread_join(t[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(atomic_load(&fresh_flags), 2048);
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(w.ram[EVENTS_AT + 512 + i], 0xff);
	world_close(&w);
}

/* ---- the VMM is told that a SINT can take a message ---- */

static void test_ready_at_once(void **state)
{
	struct world w;

	hv_open_partition(&w);
	vcpu_synic_notify(w.v, BIT(2) | BIT(5));
	assert_int_equal(vcpu_synic_notified(w.v), BIT(2) | BIT(5));
	assert_int_equal(post(&w, 5, 1), 0);
	WORLD_CODE(&w, 0xe6, 0x10);
	assert_int_equal(run_to(w.v, EXIT_SINT_READY)->sints, BIT(2));
	assert_int_equal(rip_of(w.v), CODE);
	assert_int_equal(vcpu_synic_notified(w.v), BIT(5));
	assert_int_equal(slot(&w, 5)->flags, 1); /* the guest is to tell */
	run_to(w.v, EXIT_IO_OUT);
	vcpu_synic_notify(w.v, 0);
	assert_int_equal(vcpu_synic_notified(w.v), 0);
	/* Ready, but the VMM has been quicker. */
	vcpu_synic_notify(w.v, BIT(7));
	assert_int_equal(post(&w, 7, 1), 0);
	WORLD_CODE(&w, 0xe6, 0x10);
	run_to(w.v, EXIT_IO_OUT);
	assert_int_equal(vcpu_synic_notified(w.v), BIT(7));
	world_close(&w);
}

static struct exit *wrmsr_ready(struct world *w, u32 index, u64 value)
{
	struct exit *x;

	begin_wrmsr(w, index, value);
	x = run_to(w->v, EXIT_SINT_READY);
	assert_int_equal(rip_of(w->v), CODE + 2);
	return x;
}

/* By each of what the guest can do. */
static void test_ready_later(void **state)
{
	struct world w;

	hv_open_partition(&w);
	assert_int_equal(post(&w, 2, 1), 0);
	vcpu_synic_notify(w.v, BIT(2));
	wrmsr(&w, EOM, 0); /* still full */
	slot(&w, 2)->type = 0;
	assert_int_equal(wrmsr_ready(&w, EOM, 0)->sints, BIT(2));

	assert_true(take_interrupt(&w));
	assert_int_equal(post(&w, 2, 1), 0);
	vcpu_synic_notify(w.v, BIT(2));
	wait_for_interrupt(&w);
	slot(&w, 2)->type = 0;
	assert_int_equal(wrmsr_ready(&w, 0x40000070, 0)->sints, BIT(2));

	wrmsr(&w, SCONTROL, 0);
	vcpu_synic_notify(w.v, BIT(2));
	wrmsr(&w, EOM, 0);
	assert_int_equal(wrmsr_ready(&w, SCONTROL, 1)->sints, BIT(2));
	wrmsr(&w, SIMP, 0);
	vcpu_synic_notify(w.v, BIT(2));
	wrmsr(&w, EOM, 0);
	assert_int_equal(wrmsr_ready(&w, SIMP, PAGE_AT | 1)->sints, BIT(2));

	/* What is in the queue comes first. */
	assert_int_equal(post(&w, 2, 1), 0);
	assert_int_equal(post(&w, 2, 2), 0);
	vcpu_synic_notify(w.v, BIT(2));
	slot(&w, 2)->type = 0;
	wrmsr(&w, EOM, 0);
	assert_int_equal(slot(&w, 2)->type, 2);
	slot(&w, 2)->type = 0;
	assert_int_equal(wrmsr_ready(&w, EOM, 0)->sints, BIT(2));
	world_close(&w);
}

/* Another thread asks while the vcpu sleeps, or runs without an end. */
static _Atomic u16 told;

static void *runner(void *opaque)
{
	struct world *w = opaque;

	if (vcpu_run(w->v, 0) || vcpu_exit(w->v)->reason != EXIT_SINT_READY)
		return (void *)1;
	atomic_store(&told, vcpu_exit(w->v)->sints);
	return NULL;
}

static void test_asked_from_outside(void **state)
{
	static const struct vcpu_state runnable = {.mp_state = MP_RUNNABLE};
	struct world w;
	pthread_t t;
	void *failed;

	hv_open_partition(&w);
	for (unsigned i = 0; i < 200; i++) {
		atomic_store(&told, 0);
		assert_int_equal(vcpu_set(w.v, ST_MP, &runnable), 0);
		if (i & 1)
			WORLD_CODE(&w, 0xf4); /* hlt */
		else
			WORLD_CODE(&w, 0xeb, 0xfe);
		assert_int_equal(pthread_create(&t, NULL, runner, &w), 0);
		while (i % 4 < 2 && atomic_load(&w.v->where) != (i & 1 ? VCPU_ASLEEP : VCPU_IN))
			nap();
		vcpu_synic_notify(w.v, BIT(3) | BIT(15));
		pthread_join(t, &failed);
		assert_null(failed);
		assert_int_equal(atomic_load(&told), BIT(3) | BIT(15));
		assert_int_equal(vcpu_synic_notified(w.v), 0);
	}
	world_close(&w);
}

/* ---- timers of a partition ---- */

static void test_timer_rules(void **state)
{
	struct world w;

	hv_open_partition(&w);
	/* SINT 0 takes no message of a timer. */
	wrmsr(&w, STIMER0_CONFIG, 1);
	assert_int_equal(msr_of(&w, STIMER0_CONFIG), 0);
	wrmsr(&w, STIMER0_CONFIG, BIT(3));
	wrmsr(&w, STIMER0_COUNT, 1000000000000);
	assert_int_equal(msr_of(&w, STIMER0_CONFIG), BIT(3));
	wrmsr(&w, STIMER0_CONFIG, BIT(3) | 2 << 16);
	wrmsr(&w, STIMER0_COUNT, 1000000000000);
	assert_int_equal(msr_of(&w, STIMER0_CONFIG), BIT(3) | 2 << 16 | 1);
	wrmsr(&w, STIMER0_COUNT, 0);
	assert_int_equal(msr_of(&w, STIMER0_CONFIG), BIT(3) | 2 << 16);

	/* Over already; the SINT is masked, but the message is there and the timer done. */
	wrmsr(&w, SINT2, 0x10000 | VECTOR);
	wrmsr(&w, STIMER0_COUNT, 1);
	wrmsr(&w, EOM, 0);
	assert_int_equal(msr_of(&w, STIMER0_CONFIG), BIT(3) | 2 << 16);
	assert_int_equal(slot(&w, 2)->type, 0x80000010);
	assert_false(take_interrupt(&w));
	/* Without a page it waits for one. */
	wrmsr(&w, SIMP, 0);
	wrmsr(&w, STIMER0_COUNT, 1);
	wrmsr(&w, EOM, 0);
	assert_int_equal(msr_of(&w, STIMER0_CONFIG), BIT(3) | 2 << 16 | 1);
	wrmsr(&w, SIMP, PAGE_AT | 1);
	wrmsr(&w, EOM, 0);
	assert_int_equal(msr_of(&w, STIMER0_CONFIG), BIT(3) | 2 << 16);
	assert_int_equal(slot(&w, 2)->type, 0x80000010);
	world_close(&w);
}

/* A tick that finds the slot full waits, though it is a periodic timer's; messages of the queue go first. */
static void test_periodic_waits(void **state)
{
	struct world w;

	hv_open_partition(&w);
	assert_int_equal(post(&w, 2, 1), 0);
	assert_int_equal(post(&w, 2, 2), 0);
	wrmsr(&w, STIMER0_COUNT, 1);
	wrmsr(&w, STIMER0_CONFIG, 2 << 16 | 3);
	while (!w.v->hv->timers[0].msg_pending)
		wrmsr(&w, EOM, 0);
	slot(&w, 2)->type = 0;
	wrmsr(&w, EOM, 0);
	assert_int_equal(slot(&w, 2)->type, 2);
	assert_int_equal(slot(&w, 2)->flags & 1, 1);
	slot(&w, 2)->type = 0;
	wrmsr(&w, EOM, 0);
	wrmsr(&w, STIMER0_CONFIG, 0);
	assert_int_equal(slot(&w, 2)->type, 0x80000010);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slot),
		cmocka_unit_test(test_disabled),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_queue),
		cmocka_unit_test(test_waits_for_controller),
		cmocka_unit_test(test_posters),
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_signallers),
		cmocka_unit_test(test_ready_at_once),
		cmocka_unit_test(test_ready_later),
		cmocka_unit_test(test_asked_from_outside),
		cmocka_unit_test(test_timer_rules),
		cmocka_unit_test(test_periodic_waits),
	};

	return cmocka_run_group_tests_name("synic", tests, NULL, NULL);
}
