/* SPDX-License-Identifier: MIT */
/*
 * The pages that the process has of the guest's. A page comes in by a fault, or because the TLB has it; it is always there with
 * the rights that the TLB had for user code when it was filled, and the TLB is filled as for an access of generated code: with
 * accessed and dirty bits, the dirty log, the watch of code pages. A page that can be executed cannot be written to.
 */
#include "engine/direct/direct_priv.h"
#include "engine/mem/mem.h"

#define BATCH 256u

struct changes {
	struct direct *d;
	struct cage_page page[BATCH];
	unsigned n;
	bool failed;
	bool same_code; /* nobody can have written to code since the last look */
};

#define NONE 0u

static u32 *bucket_of(struct direct *d, u64 gva)
{
	return &d->bucket[(gva >> PAGE_SHIFT) * 0x9e3779b97f4a7c15ull >> (64 - DIRECT_BUCKET_BITS)];
}

/* The entries stay readable until others take their places. */
static void empty(struct direct *d)
{
	for (u32 i = 0; i < d->count; i++)
		*bucket_of(d, d->page[i].gva) = NONE;
	d->count = 0;
}

void direct_pages_forget(struct direct *d)
{
	empty(d);
	direct_breaks_forget(d);
	d->fresh = false;
}

/* ---- the set ---- */

static struct direct_page *find(struct direct *d, u64 gva)
{
	u32 i = *bucket_of(d, gva);

	while (i != NONE && d->page[i - 1].gva != gva)
		i = d->page[i - 1].next;
	return i == NONE ? NULL : &d->page[i - 1];
}

/* There is room. */
static struct direct_page *append(struct direct *d, u64 gva)
{
	u32 *bucket = bucket_of(d, gva);
	struct direct_page *p = &d->page[d->count];

	p->gva = gva;
	p->next = *bucket;
	*bucket = ++d->count;
	return p;
}

/* ---- to the process ---- */

static void batch_send(struct changes *b)
{
	if (b->n && !b->failed)
		b->failed = cage_map(b->d->cage, b->page, b->n) < 0;
	b->n = 0;
}

static void batch_put(struct changes *b, const struct direct_page *p)
{
	b->page[b->n++] = (struct cage_page){p->gva, p->hva, p->access};
	if (b->n == BATCH)
		batch_send(b);
}

static void batch_add(struct changes *b, const struct direct_page *p)
{
	b->d->mapped++;
	batch_put(b, p);
}

/* All but the registers that are on their way. */
static bool drop_all(struct direct *d)
{
	empty(d);
	direct_breaks_release_all(d);
	return !cage_unmap(d->cage, 0, ~0ull & PAGE_MASK);
}

static bool is_low(u64 gva)
{
	return gva < 1u << 16; /* vm.mmap_min_addr */
}

/* Where the kernel maps nothing, and what is the process's own: the engine alone reaches that. */
static bool can_be_there(const struct direct *d, u64 gva)
{
	u64 from, readable_to, to;

	cage_own(d->cage, &from, &readable_to, &to);
	return !is_low(gva) && gva < BIT64(47) - PAGE_SIZE && (gva < from || gva >= to);
}

static bool in_ram(const struct direct *d, const u8 *hva)
{
	for (unsigned i = 0; i < d->rams; i++)
		if ((u64)(hva - (const u8 *)d->ram[i].hva) < d->ram[i].size)
			return true;
	return false;
}

/* ---- what the TLB has ---- */

static const u8 *data_page(const struct cpu *cpu, u64 gva, unsigned kind)
{
	return tlb_lookup(cpu, TLB_USER, kind, gva, 1);
}

/*
 * Nobody hears of a fault: the access is not one of the guest's yet. A dirty page may be written to at once, but not where the VMM
 * logs writes, which would hear of one that may never come.
 */
