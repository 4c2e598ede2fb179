/* SPDX-License-Identifier: MIT */
/*
 * The page walk: linear to physical in every paging mode (SDM 3:4.3 to 4.7). Inner code.
 *
 * Three steps: walk_tables() reads each entry once and has no side effect; allowed() decides about
 * the access; mark_used() sets A and D bits and starts over if an entry has changed meanwhile. So a
 * walk that faults leaves no A bit behind, which the manual permits. A walk that has succeeded notes its last table, where
 * the next one through it begins.
 *
 * PDPTEs of PAE paging are read at each walk, not at the load of CR3 (SDM 3:4.4.1 allows a guest
 * to see no difference as long as it reloads CR3 after changing them, which it must).
 */
#include <errno.h>

#include "engine/host/raw.h"
#include "engine/mem/mem_priv.h"
#include "engine/mem/mem.h"

/* The shape of a paging mode. Entries of level 1 map 4 KiB pages. */
struct paging {
	u8 levels;
	u8 entry;            /* bytes an entry */
	u8 bits;             /* of the linear address resolved by a level */
	u8 large;            /* bit n: PS of a level n entry means that it maps a page */
	u8 ps_reserved;      /* bit n: PS of a level n entry must be 0 */
	u8 bare;             /* bit n: entries of level n have no W, U, A and NX bits */
	u64 root;            /* bits of CR3 that locate the top table */
	u64 base;            /* bits of an entry that hold an address */
	u64 always_reserved; /* in every entry, apart from those beyond MAXPHYADDR */
};

#define ADDRESS_BITS 0x000ffffffffff000ull

enum { MODE_32, MODE_32_PSE, MODE_PAE, MODE_LONG };
static const struct paging modes[] = {
	[MODE_32] = {2, 4, 10, 0, 0, 0, 0xfffff000, 0xfffff000, 0},
	[MODE_32_PSE] = {2, 4, 10, BIT(2), 0, 0, 0xfffff000, 0xfffff000, 0},
	[MODE_PAE] = {3, 8, 9, BIT(2), 0, BIT(3), 0xffffffe0, ADDRESS_BITS, 0x7ff0000000000000ull},
	[MODE_LONG] = {4, 8, 9, BIT(2) | BIT(3), BIT(4), 0, ADDRESS_BITS, ADDRESS_BITS, 0},
};

static const struct paging *paging_mode(const struct cpu *cpu)
{
	if (cpu_long_mode(cpu))
		return &modes[MODE_LONG];
	if (cpu->cr4 & CR4_PAE)
		return &modes[MODE_PAE];
	return &modes[cpu->cr4 & CR4_PSE ? MODE_32_PSE : MODE_32];
}

static unsigned level_shift(const struct paging *p, unsigned level)
{
	return PAGE_SHIFT + (level - 1) * p->bits;
}

/* ---- reserved bits (SDM 3:4.3, 4.4.2, 4.5.4) ---- */

/* PSE-36: bits 20:13 of a 4 MiB entry are bits 39:32 of the address. */
static u64 reserved_4m(const struct cpu *cpu)
{
	unsigned high = MIN(cpu_phys_bits(cpu), 40) - 32;

	return BIT64(21) | ALIGN_DOWN(0x1fe000ull, BIT64(13 + high));
}

static u64 reserved_large(const struct cpu *cpu, const struct paging *p, unsigned level)
{
	/* Bit 12 is PAT; the address starts at the size of the page. */
	return p->entry == 4 ? reserved_4m(cpu) : (BIT64(level_shift(p, level)) - 1) & ~0x1fffull;
}

/* What every entry of this walk has in common. */
static u64 reserved_anywhere(const struct cpu *cpu, const struct paging *p)
{
	if (p->entry == 4)
		return 0;
	return p->always_reserved | (ADDRESS_BITS & cpu_phys_reserved(cpu)) |
	       (cpu->efer & EFER_NX ? 0 : PTE_NX);
}

static u64 reserved_at(const struct paging *p, unsigned level)
{
	if (p->bare & BIT(level))
		return PTE_NX | PTE_W | PTE_U | PTE_A | PTE_D | PTE_PS | PTE_G;
	return p->ps_reserved & BIT(level) ? PTE_PS : 0;
}

/* ---- the walk ---- */

enum outcome { WALK_DONE, WALK_ABSENT, WALK_RESERVED, WALK_NO_RAM, WALK_HOST_FAULT, WALK_ASKED };

#define MAX_LEVELS WALK_STORES_MAX

struct trail {
	const struct paging *mode;
	const struct remaps *remaps;
	bool peek;                  /* asks for no rights, from outside */
	struct walk_stores *stores; /* with peek: what mark_used() has changed */
	unsigned n;
	u64 table; /* the next entry's table */
	struct visited {
		struct slot *slot;
		u8 *hva;
		u64 named, gpa; /* as the guest has it; as it is reached */
		u64 value;
		unsigned level;
	} entry[MAX_LEVELS];
};

