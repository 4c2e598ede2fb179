/* SPDX-License-Identifier: MIT */
/*
 * Translation of instruction addresses, and the bytes there. Inner code.
 *
 * Execute permission is not in the data TLB, so fetches have a small direct-mapped cache of their
 * own. It obeys the same flushes; each that may have removed something moves fetch_epoch, which tells
 * the translator to ask again before it follows what it remembers about linear addresses.
 */
#include "engine/host/raw.h"
#include "engine/mem/mem_priv.h"
#include "engine/mem/mem.h"

#define TAG_VALID  1ull
#define TAG_USER   2ull
#define TAG_GLOBAL 4ull
#define TAG_SHARED 8ull /* nothing is to be translated from it */

/*
 * Where code has been fetched from since the last full flush, as a hash filter over 4 KiB and 2 MiB pages: INVLPG
 * of data, by far the most frequent, then leaves the translator's memory alone.
 */
static unsigned filter_bit(u64 lin, unsigned shift)
{
	return (u32)(lin >> shift) * 0x9e3779b1u >> (32 - 14);
}
_Static_assert(CODE_FILTER == 1 << 14, "filter_bit");

static void filter_add(struct cpu *cpu, u64 lin, bool global)
{
	unsigned small = filter_bit(lin, PAGE_SHIFT), large = filter_bit(lin, 21);

	cpu->code_filter[global][small / 64] |= BIT64(small % 64);
	cpu->code_filter[global][large / 64] |= BIT64(large % 64);
}

static bool filter_has(const struct cpu *cpu, u64 lin, unsigned shift, bool global)
{
	unsigned bit = filter_bit(lin, shift);

	return cpu->code_filter[global][bit / 64] & BIT64(bit % 64);
}

static struct fetch_entry *fetch_slot(struct cpu *cpu, u64 lin)
{
	return &cpu->fetch[lin >> PAGE_SHIFT & (FETCH_CACHE - 1)];
}

/*
 * KVM maps a page for writing, too, when it is first touched, and then has to call it dirty; programs and their tests
 * expect that of the page that code is in. When the log is read it only takes the right to write away, so that this
 * happens once, and so it is here: a log must come to an end. Reads are left out, since nobody asks for them and they
 * would pay for it, and ROM, which is never mapped so. A page whose accessed bit is kept is not called dirty for that.
 */
static void note_fetch(struct cpu *cpu, const struct slot *s, u64 gpa)
{
	u64 *state = slot_state(s, gpa);

	slot_note_access(s, gpa);
	if (likely(__atomic_load_n(state, __ATOMIC_SEQ_CST) & PAGE_MAPPED))
		return;
	if (!(__atomic_fetch_or(state, PAGE_MAPPED, __ATOMIC_SEQ_CST) & PAGE_MAPPED) &&
		!(s->flags & SLOT_READONLY) && !s->accessed)
		slot_log_dirty(cpu->machine, cpu, s, gpa);
}

/* Is it for that page, and not flushed meanwhile? */
static bool fetch_valid(const struct cpu *cpu, const struct fetch_entry *e, u64 tag)
{
	return (e->tag & ~(TAG_GLOBAL | TAG_SHARED)) == tag &&
	       e->flushes == cpu->fetch_flushes[!!(e->tag & TAG_GLOBAL)];
}

/* Where a slot may not be executed there is no code: nobody gets a host address to translate from. */
static const struct slot *code_slot(const struct slot *s)
{
	return s && likely(!(s->flags & SLOT_NOEXEC)) ? s : NULL;
}

/* A page that may not be executed is asked for at each fetch, and never kept. */
static int fetch_fill(struct cpu *cpu, u64 lin, u64 tag, struct fetch_entry *e)
{
	const struct slot *s;
	struct walk w;
	int r = mmu_walk(cpu, lin, ACC_FETCH, &w);
	bool denied;

	if (r)
		return r;
	denied = page_denied(cpu, w.gpa) & BIT(TAP_FETCH);
	if (unlikely(denied) && tap_ask_page(cpu, w.gpa, lin, TAP_FETCH, &r))
		return r;
	w.gpa = view_reached(cpu->remaps, w.gpa);
	s = slot_find_by(cpu, w.gpa);
	if (!s && mem_private_missing(cpu, w.gpa))
		return mem_private_fault(cpu, w.gpa);
	s = code_slot(s);
	if (s)
		note_fetch(cpu, s, w.gpa);
	filter_add(cpu, lin, w.global);
	e->tag = likely(!denied) ? tag | (w.global ? TAG_GLOBAL : 0) : 0;
	e->tag |= s && page_shared(cpu->machine->mem, s->hva + (w.gpa - s->gpa)) ? TAG_SHARED : 0;
	e->flushes = cpu->fetch_flushes[w.global];
	e->gpa = ALIGN_DOWN(w.gpa, PAGE_SIZE);
	e->hva = s ? s->hva + (e->gpa - s->gpa) : NULL;
	if (w.page_size != PAGE_SIZE)
		tlb_note_large(cpu, lin, w.page_size);
	return CPU_OK;
}

