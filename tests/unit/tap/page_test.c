/* SPDX-License-Identifier: MIT */
/* Rights of pages: every kind of access, by step and by translation. */
#include "watcher.h"

#include <errno.h>

#include "engine/exit.h"

static u32 rights_of(struct machine *m, u64 gpa)
{
	u32 rights;

	assert_int_equal(machine_page_rights(m, 0, gpa, &rights), 0);
	return rights;
}

static void set_rights(struct watcher *w, u64 gpa, u32 rights)
{
	const struct page_rights p = {gpa, rights};

	assert_int_equal(machine_set_page_rights(w->world.m, 0, &p, 1), 0);
	assert_int_equal(rights_of(w->world.m, gpa | 0x123), rights);
}

static u32 all_but(unsigned access)
{
	return RIGHTS_ALL & ~BIT(access);
}

struct want {
	u8 access;
	u32 rip, gpa;
};

static void expect(const struct watcher *w, const struct want *want, unsigned n)
{
	assert_int_equal(w->count, n);
	for (unsigned i = 0; i < n; i++) {
		const struct seen *s = &w->seen[i];

		assert_int_equal(s->e.kind, TAP_PAGE);
		assert_int_equal(s->e.page.access, want[i].access);
		assert_int_equal(s->s.rip, want[i].rip);
		assert_int_equal(s->e.page.gpa, want[i].gpa);
	}
}

/* Rights set, a guest run: by step, and by translation three times, the last of them with what was filled before. */
typedef void (*prepare_fn)(struct watcher *w);

static void both(prepare_fn prepare, u64 gpa, u32 rights, const struct want *want, unsigned n)
{
	static struct watcher a, b;

	watcher_open(&a, true);
	assert_int_equal(vcpu_tap_events(a.world.v, BIT(TAP_PAGE)), 0);
	set_rights(&a, gpa, rights);
	prepare(&a);
	watcher_run(&a);
	expect(&a, want, n);

	watcher_open(&b, false);
	assert_int_equal(vcpu_tap_events(b.world.v, BIT(TAP_PAGE)), 0);
	prepare(&b);
	watcher_run(&b);
	assert_int_equal(b.count, 0);
	set_rights(&b, gpa, rights);
	for (unsigned i = 0; i < 2; i++) {
		prepare(&b);
		watcher_run(&b);
		watcher_compare(&a, &b);
	}
	assert_memory_equal(a.world.ram + DATA, b.world.ram + DATA, 2 * PAGE_SIZE);
	set_rights(&b, gpa, RIGHTS_ALL);
	prepare(&b);
	watcher_run(&b);
	assert_int_equal(b.count, 0);
	watcher_close(&a);
	watcher_close(&b);
}

#define BOTH(prepare, gpa, rights, ...)                                                            \
	do {                                                                                       \
		static const struct want want_[] = {__VA_ARGS__};                                  \
		both(prepare, gpa, rights, want_, ARRAY_SIZE(want_));                              \
	} while (0)

/* ---- data ---- */

static void prepare_data(struct watcher *w)
{
	memset(w->world.ram + DATA, 0x11, 2 * PAGE_SIZE);
	WATCHER_CODE(w, 0x8b, 0x04, 0x25, 0x00, 0x40, 0, 0,     /* 0: mov 0x4000, %eax */
		0x89, 0x04, 0x25, 0x10, 0x40, 0, 0,             /* 7: mov %eax, 0x4010 */
		0xf7, 0x14, 0x25, 0x20, 0x40, 0, 0,             /* 14: notl 0x4020 */
		0xf0, 0xf7, 0x14, 0x25, 0x30, 0x40, 0, 0, 0x90, /* 21: lock notl 0x4030; nop */
		0x8b, 0x04, 0x25, 0xfe, 0x4f, 0, 0,             /* 30: mov 0x4ffe, %eax */
		0x89, 0x04, 0x25, 0xfe, 0x4f, 0, 0,             /* 37: mov %eax, 0x4ffe */
		0xff, 0x34, 0x25, 0x40, 0x40, 0, 0,             /* 44: push 0x4040 */
		0xf4);
}

