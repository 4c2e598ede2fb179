/* SPDX-License-Identifier: MIT */
/*
 * The memory map against a model that thinks page by page. Random regions, aliases and recording in the first MiB;
 * after each change the guest reads and writes a random page, and what it saw, what changed on the host and what is
 * reported as written must be what the model says. model_test ENGINE [SEED [STEPS]].
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vm.h"

#define PAGES     256 /* what real mode reaches */
#define KEPT      4   /* the guest's code and results: never covered */
#define MAX_ITEMS 64

struct mregion {
	int page, pages; /* pages 0: unused */
	bool read_only, provisional, log_base;
	int log_count;
	u8 *host;
};

struct malias {
	int page, pages, target;
};

struct model {
	struct vm vm;
	struct mregion regions[MAX_ITEMS];
	struct malias aliases[MAX_ITEMS];
	bool dirty[PAGES];
	bool log_all;
	u64 random;
};

static unsigned long seed = 1, steps = 3000;

static unsigned pick(struct model *m, unsigned n)
{
	m->random = m->random * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(m->random >> 33) % n;
}

/* ---- What is where ---------------------------------------------------------------------------------- */

static struct mregion *region_at(struct model *m, int page)
{
	for (int i = 0; i < MAX_ITEMS; i++) {
		struct mregion *r = &m->regions[i];

		if (page >= r->page && page < r->page + r->pages)
			return r;
	}
	return NULL;
}

static struct mregion *region_new(struct model *m)
{
	for (int i = 0; i < MAX_ITEMS; i++)
		if (!m->regions[i].pages)
			return &m->regions[i];
	return NULL;
}

/* Where the page is, or the page itself. */
static int home_of(struct model *m, int page)
{
	for (int i = 0; i < MAX_ITEMS; i++) {
		const struct malias *a = &m->aliases[i];

		if (page >= a->page && page < a->page + a->pages)
			return a->target + (page - a->page);
	}
	return page;
}

static bool logs(const struct model *m, const struct mregion *r)
{
	return r->log_base || r->log_count || m->log_all;
}

static void forget(struct model *m, int page, int pages)
{
	for (int i = page; i < page + pages; i++)
		m->dirty[i] = false;
}

/* ---- Changes ---------------------------------------------------------------------------------------- */

static void some_range(struct model *m, int *page, int *pages)
{
	*pages = 1 + (int)pick(m, pick(m, 4) ? 6 : 80);
	*page = KEPT + (int)pick(m, (unsigned)(PAGES - KEPT - *pages));
}

/* What is left of provisional regions below page or from page on. */
static bool trim(struct model *m, struct mregion *r, int page, int pages)
{
	const int end = r->page + r->pages;
	struct mregion right = *r, *place;

	if (end > page + pages) {
		right.page = MAX(page + pages, r->page);
		right.pages = end - right.page;
		right.host += (right.page - r->page) * (long)PAGE_SIZE;
		r->pages = MAX(page - r->page, 0);
		place = region_new(m);
		if (!place)
			return false;
		*place = right;
	} else {
		r->pages = MAX(page - r->page, 0);
	}
	return true;
}

static int registered_in(struct model *m, int page, int pages)
{
	int n = 0;

	for (int i = page; i < page + pages; i++)
		n += region_at(m, i) && !region_at(m, i)->provisional;
	return n;
}

static void add_region(struct model *m)
{
	struct mregion r = {.read_only = !pick(m, 5), .log_base = !pick(m, 4)}, *old, *place;

	some_range(m, &r.page, &r.pages);
	if (!region_new(m))
		return;
	r.host = kvm_create_phys_mem(m->vm.kvm, (u64)r.page * PAGE_SIZE, (u64)r.pages * PAGE_SIZE,
		r.log_base, !r.read_only);
	if (registered_in(m, r.page, r.pages)) {
		assert_null(r.host);
		assert_int_equal(errno, EEXIST);
		return;
	}
	assert_non_null(r.host);
	for (int i = r.page; i < r.page + r.pages; i++)
		if ((old = region_at(m, i)))
			assert_true(trim(m, old, r.page, r.pages));
	forget(m, r.page, r.pages);
	place = region_new(m);
	assert_non_null(place);
	*place = r;
	for (int i = 0; i < r.pages; i++)
		r.host[i * (long)PAGE_SIZE] = (u8)pick(m, 256);
}

