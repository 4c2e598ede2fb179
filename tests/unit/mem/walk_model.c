/* SPDX-License-Identifier: MIT */
#include "walk_model.h"
#include "engine/core/cpu.h"
#include "engine/exit.h"
#include "engine/mem/mem.h"
#include "x86/regs.h"

#include <stdio.h>

/* ---- the model ---- */

struct model {
	const struct cpu *cpu;
	u8 *ram;
	u64 lin;
	unsigned acc;
	bool by_user, by_ac;
	/* where A (and, for the last, D) must be set if all goes well */
	u64 used[4];
	unsigned used_count, entry_size;
	struct model_walk *ret;
};

static u64 entry_at(struct model *m, u64 gpa, unsigned size, bool *ok)
{
	u64 v = 0;

	*ok = gpa + size <= MODEL_BYTES;
	if (*ok)
		memcpy(&v, m->ram + gpa, size);
	m->entry_size = size;
	return v;
}

static bool nx_on(const struct cpu *cpu)
{
	return (cpu->cr4 & CR4_PAE) && (cpu->efer & EFER_NX);
}

static void fault(struct model *m, u32 bits)
{
	m->ret->result = MODEL_FAULT;
	m->ret->error = bits;
	if (m->acc & ACC_WRITE)
		m->ret->error |= 2;
	if (m->by_user)
		m->ret->error |= 4;
	if ((m->acc & ACC_FETCH) && (nx_on(m->cpu) || (m->cpu->cr4 & CR4_SMEP)))
		m->ret->error |= 16;
}

/* Bits low..high inclusive. */
static u64 bits(unsigned low, unsigned high)
{
	return low > high ? 0 : (~0ull >> (63 - high)) & (~0ull << low);
}

/* One entry: 0 go on, 1 stop. */
static int take(struct model *m, u64 gpa, unsigned size, u64 reserved, u64 *entry)
{
	bool ok;

	*entry = entry_at(m, gpa, size, &ok);
	if (!ok) {
		m->ret->result = MODEL_NO_RAM;
		return 1;
	}
	if (!(*entry & 1)) {
		fault(m, 0);
		return 1;
	}
	if (*entry & reserved) {
		fault(m, 1 | 8);
		return 1;
	}
	return 0;
}

static void use(struct model *m, u64 gpa, u64 entry)
{
	m->used[m->used_count++] = gpa;
	m->ret->writable &= entry >> 1 & 1;
	m->ret->user &= entry >> 2 & 1;
	if (m->entry_size == 8)
		m->ret->nx |= entry >> 63;
}

static void map_page(struct model *m, u64 base, u64 size, u64 entry)
{
	m->ret->gpa = base + m->lin % size;
	m->ret->page_size = size;
	m->ret->global = (entry & 0x100) && (m->cpu->cr4 & CR4_PGE);
}

/* Table 4-4 and figure 4-4 */
static bool walk_32(struct model *m)
{
	const struct cpu *cpu = m->cpu;
	u64 at = (cpu->cr3 & 0xfffff000) + (m->lin >> 22) * 4, e;
	bool ok, big;

	e = entry_at(m, at, 4, &ok);
	big = ok && (cpu->cr4 & CR4_PSE) && (e & 0x80);
	if (big) {
		unsigned width = cpu->phys_bits < 40 ? cpu->phys_bits : 40;

		if (take(m, at, 4, bits(width - 20 + 1, 21), &e))
			return false;
		use(m, at, e);
		map_page(m, (e & 0xffc00000) + ((e >> 13 & 0xff) << 32), 4 << 20, e);
		return true;
	}
	if (take(m, at, 4, 0, &e))
		return false;
	use(m, at, e);
	at = (e & 0xfffff000) + (m->lin >> 12 & 1023) * 4;
	if (take(m, at, 4, 0, &e))
		return false;
	use(m, at, e);
	map_page(m, e & 0xfffff000, 4096, e);
	return true;
}

/* Page directory and page table as PAE and 4-level paging share them; high: always reserved. */
static bool walk_directory(struct model *m, u64 table, u64 high)
{
	u64 at = table + (m->lin >> 21 & 511) * 8, e;
	bool ok;

	e = entry_at(m, at, 8, &ok);
	if (take(m, at, 8, high | (ok && (e & 0x80) ? bits(13, 20) : 0), &e))
		return false;
	use(m, at, e);
	if (e & 0x80) {
		map_page(m, e & bits(21, 51), 2 << 20, e);
		return true;
	}
	at = (e & bits(12, 51)) + (m->lin >> 12 & 511) * 8;
	if (take(m, at, 8, high, &e))
		return false;
	use(m, at, e);
	map_page(m, e & bits(12, 51), 4096, e);
	return true;
}

