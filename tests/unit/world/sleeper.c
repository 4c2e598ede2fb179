/* SPDX-License-Identifier: MIT */
/* See sleeper.h. */
#include "sleeper.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "devices.h"
#include "engine/irqchip.h"

void sleeper_open(struct world *w)
{
	world_open(w, IRQCHIP_FULL);
	WORLD_CODE(w, 0x66, 0xc7, 0x06, 0xf0, 0x00, 0xff, 0x01, 0, 0, 0xe6, 0x10, 0xfb, 0xf4, 0xeb,
		0xfd); /* APIC on; out; sti; hlt; jmp to the hlt */
	WORLD_PUT(w, 0x3000, 0x66, 0xc7, 0x06, 0xb0, 0x00, 0, 0, 0, 0, 0xe6, SLEEPER_PORT, 0xcf);
	world_vector(w, SLEEPER_VECTOR, 0x3000); /* EOI; out; iret */
	set_segment(w->v, SEG_DS, 0xfee00000);
	run_to(w->v, EXIT_IO_OUT);
}

struct poster {
	struct world *w;
	unsigned rounds, pause_us;
	_Atomic unsigned taken;
};

/* Each is waited for, because two that come together are one. */
static void *post_each(void *opaque)
{
	struct poster *p = opaque;
	struct msi msi = {0xfee00000, SLEEPER_VECTOR};

	for (unsigned i = 0; i < p->rounds; i++) {
		if (p->pause_us)
			nap_us(p->pause_us);
		if (irq_msi(p->w->m, &msi) <= 0)
			return p;
		while (atomic_load(&p->taken) <= i)
			sched_yield();
	}
	return NULL;
}

void sleeper_take_interrupts(struct world *w, unsigned rounds, unsigned pause_us)
{
	struct poster p = {.w = w, .rounds = rounds, .pause_us = pause_us};
	pthread_t thread;
	void *failed;

	assert_int_equal(pthread_create(&thread, NULL, post_each, &p), 0);
	while (atomic_load(&p.taken) < rounds) {
		assert_int_equal(run_to(w->v, EXIT_IO_OUT)->io.port, SLEEPER_PORT);
		atomic_fetch_add(&p.taken, 1);
	}
	pthread_join(thread, &failed);
	assert_null(failed);
}
