/* SPDX-License-Identifier: MIT */
/*
 * The thread rules of the header: one thread a vCPU, everything else from anywhere. Four vCPUs run while other threads
 * read what was written, set lines, make vCPUs, change what is collected and how the VM is set up, and make and remove
 * memory and aliases that no guest touches. Meant for the thread sanitizer
 * too, so what the guests share with the test is read with atomics, and threads count what went wrong: a check of
 * cmocka's cannot fail in one.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vm.h"

#define VCPUS  4
#define ROUNDS 300

struct machine {
	kvm_context_t kvm;
	struct kvm_callbacks callbacks;
	u8 *mem;
	atomic_int outs[VCPUS], reads, writes, made, wrong;
	atomic_bool over;
	bool collects;
	pthread_barrier_t start;
};

struct worker {
	struct machine *m;
	int vcpu;
	pthread_t thread;
};

/*
 * 300 rounds: a port with the vCPU's number, a store to its own page, a store that may be collected, a read that
 * nobody serves. BX is the vCPU's number, DS its page, ES video memory.
 */
GUEST(work_code, "movw $300, %cx\n"
		 "1: movb %bl, %al\noutb %al, $0x10\n"
		 "movb %cl, 0\n"
		 "movb %bl, %es:0\n"
		 "movb %es:0x1000, %al\n"
		 "decw %cx\njnz 1b\n"
		 "movb $0xff, %al\noutb %al, $0x11");

static int on_outb(void *opaque, uint16_t addr, uint8_t data)
{
	struct machine *m = opaque;

	if (addr == 0x11)
		return 5;
	if (data < VCPUS)
		m->outs[data]++;
	else
		m->wrong++;
	return 0;
}

static int on_write(void *opaque, uint64_t addr, uint8_t *data, int len)
{
	struct machine *m = opaque;

	m->writes++;
	sched_yield(); /* let another find the same entry, if it can */
	m->wrong += addr != 0xa0000 || len != 1 || data[0] >= VCPUS;
	return 0;
}

static int on_read(void *opaque, uint64_t addr, uint8_t *data, int len)
{
	struct machine *m = opaque;

	m->reads++;
	m->wrong += addr != 0xa1000 || len != 1;
	data[0] = 1;
	return 0;
}

static void machine_create(struct machine *m)
{
	void *mem = NULL;

	memset(m, 0, sizeof(*m));
	m->callbacks.outb = on_outb;
	m->callbacks.mmio_read = on_read;
	m->callbacks.mmio_write = on_write;
	m->kvm = uv_kvm_init(&m->callbacks, m, vm_engine, vm_quiet, NULL);
	assert_non_null(m->kvm);
	assert_int_equal(kvm_create(m->kvm, MEM, &mem), 0);
	vm_fault_signals();
	m->mem = mem;
	memcpy(m->mem + CODE, work_code, (size_t)(work_code_end - work_code));
	assert_int_equal(kvm_dirty_pages_log_enable_slot(m->kvm, 0, 0), 0);
	m->collects = kvm_check_extension(m->kvm, KVM_CAP_COALESCED_MMIO);
	if (m->collects)
		assert_int_equal(kvm_register_coalesced_mmio(m->kvm, 0xa0000, PAGE_SIZE), 0);
}

static u16 page_of(int vcpu)
{
	return (u16)(0x800 + vcpu * 0x100); /* a segment: 0x8000, 0x9000, ... */
}

static int vcpu_prepare(struct machine *m, int vcpu)
{
	struct kvm_mp_state mp = {KVM_MP_STATE_RUNNABLE};
	struct kvm_regs regs = {.rip = CODE, .rsp = CODE, .rflags = 2, .rbx = (u64)vcpu};
	struct kvm_sregs sregs;

	if (kvm_create_vcpu(m->kvm, vcpu) < 0 || kvm_get_sregs(m->kvm, vcpu, &sregs) < 0)
		return -1;
	sregs.cs.selector = 0;
	sregs.cs.base = 0;
	sregs.ds.selector = page_of(vcpu);
	sregs.ds.base = page_of(vcpu) * 16u;
	sregs.es.selector = 0xa000;
	sregs.es.base = 0xa0000;
	if (kvm_set_sregs(m->kvm, vcpu, &sregs) < 0 || kvm_set_regs(m->kvm, vcpu, &regs) < 0)
		return -1;
	return kvm_set_mpstate(m->kvm, vcpu, &mp);
}