/* The walk's own accesses: CPU_EXIT if the subscriber must be asked. */
static int ask_walk(struct cpu *cpu, u64 lin, u64 gpa, enum tap_access access)
{
	int r;

	if (likely(!(page_denied(cpu, gpa) & BIT(access))))
		return CPU_OK;
	return tap_ask_page(cpu, gpa, lin, access, &r) ? r : CPU_OK;
}

static enum outcome read_entry(struct cpu *cpu, struct trail *t, u64 lin, unsigned level)
{
	struct visited *e = &t->entry[t->n];
	const struct paging *p = t->mode;

	e->level = level;
	e->named = cpu_gpa(cpu, t->table) +
		   (lin >> level_shift(p, level) & (BIT64(p->bits) - 1)) * p->entry;
	if (!t->peek && ask_walk(cpu, lin, e->named, TAP_WALK_READ))
		return WALK_ASKED;
	e->gpa = view_reached(t->remaps, e->named);
	e->slot = slot_find_by(cpu, e->gpa);
	if (!e->slot)
		return WALK_NO_RAM;
	e->hva = e->slot->hva + (e->gpa - e->slot->gpa);
	if (!t->peek)
		slot_note_access(e->slot, e->gpa);
	if (guest_load_pte(&e->value, e->hva, p->entry))
		return WALK_HOST_FAULT;
	t->n++;
	return WALK_DONE;
}

static void accumulate(const struct paging *p, const struct visited *e, struct walk *w)
{
	if (p->bare & BIT(e->level))
		return;
	w->user &= !!(e->value & PTE_U);
	w->writable &= !!(e->value & PTE_W);
	w->nx |= p->entry == 8 && (e->value & PTE_NX);
}

static u64 page_base(const struct paging *p, u64 value, u64 size)
{
	u64 base = value & p->base & ~(size - 1);

	if (p->entry == 4 && size != PAGE_SIZE)
		base |= (value >> 13 & 0xff) << 32;
	return base;
}

static void finish(const struct cpu *cpu, const struct trail *t, u64 lin, struct walk *w)
{
	const struct visited *leaf = &t->entry[t->n - 1];

	w->page_size = BIT64(level_shift(t->mode, leaf->level));
	w->gpa = cpu_gpa(
		cpu, page_base(t->mode, leaf->value, w->page_size) | (lin & (w->page_size - 1)));
	w->global = (cpu->cr4 & CR4_PGE) && (leaf->value & PTE_G);
	w->dirty = leaf->value & PTE_D;
	w->accessed = leaf->value & PTE_A;
}

/* ---- tables that walks have passed through: struct passed_table ---- */

static struct passed_table *passed_slot(struct cpu *cpu, u64 lin)
{
	return &cpu->passed[(lin >> TABLE_BITS) % PASSED_TABLES];
}

/* Who looks from outside, or is to be asked about each entry, walks all the way. */
static bool may_pass(const struct cpu *cpu, const struct trail *t)
{
	return !t->peek && t->mode->entry == 8 && !t->remaps && !cpu->denies;
}

/* The level at which the walk begins. */
static unsigned begin_walk(struct cpu *cpu, u64 lin, struct trail *t, struct walk *w)
{
	const struct passed_table *e = passed_slot(cpu, lin);

	t->n = 0;
	if (may_pass(cpu, t) && e->region == lin >> TABLE_BITS && e->epoch == cpu->passed_epoch) {
		*w = (struct walk){.user = e->user, .writable = e->writable, .nx = e->nx};
		t->table = e->table;
		return 1;
	}
	/* The top table of PAE paging has four entries: lin has 32 bits. */
	*w = (struct walk){.user = true, .writable = true};
	t->table = cpu->cr3 & t->mode->root;
	return t->mode->levels;
}

/* With the A bits set. All the way, as it was: above the last entry are the rights that it has not taken away. */
static void note_passed(struct cpu *cpu, u64 lin, const struct trail *t)
{
	const struct paging *p = t->mode;
	struct walk above = {.user = true, .writable = true};

	if (t->n != p->levels || !may_pass(cpu, t))
		return;
	for (unsigned i = 0; i + 1 < t->n; i++)
		accumulate(p, &t->entry[i], &above);
	*passed_slot(cpu, lin) = (struct passed_table){.region = lin >> TABLE_BITS,
		.epoch = cpu->passed_epoch,
		.table = t->entry[t->n - 2].value & p->base,
		.user = above.user,
		.writable = above.writable,
		.nx = above.nx};
}