static void remove_region(struct model *m)
{
	const int page = KEPT + (int)pick(m, PAGES - KEPT);
	struct mregion *r = region_at(m, page);

	if (r && r->page < KEPT)
		return;
	if (pick(m, 2))
		kvm_destroy_phys_mem(m->vm.kvm, (u64)page * PAGE_SIZE, 0);
	else
		kvm_unregister_memory_area(m->vm.kvm, (u64)page * PAGE_SIZE, PAGE_SIZE);
	if (!r)
		return;
	forget(m, r->page, r->pages);
	r->pages = 0;
}

static void add_alias(struct model *m)
{
	struct malias a, *place = NULL;
	bool obstacle = false;
	int r;

	some_range(m, &a.page, &a.pages);
	a.target = (int)pick(m, (unsigned)(PAGES - a.pages));
	for (int i = 0; i < MAX_ITEMS; i++) {
		struct malias *b = &m->aliases[i];

		if (b->pages && b->page == a.page)
			place = b;
		else if (b->pages && b->page < a.page + a.pages && a.page < b->page + b->pages)
			obstacle = true;
	}
	for (int i = 0; i < MAX_ITEMS && !place; i++)
		if (!m->aliases[i].pages)
			place = &m->aliases[i];
	if (!place)
		return;
	r = kvm_create_memory_alias(m->vm.kvm, (u64)a.page * PAGE_SIZE, (u64)a.pages * PAGE_SIZE,
		(u64)a.target * PAGE_SIZE);
	assert_int_equal(r, obstacle ? -EEXIST : 0);
	if (!obstacle)
		*place = a;
}

static void remove_alias(struct model *m)
{
	struct malias *a = &m->aliases[pick(m, MAX_ITEMS)];

	if (!a->pages)
		return;
	assert_int_equal(kvm_destroy_memory_alias(m->vm.kvm, (u64)a->page * PAGE_SIZE), 0);
	a->pages = 0;
}

static void switch_log(struct model *m)
{
	const int page = (int)pick(m, PAGES), on = (int)pick(m, 2);
	struct mregion *r = region_at(m, page);
	const u64 gpa = (u64)page * PAGE_SIZE;
	int result = on ? kvm_dirty_pages_log_enable_slot(m->vm.kvm, gpa, 1)
			: kvm_dirty_pages_log_disable_slot(m->vm.kvm, gpa, 1);

	assert_int_equal(result, r ? 0 : -EINVAL);
	if (!r)
		return;
	r->log_count = MAX(r->log_count + (on ? 1 : -1), 0);
	if (!logs(m, r))
		forget(m, r->page, r->pages);
}

static void switch_all(struct model *m)
{
	m->log_all = pick(m, 2);
	assert_int_equal(m->log_all ? kvm_dirty_pages_log_enable_all(m->vm.kvm)
				    : kvm_dirty_pages_log_reset(m->vm.kvm),
		0);
	for (int i = 0; i < MAX_ITEMS; i++)
		if (m->regions[i].pages && !logs(m, &m->regions[i]))
			forget(m, m->regions[i].page, m->regions[i].pages);
}

/* ---- Checks ----------------------------------------------------------------------------------------- */

/* Segment in ax: reads a byte of it to 0x2000, writes bl to the next one. */
GUEST(touch_code, "movw %ax, %ds\nmovb 0, %cl; movb %bl, 1; movb %cl, %cs:0x2000\nhlt");

