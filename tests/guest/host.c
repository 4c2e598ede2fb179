/* SPDX-License-Identifier: MIT */
/* The host's side of guest.h: a machine around the program's image, its vcpus on threads, and a watchdog. */
#include "tests/guest/guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "engine/core/machine.h"
#include "engine/core/vcpu.h"

extern u8 __executable_start[], _end[];
extern u8 guest_stubs[];

#define PAGE        __attribute__((aligned(4096)))
#define STACK_BYTES 65536
static u8 stacks[CPUS_MAX][STACK_BYTES] PAGE;

struct gate {
	u16 low, selector, attr, mid;
	u32 high, zero;
};
static struct gate idt[256] PAGE;
static u64 gdt[4] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0};
static void *low_ram;

void set_gate(unsigned vector, const void *entry)
{
	u64 at = (u64)entry;

	idt[vector] = (struct gate){.low = (u16)at,
		.selector = 8,
		.attr = 0x8e00,
		.mid = (u16)(at >> 16),
		.high = at >> 32};
}

static void make_idt(void)
{
	for (unsigned v = 0; v < 256; v++)
		set_gate(v, guest_stubs + v * 16);
}

static void add_slot(struct machine *m, u32 id, u64 gpa, void *hva, u64 size)
{
	struct memslot_config c = {.id = id, .gpa = gpa, .size = size, .hva = (u64)hva};

	assert_int_equal(machine_set_memslot(m, &c), 0);
}

