/* SPDX-License-Identifier: MIT */
#include "processor.h"

#include <sys/mman.h>

#include "engine/core/vcpu.h"
#include "engine/core/xsave.h"
#include "engine/mem/mem.h"
#include "x86/regs.h"

/* Page tables, in the order in which they are in their slot. */
#define TABLES 0x200000
enum table { T_PML4, T_PDPT, T_PD, T_PT, T_PD32, T_PT32, T_OTHER_PD32, T_COUNT };
_Static_assert(OTHER_CR3 == TABLES + T_OTHER_PD32 * PAGE_SIZE, "OTHER_CR3");
#define P_ALL 7 /* present, writable, user */

struct processor w;
static u8 *tables;

static void stored(struct cpu *cpu, u64 gpa, unsigned len)
{
}

static void changed(struct machine *m, u64 gpa, unsigned len)
{
}

static const struct code_watcher leaves_watched = {stored, changed};

static void put_entry(enum table t, unsigned i, u64 value)
{
	unsigned size = t >= T_PD32 ? 4 : 8;

	memcpy(tables + t * PAGE_SIZE + i * size, &value, size);
}

static void link_tables(enum table upper, enum table lower)
{
	put_entry(upper, 0, (TABLES + lower * PAGE_SIZE) | P_ALL);
}

static u64 rights(u64 page)
{
	switch (page) {
	case BAD: return 0;
	case RO: return P_ALL & ~2;
	case SUPERVISOR: return P_ALL & ~4;
	default: return P_ALL;
	}
}

static void write_tables(void)
{
	memset(tables, 0, T_COUNT * PAGE_SIZE);
	link_tables(T_PML4, T_PDPT);
	link_tables(T_PDPT, T_PD);
	link_tables(T_PD, T_PT);
	link_tables(T_PD32, T_PT32);
	link_tables(T_OTHER_PD32, T_PT32);
	for (unsigned i = 0; i < WORLD_SIZE / PAGE_SIZE; i++) {
		u64 entry = i * PAGE_SIZE | rights(i * PAGE_SIZE);

		put_entry(T_PT, i, entry);
		put_entry(T_PT32, i, entry);
	}
}

static u8 *map(u64 size)
{
	u8 *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static void add_slot(u32 id, u64 gpa, u64 size, void *hva)
{
	struct memslot_config c = {.id = id, .gpa = gpa, .size = size, .hva = (u64)hva};

	assert_int_equal(machine_set_memslot(w.m, &c), 0);
}

static void new_machine(void)
{
	const u64 after = MMIO + PAGE_SIZE;

	assert_int_equal(machine_create(&w.m), 0);
	w.m->watcher = &leaves_watched;
	w.m->vmmcall = false;
	w.mem = map(WORLD_SIZE);
	tables = map(T_COUNT * PAGE_SIZE);
	add_slot(0, 0, MMIO, w.mem);
	add_slot(1, after, WORLD_SIZE - after, w.mem + after);
	add_slot(2, TABLES, T_COUNT * PAGE_SIZE, tables);
}

void processor_new(void)
{
	struct vcpu *v;

	if (!w.m)
		new_machine();
	if (w.cpu)
		vcpu_destroy(w.cpu->vcpu);
	memset(w.mem, 0, WORLD_SIZE);
	write_tables();
	assert_int_equal(vcpu_create(w.m, 0, &v), 0);
	w.cpu = &v->cpu;
	w.cpu->host_amd = false;
	w.cpu->phys_bits = 40;
	w.cpu->cr4_allowed = ~0ull >> 32 & ~(u64)CR4_LA57;
	w.cpu->xcr0_allowed = w.cpu->xstate.features;
	w.cpu->pv_allowed = ~0u;
	w.cpu->inside = true;
	cpu_serve_requests(w.cpu); /* of the slots that are new to it */
	assert_int_equal(w.cpu->exit_request, 0);
	page_watch(w.cpu, NOHOST);
}

int processor_close(void **state)
{
	if (!w.m)
		return 0;
	if (w.cpu)
		vcpu_destroy(w.cpu->vcpu);
	machine_destroy(w.m);
	munmap(w.mem, WORLD_SIZE);
	munmap(tables, T_COUNT * PAGE_SIZE);
	w = (struct processor){0};
	return 0;
}

void processor_paging(void)
{
	bool lm = w.cpu->efer & EFER_LME;

	w.cpu->cr0 |= CR0_PG | CR0_WP;
	w.cpu->cr4 |= lm ? CR4_PAE : 0;
	w.cpu->efer |= lm ? EFER_LMA : 0;
	w.cpu->cr3 = TABLES + (lm ? T_PML4 : T_PD32) * PAGE_SIZE;
	tlb_flush_all(w.cpu);
}

u64 peek(u64 addr, unsigned size)
{
	u64 v = 0;

	memcpy(&v, w.mem + addr, size);
	return v;
}

void poke(u64 addr, u64 value, unsigned size)
{
	memcpy(w.mem + addr, &value, size);
}

void assert_fault(int r, u8 vector, u32 error)
{
	assert_int_equal(r, CPU_FAULT);
	assert_int_equal(w.cpu->exc.vector, vector);
	assert_int_equal(w.cpu->exc.has_error, error != NO_ERROR);
	if (error != NO_ERROR)
		assert_int_equal(w.cpu->exc.error, error);
}