static void run_touch(struct model *m, int page, u8 value)
{
	struct kvm_regs regs;

	vm_forget(&m->vm);
	LOAD(&m->vm, touch_code);
	assert_int_equal(kvm_get_regs(m->vm.kvm, 0, &regs), 0);
	regs.rax = (u64)page << 8;
	regs.rbx = value;
	assert_int_equal(kvm_set_regs(m->vm.kvm, 0, &regs), 0);
	m->vm.in_value = 0xee;
	assert_int_equal(vm_run(&m->vm), 7);
}

static void wrote(struct model *m, int home)
{
	struct mregion *r = region_at(m, home);

	if (r && logs(m, r))
		m->dirty[home] = true;
}

static void check_touch(struct model *m)
{
	const int page = KEPT + (int)pick(m, PAGES - KEPT), home = home_of(m, page);
	const struct mregion *r = region_at(m, home);
	u8 *host = r ? r->host + (home - r->page) * (long)PAGE_SIZE : NULL;
	const u8 value = (u8)pick(m, 256), before = host ? host[0] : 0xee, old = host ? host[1] : 0;

	run_touch(m, page, value);
	wrote(m, 2);
	assert_int_equal(strstr(m->vm.trace, "read:") != NULL, !host);
	assert_int_equal(strstr(m->vm.trace, "write:") != NULL, !host || r->read_only);
	assert_int_equal(m->vm.mem[0x2000], home == 2 ? m->vm.mem[0x2000] : before);
	if (!host)
		return;
	assert_int_equal(host[1], r->read_only ? old : value);
	if (!r->read_only)
		wrote(m, home);
}

static void check_dirty(struct model *m)
{
	const int page = (int)pick(m, PAGES);
	struct mregion *r = region_at(m, page);
	u64 bitmap[PAGES / 64] = {0};
	int result = kvm_get_dirty_pages(m->vm.kvm, (u64)page * PAGE_SIZE, bitmap);

	assert_int_equal(result, r && logs(m, r) ? 0 : -ENOENT);
	for (int i = 0; result == 0 && i < r->pages; i++) {
		bool told = bitmap[i / 64] >> i % 64 & 1;

		/* The code's page may be told because it was executed. */
		if (!told || r->page + i != CODE / PAGE_SIZE)
			assert_int_equal(told, m->dirty[r->page + i]);
	}
	if (result == 0)
		forget(m, r->page, r->pages);
}

static void check_containing(struct model *m)
{
	int page, pages;
	const struct mregion *r;

	some_range(m, &page, &pages);
	r = region_at(m, page);
	assert_int_equal(
		kvm_is_containing_region(m->vm.kvm, (u64)page * PAGE_SIZE, (u64)pages * PAGE_SIZE),
		r && page + pages <= r->page + r->pages);
}

static void step(struct model *m)
{
	static void (*const changes[])(struct model *) = {add_region, add_region, remove_region,
		add_alias, add_alias, remove_alias, remove_alias, remove_alias, switch_log,
		switch_log, switch_all};

	changes[pick(m, pick(m, 8) ? ARRAY_SIZE(changes) - 1 : ARRAY_SIZE(changes))](m);
	for (unsigned n = pick(m, 3); n; n--)
		check_touch(m);
	check_containing(m);
	if (!pick(m, 3))
		check_dirty(m);
}

static void random_changes(void **state)
{
	struct model *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	printf("# seed %lu, %lu steps\n", seed, steps);
	vm_create(&m->vm, 0xa0000);
	m->regions[0] = (struct mregion){.pages = 0xa0, .provisional = true, .host = m->vm.mem};
	m->random = seed;
	for (unsigned long i = 0; i < steps; i++)
		step(m);
	vm_destroy(&m->vm);
	free(m);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(random_changes),
	};

	if (argc > 2)
		seed = strtoul(argv[2], NULL, 0);
	if (argc > 3)
		steps = strtoul(argv[3], NULL, 0);
	else if (argc > 1 && !strcmp(argv[1], "kernel"))
		steps = 300; /* there a change of slots takes its time */
	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