static bool walk_pae(struct model *m)
{
	u64 at = (m->cpu->cr3 & 0xffffffe0) + (m->lin >> 30) * 8, e;
	u64 beyond = bits(m->cpu->phys_bits, 62) | (nx_on(m->cpu) ? 0 : BIT64(63));

	if (take(m, at, 8, bits(1, 2) | bits(5, 8) | bits(m->cpu->phys_bits, 63), &e))
		return false;
	return walk_directory(m, e & bits(12, 51), beyond);
}

static bool walk_long(struct model *m)
{
	u64 at = (m->cpu->cr3 & bits(12, 51)) + (m->lin >> 39 & 511) * 8, e;
	u64 beyond = bits(m->cpu->phys_bits, 51) | (nx_on(m->cpu) ? 0 : BIT64(63));
	bool ok;

	if (take(m, at, 8, beyond | 0x80, &e))
		return false;
	use(m, at, e);
	at = (e & bits(12, 51)) + (m->lin >> 30 & 511) * 8;
	e = entry_at(m, at, 8, &ok);
	if (take(m, at, 8, beyond | (ok && (e & 0x80) ? bits(13, 29) : 0), &e))
		return false;
	use(m, at, e);
	if (e & 0x80) {
		map_page(m, e & bits(30, 51), 1 << 30, e);
		return true;
	}
	return walk_directory(m, e & bits(12, 51), beyond);
}

/* SDM 3:4.6.1, paragraph by paragraph */
static bool may(const struct model *m)
{
	const struct model_walk *w = m->ret;
	const struct cpu *cpu = m->cpu;

	if (m->acc & ACC_FETCH) {
		if (w->nx)
			return false;
		return m->by_user ? w->user : !(w->user && (cpu->cr4 & CR4_SMEP));
	}
	if (m->by_user)
		return w->user && (w->writable || !(m->acc & ACC_WRITE));
	if (w->user && (cpu->cr4 & CR4_SMAP) && !(m->by_ac && !(m->acc & ACC_SYSTEM)))
		return false;
	return !(m->acc & ACC_WRITE) || w->writable || !(cpu->cr0 & CR0_WP);
}

static void mark(struct model *m)
{
	for (unsigned i = 0; i < m->used_count; i++) {
		m->ram[m->used[i]] |= 0x20;
		if (i + 1 == m->used_count && (m->acc & ACC_WRITE))
			m->ram[m->used[i]] |= 0x40;
	}
}

void model_walk(const struct cpu *cpu, u8 *ram, u64 lin, unsigned acc, struct model_walk *ret)
{
	struct model m = {.cpu = cpu, .ram = ram, .lin = lin, .acc = acc, .ret = ret};
	bool mapped;

	*ret = (struct model_walk){.user = true, .writable = true};
	m.by_user = cpu->cpl == 3 && !(acc & ACC_SYSTEM);
	m.by_ac = cpu->rflags & FL_AC;
	if (cpu->efer & EFER_LMA) {
		if (lin >> 47 != 0 && lin >> 47 != 0x1ffff) {
			ret->result = MODEL_NONCANONICAL;
			return;
		}
		mapped = walk_long(&m);
	} else {
		m.lin = lin & 0xffffffff;
		mapped = cpu->cr4 & CR4_PAE ? walk_pae(&m) : walk_32(&m);
	}
	if (!mapped)
		return;
	if (!may(&m))
		fault(&m, 1);
	else
		mark(&m);
}

/* ---- the generator ---- */

static u64 random_entry(struct random *r, bool pae, bool wide)
{
	/* Mostly tables in RAM with generous rights, so that walks get far. */
	u64 e = random_below(r, MODEL_PAGES) << 12 | 0x67;

	e ^= one_in(r, 16) | one_in(r, 4) << 1 | one_in(r, 4) << 2;
	e ^= (random_next(r) & 0x60) | one_in(r, 4) << 8;
	if (one_in(r, 4))
		e = (e & 0xfff) | 0x80 | (u64)one_in(r, 4) << 12 |
		    (one_in(r, 2) ? random_next(r) & 0xc0000000 : 0);
	if (one_in(r, 16))
		e ^= random_next(r) & 0x3ff000;
	if (!wide)
		return e;
	if (one_in(r, 8))
		e |= BIT64(63);
	if (one_in(r, 32))
		e |= BIT64(32 + random_below(r, 31));
	/* What PAE's top level takes: neither rights nor A, D, PS, G. */
	return pae && one_in(r, 2) ? e & ~0x1e6ull & ~BIT64(63) : e;
}

static void random_tables(struct fixture *f, struct random *r)
{
	bool wide = f->cpu->cr4 & CR4_PAE, pae = wide && !(f->cpu->efer & EFER_LMA);

	for (u64 at = 0; at < MODEL_BYTES; at += wide ? 8 : 4) {
		u64 e = random_entry(r, pae, wide);

		memcpy(f->ram + at, &e, wide ? 8 : 4);
	}
}

