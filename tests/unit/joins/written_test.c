/* SPDX-License-Identifier: MIT */
/*
 * Code in guest RAM that the VMM writes, by every road that there is: the guest runs what is there, after an exit and in
 * the handler of an interrupt that tells it of the write while it computes. roads.c has the roads.
 */
#include "tests/unit/joins/joins.h"
#include "tests/unit/joins/roads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/core/machine.h"
#include "engine/core/vcpu.h"
#include "engine/engine.h"
#include "engine/host/track.h"
#include "engine/irqchip.h"
#include "engine/mem/mem_priv.h"
#include "engine/mem/written.h"

extern const u8 guest_sums[], guest_interrupted[], guest_on_interrupted[];

#define SLOT_PAGES 9
#define PAGE_COUNT ((PAGES_END - PAGES) / PAGE_SIZE)
#define WARM       6 /* runs of the same code, so that whoever learns to trust it does */

struct pages {
	struct road_memory memory;
	u8 value[PAGE_COUNT];
};

static void slot(u8 *hva)
{
	struct memslot_config c = {.id = SLOT_PAGES,
		.gpa = PAGES,
		.size = hva ? PAGES_END - PAGES : 0,
		.hva = (u64)hva};

	assert_int_equal(machine_set_memslot(w.m, &c), 0);
}

static void pages_open(struct pages *p, bool shared)
{
	*p = (struct pages){0};
	road_memory_open(&p->memory, PAGE_COUNT, shared);
	for (unsigned i = 0; i < PAGE_COUNT; i++) {
		p->value[i] = (u8)i;
		road_code(p->memory.base + i * PAGE_SIZE, (u8)i);
	}
	slot(p->memory.base);
}

static void pages_close(struct pages *p)
{
	slot(NULL);
	road_memory_close(&p->memory);
}

/* Another number for the n-th page. False: this road does not exist here. */
static bool change(struct pages *p, const struct road *road, unsigned n)
{
	u8 value = (u8)(p->value[n] * 5 + 0x31);

	if (!road->write(&p->memory, n, value))
		return false;
	p->value[n] = value;
	return true;
}

/* ---- with traces of writes, or without ---- */

static bool traced;

/* As soon as may be: no page has to wait until it is trusted. A ring that was closed keeps its buffers for a while. */
static void trace(void)
{
	if (!traced)
		return;
	host_track_writes(true);
	traced = track_start();
	if (!traced)
		return;
	while (track_pinned())
		usleep(1000);
	w.m->mem->written->patience = 0;
	w.m->mem->written->eager = true;
}

static int traced_setup(bool step)
{
	void *state = NULL;
	int r;

	traced = true;
	host_track_writes(true);
	r = step ? join_setup_step(&state) : join_setup_translate(&state);
	trace();
	return r;
}

static int setup_step(void **state)
{
	return traced_setup(true);
}

static int setup_translate(void **state)
{
	return traced_setup(false);
}

static int teardown(void **state)
{
	if (!traced)
		printf("# writes are not traced here\n");
	traced = false;
	host_track_writes(false);
	return join_teardown(state);
}