static enum outcome walk_tables(struct cpu *cpu, u64 lin, struct trail *t, struct walk *w)
{
	const struct paging *p = t->mode = paging_mode(cpu);
	u64 reserved = reserved_anywhere(cpu, p);

	for (unsigned level = begin_walk(cpu, lin, t, w); level; level--) {
		const struct visited *e = &t->entry[t->n];
		enum outcome r = read_entry(cpu, t, lin, level);
		bool large;

		if (r)
			return r;
		if (!(e->value & PTE_P))
			return WALK_ABSENT;
		large = (p->large & BIT(level)) && (e->value & PTE_PS);
		if (e->value & (reserved | reserved_at(p, level)))
			return WALK_RESERVED;
		if (large && (e->value & reserved_large(cpu, p, level)))
			return WALK_RESERVED;
		accumulate(p, e, w);
		if (large)
			break;
		t->table = e->value & p->base;
	}
	finish(cpu, t, lin, w);
	return WALK_DONE;
}

/* ---- permission (SDM 3:4.6) ---- */

static bool nx_enabled(const struct cpu *cpu)
{
	return (cpu->cr4 & CR4_PAE) && (cpu->efer & EFER_NX);
}

static bool supervisor_allowed(
	const struct cpu *cpu, unsigned view, unsigned acc, const struct walk *w)
{
	if (acc & ACC_FETCH)
		return !w->nx && !(w->user && (cpu->cr4 & CR4_SMEP));
	/* The view says whether EFLAGS.AC counts; it never does for implicit accesses. */
	if (w->user && (cpu->cr4 & CR4_SMAP) && view != TLB_KERNEL_AC)
		return false;
	return !(acc & ACC_WRITE) || w->writable || !(cpu->cr0 & CR0_WP);
}

static bool allowed(const struct cpu *cpu, unsigned acc, const struct walk *w)
{
	unsigned view = access_view(cpu, acc);

	if (view != TLB_USER)
		return supervisor_allowed(cpu, view, acc, w);
	if (!w->user)
		return false;
	if (acc & ACC_FETCH)
		return !w->nx;
	return !(acc & ACC_WRITE) || w->writable;
}

/* SDM 3:4.7 */
static int page_fault(struct cpu *cpu, u64 lin, unsigned acc, u32 error)
{
	if (acc & ACC_WRITE)
		error |= PF_W;
	if (access_view(cpu, acc) == TLB_USER)
		error |= PF_U;
	if ((acc & ACC_FETCH) && (nx_enabled(cpu) || (cpu->cr4 & CR4_SMEP)))
		error |= PF_I;
	cpu_raise_err(cpu, X86_PF, error);
	cpu->exc.cr2 = lin;
	return CPU_FAULT;
}

/* ---- accessed and dirty bits (SDM 3:4.8) ---- */

/* The entry lies in a page as any other: a store to it is logged, and seen by a watcher. */
static void entry_stored(struct cpu *cpu, const struct trail *t, const struct visited *e)
{
	slot_log_dirty(cpu->machine, cpu, e->slot, e->gpa);
	if (t->peek)
		t->stores->gpa[t->stores->n++] = e->gpa;
	else if (unlikely(slot_watched(e->slot, e->gpa)))
		code_written(cpu, e->gpa, t->mode->entry);
}

#define MARK_ASKED (-2)
/* 1 done, 0 an entry has changed since it was read, -1 the host refused, MARK_ASKED. */
static int mark_used(struct cpu *cpu, u64 lin, const struct trail *t, unsigned acc)
{
	for (unsigned i = 0; i < t->n; i++) {
		const struct visited *e = &t->entry[i];
		u64 want = i + 1 == t->n && (acc & ACC_WRITE) ? PTE_A | PTE_D : PTE_A;
		int r;

		/* A table in ROM cannot keep the bits; real firmware has such tables. */
		if ((e->value & want) == want || (t->mode->bare & BIT(e->level)) ||
			(e->slot->flags & SLOT_READONLY))
			continue;
		if (!t->peek && ask_walk(cpu, lin, e->named, TAP_WALK_WRITE))
			return MARK_ASKED;
		r = guest_cmpxchg_pte(e->hva, e->value, e->value | want, t->mode->entry);
		if (r <= 0)
			return r;
		entry_stored(cpu, t, e);
	}
	return 1;
}

/* ---- entry points ---- */

/* CR0.PG = 0: physical is linear, everything is allowed. */
static void walk_unpaged(const struct cpu *cpu, u64 lin, struct walk *ret)
{
	*ret = (struct walk){.gpa = cpu_gpa(cpu, lin),
		.page_size = PAGE_SIZE,
		.user = true,
		.writable = true,
		.dirty = true};
}

