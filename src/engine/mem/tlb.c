/* SPDX-License-Identifier: MIT */
/*
 * The software TLB: fills and flushes. Layout and hit rule are in cpu.h. Inner code.
 *
 * Invariants: an entry exists only if its translation was right when it was made and no flush that
 * covers it came since; a write entry exists only for a dirty page (guest's D bit and slot's log) that
 * is not watched, and then the cpu's writer bit is set. A page whose rights deny reading has no entry, one that may not
 * be written no write entry: what a write entry finds may be read, too. Entries of the tables are dropped through
 * the logs; dropping one too many is always allowed.
 *
 * Toggling anything that allowed() in walk.c looks at (CR0.WP, CR4.SMEP/SMAP, EFER.NX) needs
 * tlb_flush_all(), as does toggling CR0.PG, CR4.PAE/PSE/PGE: entries hold the answer, not the reasons.
 */
#include "engine/mem/mem_priv.h"
#include "engine/core/stat.h"
#include "engine/mem/mem.h"

#define CHUNK 1024 /* entries behind one bit of tlb_log.chunks */

/* ---- log entries: index 0-15, view 16-17, size class 18-19, page of the gpa from 20 ---- */

enum size_class { SIZE_4K, SIZE_2M, SIZE_4M, SIZE_1G };
static const u8 size_shift[] = {12, 21, 22, 30};

static enum size_class size_class(u64 page_size)
{
	switch (page_size) {
	case BIT64(21): return SIZE_2M;
	case BIT64(22): return SIZE_4M;
	case BIT64(30): return SIZE_1G;
	default: return SIZE_4K;
	}
}

static u64 fill_pack(unsigned index, unsigned view, u64 page_size, u64 gpa)
{
	return index | view << 16 | size_class(page_size) << 18 | gpa >> PAGE_SHIFT << 20;
}

static unsigned fill_index(u64 fill)
{
	return fill & (TLB_SIZE - 1);
}

static unsigned fill_view(u64 fill)
{
	return fill >> 16 & 3;
}

static unsigned fill_size(u64 fill)
{
	return fill >> 18 & 3;
}

static u64 fill_gpa(u64 fill)
{
	return fill >> 20 << PAGE_SHIFT;
}

static struct tlb_entry *entry_at(struct cpu *cpu, unsigned view, unsigned kind, unsigned index)
{
	return &cpu->tlb[view].page[index].of[kind];
}

static void entry_clear(struct cpu *cpu, unsigned view, unsigned kind, unsigned index)
{
	entry_at(cpu, view, kind, index)->neg_tag = tlb_empty(index);
}

/* ---- large pages: a filter of 8192 bits, hashed ---- */

static unsigned large_hash(u64 lin, enum size_class c)
{
	/* Two granules of a 4 MiB page share a key of its own class. */
	return ((lin >> size_shift[c]) * 4 + c) * 0x9e3779b97f4a7c15ull >> 51;
}

void tlb_note_large(struct cpu *cpu, u64 lin, u64 page_size)
{
	unsigned bit = large_hash(lin, size_class(page_size));

	cpu->large_filter[bit / 64] |= BIT64(bit % 64);
}

static bool maybe_large(const struct cpu *cpu, u64 lin)
{
	for (enum size_class c = SIZE_2M; c <= SIZE_1G; c++) {
		unsigned bit = large_hash(lin, c);

		if (cpu->large_filter[bit / 64] & BIT64(bit % 64))
			return true;
	}
	return false;
}

/* ---- fill ---- */

static void log_fill(struct tlb_log *log, unsigned index, unsigned view, const struct walk *w)
{
	if (likely(log->count < TLB_LOG)) {
		log->fill[log->count++] = fill_pack(index, view, w->page_size, w->gpa);
		return;
	}
	log->overflow = true;
	log->chunks[view] |= BIT64(index / CHUNK);
}

static void insert(
	struct cpu *cpu, unsigned view, unsigned kind, u64 lin, const u8 *hva, const struct walk *w)
{
	unsigned i = lin >> PAGE_SHIFT & (TLB_SIZE - 1);
	const struct tlb_entry new = {-(lin & PAGE_MASK), (u64)hva & PAGE_MASK};
	struct tlb_entry *t = entry_at(cpu, view, kind, i);

	if (t->neg_tag == new.neg_tag && t->hva == new.hva)
		return; /* logged when it was made */
	*t = new;
	log_fill(&cpu->tlb_log[w->global][kind], i, view, w);
	if (w->page_size != PAGE_SIZE)
		tlb_note_large(cpu, lin, w->page_size);
}