#define TRACED(test)                                                                               \
	{#test " step, traced", test, setup_step, teardown, NULL},                                 \
	{                                                                                          \
#test " translate, traced", test, setup_translate, teardown, NULL                  \
	}

/* The road is no test if pages that nobody has written to are compared all the same. */
static void check_trusted(const struct road *road, unsigned round)
{
	if (!traced || w.v->cpu.step_only || road->shared || road->faults || round)
		return;
	assert_true(track_works());
	assert_int_equal(w.v->cpu.kept.count >= PAGE_COUNT, true);
}

/* What the program must do before it makes a userfaultfd of its own. */
static bool change_by(struct pages *p, const struct road *road, unsigned n)
{
	if (road->faults)
		host_track_writes(false);
	return change(p, road, n);
}

static u8 sum_of(const struct pages *p)
{
	u8 sum = 0;

	for (unsigned i = 0; i < PAGE_COUNT; i++)
		sum += p->value[i];
	return sum;
}

/* ---- after an exit ---- */

static void along(const struct road *road)
{
	struct pages p;

	trace();
	pages_open(&p, road->shared);
	for (unsigned round = 0; round < 3 * PAGE_COUNT; round++) {
		for (unsigned i = 0; i < WARM; i++)
			assert_int_equal(join_run(w.v), sum_of(&p));
		check_trusted(road, round);
		if (!change_by(&p, road, (round * 3) % PAGE_COUNT)) {
			printf("# %s: not here\n", road->name);
			break;
		}
	}
	assert_int_equal(join_run(w.v), sum_of(&p));
	pages_close(&p);
}

static void after_an_exit(void **state)
{
	join_start(w.v, guest_sums);
	for (unsigned i = 0; i < road_count; i++)
		along(&roads[i]);
}

static void expect(const struct pages *p)
{
	for (unsigned i = 0; i < WARM; i++)
		assert_int_equal(join_run(w.v), sum_of(p));
}

/* The slot gets other memory, and the one before stays as it was. */
static void other_memory(void **state)
{
	struct pages p[2];

	trace();
	join_start(w.v, guest_sums);
	pages_open(&p[0], false);
	expect(&p[0]);
	slot(NULL);
	pages_open(&p[1], false);
	for (unsigned n = 0; n < 2 * PAGE_COUNT; n++) {
		assert_int_equal(join_run(w.v), sum_of(&p[n % 2 ? 0 : 1]));
		assert_true(change(&p[n % 2 ? 0 : 1], &roads[0], n / 2));
		expect(&p[n % 2 ? 0 : 1]);
		slot(NULL);
		slot(p[n % 2].memory.base);
	}
	pages_close(&p[0]);
	road_memory_close(&p[1].memory);
}

/* ---- while the guest computes ---- */

struct device {
	const struct road *road;
	struct pages *pages;
	unsigned n;
	bool changes, done;
	int irq;
};

static void await_computing(void)
{
	u32 before = peek32(SEEN_NEXT);

	while (peek32(SEEN_NEXT) == before)
		usleep(100);
}

static void *act(void *opaque)
{
	struct device *d = opaque;

	await_computing();
	d->done = d->changes && change_by(d->pages, d->road, d->n);
	if (write(d->irq, &(u64){1}, 8) != 8)
		perror("irq");
	return NULL;
}

/* Returns when the handler has run, which has called what is there now. */
static void interrupt(struct device *d, bool changes)
{
	pthread_t t;
	u8 sum;

	d->changes = changes;
	assert_int_equal(pthread_create(&t, NULL, act, d), 0);
	sum = join_run(w.v);
	pthread_join(t, NULL);
	assert_int_equal(sum, sum_of(d->pages));
}

static void along_interrupted(const struct road *road, int irq)
{
	struct pages p;
	struct device d = {.road = road, .pages = &p, .irq = irq};

	trace();
	pages_open(&p, road->shared);
	for (unsigned round = 0; round < 3 && (!round || d.done); round++) {
		for (unsigned i = 0; i < WARM; i++)
			interrupt(&d, false);
		check_trusted(road, round);
		d.n = round;
		interrupt(&d, true);
	}
	pages_close(&p);
}

static void at_an_interrupt(void **state)
{
	int irq = eventfd(0, EFD_NONBLOCK);

	assert_int_equal(irqfd_assign(w.m, irq, IOAPIC_PIN, -1), 0);
	join_handler(V_IOAPIC, guest_on_interrupted);
	join_start(w.v, guest_interrupted);
	for (unsigned i = 0; i < road_count; i++)
		along_interrupted(&roads[i], irq);
	assert_int_equal(irqfd_deassign(w.m, irq, IOAPIC_PIN), 0);
	close(irq);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_WAYS(after_an_exit),
		BOTH_WAYS(at_an_interrupt),
		BOTH_WAYS(other_memory),
		TRACED(after_an_exit),
		TRACED(other_memory),
		TRACED(at_an_interrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
