/* SPDX-License-Identifier: MIT */
/* A halted vcpu: what wakes it, what it costs meanwhile, and that no wake-up is lost. */
#include "tests/inside.h"
#include "tests/unit/world/sleeper.h"
#include "tests/unit/world/world.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "engine/code/cache.h"
#include "engine/core/machine.h"
#include "engine/core/cpu.h"
#include "engine/request/post.h"

static void nap_ms(unsigned ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l};

	nanosleep(&ts, NULL);
}

/* A thread that does vcpu_run() until it returns an exit. */
struct runner {
	pthread_t self;
	_Atomic int tid;
	struct vcpu *v;
	u32 flags; /* RUN_* */
	int result;
	u32 reason;
	unsigned again; /* how often it was told that INIT has come */
	long switches;  /* how often it slept */
	_Atomic bool done;
};

static void *run_once(void *opaque)
{
	struct runner *r = opaque;
	struct rusage u;

	atomic_store(&r->tid, gettid());
	do
		r->result = vcpu_run(r->v, r->flags);
	while (r->result == -EAGAIN && ++r->again);
	r->reason = vcpu_exit(r->v)->reason;
	getrusage(RUSAGE_THREAD, &u);
	r->switches = u.ru_nvcsw;
	atomic_store(&r->done, true);
	return NULL;
}

static void runner_start_flags(struct runner *r, struct vcpu *v, u32 flags)
{
	*r = (struct runner){.v = v, .flags = flags};
	assert_int_equal(pthread_create(&r->self, NULL, run_once, r), 0);
}

static void runner_start(struct runner *r, struct vcpu *v)
{
	runner_start_flags(r, v, 0);
}

/* Until it has slept for so long. */
static void runner_sleeps(struct runner *r, unsigned ms)
{
	while (!atomic_load(&r->tid))
		nap_ms(1);
	inside_wait_thread(atomic_load(&r->tid), ms);
}

static void runner_end(struct runner *r, u32 reason)
{
	pthread_join(r->self, NULL);
	assert_int_equal(r->result, 0);
	assert_int_equal(r->reason, reason);
}

static _Atomic unsigned polls;
static _Atomic bool poll_answer;

static bool count_polls(void *opaque)
{
	atomic_fetch_add(&polls, 1);
	return atomic_load(&poll_answer);
}

static void test_sleep_costs_nothing(void **state)
{
	struct world w;
	struct runner r;

	world_open(&w, IRQCHIP_FULL);
	WORLD_CODE(&w, 0xf4);
	vcpu_set_poll(w.v, count_polls, NULL);
	runner_start(&r, w.v);
	runner_sleeps(&r, 50);
	atomic_store(&polls, 0);
	nap_ms(200);
	assert_int_equal(atomic_load(&polls), 0);
	assert_false(atomic_load(&r.done));
	vcpu_kick(w.v);
	runner_end(&r, EXIT_INTR);
	assert_true(r.switches < 20);
	world_close(&w);
}

/* A request that only inner code serves must not keep a halted vcpu from sleeping. */
static void test_flush_request_does_not_wake(void **state)
{
	struct world w;
	struct runner r;
	struct timespec cpu;
	clockid_t clock;

	world_open(&w, IRQCHIP_FULL);
	WORLD_CODE(&w, 0xf4);
	runner_start(&r, w.v);
	runner_sleeps(&r, 20);
	vcpu_request(w.v, REQ_FLUSH, true);
	nap_ms(200);
	assert_int_equal(pthread_getcpuclockid(r.self, &clock), 0);
	clock_gettime(clock, &cpu);
	assert_true(cpu.tv_sec == 0 && cpu.tv_nsec < 100000000);
	vcpu_kick(w.v);
	runner_end(&r, EXIT_INTR);
	world_close(&w);
}

/* The caller's descriptor makes the sleeper ask, and the answer decides. */
static void test_wait_fd(void **state)
{
	struct world w;
	struct runner r;
	u64 one = 1;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	world_open(&w, IRQCHIP_FULL);
	WORLD_CODE(&w, 0xf4);
	vcpu_set_poll(w.v, count_polls, NULL);
	vcpu_set_wait_fd(w.v, fd);
	runner_start(&r, w.v);
	runner_sleeps(&r, 20);
	assert_false(atomic_load(&r.done));
	atomic_store(&poll_answer, true); /* not earlier: it is asked on the way to HLT, too */
	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
	runner_end(&r, EXIT_INTR);
	atomic_store(&poll_answer, false);
	world_close(&w);
	close(fd);
}

