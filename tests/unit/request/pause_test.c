/* SPDX-License-Identifier: MIT */
/*
 * Two vcpus run while other threads change the memory map, read dirty logs, kick, raise lines, set the clock,
 * and make and destroy a third vcpu. Also a test for the thread sanitizer.
 */
#include "tests/unit/world/world.h"
#include "engine/engine.h"
#include "engine/exit.h"
#include "engine/insn/step.h"
#include "engine/irqchip.h"
#include "x86/regs.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

#define COUNTER   0x6000u /* vcpu 0's, the other one's is a page further */
#define VECTOR    0x50
#define EXTRA_GPA 0x100000u

static struct world w;
static struct vcpu *second;
static _Atomic bool stop;
static _Atomic unsigned wrong;

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			atomic_fetch_add(&wrong, 1);                                               \
	} while (0)

/* Until told to stop; kicks and exits are nothing special. */
static void *run_vcpu(void *opaque)
{
	while (!atomic_load(&stop))
		CHECK(vcpu_run(opaque, 0) == 0);
	return NULL;
}

static void *change_slots(void *opaque)
{
	struct memslot_config ram = {.size = RAM_BYTES, .hva = (u64)w.ram};
	unsigned id = (u64)opaque;
	struct memslot_config extra = {.id = id, .gpa = EXTRA_GPA * id, .hva = (u64)w.ram};

	for (unsigned i = 0; !atomic_load(&stop); i++) {
		ram.flags = i & 2 ? SLOT_LOG_DIRTY : 0;
		extra.size = extra.size ? 0 : 0x4000;
		CHECK(machine_set_memslot(w.m, &ram) == 0);
		CHECK(machine_set_memslot(w.m, &extra) == 0);
		CHECK(machine_slot_pages(w.m, id) == extra.size >> PAGE_SHIFT);
	}
	return NULL;
}

static void *read_logs(void *opaque)
{
	while (!atomic_load(&stop)) {
		u64 bitmap = 0;
		int r = machine_get_dirty_log(w.m, 0, &bitmap);

		CHECK(r == 0 || r == -ENOENT);
		sched_yield();
	}
	return NULL;
}

static void *disturb(void *opaque)
{
	struct msi msi = {0xfee00000, VECTOR};

	for (unsigned i = 0; !atomic_load(&stop); i++) {
		vcpu_kick(i & 1 ? w.v : second);
		irq_line(w.m, 4 + i % 8, i & 8);
		irq_msi(w.m, &msi);
		machine_set_clock(w.m, i);
		sched_yield();
	}
	return NULL;
}

static void *come_and_go(void *opaque)
{
	struct vcpu *v;

	while (!atomic_load(&stop)) {
		CHECK(vcpu_create(w.m, 7, &v) == 0);
		vcpu_kick(v);
		CHECK(vcpu_run(v, 0) == 0); /* it waits for SIPI, and has been kicked */
		vcpu_destroy(v);
	}
	return NULL;
}

static bool answer_no(void *opaque)
{
	return false;
}

static void prepare(void)
{
	struct vcpu_state s = {.mp_state = MP_RUNNABLE};

	world_open(&w, IRQCHIP_FULL);
	assert_int_equal(vcpu_create(w.m, 1, &second), 0);
	assert_int_equal(vcpu_set(second, ST_MP, &s), 0);
	/* vcpu 0: APIC on, then count and halt; an interrupt lets it go on. */
	WORLD_CODE(&w, 0x66, 0xc7, 0x06, 0xf0, 0x00, 0xff, 0x01, 0, 0, 0xfb, /* sti */
		0x66, 0x26, 0xff, 0x06, 0x00, 0x60, 0xf4,                    /* incl %es; hlt */
		0xeb, 0xf7);
	WORLD_PUT(&w, 0x3000, 0x66, 0xc7, 0x06, 0xb0, 0x00, 0, 0, 0, 0, 0xcf); /* EOI; iret */
	world_vector(&w, VECTOR, 0x3000);
	set_segment(w.v, SEG_DS, 0xfee00000);
	/* vcpu 1 counts on. */
	WORLD_PUT(&w, 0x1100, 0x66, 0xff, 0x06, 0x00, 0x70, 0xeb, 0xf9);
	world_start(second, 0x1100);
	vcpu_set_poll(w.v, answer_no, NULL);
	vcpu_set_poll(second, answer_no, NULL);
	machine_set_clock(w.m, 0); /* measures the TSC, which takes its time */
}