int mmu_fetch_page(struct cpu *cpu, u64 lin, u64 *ret_gpa, u8 **ret_hva)
{
	struct fetch_entry *e;
	u64 tag;

	check_inside(cpu);
	lin = linear_wrap(cpu, lin);
	e = fetch_slot(cpu, lin);
	tag = ALIGN_DOWN(lin, PAGE_SIZE) | TAG_VALID | (cpu->view == TLB_USER ? TAG_USER : 0);
	if (!fetch_valid(cpu, e, tag)) {
		int r = fetch_fill(cpu, lin, tag, e);

		if (r)
			return r;
	}
	*ret_gpa = e->gpa;
	*ret_hva = e->hva;
	return CPU_OK;
}

int mmu_code_page(struct cpu *cpu, u64 lin, u64 *ret_gpa, u8 **ret_hva)
{
	int r = mmu_fetch_page(cpu, lin, ret_gpa, ret_hva);

	if (!r && unlikely(fetch_slot(cpu, linear_wrap(cpu, lin))->tag & TAG_SHARED))
		*ret_hva = NULL;
	return r;
}

/* The entry that mmu_fetch_page() has just found or made for lin; NULL: it was not to be kept. */
static const struct fetch_entry *kept_entry(struct cpu *cpu, u64 lin)
{
	const struct fetch_entry *e;

	lin = linear_wrap(cpu, lin);
	e = fetch_slot(cpu, lin);
	return (e->tag & TAG_VALID) && ALIGN_DOWN(e->tag, PAGE_SIZE) == ALIGN_DOWN(lin, PAGE_SIZE)
		       ? e
		       : NULL;
}

bool mmu_fetch_kept(struct cpu *cpu, u64 lin)
{
	return kept_entry(cpu, lin);
}

bool mmu_fetch_global(struct cpu *cpu, u64 lin)
{
	const struct fetch_entry *e = kept_entry(cpu, lin);

	return e && (e->tag & TAG_GLOBAL);
}

void fetch_flush(struct cpu *cpu, bool keep_global)
{
	cpu->fetch_flushes[0]++;
	cpu->fetch_epoch++;
	for (unsigned i = 0; i < CODE_FILTER / 64; i++)
		cpu->code_filter[0][i] = 0;
	if (keep_global)
		return;
	cpu->fetch_flushes[1]++;
	cpu->fetch_global_epoch++;
	for (unsigned i = 0; i < CODE_FILTER / 64; i++)
		cpu->code_filter[1][i] = 0;
}

void fetch_flush_page(struct cpu *cpu, u64 lin, bool large)
{
	struct fetch_entry *e = fetch_slot(cpu, lin);
	unsigned shift = large ? 21 : PAGE_SHIFT;
	bool local = filter_has(cpu, lin, shift, false), global = filter_has(cpu, lin, shift, true);

	if (!local && !global)
		return;
	if (large) {
		fetch_flush(cpu, !global);
		return;
	}
	if (ALIGN_DOWN(e->tag, PAGE_SIZE) == lin)
		e->tag = 0;
	cpu->fetch_epoch++;
	cpu->fetch_global_epoch += global;
}

/* Code outside of RAM. No question: the bytes may not be needed, and then the answers are. */
static int fetch_missing(struct cpu *cpu, u64 lin, u64 gpa)
{
	if (!machine_intercepts(cpu->machine))
		return mem_internal_error(cpu);
	cpu_exit_in_front(cpu, EXIT_MMIO_FETCH);
	cpu->exit = (struct exit){.reason = EXIT_MMIO_FETCH,
		.mmio = {.gpa = (gpa | (lin & ~PAGE_MASK)) & GPA_BITS,
			.len = 1,
			.gva = lin,
			.gva_valid = true,
			.denied = slot_denies(cpu, gpa)}};
	return CPU_EXIT;
}

/* n bytes within one page. */
static int fetch_part(struct cpu *cpu, u64 lin, u8 *buf, unsigned n)
{
	u64 gpa;
	u8 *hva;
	int r = mmu_fetch_page(cpu, lin, &gpa, &hva);

	if (r)
		return r;
	if (!hva)
		return fetch_missing(cpu, linear_wrap(cpu, lin), gpa);
	if (guest_copy(buf, hva + (lin & (PAGE_SIZE - 1)), n))
		return mem_host_fault(cpu, gpa, PAGE_SIZE);
	return CPU_OK;
}

/*
 * A second page that cannot be fetched is no error yet: the instruction may end before it. A caller that needs
 * more bytes asks for them at lin + *got and gets the fault with the right address.
 */
int mem_fetch(struct cpu *cpu, u64 lin, u8 *buf, unsigned n, unsigned *got)
{
	unsigned first = MIN(n, PAGE_SIZE - (lin & (PAGE_SIZE - 1)));
	u32 reason = cpu->exit.reason;
	int r = fetch_part(cpu, lin, buf, first);

	if (r)
		return r;
	*got = first;
	if (first < n) {
		if (!fetch_part(cpu, lin + first, buf + first, n - first))
			*got = n;
		cpu->exit.reason = reason; /* no exit on account of bytes that nobody may need */
	}
	return CPU_OK;
}