static void fill(struct cpu *cpu, u64 gva, unsigned acc)
{
	void *hva;
	u64 gpa;
	u32 flags;
	int r = tlb_fill(cpu, gva, acc, &hva, &gpa);

	if (!r && acc == ACC_READ && slot_page(cpu->machine, ALIGN_DOWN(gpa, PAGE_SIZE), &flags) &&
		!(flags & PG_LOGGING))
		r = tlb_fill(cpu, gva, ACC_READ | ACC_WRITE_NEXT, &hva, &gpa);
	if (r == CPU_EXIT)
		cpu->exit.reason = EXIT_NONE;
}

/* The rights for data that the TLB gives, filled for an access of this kind. */
static u32 data_access(struct cpu *cpu, u64 gva, unsigned acc, const u8 **hva)
{
	*hva = data_page(cpu, gva, TLB_WRITE);
	if (!*hva)
		fill(cpu, gva, acc);
	*hva = data_page(cpu, gva, TLB_WRITE);
	if (*hva)
		return CAGE_READ | CAGE_WRITE;
	*hva = data_page(cpu, gva, TLB_READ);
	return *hva ? CAGE_READ : 0;
}

/* A page of memory, or NULL; the guest sees nothing of it. */
static const u8 *peek_page(struct cpu *cpu, u64 gva)
{
	struct walk w;
	u32 flags;

	if (!cpu_canonical(cpu, gva) || mmu_peek(cpu, gva, &w) || !w.user)
		return NULL;
	return slot_page(cpu->machine, ALIGN_DOWN(w.gpa, PAGE_SIZE), &flags);
}

/* Where code is fetched from, or NULL; nobody hears of a fault. */
static const u8 *code_at(struct cpu *cpu, u64 gva, u64 *ret_gpa)
{
	u8 *code;
	int r = mmu_code_page(cpu, gva, ret_gpa, &code);

	if (r == CPU_EXIT)
		cpu->exit.reason = EXIT_NONE;
	return r ? NULL : code;
}

/* May the page be executed? Nobody can write to it unseen from here on, and nothing strange in it is executed. */
static bool is_plain_code(struct cpu *cpu, struct direct *d, u64 gva, const u8 *hva)
{
	const struct verdict *of;
	u64 gpa;

	if (code_at(cpu, gva, &gpa) != hva || !in_ram(d, hva))
		return false;
	page_watch(cpu, gpa);
	of = scan_page(
		d->verdicts, peek_page(cpu, gva - PAGE_SIZE), hva, peek_page(cpu, gva + PAGE_SIZE));
	return of && direct_breaks_cover(d, gva, of);
}

/* Executable pages are readable as well, if the TLB says so; the processor knows no others. */
static u32 find_access(struct cpu *cpu, struct direct *d, u64 gva, u32 wanted, const u8 **hva)
{
	u32 access = data_access(cpu, gva, wanted & CAGE_WRITE ? ACC_WRITE : ACC_READ, hva);

	if (!access || !(wanted & CAGE_EXEC))
		return access;
	return is_plain_code(cpu, d, gva, *hva) ? CAGE_READ | CAGE_EXEC : 0;
}

/* ---- in and out ---- */

/* Before anything is found out about a page: with the others go their breakpoints. */
static void make_room(struct changes *b, u64 gva)
{
	if (b->d->count < DIRECT_PAGES || find(b->d, gva))
		return;
	b->n = 0;
	b->failed |= !drop_all(b->d);
}

/* There is room. */
static void put(struct changes *b, u64 gva, const u8 *hva, u32 access)
{
	struct direct_page *p = find(b->d, gva);

	if (!p)
		p = append(b->d, gva);
	p->hva = hva;
	p->access = access;
	batch_add(b, p);
}

/* True: the page has what is wanted. */
static bool add(struct cpu *cpu, struct changes *b, u64 gva, u32 wanted)
{
	const u8 *hva;
	u32 access;

	make_room(b, gva);
	access = can_be_there(b->d, gva) ? find_access(cpu, b->d, gva, wanted, &hva) : 0;
	if (!access || (wanted & ~access) || !in_ram(b->d, hva))
		return false;
	put(b, gva, hva, access);
	return true;
}

