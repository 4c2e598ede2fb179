/* SPDX-License-Identifier: MIT */
/*
 * The TLB's promise: a hit gives what a fresh walk would give, and a write entry exists only for pages that may
 * be written without anyone being told. Kept under random fills, flushes and changes of the tables, where each
 * change is followed by the invalidation that the architecture asks for.
 */
#include "tests/unit/world/memory.h"
#include "engine/core/cpu.h"
#include "engine/mem/mem.h"
#include "engine/core/vcpu.h"
#include "x86/regs.h"

#define RAM   0x800000ull /* 8 MiB; tables in the first 64 KiB */
#define SPOTS 48

/* ---- two address spaces that share their upper half, as a kernel makes them ---- */

#define CR3_A 0x1000ull
#define CR3_B 0x2000ull

static const u64 bases[] = {
	0x0000000000000000, /* low page: entry 0 of the table */
	0x0000000000400000, /* 4 KiB pages */
	0x0000000000600000, /* 2 MiB page */
	0x0000000080000000, /* 1 GiB page: mostly not RAM */
	0xffff800000000000, /* global 4 KiB pages, same indices as entry 0 on */
	0xffff800000200000, /* global 2 MiB page */
};

static u64 spot(unsigned n)
{
	/* page 0 and 1, and far ones that share an index with other bases */
	return bases[n % ARRAY_SIZE(bases)] + (n / ARRAY_SIZE(bases)) % 8 * PAGE_SIZE;
}

static void space(struct fixture *f, u64 cr3, u64 pdpt, u64 pd, u64 pt)
{
	put64(f, cr3, pdpt | 7);
	put64(f, cr3 + 256 * 8, 0x9007);
	put64(f, pdpt, pd | 7);
	put64(f, pdpt + 2 * 8, 0x87); /* 1 GiB */
	put64(f, pd, pt | 7);
	put64(f, pd + 2 * 8, (pt + PAGE_SIZE) | 7);
	put64(f, pd + 3 * 8, 0x200087); /* 2 MiB */
	for (unsigned i = 0; i < 8; i++) {
		put64(f, pt + i * 8, (0x100000 + cr3 + i * PAGE_SIZE) | 7);
		put64(f, pt + PAGE_SIZE + i * 8, (0x110000 + cr3 + i * PAGE_SIZE) | 7);
	}
}

static void build_spaces(struct fixture *f)
{
	space(f, CR3_A, 0x3000, 0x4000, 0x5000);
	space(f, CR3_B, 0xc000, 0xd000, 0xe000);
	put64(f, 0x9000, 0xa007);
	put64(f, 0xa000, 0xb007);
	put64(f, 0xa000 + 8, 0x400187); /* global 2 MiB */
	for (unsigned i = 0; i < 8; i++)
		put64(f, 0xb000 + i * 8, (0x130000 + i * PAGE_SIZE) | 0x107);
	fixture_long_mode(f->cpu, CR3_A, CR4_PGE | CR4_SMAP);
}

/* ---- the promise ---- */

static bool view_may(const struct walk *w, unsigned view, unsigned kind)
{
	if (view == TLB_USER)
		return w->user && (kind == TLB_READ || w->writable);
	return !(view == TLB_KERNEL && w->user) && (kind == TLB_READ || w->writable);
}

static void check_spot(struct fixture *f, u64 lin, unsigned view, unsigned kind)
{
	const u8 *hva = tlb_lookup(f->cpu, view, kind, lin + 5, 1);
	struct walk w;

	if (!hva)
		return;
	assert_int_equal(mmu_peek(f->cpu, lin + 5, &w), 0);
	assert_ptr_equal(hva, f->ram + w.gpa);
	assert_true(view_may(&w, view, kind));
	if (kind == TLB_WRITE) {
		assert_true(w.dirty);
		assert_false(page_watched(f->m, w.gpa));
	}
	/* no hit past the page's end */
	assert_null(tlb_lookup(f->cpu, view, kind, lin + 4093, 4));
}