static void make_memory(struct machine *m)
{
	u64 start = (u64)__executable_start & PAGE_MASK,
	    end = ((u64)_end + PAGE_SIZE - 1) & PAGE_MASK;

	low_ram = mmap(NULL, LOW_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(low_ram, MAP_FAILED);
	add_slot(m, 0, 0, low_ram, LOW_BYTES);
	add_slot(m, 1, GPA_IMAGE, (void *)start, end - start);
	for (u64 a = start; a < end; a += PAGE_SIZE)
		map_page(a, a - start + GPA_IMAGE, PTE_P | PTE_W);
	for (u64 a = 0; a < LOW_BYTES; a += PAGE_SIZE)
		map_page(a, a, PTE_P | PTE_W);
}

static void set_cpuid(struct vcpu *v)
{
	struct cpuid_entry e[256];
	unsigned n = engine_supported_cpuid(e, 256);

	assert_int_equal(vcpu_set_cpuid(v, e, n), 0);
}

void world_open(struct world *w, unsigned cpus)
{
	memset(w, 0, sizeof(*w));
	memset(handlers, 0, sizeof(handlers));
	w->cpus = cpus;
	w->seconds = 100;
	assert_int_equal(machine_create(&w->m), 0);
	assert_int_equal(machine_create_irqchip(w->m, IRQCHIP_FULL), 0);
	make_idt();
	make_memory(w->m);
	for (unsigned i = 0; i < cpus; i++) {
		assert_int_equal(vcpu_create(w->m, i, &w->vcpu[i]), 0);
		set_cpuid(w->vcpu[i]);
	}
}

void world_close(struct world *w)
{
	for (unsigned i = 0; i < w->cpus; i++)
		vcpu_destroy(w->vcpu[i]);
	machine_destroy(w->m);
	munmap(low_ram, LOW_BYTES);
	assert_int_equal(w->failed_line, 0);
}

static void set_long_mode(struct vcpu_state *s)
{
	static const struct segment code = {.limit = ~0u, .attr = 0xa09b, .selector = 8},
				    data = {.limit = ~0u, .attr = 0xc093, .selector = 16};

	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		s->seg[i] = data;
	s->seg[SEG_CS] = code;
	s->seg[SEG_TR] = (struct segment){.limit = 0x67, .attr = 0x8b};
	s->seg[SEG_LDTR] = (struct segment){.attr = SEG_UNUSABLE};
	s->gdt = (struct dtable){.base = (u64)gdt, .limit = sizeof(gdt) - 1};
	s->idt = (struct dtable){.base = (u64)idt, .limit = sizeof(idt) - 1};
	s->cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_MP | CR0_WP;
	s->cr3 = page_tables();
	s->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	s->efer = EFER_LME | EFER_LMA | EFER_NX | EFER_SCE;
}

/* Stands below the guest's first function as its return address. */
static void finished(void)
{
	for (;;)
		out32(PORT_DONE, 0);
}

void world_aim(struct world *w, unsigned cpu, void (*fn)(unsigned cpu))
{
	struct vcpu *v = w->vcpu[cpu];
	struct vcpu_state s;
	u64 *top = (u64 *)&stacks[cpu][STACK_BYTES - 64];

	vcpu_get(v, ~0u, &s);
	set_long_mode(&s);
	memset(s.gpr, 0, sizeof(s.gpr));
	*top = (u64)finished;
	s.gpr[RSP] = (u64)top;
	s.gpr[RDI] = cpu;
	s.rip = (u64)fn;
	s.rflags = FL_FIXED;
	s.mp_state = MP_RUNNABLE;
	s.events = (struct vcpu_events){.shadow = 0};
	assert_int_equal(vcpu_set(v, ST_REGS | ST_SREGS | ST_MP | ST_EVENT, &s), 0);
	assert_int_equal(vcpu_set_msr(v, 0x1b, 0xfee00c00 | (cpu ? 0 : 0x100), true), 0);
}

/* ---- running ---- */

static void describe(struct world *w)
{
	for (unsigned i = 0; i < w->cpus; i++) {
		const struct vcpu *v = w->vcpu[i];

		fprintf(stderr, "cpu %u: rip %#llx rflags %#llx requests %#x where %u mp %u\n", i,
			(unsigned long long)v->cpu.rip, (unsigned long long)v->cpu.rflags,
			v->cpu.exit_request, atomic_load(&v->where), atomic_load(&v->mp_state));
	}
}

static void fail_line(struct world *w, unsigned cpu, int line)
{
	fprintf(stderr, "cpu %u: check in line %d failed\n", cpu, line);
	__atomic_store_n(&w->failed_line, line, __ATOMIC_SEQ_CST);
}

/* True when the vcpu is done. */
static bool handle_out(struct world *w, unsigned cpu, const struct exit *x)
{
	u32 n;

	memcpy(&n, x->io.data, 4);
	switch (x->io.port) {
	case PORT_DONE: return true;
	case PORT_CALL:
		if (w->call)
			w->call(w, cpu, n);
		return false;
	case PORT_FAIL: fail_line(w, cpu, (int)n); return true;
	default: fail_line(w, cpu, 2000000 + x->io.port); return true;
	}
}

static bool handle_mmio(struct exit *x)
{
	if (x->reason == EXIT_MMIO_READ)
		memset(x->mmio.data, 0, sizeof(x->mmio.data));
	return x->reason == EXIT_MMIO_READ || x->reason == EXIT_MMIO_WRITE;
}

void world_run_one(struct world *w, unsigned cpu)
{
	struct vcpu *v = w->vcpu[cpu];
	const struct exit *x = vcpu_exit(v);

	for (;;) {
		if (vcpu_run(v, 0))
			fail_line(w, cpu, 3000000);
		if (x->reason == EXIT_INTR && w->abandon)
			return;
		if (x->reason == EXIT_INTR || (w->mmio && handle_mmio(vcpu_exit(v))))
			continue;
		if (x->reason != EXIT_IO_OUT) {
			fail_line(w, cpu, 4000000 + (int)x->reason);
			describe(w);
			return;
		}
		if (handle_out(w, cpu, x))
			return;
	}
}

struct runner {
	struct world *w;
	unsigned cpu;
};

static unsigned running;
static bool watching;

static void *run_thread(void *arg)
{
	const struct runner *r = arg;

	world_run_one(r->w, r->cpu);
	__atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void *watch_thread(void *arg)
{
	struct world *w = arg;

	for (unsigned i = 0; i < w->seconds * 100; i++) {
		if (!__atomic_load_n(&watching, __ATOMIC_SEQ_CST))
			return NULL;
		usleep(10000);
	}
	fprintf(stderr, "the guest hangs\n");
	describe(w);
	abort();
}

bool world_busy(const struct world *w)
{
	return __atomic_load_n(&running, __ATOMIC_SEQ_CST) != 0;
}

void world_run(struct world *w, void (*fn)(unsigned cpu), void (*meanwhile)(struct world *w))
{
	struct runner r[CPUS_MAX];
	pthread_t thread[CPUS_MAX], watchdog;

	__atomic_store_n(&running, w->cpus, __ATOMIC_SEQ_CST);
	__atomic_store_n(&watching, true, __ATOMIC_SEQ_CST);
	pthread_create(&watchdog, NULL, watch_thread, w);
	for (unsigned i = 0; i < w->cpus; i++)
		world_aim(w, i, fn);
	for (unsigned i = 0; i < w->cpus; i++) {
		r[i] = (struct runner){w, i};
		pthread_create(&thread[i], NULL, run_thread, &r[i]);
	}
	if (meanwhile)
		meanwhile(w);
	for (unsigned i = 0; i < w->cpus; i++)
		pthread_join(thread[i], NULL);
	__atomic_store_n(&watching, false, __ATOMIC_SEQ_CST);
	pthread_join(watchdog, NULL);
	assert_int_equal(w->failed_line, 0);
}