/* The guest must not see that a page came before it was wanted: no accessed bit is set here. */
static bool was_accessed(struct cpu *cpu, u64 gva)
{
	struct walk w;

	return data_page(cpu, gva, TLB_READ) || (!mmu_peek(cpu, gva, &w) && w.accessed && w.user);
}

/* Does the TLB still have all that the process has of the page? Then there is nothing to look at. */
static bool is_backed(const struct cpu *cpu, const struct direct_page *p)
{
	unsigned kind = p->access & CAGE_WRITE ? TLB_WRITE : TLB_READ;

	return !(p->access & CAGE_EXEC) && data_page(cpu, p->gva, kind) == p->hva;
}

/* The tables have changed, but the processor need not know it yet. */
static bool is_cached_code(struct cpu *cpu, const struct direct_page *p)
{
	u64 gpa;

	return was_accessed(cpu, p->gva) && code_at(cpu, p->gva, &gpa) == p->hva &&
	       page_watched(cpu->machine, gpa);
}

/* As it was before a flush. Code was looked through then, and nobody has written to it since. */
static bool is_same(struct cpu *cpu, const struct changes *b, const struct direct_page *p)
{
	if (!(p->access & CAGE_EXEC))
		return tlb_keep(cpu, p->gva, p->hva, p->access & CAGE_WRITE ? KEEP_WRITE : 0);
	return b->same_code && (tlb_keep(cpu, p->gva, p->hva, KEEP_EXEC) || is_cached_code(cpu, p));
}

/*
 * What is not as it was goes, or comes with other rights. So does what the guest has not accessed since it has said so. False: it has
 * gone, or is to go.
 */
static bool look_at(
	struct cpu *cpu, struct changes *b, const struct direct_page *old, struct direct_page *new)
{
	*new = *old;
	if (is_backed(cpu, old) || is_same(cpu, b, old))
		return true;
	new->access = was_accessed(cpu, old->gva)
			      ? find_access(cpu, b->d, old->gva, old->access & ~(u32)CAGE_WRITE,
					&new->hva)
			      : 0;
	if (!new->access || !in_ram(b->d, new->hva))
		return false;
	if (new->access != old->access || new->hva != old->hva)
		batch_add(b, new);
	return true;
}

static void take_away(struct changes *b, u64 gva)
{
	batch_put(b, &(struct direct_page){.gva = gva});
	direct_breaks_release(b->d, gva);
}

/* Another program has these tables now, or most has changed. Then pages are not taken away one by one. */
#define GONE_MAX 64u

static bool most_gone(const struct direct *d, u32 gone)
{
	return gone >= GONE_MAX && gone > d->count;
}

static void look_at_all(struct cpu *cpu, struct changes *b)
{
	struct direct *d = b->d;
	u32 count = d->count, gone = 0;

	empty(d);
	for (u32 i = 0; i < count && !b->failed && !most_gone(d, gone); i++) {
		const struct direct_page old = d->page[i];
		struct direct_page new, *p;

		if (!old.access)
			continue;
		if (!look_at(cpu, b, &old, &new)) {
			take_away(b, old.gva);
			gone++;
			continue;
		}
		p = append(d, old.gva);
		p->hva = new.hva;
		p->access = new.access;
	}
	if (most_gone(d, gone)) {
		b->n = 0;
		b->failed |= !drop_all(d);
	}
}

/* A page that has gone keeps its place, without rights, until all are looked at. */
static void look_at_page(struct cpu *cpu, struct changes *b, u64 gva)
{
	struct direct_page *p = find(b->d, gva), new;

	if (!p || !p->access)
		return;
	if (!look_at(cpu, b, p, &new)) {
		take_away(b, gva);
		new.access = 0;
	}
	p->hva = new.hva;
	p->access = new.access;
}

static void look_at_flushed(struct cpu *cpu, struct changes *b)
{
	struct direct_wish *w = &cpu->direct;

	while (w->pages && !b->failed)
		look_at_page(cpu, b, w->page[--w->pages]);
}