/* Set our writer bit, see watch.c. False: the page is watched, no write entry may be made. */
static bool become_writer(struct cpu *cpu, const struct slot *s, const struct walk *w)
{
	u64 *state = slot_state(s, w->gpa), bit = writer_bit(cpu, w->global);
	u64 old = __atomic_load_n(state, __ATOMIC_SEQ_CST);

	if (!(old & (bit | PAGE_WATCHED)))
		old = __atomic_fetch_or(state, bit | PAGE_MAPPED, __ATOMIC_SEQ_CST);
	return !(old & PAGE_WATCHED);
}

/* The page is RAM and the access is allowed. denied: what others are not. */
static void fill(struct cpu *cpu, u64 lin, unsigned acc, const struct slot *s, const struct walk *w,
	u8 denied, struct access_target *t)
{
	unsigned view = access_view(cpu, acc);

	t->hva = s->hva + (w->gpa - s->gpa);
	slot_note_access(s, w->gpa);
	if (acc & ACC_WRITE) {
		slot_log_dirty(cpu->machine, cpu, s, w->gpa);
		t->watched = !become_writer(cpu, s, w);
		if (!t->watched && likely(!(denied & (BIT(TAP_READ) | BIT(TAP_WRITE)))))
			insert(cpu, view, TLB_WRITE, lin, t->hva, w);
	}
	if (likely(!(denied & BIT(TAP_READ))))
		insert(cpu, view, TLB_READ, lin, t->hva, w);
}

/* ---- no RAM: device registers have no entry in the tables, but their page is remembered ---- */

static u64 mmio_tag(const struct cpu *cpu, u64 lin, unsigned acc)
{
	return (lin & PAGE_MASK) | 1 | access_view(cpu, acc) << 1 | (acc & ACC_WRITE) << 3;
}

/* What is known of walks beside the entries. */
static void forget_walks(struct cpu *cpu)
{
	cpu->mmio_tag = 0;
	cpu->passed_epoch++;
}

/* ---- rights of the page ---- */

/* The kinds of access of enum tap_access that this one is. */
static u8 access_kinds(unsigned acc)
{
	if (!(acc & ACC_WRITE))
		return BIT(TAP_READ);
	return BIT(TAP_WRITE) | (acc & ACC_ALSO_READ ? BIT(TAP_READ) : 0);
}

static int ask_rights(struct cpu *cpu, u64 lin, u64 gpa, u8 missing)
{
	int r;

	for (enum tap_access a = TAP_READ; a <= TAP_WRITE; a++)
		if ((missing & BIT(a)) && tap_ask_page(cpu, gpa, lin, a, &r))
			return r;
	return CPU_OK;
}

/* May the page have an entry for writes although it has only been read? */
static bool writes_unseen(const struct slot *s, const struct walk *w, u8 denied)
{
	return w->dirty && w->writable && !denied && !(s->flags & SLOT_READONLY);
}

static int translate_walk(struct cpu *cpu, u64 lin, unsigned acc, struct access_target *ret)
{
	const struct slot *s;
	struct walk w;
	int r = mmu_walk(cpu, lin, acc, &w);
	u8 denied;

	if (r)
		return r;
	denied = page_denied(cpu, w.gpa);
	*ret = (struct access_target){.named = w.gpa, .once = denied & access_kinds(acc)};
	if (unlikely(ret->once) && (r = ask_rights(cpu, lin, w.gpa, denied & access_kinds(acc))))
		return r;
	ret->gpa = w.gpa = view_reached(cpu->remaps, w.gpa);
	s = slot_find_by(cpu, w.gpa);
	if ((acc & ACC_WRITE_NEXT) && s && writes_unseen(s, &w, denied))
		acc |= ACC_WRITE;
	if (s && !((acc & ACC_WRITE) && (s->flags & SLOT_READONLY))) {
		fill(cpu, lin, acc, s, &w, denied, ret);
	} else if (!s && mem_private_missing(cpu, w.gpa)) {
		return mem_private_fault(cpu, w.gpa);
	} else if (likely(!denied)) {
		cpu->mmio_tag = mmio_tag(cpu, lin, acc);
		cpu->mmio_gpa = w.gpa & PAGE_MASK;
	}
	return CPU_OK;
}

int tlb_translate(struct cpu *cpu, u64 lin, unsigned acc, struct access_target *ret)
{
	lin = linear_wrap(cpu, lin);
	if (cpu->mmio_tag != mmio_tag(cpu, lin, acc))
		return translate_walk(cpu, lin, acc, ret);
	check_inside(cpu);
	*ret = (struct access_target){.gpa = cpu->mmio_gpa | (lin & ~PAGE_MASK)};
	return CPU_OK;
}