static void check_all(struct fixture *f)
{
	for (unsigned n = 0; n < SPOTS; n++) {
		for (unsigned i = 0; i < TLB_VIEWS * TLB_KINDS; i++)
			check_spot(f, spot(n), i / TLB_KINDS, i % TLB_KINDS);
	}
}

static unsigned count_hits(struct fixture *f, unsigned kind)
{
	unsigned hits = 0;

	for (unsigned n = 0; n < SPOTS; n++) {
		for (unsigned view = 0; view < TLB_VIEWS; view++)
			hits += !!tlb_lookup(f->cpu, view, kind, spot(n), 1);
	}
	return hits;
}

/* ---- random actions ---- */

static void random_fill(struct fixture *f, struct random *r)
{
	void *hva;
	u64 gpa;

	fixture_view(f->cpu, random_below(r, TLB_VIEWS));
	tlb_fill(f->cpu, spot(random_below(r, SPOTS)) + random_below(r, 4096),
		(one_in(r, 2) ? ACC_WRITE : 0) | (one_in(r, 4) ? ACC_SYSTEM : 0), &hva, &gpa);
}

/* Where the entry that maps lin lives in the current space. */
static u64 leaf_of(const struct fixture *f, u64 lin)
{
	u64 table = f->cpu->cr3;

	for (unsigned shift = 39;; shift -= 9) {
		u64 at = (table & 0xffffffffff000) + (lin >> shift & 511) * 8, e = get64(f, at);

		if (shift == 12 || (e & PTE_PS))
			return at;
		table = e;
	}
}

/* Change rights, target or presence of a leaf, and invalidate one address in its page. */
static void random_remap(struct fixture *f, struct random *r)
{
	u64 lin = spot(random_below(r, SPOTS)), at = leaf_of(f, lin), e = get64(f, at);

	e &= ~(PTE_A | PTE_D);
	e = (e | 7) ^ (one_in(r, 6) | one_in(r, 3) << 1 | one_in(r, 3) << 2);
	if (!(e & PTE_PS))
		e = (e & 0xfff) | (0x100000 + random_below(r, 64) * PAGE_SIZE);
	put64(f, at, e);
	tlb_flush_page(
		f->cpu, e & PTE_PS ? ALIGN_DOWN(lin, BIT64(21)) + random_below(r, BIT64(21)) : lin);
}

static void random_watch(struct fixture *f, struct random *r)
{
	u64 gpa = 0x100000 + random_below(r, 64) * PAGE_SIZE;

	if (one_in(r, 2))
		page_watch(f->cpu, gpa);
	else
		page_unwatch(f->m, gpa);
}

static void random_action(struct fixture *f, struct random *r)
{
	switch (random_below(r, 100)) {
	case 0: tlb_flush_all(f->cpu); break;
	case 1: tlb_flush_write(f->cpu, ~0ull); break;
	case 2:
		f->cpu->cr3 = f->cpu->cr3 == CR3_A ? CR3_B : CR3_A;
		tlb_flush_nonglobal(f->cpu);
		break;
	case 3:
	case 4:
	case 5: random_remap(f, r); break;
	case 6:
	case 7: random_watch(f, r); break;
	default: random_fill(f, r);
	}
}

static void test_random(void **state)
{
	struct random r = {0x7157};
	struct fixture f;
	unsigned hits = 0;

	fixture_open(&f, 1, RAM);
	build_spaces(&f);
	for (unsigned i = 0; i < 60000; i++) {
		random_action(&f, &r);
		check_all(&f);
		hits += count_hits(&f, TLB_WRITE);
	}
	assert_true(hits > 100000); /* else the test looked at nothing */
	fixture_close(&f);
}

/* ---- single rules ---- */

static bool hit(struct fixture *f, unsigned kind, u64 lin)
{
	return tlb_lookup(f->cpu, f->cpu->view, kind, lin, 1);
}

static void fill(struct fixture *f, u64 lin, unsigned acc)
{
	void *hva;
	u64 gpa;

	assert_int_equal(tlb_fill(f->cpu, lin, acc, &hva, &gpa), 0);
	assert_non_null(hva);
}