static u32 counter(unsigned i)
{
	return __atomic_load_n((u32 *)(w.ram + COUNTER + i * PAGE_SIZE), __ATOMIC_RELAXED);
}

/* Nobody is starved: both get on within a time that even a busy host has. */
static bool both_advance(void)
{
	const struct timespec step = {.tv_nsec = 50000000};
	u32 before[2] = {counter(0), counter(1)};

	for (unsigned i = 0; i < 1200; i++) {
		nanosleep(&step, NULL);
		if (counter(0) != before[0] && counter(1) != before[1])
			return true;
	}
	return false;
}

static void test_all_at_once(void **state)
{
	static void *(*const others[])(void *) = {
		change_slots, change_slots, read_logs, disturb, come_and_go};
	pthread_t vcpu[2], other[ARRAY_SIZE(others)];

	prepare();
	pthread_create(&vcpu[0], NULL, run_vcpu, w.v);
	pthread_create(&vcpu[1], NULL, run_vcpu, second);
	for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
		pthread_create(&other[i], NULL, others[i], (void *)(u64)(i + 1));
	for (unsigned i = 0; i < 5; i++)
		CHECK(both_advance());
	atomic_store(&stop, true);
	for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
		pthread_join(other[i], NULL);
	vcpu_kick(w.v);
	vcpu_kick(second);
	pthread_join(vcpu[0], NULL);
	pthread_join(vcpu[1], NULL);
	assert_int_equal(atomic_load(&wrong), 0);
	vcpu_destroy(second);
	world_close(&w);
}

/* A change of the map reaches those who were made after one that is gone. */
static void test_flush_after_destroy(void **state)
{
	struct memslot_config extra = {.id = 1, .gpa = EXTRA_GPA, .size = 4096};
	struct vcpu *v;

	world_open(&w, IRQCHIP_NONE);
	assert_int_equal(vcpu_create(w.m, 1, &v), 0);
	vcpu_destroy(w.v);
	w.v = v;
	/* mov %es:0, %al; out; and again */
	world_start(v, CODE);
	WORLD_PUT(&w, CODE, 0x26, 0xa0, 0x00, 0x00, 0xe6, 0x10, 0xeb, 0xf8);
	set_segment(v, SEG_ES, EXTRA_GPA);
	extra.hva = (u64)w.ram;
	assert_int_equal(machine_set_memslot(w.m, &extra), 0);
	for (unsigned i = 0; i < 3; i++)
		run_to(v, EXIT_IO_OUT);
	extra.size = 0;
	assert_int_equal(machine_set_memslot(w.m, &extra), 0);
	assert_int_equal(run_to(v, EXIT_MMIO_READ)->mmio.gpa, EXTRA_GPA);
	world_close(&w);
}

/* The last place is given, and what is refused then has left nothing behind, whatever the reason. */
static void test_all_vcpus(void **state)
{
	static struct vcpu *all[MACHINE_MAX_VCPUS];
	struct rlimit old, more;
	struct vcpu *v;

	getrlimit(RLIMIT_NOFILE, &old);
	more = (struct rlimit){MIN(old.rlim_max, (rlim_t)MACHINE_MAX_VCPUS + 100), old.rlim_max};
	setrlimit(RLIMIT_NOFILE, &more);
	if (more.rlim_cur < MACHINE_MAX_VCPUS + 100) {
		print_message("skipped: the hard limit of descriptors is %lu\n", more.rlim_cur);
		return;
	}
	world_open(&w, IRQCHIP_FULL);
	for (unsigned i = 1; i < MACHINE_MAX_VCPUS; i++)
		assert_int_equal(vcpu_create(w.m, i, &all[i]), 0);
	assert_int_equal(vcpu_create(w.m, 7, &v), -EEXIST);
	assert_int_equal(vcpu_create(w.m, MACHINE_MAX_VCPUS, &v), -EINVAL);
	for (unsigned i = 1; i < MACHINE_MAX_VCPUS; i++)
		vcpu_destroy(all[i]);
	world_close(&w);
	setrlimit(RLIMIT_NOFILE, &old);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_flush_after_destroy),
		cmocka_unit_test(test_all_vcpus),
	};

	return cmocka_run_group_tests_name("pause", tests, NULL, NULL);
}