static void test_waits_for_sipi(void **state)
{
	struct world w;
	struct vcpu *ap;
	struct vcpu_state s;
	struct runner r;

	world_open(&w, IRQCHIP_FULL);
	assert_int_equal(vcpu_create(w.m, 1, &ap), 0);
	vcpu_get(ap, ST_MP, &s);
	assert_int_equal(s.mp_state, MP_UNINITIALIZED);
	runner_start(&r, ap);
	runner_sleeps(&r, 20);
	assert_false(atomic_load(&r.done));
	vcpu_kick(ap);
	runner_end(&r, EXIT_INTR);
	/* INIT and SIPI by the other's APIC: it starts at 3000h. */
	WORLD_PUT(&w, 0x3000, 0xe6, 0x77);
	WORLD_CODE(&w, 0x66, 0xc7, 0x06, 0xf0, 0x00, 0xff, 0x01, 0, 0, /* APIC on */
		0x66, 0xc7, 0x06, 0x10, 0x03, 0, 0, 0, 0x01,           /* to APIC 1 */
		0x66, 0xc7, 0x06, 0x00, 0x03, 0x00, 0x45, 0, 0,        /* INIT */
		0x66, 0xc7, 0x06, 0x00, 0x03, 0x03, 0x46, 0, 0,        /* SIPI 3 */
		0xe6, 0x10);
	set_segment(w.v, SEG_DS, 0xfee00000);
	runner_start(&r, ap);
	runner_sleeps(&r, 20);
	run_to(w.v, EXIT_IO_OUT);
	runner_end(&r, EXIT_IO_OUT);
	assert_int_equal(r.again, 1);
	assert_int_equal(vcpu_exit(ap)->io.port, 0x77);
	assert_int_equal(rip_of(ap), 0);
	vcpu_destroy(ap);
	world_close(&w);
}

/* ---- RUN_ASLEEP ---- */

/* It sleeps on whatever else comes, and nobody has to wait for it. */
static void test_asleep(void **state)
{
	struct memslot_config c = {.id = 1, .gpa = 0x100000, .size = 0x1000};
	struct msi msi = {0xfee00000, 0x50};
	struct world w;
	struct runner r;

	world_open(&w, IRQCHIP_FULL);
	WORLD_CODE(&w, 0xe6, 0x10);
	c.hva = (u64)w.ram;
	runner_start_flags(&r, w.v, RUN_ASLEEP);
	runner_sleeps(&r, 20);
	assert_int_equal(machine_set_memslot(w.m, &c), 0);
	irq_msi(w.m, &msi);
	vcpu_nmi(w.v);
	vcpu_poll_soon(w.v); /* there is no function: nothing asks for an end */
	nap_ms(50);
	assert_false(atomic_load(&r.done));
	vcpu_kick(w.v);
	runner_end(&r, EXIT_INTR);
	assert_int_equal(rip_of(w.v), CODE);
	vcpu_kick(w.v); /* before it sleeps */
	assert_int_equal(vcpu_run(w.v, RUN_ASLEEP), 0);
	assert_int_equal(vcpu_exit(w.v)->reason, EXIT_INTR);
	world_close(&w);
}

/* The poll function ends it, whether it is asked to or says so by itself in time. */
static void test_asleep_polls(void **state)
{
	struct world w;
	struct runner r;

	world_open(&w, IRQCHIP_NONE);
	vcpu_set_poll(w.v, count_polls, NULL);
	runner_start_flags(&r, w.v, RUN_ASLEEP);
	runner_sleeps(&r, 20);
	atomic_store(&polls, 0);
	vcpu_poll_soon(w.v);
	while (!atomic_load(&polls))
		sched_yield();
	nap_ms(20);
	assert_false(atomic_load(&r.done));
	atomic_store(&poll_answer, true);
	vcpu_poll_soon(w.v);
	runner_end(&r, EXIT_INTR);
	assert_int_equal(vcpu_run(w.v, RUN_ASLEEP), 0);
	assert_int_equal(vcpu_exit(w.v)->reason, EXIT_INTR);
	atomic_store(&poll_answer, false);
	world_close(&w);
}