static void test_data(void **state)
{
	BOTH(prepare_data, DATA, all_but(TAP_WRITE), {TAP_WRITE, CODE + 7, DATA + 0x10},
		{TAP_WRITE, CODE + 14, DATA + 0x20}, {TAP_WRITE, CODE + 21, DATA + 0x30},
		{TAP_WRITE, CODE + 37, DATA + 0xffe});
	BOTH(prepare_data, DATA, all_but(TAP_READ), {TAP_READ, CODE, DATA},
		{TAP_READ, CODE + 14, DATA + 0x20}, {TAP_READ, CODE + 21, DATA + 0x30},
		{TAP_READ, CODE + 30, DATA + 0xffe}, {TAP_READ, CODE + 44, DATA + 0x40});
	BOTH(prepare_data, DATA, RIGHTS_ALL & ~(BIT(TAP_READ) | BIT(TAP_WRITE)),
		{TAP_READ, CODE, DATA}, {TAP_WRITE, CODE + 7, DATA + 0x10},
		{TAP_READ, CODE + 14, DATA + 0x20}, {TAP_WRITE, CODE + 14, DATA + 0x20},
		{TAP_READ, CODE + 21, DATA + 0x30}, {TAP_WRITE, CODE + 21, DATA + 0x30},
		{TAP_READ, CODE + 30, DATA + 0xffe}, {TAP_WRITE, CODE + 37, DATA + 0xffe},
		{TAP_READ, CODE + 44, DATA + 0x40});
	BOTH(prepare_data, DATA2, all_but(TAP_WRITE), {TAP_WRITE, CODE + 37, DATA2});
	BOTH(prepare_data, DATA2, all_but(TAP_READ), {TAP_READ, CODE + 30, DATA2});
}

/* From one restricted page to the same, element by element; and what is done is right. */
static void prepare_string(struct watcher *w)
{
	memset(w->world.ram + DATA, 0x11, 2 * PAGE_SIZE);
	WATCHER_CODE(w, 0xbe, 0xfe, 0x4f, 0, 0, /* mov $0x4ffe, %esi */
		0xbf, 0x00, 0x40, 0, 0,         /* mov $0x4000, %edi */
		0xb9, 3, 0, 0, 0,               /* mov $3, %ecx */
		0xf3, 0xa4, 0xf4);              /* rep movsb */
	w->world.ram[DATA + 0xffe] = 0x61;
	w->world.ram[DATA + 0xfff] = 0x62;
	w->world.ram[DATA + 0x1000] = 0x63;
}

static void test_string(void **state)
{
	BOTH(prepare_string, DATA, all_but(TAP_READ), {TAP_READ, CODE + 15, DATA + 0xffe},
		{TAP_READ, CODE + 15, DATA + 0xfff});
	BOTH(prepare_string, DATA, all_but(TAP_WRITE), {TAP_WRITE, CODE + 15, DATA},
		{TAP_WRITE, CODE + 15, DATA + 1}, {TAP_WRITE, CODE + 15, DATA + 2});
	BOTH(prepare_string, DATA, RIGHTS_ALL & ~(BIT(TAP_READ) | BIT(TAP_WRITE)),
		{TAP_READ, CODE + 15, DATA + 0xffe}, {TAP_WRITE, CODE + 15, DATA},
		{TAP_READ, CODE + 15, DATA + 0xfff}, {TAP_WRITE, CODE + 15, DATA + 1},
		{TAP_WRITE, CODE + 15, DATA + 2});
}

/* ---- deliveries ---- */

static void prepare_delivery(struct watcher *w)
{
	WATCHER_CODE(w, 0x90, 0x0f, 0x0b);
}