/* Is there an entry for writes after a read of lin by code that goes on to write there? */
static bool write_follows(struct fixture *f, u64 lin)
{
	fill(f, lin, ACC_READ | ACC_WRITE_NEXT);
	assert_true(hit(f, TLB_READ, lin));
	return hit(f, TLB_WRITE, lin);
}

/* Only where the guest sees nothing of it: the page is dirty, and may be written. */
static void test_write_follows(void **state)
{
	const u64 lin = bases[1] + PAGE_SIZE, leaf = 0x6000 + 8;
	struct fixture f;

	fixture_open(&f, 1, RAM);
	build_spaces(&f);
	fixture_view(f.cpu, TLB_USER);
	assert_false(write_follows(&f, lin));
	assert_false(get64(&f, leaf) & PTE_D);
	put64(&f, leaf, get64(&f, leaf) | PTE_D);
	tlb_flush_page(f.cpu, lin);
	assert_true(write_follows(&f, lin));
	put64(&f, leaf, get64(&f, leaf) & ~2ull);
	tlb_flush_page(f.cpu, lin);
	assert_false(write_follows(&f, lin));
	fixture_close(&f);
}

static void test_clean_page(void **state)
{
	struct fixture f;

	fixture_open(&f, 1, RAM);
	build_spaces(&f);
	fixture_view(f.cpu, TLB_USER);
	fill(&f, 0x400000, ACC_READ);
	assert_true(hit(&f, TLB_READ, 0x400000));
	assert_false(hit(&f, TLB_WRITE, 0x400000));
	assert_false(get64(&f, 0x6000) & PTE_D);
	fill(&f, 0x400000, ACC_WRITE);
	assert_true(hit(&f, TLB_WRITE, 0x400000));
	assert_true(get64(&f, 0x6000) & PTE_D);
	fixture_close(&f);
}

static void test_global_survives_cr3(void **state)
{
	struct fixture f;

	fixture_open(&f, 1, RAM);
	build_spaces(&f);
	fixture_view(f.cpu, TLB_USER);
	fill(&f, 0x400000, ACC_WRITE);
	fill(&f, 0xffff800000003000, ACC_WRITE);
	tlb_flush_nonglobal(f.cpu);
	assert_false(hit(&f, TLB_READ, 0x400000));
	assert_false(hit(&f, TLB_WRITE, 0x400000));
	assert_true(hit(&f, TLB_READ, 0xffff800000003000));
	assert_true(hit(&f, TLB_WRITE, 0xffff800000003000));
	tlb_flush_all(f.cpu);
	assert_false(hit(&f, TLB_READ, 0xffff800000003000));
	assert_false(hit(&f, TLB_WRITE, 0xffff800000003000));
	fixture_close(&f);
}

static void test_invlpg_in_large_page(void **state)
{
	struct fixture f;

	fixture_open(&f, 1, RAM);
	build_spaces(&f);
	fixture_view(f.cpu, TLB_USER);
	for (u64 lin = 0x600000; lin < 0x800000; lin += 0x11000)
		fill(&f, lin, ACC_WRITE);
	fill(&f, 0x400000, ACC_WRITE);
	tlb_flush_page(f.cpu, 0x7ff123);
	for (u64 lin = 0x600000; lin < 0x800000; lin += 0x11000) {
		assert_false(hit(&f, TLB_READ, lin));
		assert_false(hit(&f, TLB_WRITE, lin));
	}
	assert_true(hit(&f, TLB_WRITE, 0x400000));
	fixture_close(&f);
}