/* A table outside of RAM. No question: what the instruction has been answered stays. */
static int table_missing(struct cpu *cpu, u64 lin, const struct trail *t)
{
	if (!machine_intercepts(cpu->machine))
		return mem_internal_error(cpu);
	cpu_exit_in_front(cpu, EXIT_MMIO_READ);
	cpu->exit = (struct exit){.reason = EXIT_MMIO_READ,
		.mmio = {.gpa = t->entry[t->n].gpa & GPA_BITS,
			.len = t->mode->entry,
			.gva = lin,
			.gva_valid = true,
			.walk = true}};
	return CPU_EXIT;
}

static int walk_failed(
	struct cpu *cpu, u64 lin, unsigned acc, const struct trail *t, enum outcome why)
{
	switch (why) {
	case WALK_ABSENT: return page_fault(cpu, lin, acc, 0);
	case WALK_RESERVED: return page_fault(cpu, lin, acc, PF_P | PF_RSVD);
	case WALK_ASKED: return CPU_EXIT;
	case WALK_HOST_FAULT: return mem_host_fault(cpu, t->entry[t->n].gpa, t->mode->entry);
	default:
		if (mem_private_missing(cpu, t->entry[t->n].gpa))
			return mem_private_fault(cpu, t->entry[t->n].gpa);
		return table_missing(cpu, lin, t);
	}
}

int mmu_walk(struct cpu *cpu, u64 lin, unsigned acc, struct walk *ret)
{
	struct trail t;
	int marked;

	check_inside(cpu);
	t.peek = false;
	t.remaps = cpu->remaps;
	lin = linear_wrap(cpu, lin);
	/* Callers have checked; this keeps a wrong address from being cached as another one's alias. */
	if (!linear_canonical(cpu, lin))
		return cpu_gp0(cpu);
	if (!(cpu->cr0 & CR0_PG)) {
		walk_unpaged(cpu, lin, ret);
		return CPU_OK;
	}
	do {
		enum outcome r = walk_tables(cpu, lin, &t, ret);

		if (r)
			return walk_failed(cpu, lin, acc, &t, r);
		if (!allowed(cpu, acc, ret))
			return page_fault(cpu, lin, acc, PF_P);
		marked = mark_used(cpu, lin, &t, acc);
	} while (!marked);
	if (unlikely(marked == MARK_ASKED))
		return CPU_EXIT;
	if (marked < 0)
		return mem_host_fault(cpu, t.entry[t.n - 1].gpa, t.mode->entry);
	ret->dirty |= !!(acc & ACC_WRITE);
	note_passed(cpu, lin, &t);
	return CPU_OK;
}

static bool all_used(const struct trail *t)
{
	for (unsigned i = 0; i < t->n; i++)
		if (!(t->entry[i].value & PTE_A) && !(t->mode->bare & BIT(t->entry[i].level)))
			return false;
	return true;
}

bool mmu_walk_again(struct cpu *cpu, u64 lin, struct walk *ret)
{
	struct trail t;

	check_inside(cpu);
	t.peek = false;
	t.remaps = cpu->remaps;
	if (!linear_canonical(cpu, lin) || !(cpu->cr0 & CR0_PG) || cpu->denies)
		return false;
	if (walk_tables(cpu, lin, &t, ret) || !all_used(&t))
		return false;
	note_passed(cpu, lin, &t);
	return true;
}

static int peek_failed(enum outcome why)
{
	switch (why) {
	case WALK_DONE: return 0;
	case WALK_RESERVED: return -EBADMSG;
	case WALK_NO_RAM: return -ENOENT;
	default: return -EFAULT;
	}
}

int mmu_peek(struct cpu *cpu, u64 lin, struct walk *ret)
{
	struct trail t;

	t.peek = true;
	t.remaps = remaps_wanted(cpu);
	lin = linear_wrap(cpu, lin);
	if (!linear_canonical(cpu, lin))
		return -EFAULT;
	if (!(cpu->cr0 & CR0_PG)) {
		walk_unpaged(cpu, lin, ret);
		return 0;
	}
	return peek_failed(walk_tables(cpu, lin, &t, ret));
}

int mmu_peek_used(
	struct cpu *cpu, u64 lin, unsigned acc, struct walk *ret, struct walk_stores *stores)
{
	struct trail t = {.peek = true, .stores = stores, .remaps = remaps_wanted(cpu)};
	enum outcome r;
	int marked;

	stores->n = 0;
	lin = linear_wrap(cpu, lin);
	if (!linear_canonical(cpu, lin))
		return -EFAULT;
	r = walk_tables(cpu, lin, &t, ret);
	if (r)
		return peek_failed(r);
	marked = mark_used(cpu, lin, &t, acc);
	if (marked < 0)
		return -EFAULT;
	return marked ? 0 : -EAGAIN;
}