static void test_delivery(void **state)
{
	BOTH(prepare_delivery, IDT, all_but(TAP_READ), {TAP_READ, CODE + 1, IDT + 6 * 16});
	BOTH(prepare_delivery, STACK - PAGE_SIZE, all_but(TAP_WRITE),
		{TAP_WRITE, CODE + 1, STACK - 40});
	BOTH(prepare_delivery, GDT, RIGHTS_ALL & ~(BIT(TAP_READ) | BIT(TAP_WRITE)),
		{TAP_READ, CODE + 1, GDT + 8});
}

static enum tap_verdict retry_twice(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	return w->count <= 2 ? TAP_RETRY : TAP_GO_ON;
}

/* An interrupt that is asked for in the middle of its delivery is delivered, and once. */
static void test_interrupt(void **state)
{
	static const struct want want[] = {{TAP_READ, CODE, IDT + 0x40 * 16},
		{TAP_READ, CODE, IDT + 0x40 * 16}, {TAP_READ, CODE, IDT + 0x40 * 16}};
	struct vcpu_state s;
	struct watcher w;

	for (unsigned step = 0; step < 2; step++) {
		watcher_open(&w, step);
		vcpu_tap_events(w.world.v, BIT(TAP_PAGE));
		set_rights(&w, IDT, all_but(TAP_READ));
		w.answer = retry_twice;
		WATCHER_CODE(&w, 0x90, 0xf4);
		vcpu_get(w.world.v, ST_REGS, &s);
		s.rflags |= FL_IF;
		vcpu_set(w.world.v, ST_REGS, &s);
		vcpu_interrupt(w.world.v, 0x40);
		watcher_run(&w);
		expect(&w, want, 3);
		assert_int_equal(rip_of(w.world.v), HANDLER + 1);
		assert_int_equal(gpr_of(w.world.v, RSP), STACK - 40);
		/* The interrupted instruction is a new one when it comes back. */
		assert_int_equal(*(u64 *)(w.world.ram + STACK - 40), CODE);
		watcher_close(&w);
	}
}

/* ---- code ---- */

static void prepare_code(struct watcher *w)
{
	static const u8 next[] = {0x12, 0, 0, 0xff, 0xc3, 0xff, 0xc3, 0xf4}; /* inc %ebx twice */
	static const u8 last[] = {0xff, 0xc3, 0xb9, 0x34}; /* inc; mov $0x1234, %ecx */

	machine_write(w->world.m, CODE2, next, sizeof(next));
	machine_write(w->world.m, CODE2 - 4, last, sizeof(last));
	WATCHER_CODE(w, 0xe9, 0xf7, 0x0f, 0, 0); /* jmp CODE + 0xffc */
}

static void test_fetch(void **state)
{
	BOTH(prepare_code, CODE2, all_but(TAP_FETCH), {TAP_FETCH, CODE + 0xffe, CODE2},
		{TAP_FETCH, CODE2 + 3, CODE2 + 3}, {TAP_FETCH, CODE2 + 5, CODE2 + 5},
		{TAP_FETCH, CODE2 + 7, CODE2 + 7});
	BOTH(prepare_code, CODE, all_but(TAP_FETCH), {TAP_FETCH, CODE, CODE},
		{TAP_FETCH, CODE + 0xffc, CODE + 0xffc}, {TAP_FETCH, CODE + 0xffe, CODE + 0xffe});
	/* Bytes of the next page that nobody needs are not asked for; data is something else. */
	BOTH(prepare_data, CODE2, all_but(TAP_FETCH), );
	BOTH(prepare_code, CODE2, RIGHTS_ALL & ~(BIT(TAP_READ) | BIT(TAP_WRITE)), );
}

/* ---- the walk ---- */

static void prepare_walk(struct watcher *w)
{
	w->world.ram[PT2] &= ~0x60;                      /* neither accessed nor dirty */
	WATCHER_CODE(w, 0x8a, 0x04, 0x25, 0, 0, 0, 0x40, /* mov 0x40000000, %al */
		0x0f, 0xb6, 0xc0,                        /* movzx %al, %eax */
		0x88, 0x04, 0x25, 0, 0, 0, 0x40, 0xf4);  /* mov %al, 0x40000000 */
}