/* Made by the thread that runs it. */
static void *vcpu_thread(void *opaque)
{
	struct worker *w = opaque;
	struct kvm_regs regs;

	w->m->wrong += vcpu_prepare(w->m, w->vcpu) < 0;
	pthread_barrier_wait(&w->m->start); /* or the first is done before the last begins */
	if (kvm_run(w->m->kvm, w->vcpu, w) != 5)
		w->m->wrong++;
	else if (kvm_get_regs(w->m->kvm, w->vcpu, &regs) < 0 || (u8)regs.rax != 0xff)
		w->m->wrong++;
	return NULL;
}

/* ---- What other threads do, once each time ------------------------------------------------------------ */

#define BITMAP_WORDS (MEM / PAGE_SIZE / 64)

static int no_pages(unsigned long start, unsigned long len, void *bitmap, void *opaque)
{
	struct machine *m = opaque;

	m->wrong += start != 0 && start != 0xc0000; /* no region of another thread's */
	return 0;
}

static void ask_dirty(struct machine *m)
{
	u64 bitmap[BITMAP_WORDS];

	m->wrong += kvm_get_dirty_pages(m->kvm, 0, bitmap) < 0;
	m->wrong += kvm_get_dirty_pages_range(m->kvm, 0, 0xa0000, bitmap, m, no_pages) < 0;
}

/* Recording goes on in memory for which it was asked by itself. */
static void set_dirty(struct machine *m)
{
	m->wrong += kvm_dirty_pages_log_enable_all(m->kvm) < 0;
	m->wrong += kvm_dirty_pages_log_enable_slot(m->kvm, 0, 0) < 0;
	m->wrong += kvm_dirty_pages_log_disable_slot(m->kvm, 0, 0) < 0;
	m->wrong += kvm_dirty_pages_log_reset(m->kvm) < 0;
}

static void ask_map(struct machine *m)
{
	u64 bitmap[BITMAP_WORDS] = {0};

	m->wrong += kvm_get_mem_map(m->kvm, 0, bitmap) < 0;
	m->wrong += !(bitmap[0] & 1u << CODE / PAGE_SIZE);
	m->wrong += kvm_get_mem_map_range(m->kvm, 0, MEM, bitmap, m, no_pages) < 0;
}

static void set_lines(struct machine *m)
{
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_PIC_MASTER};
	struct kvm_pit_state pit;

	for (int level = 0; level <= 1; level++)
		m->wrong += kvm_set_irq_level(m->kvm, 5, level) != 1;
	m->wrong += kvm_get_irqchip(m->kvm, &chip) < 0;
	m->wrong += kvm_get_pit(m->kvm, &pit) < 0;
}

static void set_memory(struct machine *m)
{
	const unsigned long at = 0x10000000;
	u8 *mem = kvm_create_phys_mem(m->kvm, at, 4 * PAGE_SIZE, 0, 1);

	m->wrong += !mem || !kvm_is_containing_region(m->kvm, at, 4 * PAGE_SIZE);
	m->wrong += kvm_dirty_pages_log_enable_slot(m->kvm, at, 0) < 0;
	m->wrong += kvm_create_memory_alias(m->kvm, at + 0x100000, PAGE_SIZE, at) < 0;
	m->wrong += kvm_destroy_memory_alias(m->kvm, at + 0x100000) < 0;
	kvm_destroy_phys_mem(m->kvm, at, 0);
	m->wrong += kvm_is_containing_region(m->kvm, at, 1);
}

/* A second sight of what the guests write; none of them looks through it. */
static void set_alias(struct machine *m)
{
	const u64 at = 0x20000000;

	m->wrong += kvm_create_memory_alias(m->kvm, at, 0x4000, 0x8000) < 0;
	m->wrong += kvm_create_memory_alias(m->kvm, at, 0x8000, 0x4000) < 0;
	m->wrong += kvm_destroy_memory_alias(m->kvm, at) < 0;
}

/* The guests' own writes, so that some are collected and some are not. */
static void set_zones(struct machine *m)
{
	if (!m->collects)
		return;
	m->wrong += kvm_unregister_coalesced_mmio(m->kvm, 0xa0000, PAGE_SIZE) < 0;
	m->wrong += kvm_register_coalesced_mmio(m->kvm, 0xa0000, PAGE_SIZE) < 0;
}

#define MORE_VCPUS 12

/* Each is made once, whoever else tries. */
static void make_vcpus(struct machine *m)
{
	for (int i = VCPUS; i < VCPUS + MORE_VCPUS; i++) {
		const int r = kvm_create_vcpu(m->kvm, i);

		m->made += r == 0;
		m->wrong += r < 0 && r != -EEXIST;
	}
}

static void set_vm(struct machine *m)
{
	unsigned pages;

	free(kvm_get_msr_list(m->kvm));
	free(uv_kvm_supported_cpuid(m->kvm));
	m->wrong += !kvm_check_extension(m->kvm, KVM_CAP_USER_MEMORY);
	if (kvm_set_shadow_pages(m->kvm, 1000) == 0)
		m->wrong += kvm_get_shadow_pages(m->kvm, &pages) < 0 || pages != 1000;
}