/* Every second 4 KiB page of 64 MiB: more fills than a log holds. */
static void test_overflow(void **state)
{
	const unsigned n = 2 * TLB_LOG;
	struct fixture f;

	fixture_open(&f, 1, 2 * n * PAGE_SIZE);
	fixture_view(f.cpu, TLB_KERNEL);
	for (unsigned round = 0; round < 3; round++) {
		for (u64 i = 0; i < n; i++)
			fill(&f, i * 2 * PAGE_SIZE, ACC_WRITE);
		assert_true(f.cpu->tlb_log[0][TLB_WRITE].overflow);
		switch (round) {
		case 0: tlb_flush_all(f.cpu); break;
		case 1: tlb_flush_nonglobal(f.cpu); break;
		case 2: tlb_flush_write(f.cpu, ~0ull); break;
		}
		for (u64 i = 0; i < 2 * n; i++) {
			assert_false(hit(&f, TLB_WRITE, i * PAGE_SIZE));
			assert_int_equal(
				hit(&f, TLB_READ, i * PAGE_SIZE), round == 2 && i % 2 == 0);
		}
	}
	fixture_close(&f);
}

static void test_watch_with_overflow(void **state)
{
	struct fixture f;

	fixture_open(&f, 1, 2 * TLB_LOG * PAGE_SIZE);
	for (u64 i = 0; i < 2 * TLB_LOG; i++)
		fill(&f, i * PAGE_SIZE, ACC_WRITE);
	page_watch(f.cpu, (2 * TLB_LOG - 1) * PAGE_SIZE);
	assert_false(hit(&f, TLB_WRITE, (2 * TLB_LOG - 1) * PAGE_SIZE));
	fixture_close(&f);
}

/* A page known by a global and by a local name: a CR3 write must not forget the first. */
static void test_watch_after_cr3_write(void **state)
{
	struct fixture f;

	fixture_open(&f, 1, RAM);
	build_spaces(&f);
	fixture_view(f.cpu, TLB_USER);
	put64(&f, 0x6000, 0x130007);
	fill(&f, 0xffff800000000000, ACC_WRITE);
	fill(&f, 0x400000, ACC_WRITE);
	tlb_flush_nonglobal(f.cpu);
	assert_true(hit(&f, TLB_WRITE, 0xffff800000000000));
	page_watch(f.cpu, 0x130000);
	assert_false(hit(&f, TLB_WRITE, 0xffff800000000000));
	fixture_close(&f);
}

/* Only cpus that may hold a write entry are asked, and only until they have flushed. */
static void test_watch_asks_writers_only(void **state)
{
	struct fixture f;
	struct cpu *other;
	u64 before;

	fixture_open(&f, 3, RAM);
	other = &f.m->vcpus[2]->cpu;
	fixture_unpaged(other);
	assert_int_equal(mem_write(other, 0x5000, "a", 1, 0), 0);
	assert_int_equal(mem_write(f.cpu, 0x5000, "a", 1, 0), 0);
	before = fixture_requests(&f);
	page_watch(f.cpu, 0x6000);
	assert_int_equal(fixture_requests(&f), before);
	page_watch(f.cpu, 0x5000);
	assert_int_equal(fixture_requests(&f), before + 1);
	assert_int_equal(other->exit_request, REQ_FLUSH_W);
	fixture_serve(other);
	assert_null(tlb_lookup(other, other->view, TLB_WRITE, 0x5000, 1));
	assert_non_null(tlb_lookup(other, other->view, TLB_READ, 0x5000, 1));
	page_unwatch(f.m, 0x5000);
	page_watch(f.cpu, 0x5000);
	assert_int_equal(fixture_requests(&f), before + 1);
	fixture_close(&f);
}

static void test_fresh_tlb_is_empty(void **state)
{
	struct fixture f;

	fixture_open(&f, 1, RAM);
	for (u64 page = 0; page < 2 * TLB_SIZE; page++)
		assert_false(hit(&f, TLB_READ, page * PAGE_SIZE));
	fill(&f, 0, ACC_WRITE);
	assert_true(hit(&f, TLB_WRITE, 0));
	assert_false(hit(&f, TLB_WRITE, PAGE_SIZE));
	tlb_flush_all(f.cpu);
	assert_false(hit(&f, TLB_WRITE, 0));
	assert_false(hit(&f, TLB_WRITE, PAGE_SIZE));
	fixture_close(&f);
}

