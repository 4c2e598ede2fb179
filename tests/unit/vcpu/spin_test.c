/* SPDX-License-Identifier: MIT */
/* A vcpu that spins before it sleeps: when it does, and that it then needs nobody to hear of an irqfd. */
#include "tests/unit/world/devices.h"
#include "tests/unit/world/sleeper.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/core/machine.h"
#include "engine/core/stat.h"
#include "engine/core/vcpu.h"
#include "engine/irqchip.h"
#include "engine/time/timer.h"

#define GSI     10
#define FOREVER 3600000000000ull

static bool one_cpu(void)
{
	cpu_set_t set;

	if (!sched_getaffinity(0, sizeof(set), &set) && CPU_COUNT(&set) > 1)
		return false;
	print_message("not tried: there is one CPU, and a vcpu that spins has it\n");
	return true;
}

/* Its interrupt is a GSI's. */
static void open_sleeper(struct world *w, unsigned host_cpus)
{
	struct irq_route route = {.gsi = GSI, .is_msi = true, .msi = {0xfee00000, SLEEPER_VECTOR}};

	sleeper_open(w);
	assert_int_equal(irq_set_routing(w->m, &route, 1), 0);
	w->m->host_cpus = host_cpus;
}

static u64 attempts(struct world *w)
{
	return __atomic_load_n(&w->v->cpu.stats[STAT_HALT_ATTEMPTED_POLL], __ATOMIC_RELAXED);
}

/* ---- the helper thread, kept busy ---- */

static struct timer busy;
static _Atomic bool is_busy, let_go;

static void be_busy(struct timer *t)
{
	atomic_store(&is_busy, true);
	while (!atomic_load(&let_go))
		nap_us(100);
	atomic_store(&is_busy, false);
}

static void occupy_helper(struct world *w)
{
	atomic_store(&let_go, false);
	busy = (struct timer){.fire = be_busy};
	timer_arm(w->m, &busy, 1);
	while (!atomic_load(&is_busy))
		sched_yield();
}

static void release_helper(struct world *w)
{
	atomic_store(&let_go, true);
	timer_cancel(w->m, &busy);
}

/* ---- the vcpu, on a thread of its own ---- */

static _Atomic bool taken;

static void *take_one(void *opaque)
{
	struct world *w = opaque;

	assert_int_equal(run_to(w->v, EXIT_IO_OUT)->io.port, SLEEPER_PORT);
	atomic_store(&taken, true);
	return NULL;
}

static bool asleep(struct world *w)
{
	return atomic_load(&w->v->where) == VCPU_ASLEEP;
}

typedef void (*signal_function)(int fd);

/* False: it did not get the CPU for long enough, and fell asleep. */
static bool taken_while_it_spins(struct world *w, int fd, signal_function signal)
{
	u64 before = attempts(w);
	pthread_t thread;
	bool ret;

	occupy_helper(w);
	atomic_store(&taken, false);
	w->v->spin_ns = FOREVER;
	pthread_create(&thread, NULL, take_one, w);
	while (attempts(w) == before)
		sched_yield();
	signal(fd);
	while (!atomic_load(&taken) && !asleep(w))
		sched_yield();
	ret = atomic_load(&taken);
	release_helper(w);
	pthread_join(thread, NULL);
	return ret;
}

static void write_one(int fd)
{
	assert_int_equal(write(fd, &(u64){1}, 8), 8);
}

static void write_by_copy(int fd)
{
	int copy = dup(fd);

	write_one(copy);
	close(copy);
}

static void write_by_child(int fd)
{
	int status;
	pid_t child = fork();

	if (!child)
		_exit(write(fd, &(u64){1}, 8) != 8);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* Nobody else can have served it. The counter is taken, as ever. */
static void test_takes_irqfd(void **state)
{
	static const signal_function ways[] = {write_one, write_by_copy, write_by_child};
	int fd = eventfd(0, EFD_NONBLOCK);
	struct world w;

	if (one_cpu())
		skip();
	open_sleeper(&w, 2);
	assert_int_equal(irqfd_assign(w.m, fd, GSI, -1), 0);
	for (unsigned i = 0; i < 3; i++) {
		while (!taken_while_it_spins(&w, fd, ways[i]))
			;
		assert_int_equal(read(fd, &(u64){0}, 8), -1);
	}
	assert_int_equal(irqfd_deassign(w.m, fd, GSI), 0);
	world_close(&w);
	close(fd);
}

static _Atomic unsigned served;

static void serve(void *opaque, u32 events)
{
	atomic_fetch_add(&served, 1);
	assert_int_equal(read(*(int *)opaque, &(u64){0}, 8), 8);
}

/* What the helper thread has to serve is left to it. */
static void test_leaves_others(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct watch_config c = {.fd = fd, .ready = serve, .opaque = &fd};
	struct world w;

	open_sleeper(&w, 2);
	atomic_store(&served, 0);
	for (unsigned anywhere = 0; anywhere < 2; anywhere++) {
		c.anywhere = anywhere;
		assert_int_equal(fd_watch(w.m, &c), 0);
		occupy_helper(&w);
		write_one(fd);
		fd_watch_look(w.m);
		assert_int_equal(atomic_load(&served), anywhere ? 2 : 0);
		release_helper(&w);
		while (!atomic_load(&served))
			sched_yield();
		fd_unwatch(w.m, fd, &fd);
	}
	world_close(&w);
	close(fd);
}

/* The helper thread does not even wake up for what somebody else looks at. */
static void test_takes_from_helper(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct watch_config c = {.fd = fd, .anywhere = true, .ready = serve, .opaque = &fd};
	struct world w;

	open_sleeper(&w, 2);
	atomic_store(&served, 0);
	assert_int_equal(fd_watch(w.m, &c), 0);
	fd_watch_take(w.m);
	fd_watch_take(w.m);
	write_one(fd);
	nap_us(20000);
	fd_watch_give_back(w.m);
	nap_us(20000);
	assert_int_equal(atomic_load(&served), 0);
	fd_watch_give_back(w.m);
	while (!atomic_load(&served))
		sched_yield();
	fd_unwatch(w.m, fd, &fd);
	world_close(&w);
	close(fd);
}

/* ---- when it spins ---- */

/* Short sleeps teach it to spin, a long one not to. */
static void test_learns(void **state)
{
	u64 successes = 0;
	struct world w;

	if (one_cpu())
		skip();
	open_sleeper(&w, 2);
	while (!successes) {
		sleeper_take_interrupts(&w, 100, 20);
		successes = w.v->cpu.stats[STAT_HALT_SUCCESSFUL_POLL];
	}
	assert_true(attempts(&w) >= successes);
	sleeper_take_interrupts(&w, 1, 20000);
	assert_int_equal(w.v->spin_ns, 0);
	world_close(&w);
}

static void test_leaves_a_cpu(void **state)
{
	struct world w;

	open_sleeper(&w, 1);
	w.v->spin_ns = 100000;
	sleeper_take_interrupts(&w, 200, 20);
	assert_int_equal(attempts(&w), 0);
	w.m->host_cpus = 2;
	world_add_vcpu(&w); /* it may be running */
	sleeper_take_interrupts(&w, 200, 20);
	assert_int_equal(attempts(&w), 0);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_takes_irqfd),
		cmocka_unit_test(test_leaves_others),
		cmocka_unit_test(test_takes_from_helper),
		cmocka_unit_test(test_learns),
		cmocka_unit_test(test_leaves_a_cpu),
	};

	return cmocka_run_group_tests_name("spin", tests, NULL, NULL);
}