typedef void (*task)(struct machine *m);

struct other {
	struct machine *m;
	task task;
	pthread_t thread;
};

static void *other_thread(void *opaque)
{
	struct other *other = opaque;

	do
		other->task(other->m);
	while (!other->m->over);
	return NULL;
}

static void start_vcpus(struct machine *m, struct worker workers[VCPUS])
{
	pthread_barrier_init(&m->start, NULL, VCPUS);
	for (int i = 0; i < VCPUS; i++) {
		workers[i] = (struct worker){.m = m, .vcpu = i};
		assert_int_equal(
			pthread_create(&workers[i].thread, NULL, vcpu_thread, &workers[i]), 0);
	}
}

static void join_vcpus(struct worker workers[VCPUS])
{
	for (int i = 0; i < VCPUS; i++)
		pthread_join(workers[i].thread, NULL);
	pthread_barrier_destroy(&workers[0].m->start);
}

/* Every access was served once, whoever emptied the ring. */
static void assert_all_served(struct machine *m)
{
	assert_int_equal(m->wrong, 0);
	for (int i = 0; i < VCPUS; i++) {
		assert_int_equal(m->outs[i], ROUNDS);
		assert_int_equal(m->mem[page_of(i) * 16], 1);
	}
	assert_int_equal(m->reads, VCPUS * ROUNDS);
	assert_int_equal(m->writes, VCPUS * ROUNDS);
}

static void vcpus_at_once(void **state)
{
	struct worker workers[VCPUS];
	struct machine m;

	machine_create(&m);
	start_vcpus(&m, workers);
	join_vcpus(workers);
	assert_all_served(&m);
	kvm_finalize(m.kvm);
}

#define MOST_OTHERS 12

static void run_beside(const task tasks[], size_t n)
{
	struct other others[MOST_OTHERS];
	struct worker workers[VCPUS];
	struct machine m;

	machine_create(&m);
	for (size_t i = 0; i < n; i++) {
		others[i] = (struct other){.m = &m, .task = tasks[i]};
		assert_int_equal(
			pthread_create(&others[i].thread, NULL, other_thread, &others[i]), 0);
	}
	start_vcpus(&m, workers);
	join_vcpus(workers);
	m.over = true;
	for (size_t i = 0; i < n; i++)
		pthread_join(others[i].thread, NULL);
	assert_all_served(&m);
	assert_true(m.made == 0 || m.made == MORE_VCPUS);
	kvm_finalize(m.kvm);
}

#define RUN_BESIDE(...)                                                                            \
	run_beside((const task[]){__VA_ARGS__}, sizeof((const task[]){__VA_ARGS__}) / sizeof(task))

static void beside_dirty_log(void **state)
{
	RUN_BESIDE(ask_dirty, set_dirty);
}

static void beside_lines(void **state)
{
	RUN_BESIDE(set_lines);
}

static void beside_memory(void **state)
{
	RUN_BESIDE(set_memory, set_alias, ask_map);
}

static void beside_zones(void **state)
{
	RUN_BESIDE(set_zones, set_zones);
}

static void beside_new_vcpus(void **state)
{
	RUN_BESIDE(make_vcpus, make_vcpus);
}

/* All of them, and some twice. */
static void beside_everything(void **state)
{
	RUN_BESIDE(ask_dirty, set_dirty, set_lines, set_memory, set_alias, ask_map, set_zones,
		make_vcpus, set_vm, ask_dirty, set_lines, set_vm);
}

static void *create_thread(void *opaque)
{
	struct machine *m = opaque;
	struct kvm_regs regs;

	/* vCPU 0 comes with its first use, once, whoever is first. */
	m->wrong += kvm_get_regs(m->kvm, 0, &regs) < 0;
	m->reads += kvm_create_vcpu(m->kvm, 0) == 0;
	m->writes += kvm_create_vcpu(m->kvm, 1) == 0;
	return NULL;
}

static void vcpus_made_once(void **state)
{
	pthread_t threads[8];
	struct machine m;

	machine_create(&m);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, create_thread, &m), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(m.wrong, 0);
	assert_int_equal(m.reads, 1);
	assert_int_equal(m.writes, 1);
	kvm_finalize(m.kvm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(vcpus_at_once),
		cmocka_unit_test(beside_dirty_log),
		cmocka_unit_test(beside_lines),
		cmocka_unit_test(beside_memory),
		cmocka_unit_test(beside_zones),
		cmocka_unit_test(beside_new_vcpus),
		cmocka_unit_test(beside_everything),
		cmocka_unit_test(vcpus_made_once),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