/* Has the guest pages where the process has its own? They would be hidden. */
static bool hides(struct cpu *cpu, const struct direct *d)
{
	u64 at, readable_to, to;
	struct walk w;

	cage_own(d->cage, &at, &readable_to, &to);
	for (; at < readable_to; at += PAGE_SIZE)
		if (!mmu_peek(cpu, at, &w))
			return true;
	return false;
}

/* All executable pages there are watched. */
static bool is_unwritten(const struct cpu *cpu, const struct direct *d, u64 unwatched)
{
	return d->unwatched == unwatched && d->rechecks == cpu->direct.rechecks;
}

static bool all_due(const struct cpu *cpu, const struct direct *d)
{
	return d->flushes != cpu->direct.flushes ||
	       d->unwatched != atomic_load(&cpu->machine->unwatched);
}

static void note_all(struct cpu *cpu, struct direct *d, u64 unwatched)
{
	d->flushes = cpu->direct.flushes;
	d->unwatched = unwatched;
	d->rechecks = cpu->direct.rechecks;
	cpu->direct.pages = 0;
	d->hidden = hides(cpu, d);
}

static void look_once(struct cpu *cpu, struct changes *b)
{
	const u64 unwatched = atomic_load(&cpu->machine->unwatched);

	if (all_due(cpu, b->d)) {
		b->same_code = is_unwritten(cpu, b->d, unwatched);
		note_all(cpu, b->d, unwatched);
		look_at_all(cpu, b);
	} else {
		look_at_flushed(cpu, b);
	}
	batch_send(b);
}

static bool begin(struct cpu *cpu, struct direct *d)
{
	d->root = direct_root(cpu);
	d->fresh = true;
	note_all(cpu, d, atomic_load(&cpu->machine->unwatched));
	empty(d);
	direct_breaks_forget(d);
	return !cage_clear(d->cage);
}

/*
 * A look may itself flush: then what it has found before may be old. Each page is watched once, so this ends; or another vcpu changes the
 * tables meanwhile, and waits for this one. Then nothing runs before it was served, and the rest is looked at later.
 */
bool direct_pages_sync(struct cpu *cpu, struct direct *d)
{
	struct changes b = {.d = d};

	if (!d->fresh || d->root != direct_root(cpu))
		return begin(cpu, d);
	while ((all_due(cpu, d) || cpu->direct.pages) && !b.failed &&
		!__atomic_load_n(&cpu->exit_request, __ATOMIC_SEQ_CST))
		look_once(cpu, &b);
	return !b.failed;
}

/* Error code: SDM 3:4.7. */
static u32 wanted_by(u32 error)
{
	if (error & PF_I)
		return CAGE_READ | CAGE_EXEC;
	return error & PF_W ? CAGE_READ | CAGE_WRITE : CAGE_READ;
}

/* The pages that come with one: of its large page, or its neighbours, which are likely to be wanted next. */
#define AROUND     (16 * PAGE_SIZE)
#define LARGE_PAGE BIT64(21)

static u64 around(struct cpu *cpu, u64 gva, u64 *ret_bytes)
{
	struct walk w;

	*ret_bytes = !mmu_peek(cpu, gva, &w) && w.page_size >= LARGE_PAGE ? LARGE_PAGE : AROUND;
	return ALIGN_DOWN(gva, *ret_bytes);
}

static void add_neighbours(struct cpu *cpu, struct changes *b, u64 gva, u32 wanted)
{
	u64 bytes, at = around(cpu, gva, &bytes);

	for (u64 end = at + bytes; at < end && !b->failed; at += PAGE_SIZE) {
		const struct direct_page *p = find(b->d, at);

		if ((!p || !p->access) && was_accessed(cpu, at))
			add(cpu, b, at, wanted & ~(u32)CAGE_WRITE);
	}
}

bool direct_pages_fault(struct cpu *cpu, struct direct *d, u64 gva, u32 error, bool *ret_done)
{
	struct changes b = {.d = d};

	gva = ALIGN_DOWN(gva, PAGE_SIZE);
	*ret_done = add(cpu, &b, gva, wanted_by(error));
	if (*ret_done)
		add_neighbours(cpu, &b, gva, wanted_by(error));
	batch_send(&b);
	return !b.failed;
}