int tlb_fill(struct cpu *cpu, u64 lin, unsigned acc, void **ret_hva, u64 *ret_gpa)
{
	struct access_target t;
	int r = tlb_translate(cpu, lin, acc, &t);

	stat_inc(cpu, STAT_TLB_FILLS);
	if (r)
		return r;
	*ret_gpa = t.gpa;
	*ret_hva = t.watched || t.once ? NULL : t.hva;
	return CPU_OK;
}

/* ---- pages of direct execution ---- */

/* The bit goes with the next flush, as those of entries do. */
static bool stay_writer(struct cpu *cpu, u64 lin, const struct slot *s, const struct walk *w)
{
	const bool had = __atomic_load_n(slot_state(s, w->gpa), __ATOMIC_SEQ_CST) &
			 writer_bit(cpu, w->global);

	if (!become_writer(cpu, s, w))
		return false;
	if (!had)
		log_fill(&cpu->tlb_log[w->global][TLB_WRITE], lin >> PAGE_SHIFT & (TLB_SIZE - 1),
			TLB_USER, w);
	return true;
}

/* What is executed must be watched, and what is written must not be. */
static bool may_keep(
	struct cpu *cpu, u64 lin, const struct slot *s, const struct walk *w, unsigned keep)
{
	if (keep & KEEP_EXEC)
		return !w->nx && slot_watched(s, w->gpa) &&
		       !page_shared(cpu->machine->mem, s->hva + (w->gpa - s->gpa));
	if (keep & KEEP_WRITE)
		return writes_unseen(s, w, 0) && !s->dirty && stay_writer(cpu, lin, s, w);
	return true;
}

bool tlb_keep(struct cpu *cpu, u64 lin, const u8 *hva, unsigned keep)
{
	const struct slot *s;
	struct walk w;

	if (!mmu_walk_again(cpu, lin, &w) || !w.user)
		return false;
	s = slot_find_by(cpu, w.gpa);
	if (!s || s->hva + (w.gpa - s->gpa) != hva || !may_keep(cpu, lin, s, &w, keep))
		return false;
	slot_note_access(s, w.gpa);
	if (w.page_size != PAGE_SIZE)
		tlb_note_large(cpu, lin, w.page_size);
	return true;
}

/* ---- flush ---- */

static void retract_writer(struct cpu *cpu, u64 gpa, bool global)
{
	const struct slot *s = slot_find_by(cpu, gpa);

	if (s)
		slot_retract_writer(s, gpa, cpu->id, writer_bit(cpu, global));
}

static void clear_chunk(struct cpu *cpu, unsigned view, unsigned kind, unsigned chunk)
{
	for (unsigned i = chunk * CHUNK; i < (chunk + 1) * CHUNK; i++)
		entry_clear(cpu, view, kind, i);
}

static void clear_unlogged(struct cpu *cpu, struct tlb_log *log, unsigned kind)
{
	for (unsigned view = 0; view < TLB_VIEWS; view++) {
		for (u64 c = log->chunks[view]; c; c &= c - 1)
			clear_chunk(cpu, view, kind, __builtin_ctzll(c));
		log->chunks[view] = 0;
	}
	log->overflow = false;
}

static void flush_class(struct cpu *cpu, bool global, unsigned kind)
{
	struct tlb_log *log = &cpu->tlb_log[global][kind];

	for (u32 n = 0; n < log->count; n++) {
		u64 f = log->fill[n];

		entry_clear(cpu, fill_view(f), kind, fill_index(f));
		if (kind == TLB_WRITE)
			retract_writer(cpu, fill_gpa(f), global);
	}
	log->count = 0;
	if (unlikely(log->overflow))
		clear_unlogged(cpu, log, kind);
}

static void write_flush_done(struct cpu *cpu)
{
	__atomic_store_n(&cpu->write_flushes, cpu->write_flushes + 1, __ATOMIC_SEQ_CST);
}

/* Outside, where the slots that entries lie in may be changing, it is a request, and done on the way in. */
void tlb_flush_all(struct cpu *cpu)
{
	if (!cpu->inside) {
		cpu_request(cpu, REQ_FLUSH);
		return;
	}
	stat_inc(cpu, STAT_TLB_FLUSH);
	cpu->direct.flushes++;
	forget_walks(cpu);
	for (unsigned kind = 0; kind < TLB_KINDS; kind++) {
		flush_class(cpu, false, kind);
		flush_class(cpu, true, kind);
	}
	/* The first flush is also what makes a zeroed struct cpu a valid empty TLB. */
	for (unsigned view = 0; view < TLB_VIEWS; view++) {
		entry_clear(cpu, view, TLB_READ, 0);
		entry_clear(cpu, view, TLB_WRITE, 0);
	}
	for (unsigned i = 0; i < LARGE_FILTER; i++)
		cpu->large_filter[i] = 0;
	fetch_flush(cpu, false);
	write_flush_done(cpu);
}