static void test_walk(void **state)
{
	BOTH(prepare_walk, PT2, all_but(TAP_WALK_WRITE), {TAP_WALK_WRITE, CODE, PT2},
		{TAP_WALK_WRITE, CODE + 10, PT2});
	BOTH(prepare_walk, PT2, all_but(TAP_WALK_READ), {TAP_WALK_READ, CODE, PT2},
		{TAP_WALK_READ, CODE + 10, PT2});
	/* Ordinary rights of a table do not bind the walk. */
	BOTH(prepare_walk, PT2, RIGHTS_ALL & ~(BIT(TAP_READ) | BIT(TAP_WRITE)), );
}

/* ---- answers ---- */

static enum tap_verdict open_page(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	set_rights(w, e->page.gpa & PAGE_MASK, RIGHTS_ALL);
	return TAP_RETRY;
}

static enum tap_verdict go_elsewhere(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	struct vcpu_state s;

	vcpu_get(v, ST_REGS, &s);
	s.rip += 7;
	assert_int_equal(vcpu_set(v, ST_REGS, &s), 0);
	return TAP_RETRY;
}

static enum tap_verdict stop(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	return TAP_STOP;
}

static void test_answers(void **state)
{
	struct watcher w;

	for (unsigned step = 0; step < 2; step++) {
		watcher_open(&w, step);
		vcpu_tap_events(w.world.v, BIT(TAP_PAGE));
		set_rights(&w, DATA, all_but(TAP_WRITE));
		w.answer = open_page;
		prepare_data(&w);
		watcher_run(&w);
		assert_int_equal(w.count, 1);
		assert_int_equal(w.seen[0].byte, 0x11);

		set_rights(&w, DATA, RIGHTS_ALL & ~(BIT(TAP_READ) | BIT(TAP_WRITE)));
		w.answer = go_elsewhere;
		memset(w.world.ram + DATA, 0x11, PAGE_SIZE);
		WATCHER_CODE(&w, 0x89, 0x04, 0x25, 0x10, 0x40, 0, 0, 0x8b, 0x04, 0x25, 0x10, 0x40,
			0, 0, 0xf4);
		watcher_run(&w);
		assert_int_equal(w.count, 2);
		assert_int_equal(w.world.ram[DATA + 0x10], 0x11);
		assert_int_equal(gpr_of(w.world.v, RAX), 0);

		w.answer = stop;
		watcher_start(&w);
		assert_int_equal(vcpu_run(w.world.v, 0), 0);
		assert_int_equal(vcpu_exit(w.world.v)->reason, EXIT_TAP);
		assert_int_equal(rip_of(w.world.v), CODE);
		watcher_close(&w);
	}
}

/* The instruction reads what the subscriber says, and memory stays. */
static enum tap_verdict give_data(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	static const u8 data[] = {1, 2, 3, 4, 5, 6, 7, 8};

	if (e->page.access == TAP_READ) {
		e->page.data = data;
		e->page.data_len = w->count == 2 ? 2 : sizeof(data);
	}
	return TAP_GO_ON;
}