/* What was answered before is found by the instruction that asked, once. */
static void test_asleep_keeps_answers(void **state)
{
	struct world w;

	world_open(&w, IRQCHIP_NONE);
	WORLD_CODE(
		&w, 0xe4, 0x10, 0xe4, 0x10, 0xe6, 0x11); /* in al, 10h; in al, 10h; out 11h, al */
	*run_to(w.v, EXIT_IO_IN)->io.data = 0x41;
	for (unsigned i = 0; i < 2; i++) {
		vcpu_kick(w.v);
		assert_int_equal(vcpu_run(w.v, RUN_ASLEEP), 0);
		assert_int_equal(vcpu_exit(w.v)->reason, EXIT_INTR);
		assert_int_equal(rip_of(w.v), CODE);
	}
	run_to(w.v, EXIT_IO_IN);
	assert_int_equal(rip_of(w.v), CODE + 2);
	assert_int_equal(gpr_of(w.v, RAX), 0x41);
	world_close(&w);
}

/* INIT and SIPI are taken while it sleeps; it runs from there when it may. */
static void test_asleep_takes_sipi(void **state)
{
	struct world w;
	struct vcpu *ap;
	struct runner r;

	world_open(&w, IRQCHIP_FULL);
	ap = world_add_vcpu(&w);
	WORLD_PUT(&w, 0x3000, 0xe6, 0x77);
	WORLD_CODE(&w, 0x66, 0xc7, 0x06, 0xf0, 0x00, 0xff, 0x01, 0, 0, /* APIC on */
		0x66, 0xc7, 0x06, 0x10, 0x03, 0, 0, 0, 0x01,           /* to APIC 1 */
		0x66, 0xc7, 0x06, 0x00, 0x03, 0x00, 0x45, 0, 0,        /* INIT */
		0x66, 0xc7, 0x06, 0x00, 0x03, 0x03, 0x46, 0, 0,        /* SIPI 3 */
		0xe6, 0x10);
	set_segment(w.v, SEG_DS, 0xfee00000);
	runner_start_flags(&r, ap, RUN_ASLEEP);
	runner_sleeps(&r, 20);
	run_to(w.v, EXIT_IO_OUT);
	nap_ms(20);
	assert_false(atomic_load(&r.done));
	vcpu_kick(ap);
	runner_end(&r, EXIT_INTR);
	assert_int_equal(run_to(ap, EXIT_IO_OUT)->io.port, 0x77);
	world_close(&w);
}

/* ---- a guest that halts, and tells each interrupt by an OUT ---- */

/* Nothing is lost: each interrupt ends one hlt. */
static void test_no_lost_wakeup(void **state)
{
	struct world w;

	sleeper_open(&w);
	sleeper_take_interrupts(&w, 20000, 0);
	world_close(&w);
}

/* An idle guest gives back the memory of its translations. Returns how many chunks it has after naps of 200 ms in all. */
static u32 chunks_after_naps(u64 idle_ns)
{
	struct world w;
	u32 chunks;

	sleeper_open(&w);
	w.m->code->idle_ns = idle_ns;
	w.m->code->chunks = 3; /* as if so many had been filled */
	sleeper_take_interrupts(&w, 40, 5000);
	chunks = w.m->code->chunks;
	world_close(&w);
	return chunks;
}

static void test_idle_gives_back(void **state)
{
	assert_int_equal(chunks_after_naps(CACHE_IDLE_NS), 3);
	assert_int_equal(chunks_after_naps(20000000), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sleep_costs_nothing),
		cmocka_unit_test(test_flush_request_does_not_wake),
		cmocka_unit_test(test_wait_fd),
		cmocka_unit_test(test_waits_for_sipi),
		cmocka_unit_test(test_asleep),
		cmocka_unit_test(test_asleep_polls),
		cmocka_unit_test(test_asleep_keeps_answers),
		cmocka_unit_test(test_asleep_takes_sipi),
		cmocka_unit_test(test_no_lost_wakeup),
		cmocka_unit_test(test_idle_gives_back),
	};

	return cmocka_run_group_tests_name("sleep", tests, NULL, NULL);
}