static void random_mode(struct cpu *cpu, struct random *r)
{
	static const u8 widths[] = {36, 39, 40, 46, 52};

	cpu->cr0 = CR0_PE | CR0_PG | (one_in(r, 2) ? CR0_WP : 0);
	cpu->cr4 = random_next(r) & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP | CR4_SMAP);
	cpu->efer = random_next(r) & EFER_NX;
	if (one_in(r, 2)) {
		cpu->cr4 |= CR4_PAE;
		cpu->efer |= EFER_LME | EFER_LMA;
	}
	cpu->cr3 = random_below(r, MODEL_PAGES) << 12 | (random_next(r) & 0xfff);
	if (one_in(r, 64))
		cpu->cr3 += MODEL_BYTES;
	cpu->phys_bits = widths[random_below(r, ARRAY_SIZE(widths))];
}

static u64 random_linear(const struct cpu *cpu, struct random *r)
{
	u64 lin = random_next(r);

	if (!(cpu->efer & EFER_LMA))
		return (u32)lin;
	return one_in(r, 64) ? lin : (u64)((s64)(lin << 16) >> 16);
}

static void random_access(struct cpu *cpu, struct random *r, unsigned *acc)
{
	static const u8 kinds[] = {
		ACC_READ, ACC_WRITE, ACC_FETCH, ACC_READ | ACC_SYSTEM, ACC_WRITE | ACC_SYSTEM};
	unsigned view = random_below(r, TLB_VIEWS);

	if (view == TLB_KERNEL_AC && !(cpu->cr4 & CR4_SMAP))
		view = TLB_KERNEL;
	fixture_view(cpu, view);
	*acc = kinds[random_below(r, ARRAY_SIZE(kinds))];
}

/* ---- comparison ---- */

static bool agree(
	const struct cpu *cpu, int r, const struct walk *w, u64 lin, const struct model_walk *want)
{
	switch (want->result) {
	case MODEL_NONCANONICAL: return r == CPU_FAULT && cpu->exc.vector == X86_GP;
	case MODEL_NO_RAM: return r == CPU_EXIT && cpu->exit.reason == EXIT_INTERNAL_ERROR;
	case MODEL_FAULT:
		return r == CPU_FAULT && cpu->exc.vector == X86_PF && cpu->exc.has_error &&
		       cpu->exc.error == want->error && cpu->exc.cr2 == lin;
	default:
		return r == CPU_OK && w->gpa == want->gpa && w->page_size == want->page_size &&
		       w->user == want->user && w->writable == want->writable &&
		       w->nx == want->nx && w->global == want->global;
	}
}

static void report(const struct cpu *cpu, int r, const struct walk *w, u64 lin, unsigned acc,
	const struct model_walk *want)
{
	fprintf(stderr,
		"walk differs: lin %#lx acc %#x cr0 %#lx cr3 %#lx cr4 %#lx efer %#lx width %u view "
		"%u\n"
		"  engine %d error %#x gpa %#lx size %#lx u%d w%d nx%d g%d\n"
		"  model  %d error %#x gpa %#lx size %#lx u%d w%d nx%d g%d\n",
		lin, acc, cpu->cr0, cpu->cr3, cpu->cr4, cpu->efer, cpu->phys_bits, cpu->view, r,
		cpu->exc.error, w->gpa, w->page_size, w->user, w->writable, w->nx, w->global,
		want->result, want->error, want->gpa, want->page_size, want->user, want->writable,
		want->nx, want->global);
}

static bool compare_one(struct fixture *f, u8 *copy, u64 lin, unsigned acc)
{
	struct model_walk want;
	struct walk w = {0};
	int r;

	tlb_flush_all(f->cpu); /* the tables have changed since the last walk */
	memcpy(copy, f->ram, MODEL_BYTES);
	model_walk(f->cpu, copy, lin, acc, &want);
	r = mmu_walk(f->cpu, lin, acc, &w);
	if (!agree(f->cpu, r, &w, lin, &want)) {
		report(f->cpu, r, &w, lin, acc, &want);
		return false;
	}
	if (memcmp(copy, f->ram, MODEL_BYTES)) {
		fprintf(stderr, "A or D bits differ:\n");
		report(f->cpu, r, &w, lin, acc, &want);
		return false;
	}
	return true;
}

bool model_compare(struct fixture *f, struct random *r, unsigned n)
{
	static u8 copy[MODEL_BYTES];
	unsigned acc;

	for (unsigned i = 0; i < n; i++) {
		if (i % 1000 == 0) {
			random_mode(f->cpu, r);
			random_tables(f, r);
		}
		random_access(f->cpu, r, &acc);
		if (!compare_one(f, copy, random_linear(f->cpu, r), acc))
			return false;
	}
	return true;
}