static void test_data_given(void **state)
{
	struct watcher w;
	u32 word;

	for (unsigned step = 0; step < 2; step++) {
		watcher_open(&w, step);
		vcpu_tap_events(w.world.v, BIT(TAP_PAGE));
		set_rights(&w, DATA, RIGHTS_ALL & ~(BIT(TAP_READ) | BIT(TAP_WRITE)));
		w.answer = give_data;
		memset(w.world.ram + DATA, 0x11, 2 * PAGE_SIZE);
		WATCHER_CODE(&w, 0x8b, 0x1c, 0x25, 0x00, 0x40, 0, 0, /* mov 0x4000, %ebx */
			0x8b, 0x0c, 0x25, 0x10, 0x40, 0, 0, /* mov 0x4010, %ecx: two bytes of it */
			0xf0, 0x01, 0x04, 0x25, 0x20, 0x40, 0, 0, /* lock add %eax, 0x4020 */
			0x8b, 0x14, 0x25, 0xfe, 0x4f, 0, 0,       /* mov 0x4ffe, %edx */
			0xf4);
		watcher_set_gpr(&w, RAX, 0x10101010);
		watcher_run(&w);
		assert_int_equal(w.count, 5);
		assert_int_equal(gpr_of(w.world.v, RBX), 0x04030201);
		assert_int_equal(gpr_of(w.world.v, RCX), 0x11110201);
		assert_int_equal(gpr_of(w.world.v, RDX), 0x11110201); /* not of the next page */
		memcpy(&word, w.world.ram + DATA + 0x20, 4);
		assert_int_equal(word, 0x14131211);
		assert_int_equal(w.world.ram[DATA], 0x11);
		watcher_close(&w);
	}
}

/* Tables that change while the question is out: more and more answers, until it begins anew. */
#define TABLES      0x100000u /* a slot of copies of the second level's, which may not be read */
#define TABLE_COUNT 300u

static unsigned changes, changes_max;

static enum tap_verdict change_tables(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	const u64 entry = (TABLES + changes * PAGE_SIZE) | 7;

	w->count = 0;
	if (changes < changes_max) {
		memcpy(w->world.ram + PML4, &entry, 8);
		changes++;
	}
	return TAP_GO_ON;
}

static void test_many_answers(void **state)
{
	static _Alignas(PAGE_SIZE) u8 tables[TABLE_COUNT * PAGE_SIZE];
	const struct memslot_config c = {
		.id = 1, .gpa = TABLES, .size = sizeof(tables), .hva = (u64)tables};
	struct watcher w;

	watcher_open(&w, false);
	assert_int_equal(machine_set_memslot(w.world.m, &c), 0);
	vcpu_tap_events(w.world.v, BIT(TAP_PAGE));
	w.answer = change_tables;
	for (unsigned i = 0; i < TABLE_COUNT; i++) {
		memcpy(tables + i * PAGE_SIZE, w.world.ram + PDPT, PAGE_SIZE);
		set_rights(&w, TABLES + i * PAGE_SIZE, all_but(TAP_WALK_READ));
	}
	set_rights(&w, DATA, all_but(TAP_WRITE));
	for (changes_max = 225; changes_max < 262; changes_max++) {
		memcpy(w.world.ram + PML4, &(u64){PDPT | 7}, 8);
		changes = 0;
		WATCHER_CODE(&w, 0x90, 0x6c, 0xf4); /* nop; insb */
		watcher_set_gpr(&w, RDI, DATA);
		assert_int_equal(vcpu_run(w.world.v, 0), 0);
		assert_int_equal(vcpu_exit(w.world.v)->reason, EXIT_IO_IN);
		assert_int_equal(changes, changes_max);
		vcpu_exit(w.world.v)->io.data[0] = 0x77;
		watcher_run(&w);
		assert_int_equal(w.world.ram[DATA], 0x77);
		w.world.ram[DATA] = 0;
	}
	watcher_close(&w);
}

/* ---- whatever becomes of the slots; who does not want to be asked ---- */

static void test_lifetime(void **state)
{
	struct memslot_config c = {.size = 0};
	struct watcher w;

	watcher_open(&w, false);
	set_rights(&w, DATA, all_but(TAP_WRITE));
	prepare_data(&w);
	watcher_run(&w);
	assert_int_equal(w.count, 0); /* nobody asked for TAP_PAGE */
	vcpu_tap_events(w.world.v, BIT(TAP_PAGE));
	assert_int_equal(machine_set_memslot(w.world.m, &c), 0);
	c.size = RAM_BYTES;
	c.hva = (u64)w.world.ram;
	assert_int_equal(machine_set_memslot(w.world.m, &c), 0);
	prepare_data(&w);
	watcher_run(&w);
	assert_int_equal(w.count, 4);
	/* The VMM is not bound. */
	assert_int_equal(machine_write(w.world.m, DATA, "x", 1), 0);
	machine_set_tap(w.world.m, NULL, NULL);
	assert_int_equal(rights_of(w.world.m, DATA), RIGHTS_ALL);
	prepare_data(&w);
	watcher_run(&w);
	assert_int_equal(w.count, 0);
	watcher_close(&w);
}