static void test_noncanonical(void **state)
{
	struct fixture f;
	void *hva;
	u64 gpa;

	fixture_open(&f, 1, RAM);
	build_spaces(&f);
	fixture_view(f.cpu, TLB_USER);
	fill(&f, 0x400000, ACC_READ);
	assert_int_equal(tlb_fill(f.cpu, 0x1000000400000, ACC_READ, &hva, &gpa), CPU_FAULT);
	assert_int_equal(f.cpu->exc.vector, X86_GP);
	assert_false(hit(&f, TLB_READ, 0x1000000400000));
	fixture_close(&f);
}

/* A device page has no entry in the tables, but is remembered: it must be forgotten with the entries. */
static void device_page(struct fixture *f, u64 lin, u64 gpa)
{
	put64(f, 0x5000 + lin / PAGE_SIZE * 8, gpa | 7);
}

static void assert_goes_to(struct fixture *f, u64 lin, unsigned acc, u64 gpa)
{
	void *hva;
	u64 found;

	assert_int_equal(tlb_fill(f->cpu, lin, acc, &hva, &found), 0);
	assert_int_equal(found, gpa);
	assert_int_equal(hva != NULL, gpa < RAM);
}

static void test_device_page_forgotten(void **state)
{
	static const struct {
		void (*flush)(struct cpu *cpu);
	} flushes[] = {{tlb_flush_all}, {tlb_flush_nonglobal}};
	struct fixture f;

	fixture_open(&f, 1, RAM);
	build_spaces(&f);
	fixture_view(f.cpu, TLB_USER);
	for (unsigned acc = ACC_READ; acc <= ACC_WRITE; acc++) {
		device_page(&f, 0x1000, 0xfee00000);
		tlb_flush_page(f.cpu, 0x1000);
		assert_goes_to(&f, 0x1020, acc, 0xfee00020);
		device_page(&f, 0x1000, 0x120000);
		tlb_flush_page(f.cpu, 0x1000);
		assert_goes_to(&f, 0x1020, acc, 0x120020);
		for (unsigned i = 0; i < ARRAY_SIZE(flushes); i++) {
			device_page(&f, 0x1000, 0xfec00000);
			flushes[i].flush(f.cpu);
			assert_goes_to(&f, 0x1010, acc, 0xfec00010);
			device_page(&f, 0x1000, 0x120000);
			flushes[i].flush(f.cpu);
			assert_goes_to(&f, 0x1010, acc, 0x120010);
		}
	}
	fixture_close(&f);
}

/* What a read may do says nothing of a write, and what the kernel may do nothing of the user. */
static void test_device_page_permissions(void **state)
{
	struct fixture f;
	void *hva;
	u64 gpa;

	fixture_open(&f, 1, RAM);
	build_spaces(&f);
	put64(&f, 0x5000 + 8, 0xfee00001); /* supervisor, read-only */
	f.cpu->cr0 |= CR0_WP;
	tlb_flush_all(f.cpu);
	fixture_view(f.cpu, TLB_KERNEL);
	assert_int_equal(tlb_fill(f.cpu, 0x1000, ACC_READ, &hva, &gpa), 0);
	assert_int_equal(tlb_fill(f.cpu, 0x1000, ACC_WRITE, &hva, &gpa), CPU_FAULT);
	fixture_view(f.cpu, TLB_USER);
	assert_int_equal(tlb_fill(f.cpu, 0x1000, ACC_READ, &hva, &gpa), CPU_FAULT);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_device_page_forgotten),
		cmocka_unit_test(test_device_page_permissions),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_write_follows),
		cmocka_unit_test(test_clean_page),
		cmocka_unit_test(test_global_survives_cr3),
		cmocka_unit_test(test_invlpg_in_large_page),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_watch_with_overflow),
		cmocka_unit_test(test_watch_after_cr3_write),
		cmocka_unit_test(test_watch_asks_writers_only),
		cmocka_unit_test(test_fresh_tlb_is_empty),
		cmocka_unit_test(test_noncanonical),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