void tlb_flush_nonglobal(struct cpu *cpu)
{
	check_inside(cpu);
	stat_inc(cpu, STAT_TLB_FLUSH);
	cpu->direct.flushes++;
	forget_walks(cpu);
	flush_class(cpu, false, TLB_READ);
	flush_class(cpu, false, TLB_WRITE);
	fetch_flush(cpu, true);
}

static bool may_write(struct cpu *cpu, bool global, u64 gpa)
{
	const struct slot *s = slot_find_by(cpu, gpa);

	return s &&
	       (__atomic_load_n(slot_state(s, gpa), __ATOMIC_SEQ_CST) & writer_bit(cpu, global));
}

/* What is cleared leaves the log too: code that is rewritten all the time would fill it. */
static void flush_write_page(struct cpu *cpu, bool global, u64 gpa)
{
	struct tlb_log *log = &cpu->tlb_log[global][TLB_WRITE];
	u32 kept = 0;

	if (!may_write(cpu, global, gpa))
		return;
	if (log->overflow) {
		flush_class(cpu, global, TLB_WRITE);
		return;
	}
	for (u32 n = 0; n < log->count; n++) {
		u64 f = log->fill[n];

		if (fill_gpa(f) == gpa)
			entry_clear(cpu, fill_view(f), TLB_WRITE, fill_index(f));
		else
			log->fill[kept++] = f;
	}
	log->count = kept;
}

void tlb_flush_write(struct cpu *cpu, u64 gpa)
{
	check_inside(cpu);
	cpu->direct.flushes++;
	if (gpa != ~0ull) {
		flush_write_page(cpu, false, gpa);
		flush_write_page(cpu, true, gpa);
		return;
	}
	flush_class(cpu, false, TLB_WRITE);
	flush_class(cpu, true, TLB_WRITE);
	write_flush_done(cpu);
}

/* ---- INVLPG: all granules of the page, global or not (SDM 3:4.10.4.1) ---- */

static void flush_granules(struct cpu *cpu, bool global, unsigned kind, u64 lin)
{
	const struct tlb_log *log = &cpu->tlb_log[global][kind];

	for (u32 n = 0; n < log->count; n++) {
		u64 f = log->fill[n];
		unsigned view = fill_view(f), i = fill_index(f);
		u64 page = -entry_at(cpu, view, kind, i)->neg_tag;

		if (fill_size(f) && (page ^ lin) >> size_shift[fill_size(f)] == 0)
			entry_clear(cpu, view, kind, i);
	}
}

static void flush_large_page(struct cpu *cpu, u64 lin)
{
	for (unsigned n = 0; n < 4; n++) {
		if (cpu->tlb_log[n / 2][n % 2].overflow) {
			tlb_flush_all(cpu);
			return;
		}
	}
	for (unsigned n = 0; n < 4; n++)
		flush_granules(cpu, n / 2, n % 2, lin);
}

static void flush_small_page(struct cpu *cpu, u64 lin)
{
	unsigned i = lin >> PAGE_SHIFT & (TLB_SIZE - 1);

	for (unsigned n = 0; n < TLB_VIEWS * TLB_KINDS; n++) {
		unsigned view = n / TLB_KINDS, kind = n % TLB_KINDS;

		if (entry_at(cpu, view, kind, i)->neg_tag == -lin)
			entry_clear(cpu, view, kind, i);
	}
}

/* For direct execution. */
static void note_flushed(struct cpu *cpu, u64 lin, bool large)
{
	struct direct_wish *d = &cpu->direct;

	if (!large && d->pages < DIRECT_FLUSHED)
		d->page[d->pages++] = lin;
	else
		d->flushes++;
}

void tlb_flush_page(struct cpu *cpu, u64 lin)
{
	bool large;

	check_inside(cpu);
	stat_inc(cpu, STAT_INVLPG);
	forget_walks(cpu);
	lin = ALIGN_DOWN(linear_wrap(cpu, lin), PAGE_SIZE);
	large = maybe_large(cpu, lin);
	note_flushed(cpu, lin, large);
	flush_small_page(cpu, lin);
	if (large)
		flush_large_page(cpu, lin);
	fetch_flush_page(cpu, lin, large);
}

/* ---- requests of other threads ---- */

#define SERVED (REQ_FLUSH | REQ_FLUSH_W)

void cpu_serve_requests(struct cpu *cpu)
{
	u32 req = __atomic_load_n(&cpu->exit_request, __ATOMIC_ACQUIRE);

	if (req & REQ_FLUSH)
		tlb_flush_all(cpu);
	if (req & REQ_FLUSH_W)
		tlb_flush_write(cpu, ~0ull);
	if (req & SERVED)
		__atomic_fetch_and(&cpu->exit_request, ~(req & SERVED), __ATOMIC_RELEASE);
}
