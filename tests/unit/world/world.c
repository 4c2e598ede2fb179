/* SPDX-License-Identifier: MIT */
#include "world.h"
#include "engine/engine.h"
#include "engine/irqchip.h"
#include "x86/regs.h"

#include <sys/mman.h>

static void open_machine(struct world *w, enum irqchip_mode mode)
{
	struct memslot_config c = {.size = RAM_BYTES};

	*w = (struct world){.ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)};
	assert_true(w->ram != MAP_FAILED);
	c.hva = (u64)w->ram;
	assert_int_equal(machine_create(&w->m), 0);
	assert_int_equal(machine_set_memslot(w->m, &c), 0);
	if (mode != IRQCHIP_NONE)
		assert_int_equal(machine_create_irqchip(w->m, mode), 0);
}

void world_open(struct world *w, enum irqchip_mode mode)
{
	open_machine(w, mode);
	assert_int_equal(vcpu_create(w->m, 0, &w->v), 0);
}

void world_open_partition(struct world *w)
{
	open_machine(w, IRQCHIP_SPLIT);
	machine_set_option(w->m, OPT_INTERCEPTS, 1);
	assert_int_equal(vcpu_create(w->m, 0, &w->v), 0);
}

struct vcpu *world_add_vcpu(struct world *w)
{
	struct vcpu **v = &w->more[w->more_count++];

	assert_true(w->more_count < WORLD_VCPUS);
	assert_int_equal(vcpu_create(w->m, w->more_count, v), 0);
	return *v;
}

void world_close(struct world *w)
{
	while (w->more_count)
		vcpu_destroy(w->more[--w->more_count]);
	vcpu_destroy(w->v);
	machine_destroy(w->m);
	munmap(w->ram, RAM_BYTES);
}

void world_give_cpuid(struct vcpu *v)
{
	struct cpuid_entry e[256];
	unsigned n = engine_supported_cpuid(e, ARRAY_SIZE(e));

	assert_true(n <= ARRAY_SIZE(e));
	assert_int_equal(vcpu_set_cpuid(v, e, n), 0);
}

void world_start(struct vcpu *v, u64 rip)
{
	struct vcpu_state s;

	vcpu_get(v, ST_REGS | ST_SREGS, &s);
	memset(s.gpr, 0, sizeof(s.gpr));
	s.rip = rip;
	s.rflags = FL_FIXED;
	s.gpr[RSP] = STACK;
	s.seg[SEG_CS].base = s.seg[SEG_CS].selector = 0;
	assert_int_equal(vcpu_set(v, ST_REGS | ST_SREGS, &s), 0);
}

void world_code(struct world *w, const u8 *code, size_t len)
{
	world_put(w, CODE, code, len);
	world_start(w->v, CODE);
}

void world_put(struct world *w, u32 addr, const void *bytes, size_t len)
{
	memcpy(w->ram + addr, bytes, len);
}

void world_vector(struct world *w, u8 vector, u16 addr)
{
	u16 entry[2] = {addr, 0};

	world_put(w, vector * 4u, entry, sizeof(entry));
}

struct exit *run_to(struct vcpu *v, u32 reason)
{
	assert_int_equal(vcpu_run(v, 0), 0);
	assert_int_equal(vcpu_exit(v)->reason, reason);
	return vcpu_exit(v);
}

static struct vcpu_state regs_of(struct vcpu *v)
{
	struct vcpu_state s;

	vcpu_get(v, ST_REGS, &s);
	return s;
}

u64 rip_of(struct vcpu *v)
{
	return regs_of(v).rip;
}

u64 gpr_of(struct vcpu *v, unsigned reg)
{
	return regs_of(v).gpr[reg];
}

struct vcpu_events events_of(struct vcpu *v)
{
	struct vcpu_state s;

	vcpu_get(v, ST_EVENT, &s);
	return s.events;
}

void set_rflags(struct vcpu *v, u64 set)
{
	struct vcpu_state s = regs_of(v);

	s.rflags |= set;
	assert_int_equal(vcpu_set(v, ST_REGS, &s), 0);
}

void set_segment(struct vcpu *v, unsigned seg, u64 base)
{
	struct vcpu_state s;

	vcpu_get(v, ST_SREGS, &s);
	s.seg[seg].base = base;
	assert_int_equal(vcpu_set(v, ST_SREGS, &s), 0);
}

void set_idt(struct vcpu *v, u64 base, u32 limit)
{
	struct vcpu_state s;

	vcpu_get(v, ST_SREGS, &s);
	s.idt.base = base;
	s.idt.limit = limit;
	assert_int_equal(vcpu_set(v, ST_SREGS, &s), 0);
}
