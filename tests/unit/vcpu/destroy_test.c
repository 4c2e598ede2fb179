/* SPDX-License-Identifier: MIT */
/* A vcpu that goes away while another thread may still be looking at it. */
#include "tests/unit/world/world.h"

#include <pthread.h>
#include <time.h>

#include "engine/mem/mem_priv.h"

static struct world w;
static _Atomic bool holds, destroyed, too_early;

static void nap_ms(unsigned ms)
{
	struct timespec ts = {.tv_nsec = ms * 1000000l};

	nanosleep(&ts, NULL);
}

/* As machine_write() does, whose search for a dirty ring sees the vcpu. */
static void *look(void *opaque)
{
	struct vcpu *v = opaque;

	pthread_rwlock_rdlock(&w.m->mem->lock);
	atomic_store(&holds, true);
	while (atomic_load(&w.m->vcpus[1]) == v) /* it is taken off the list meanwhile */
		nap_ms(1);
	nap_ms(50);
	atomic_store(&too_early, atomic_load(&destroyed));
	pthread_rwlock_unlock(&w.m->mem->lock);
	return NULL;
}

static void test_waits_for_readers(void **state)
{
	struct vcpu *v;
	pthread_t reader;

	world_open(&w, IRQCHIP_NONE);
	assert_int_equal(vcpu_create(w.m, 1, &v), 0);
	assert_int_equal(pthread_create(&reader, NULL, look, v), 0);
	while (!atomic_load(&holds))
		nap_ms(1);
	vcpu_destroy(v);
	atomic_store(&destroyed, true);
	pthread_join(reader, NULL);
	assert_false(atomic_load(&too_early));
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waits_for_readers),
	};

	return cmocka_run_group_tests_name("destroy", tests, NULL, NULL);
}