/* Registers of a device, and a write that the answer lets through to them. */
static void test_device(void **state)
{
	struct watcher w;
	const u64 at = 0x300000;

	watcher_open(&w, false);
	vcpu_tap_events(w.world.v, BIT(TAP_PAGE));
	memcpy(w.world.ram + PT2 + 8, &(u64){at | 0x67}, 8); /* at 0x40001000 */
	set_rights(&w, at, RIGHTS_ALL & ~(BIT(TAP_READ) | BIT(TAP_WRITE)));
	for (unsigned i = 0; i < 2; i++) {
		WATCHER_CODE(&w, 0x8b, 0x04, 0x25, 0, 0x10, 0, 0x40, 0x89, 0x04, 0x25, 0, 0x10, 0,
			0x40, 0xf4);
		assert_int_equal(vcpu_run(w.world.v, 0), 0);
		assert_int_equal(vcpu_exit(w.world.v)->reason, EXIT_MMIO_READ);
		assert_int_equal(w.count, 1);
		memcpy(vcpu_exit(w.world.v)->mmio.data, "\1\2\3\4", 4);
		assert_int_equal(vcpu_run(w.world.v, 0), 0);
		assert_int_equal(vcpu_exit(w.world.v)->reason, EXIT_MMIO_WRITE);
		assert_int_equal(w.count, 2);
		watcher_run(&w);
		assert_int_equal(gpr_of(w.world.v, RAX), 0x04030201);
	}
	watcher_close(&w);
}

/* Many, far apart: all are found again, and what cannot be is refused as a whole. */
static void test_many(void **state)
{
	struct page_rights p[2] = {{0x1000, 1}, {0x2000, RIGHTS_ALL + 1}};
	struct watcher w;

	watcher_open(&w, false);
	for (u64 i = 0; i < 1000; i++)
		set_rights(&w, i * 0x12345000, i % 31);
	for (u64 i = 0; i < 1000; i++)
		assert_int_equal(rights_of(w.world.m, i * 0x12345000), i % 31);
	assert_int_equal(rights_of(w.world.m, 0x1000), RIGHTS_ALL);
	assert_int_equal(machine_set_page_rights(w.world.m, 0, p, 2), -EINVAL);
	assert_int_equal(rights_of(w.world.m, 0x1000), RIGHTS_ALL);
	p[0].gpa = BIT64(52);
	assert_int_equal(machine_set_page_rights(w.world.m, 0, p, 1), -EINVAL);
	watcher_close(&w);
}

/* The parts of an image are written one after the other, but asked for before the first. */
static void prepare_xsave(struct watcher *w)
{
	memset(w->world.ram + DATA, 0x11, 2 * PAGE_SIZE);
	WATCHER_CODE(w, 0xb8, 3, 0, 0, 0,                 /* mov $3, %eax */
		0x31, 0xd2,                               /* xor %edx, %edx */
		0x0f, 0xae, 0x24, 0x25, 0x00, 0x40, 0, 0, /* xsave 0x4000 */
		0xf4);
}

static void test_xsave(void **state)
{
	BOTH(prepare_xsave, DATA, all_but(TAP_WRITE), {TAP_WRITE, CODE + 7, DATA});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_string),
		cmocka_unit_test(test_delivery),
		cmocka_unit_test(test_interrupt),
		cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_data_given),
		cmocka_unit_test(test_many_answers),
		cmocka_unit_test(test_lifetime),
		cmocka_unit_test(test_device),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_xsave),
	};

	return cmocka_run_group_tests_name("tap pages", tests, NULL, NULL);
}
