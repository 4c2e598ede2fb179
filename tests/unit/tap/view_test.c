/* SPDX-License-Identifier: MIT */
/* What a vcpu does in a view of memory, by step and by translation: rights of its own, and pages found elsewhere. */
#include "views.h"

#include <errno.h>

#include "engine/exit.h"

/* ---- rights ---- */

static void rights(struct watcher *w)
{
	unsigned shut = view_new(w), readable = view_new(w);
	u32 r;

	view_deny(w, shut, DATA, BIT(TAP_READ) | BIT(TAP_WRITE));
	view_deny(w, readable, DATA, BIT(TAP_WRITE));
	WATCHER_CODE(w, 0x8b, 0x04, 0x25, 0x00, 0x40, 0, 0, /* mov 0x4000, %eax */
		0x89, 0x04, 0x25, 0x10, 0x40, 0, 0,         /* mov %eax, 0x4010 */
		0xf4);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(view_again(w, 0), 0);
		assert_int_equal(view_again(w, shut), 2);
		assert_int_equal(w->seen[0].e.page.gpa, DATA);
		assert_int_equal(w->seen[0].e.page.access, TAP_READ);
		assert_int_equal(w->seen[1].e.page.access, TAP_WRITE);
		assert_int_equal(view_again(w, readable), 1);
		assert_int_equal(w->seen[0].e.page.access, TAP_WRITE);
	}
	assert_int_equal(machine_page_rights(w->world.m, shut, DATA, &r), 0);
	assert_int_equal(r, RIGHTS_ALL & ~(BIT(TAP_READ) | BIT(TAP_WRITE)));
	assert_int_equal(machine_page_rights(w->world.m, 0, DATA, &r), 0);
	assert_int_equal(r, RIGHTS_ALL);
	/* The vcpu is in it while it changes. */
	assert_int_equal(view_again(w, readable), 1);
	view_deny(w, readable, DATA, BIT(TAP_READ) | BIT(TAP_WRITE));
	assert_int_equal(view_again(w, readable), 2);
	view_deny(w, readable, DATA, 0);
	assert_int_equal(view_again(w, readable), 0);
}

static void test_rights(void **state)
{
	view_both(rights);
}

/* What one view may execute is translated and linked, and the other one is asked all the same. */
static void fetch_rights(struct watcher *w)
{
	static const u8 callee[] = {0xff, 0xc3, 0xc3}; /* inc %ebx; ret */
	unsigned shut = view_new(w), no_caller = view_new(w);

	view_deny(w, shut, CODE2, BIT(TAP_FETCH));
	view_deny(w, no_caller, CODE, BIT(TAP_FETCH));
	machine_write(w->world.m, CODE2, callee, sizeof(callee));
	WATCHER_CODE(w, 0xb9, 3, 0, 0, 0,      /* mov $3, %ecx */
		0xe8, 0xf6, 0x0f, 0, 0,        /* call CODE2 */
		0xff, 0xc9, 0x75, 0xf7, 0xf4); /* dec %ecx; jnz; hlt */
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(view_again(w, 0), 0);
		assert_int_equal(view_again(w, 0), 0);
		assert_int_equal(view_again(w, shut), 6);
		for (unsigned n = 0; n < 6; n++) {
			assert_int_equal(w->seen[n].e.page.access, TAP_FETCH);
			assert_int_equal(w->seen[n].s.rip, CODE2 + n % 2 * 2);
		}
		assert_int_equal(view_again(w, no_caller), 1 + 3 * 3 + 1);
		assert_int_equal(gpr_of(w->world.v, RBX), 3);
	}
}

static void test_fetch_rights(void **state)
{
	view_both(fetch_rights);
}

/* ---- pages that are elsewhere: data ---- */

static void log_writes(struct watcher *w)
{
	const struct memslot_config c = {
		.flags = SLOT_LOG_DIRTY, .size = RAM_BYTES, .hva = (u64)w->world.ram};

	assert_int_equal(machine_set_memslot(w->world.m, &c), 0);
}

static u64 written_pages(struct watcher *w)
{
	u64 bits;

	assert_int_equal(machine_get_dirty_log(w->world.m, 0, &bits), 0);
	return bits & (BIT64(DATA >> PAGE_SHIFT) | BIT64(DATA2 >> PAGE_SHIFT));
}

static void remap_data(struct watcher *w)
{
	unsigned view = view_new(w);

	log_writes(w);
	WATCHER_CODE(w, 0x8b, 0x04, 0x25, 0x00, 0x40, 0, 0,    /* mov 0x4000, %eax */
		0xff, 0x04, 0x25, 0x08, 0x40, 0, 0,            /* incl 0x4008 */
		0x8b, 0x1c, 0x25, 0xfe, 0x4f, 0, 0,            /* mov 0x4ffe, %ebx */
		0xf0, 0x01, 0x04, 0x25, 0x10, 0x40, 0, 0, 0xf4 /* lock add %eax, 0x4010 */
	);
	for (unsigned i = 1; i < 4; i++) {
		assert_int_equal(view_again(w, 0), 0);
		assert_int_equal(view_eax(w), 0x11111111);
		assert_int_equal(written_pages(w), BIT64(DATA >> PAGE_SHIFT));
		view_lead(w, view, DATA, DATA2);
		view_again(w, view);
		assert_int_equal(view_eax(w), 0x22222222);
		assert_int_equal(gpr_of(w->world.v, RBX), 0x22222222);
		assert_int_equal(view_word_at(w, DATA + 8), 0x11111111 + i);
		assert_int_equal(view_word_at(w, DATA2 + 8), 0x22222222 + i);
		assert_int_equal(view_word_at(w, DATA2 + 0x10), 0x22222222 * (i + 1));
		assert_int_equal(written_pages(w), BIT64(DATA2 >> PAGE_SHIFT));
		/* Not followed further; and by the VMM not at all. */
		view_lead(w, view, DATA2, CODE);
		view_again(w, view);
		assert_int_equal(view_eax(w), 0x22222222);
		assert_int_equal(gpr_of(w->world.v, RBX) & 0xffff, 0x2222);
		assert_int_equal((u16)(gpr_of(w->world.v, RBX) >> 16), (u16)view_word_at(w, CODE));
		assert_int_equal(machine_write(w->world.m, DATA + 8, &(u32){0x11111111 + i}, 4), 0);
		assert_int_equal(
			machine_write(w->world.m, DATA2 + 8, &(u32){0x22222222 + i}, 4), 0);
		memset(w->world.ram + DATA2 + 0x10, 0x22, 8);
		for (unsigned k = 0; k < i; k++)
			*(u32 *)(w->world.ram + DATA2 + 0x10) += 0x22222222;
		/* As at first, while the vcpu is there. */
		view_lead(w, view, DATA2, DATA2);
		view_lead(w, view, DATA, DATA);
		written_pages(w);
		w->world.ram[DATA + 8]--;
		view_again(w, view);
		assert_int_equal(view_eax(w), 0x11111111);
		assert_int_equal(view_word_at(w, DATA + 8), 0x11111111 + i);
		assert_int_equal(written_pages(w), BIT64(DATA >> PAGE_SHIFT));
	}
}

static void test_remap_data(void **state)
{
	view_both(remap_data);
}

static enum tap_verdict give(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	e->page.data = "\x44\x44\x44\x44";
	e->page.data_len = 4;
	return TAP_GO_ON;
}

/* Rights are those of the page that is named. */
static void remap_rights(struct watcher *w)
{
	unsigned view = view_new(w);

	view_lead(w, view, DATA, DATA2);
	WATCHER_CODE(w, 0x8b, 0x04, 0x25, 0x00, 0x40, 0, 0, 0xf4);
	view_deny(w, view, DATA2, BIT(TAP_READ));
	assert_int_equal(view_again(w, view), 0);
	assert_int_equal(view_eax(w), 0x22222222);
	view_deny(w, view, DATA, BIT(TAP_READ));
	assert_int_equal(view_again(w, view), 1);
	assert_int_equal(w->seen[0].e.page.gpa, DATA);
	assert_int_equal(view_eax(w), 0x22222222);
	w->answer = give;
	assert_int_equal(view_again(w, view), 1);
	assert_int_equal(view_eax(w), 0x44444444);
}

static void test_remap_rights(void **state)
{
	view_both(remap_rights);
}

static void remap_device(struct watcher *w)
{
	unsigned view = view_new(w);
	const struct exit *x = vcpu_exit(w->world.v);

	WATCHER_CODE(w, 0x8b, 0x04, 0x25, 0x10, 0x40, 0, 0, 0xf4);
	view_again(w, 0);
	view_lead(w, view, DATA, 0x300000);
	for (unsigned i = 0; i < 2; i++) {
		view_enter(w, view);
		watcher_start(w);
		assert_int_equal(vcpu_run(w->world.v, 0), 0);
		assert_int_equal(x->reason, EXIT_MMIO_READ);
		assert_int_equal(x->mmio.gpa, 0x300010);
		memcpy(vcpu_exit(w->world.v)->mmio.data, "\1\2\3\4", 4);
		watcher_run(w);
		assert_int_equal(view_eax(w), 0x04030201);
		view_again(w, 0);
		assert_int_equal(view_eax(w), 0x11111111);
	}
	/* A device's page that is memory here. */
	memcpy(w->world.ram + PT2, &(u64){0x300007}, 8);
	view_lead(w, view, DATA, DATA);
	view_lead(w, view, 0x300000, DATA2);
	WATCHER_CODE(w, 0x8b, 0x04, 0x25, 0x10, 0, 0, 0x40, 0xf4); /* mov 0x40000010, %eax */
	view_again(w, view);
	assert_int_equal(view_eax(w), 0x22222222);
}

static void test_remap_device(void **state)
{
	view_both(remap_device);
}

/* ---- code ---- */

/* CODE2 and OTHER: mov $value, %eax; ret */
static void put_function(struct watcher *w, u32 at, u8 value)
{
	const u8 code[] = {0xb8, value, 0, 0, 0, 0xc3};

	assert_int_equal(machine_write(w->world.m, at, code, sizeof(code)), 0);
}

static void remap_code(struct watcher *w)
{
	unsigned view = view_new(w);

	put_function(w, CODE2, 1);
	put_function(w, OTHER, 2);
	view_lead(w, view, CODE2, OTHER);
	WATCHER_CODE(w, 0xe8, 0xfb, 0x0f, 0, 0, 0xf4); /* call CODE2; hlt */
	for (u8 i = 0; i < 3; i++) {
		assert_int_equal(view_result(w, 0), 1 + i);
		assert_int_equal(view_result(w, view), 2 + i);
		assert_int_equal(view_result(w, view), 2 + i);
		put_function(w, OTHER, 3 + i);
		assert_int_equal(view_result(w, view), 3 + i);
		assert_int_equal(view_result(w, 0), 1 + i);
		put_function(w, CODE2, 2 + i);
		assert_int_equal(view_result(w, view), 3 + i);
		assert_int_equal(view_result(w, 0), 2 + i);
		/* While it is in there. */
		view_result(w, view);
		view_lead(w, view, CODE2, CODE2);
		assert_int_equal(view_result(w, view), 2 + i);
		view_lead(w, view, CODE2, OTHER);
		assert_int_equal(view_result(w, view), 3 + i);
	}
}

static void test_remap_code(void **state)
{
	view_both(remap_code);
}

/* The guest writes the code that it runs: what it reaches, and that alone. */
static void remap_self_modifying(struct watcher *w)
{
	unsigned view = view_new(w);

	view_lead(w, view, CODE2, OTHER);
	WATCHER_CODE(w, 0xe8, 0xfb, 0x0f, 0, 0,        /* call CODE2 */
		0x89, 0xc3,                            /* mov %eax, %ebx */
		0xc6, 0x04, 0x25, 0x01, 0x20, 0, 0, 9, /* movb $9, CODE2 + 1 */
		0xe8, 0xec, 0x0f, 0, 0, 0xf4);         /* call CODE2; hlt */
	for (u8 i = 0; i < 3; i++) {
		put_function(w, CODE2, 1);
		put_function(w, OTHER, 2);
		assert_int_equal(view_result(w, view), 9);
		assert_int_equal(gpr_of(w->world.v, RBX), 2);
		assert_int_equal(w->world.ram[CODE2 + 1], 1);
		put_function(w, OTHER, 2);
		assert_int_equal(view_result(w, 0), 9);
		assert_int_equal(gpr_of(w->world.v, RBX), 1);
		assert_int_equal(w->world.ram[OTHER + 1], 2);
	}
}

static void test_remap_self_modifying(void **state)
{
	view_both(remap_self_modifying);
}

/* An instruction that reaches into a page that is another one here. */
static void remap_crossing(struct watcher *w)
{
	static const u8 head[] = {0xb8, 0x11}; /* mov $..11, %eax */
	unsigned view = view_new(w);

	view_lead(w, view, CODE2, OTHER);
	machine_write(w->world.m, CODE2 - 2, head, 2);
	machine_write(w->world.m, CODE2, "\x22\0\0\xf4", 4);
	machine_write(w->world.m, OTHER, "\x33\0\0\xf4", 4);
	WATCHER_CODE(w, 0xe9, 0xf9, 0x0f, 0, 0); /* jmp CODE2 - 2 */
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(view_result(w, 0), 0x2211);
		assert_int_equal(view_result(w, view), 0x3311);
	}
}

static void test_remap_crossing(void **state)
{
	view_both(remap_crossing);
}

/* ---- page tables ---- */

static void remap_tables(struct watcher *w)
{
	unsigned view = view_new(w);
	struct translation t;

	memcpy(w->world.ram + OTHER2, &(u64){DATA2 | 7}, 8);
	view_lead(w, view, PT2, OTHER2);
	WATCHER_CODE(w, 0x8b, 0x04, 0x25, 0, 0, 0, 0x40, 0xf4); /* mov 0x40000000, %eax */
	for (unsigned i = 0; i < 3; i++) {
		w->world.ram[PT2] = w->world.ram[OTHER2] = 7; /* not accessed */
		assert_int_equal(view_result(w, view), 0x22222222);
		assert_int_equal(w->world.ram[PT2], 7);
		assert_int_equal(w->world.ram[OTHER2], 0x27);
		assert_int_equal(vcpu_translate(w->world.v, HIGH, &t), 0);
		assert_int_equal(t.gpa, DATA2);
		assert_int_equal(view_result(w, 0), 0x11111111);
		assert_int_equal(w->world.ram[PT2], 0x27);
		/* Before it has run there. */
		view_enter(w, view);
		assert_int_equal(vcpu_translate(w->world.v, HIGH, &t), 0);
		assert_int_equal(t.gpa, DATA2);
		view_enter(w, 0);
		assert_int_equal(vcpu_translate(w->world.v, HIGH, &t), 0);
		assert_int_equal(t.gpa, DATA);
	}
	w->world.ram[OTHER2] = 7;
	view_deny(w, view, OTHER2, BIT(TAP_WALK_READ) | BIT(TAP_WALK_WRITE));
	view_deny(w, view, PT2, BIT(TAP_WALK_READ) | BIT(TAP_WALK_WRITE));
	assert_int_equal(view_again(w, view), 2);
	assert_int_equal(w->seen[0].e.page.gpa, PT2);
	assert_int_equal(w->seen[1].e.page.access, TAP_WALK_WRITE);
	assert_int_equal(w->seen[1].e.page.gpa, PT2);
	assert_int_equal(view_eax(w), 0x22222222);
}

static void test_remap_tables(void **state)
{
	view_both(remap_tables);
}

/* PAE: the four entries that are checked when CR3 is loaded, and read later. */
static void remap_pdptes(struct watcher *w)
{
	unsigned view = view_new(w);
	struct vcpu_state s;

	for (unsigned at = OTHER; at <= OTHER2; at += OTHER2 - OTHER) {
		memset(w->world.ram + at, 0, 32);
		memcpy(w->world.ram + at, &(u64){PD | 1}, 8);
	}
	w->world.ram[OTHER] |= 6; /* reserved */
	view_lead(w, view, OTHER, OTHER2);
	for (unsigned i = 0; i < 4; i++) {
		view_enter(w, i % 2 ? view : 0);
		WATCHER_CODE(w, 0xb8, 0x00, 0x30, 0, 0, 0x0f, 0x22, 0xd8, 0xf4); /* to CR3 */
		vcpu_get(w->world.v, ST_SREGS, &s);
		s.efer = 0;
		s.cr3 = OTHER2;
		s.seg[SEG_CS].attr = 0xc09b;
		s.idt.limit = 0; /* #GP is the end */
		assert_int_equal(vcpu_set(w->world.v, ST_SREGS, &s), 0);
		assert_int_equal(vcpu_run(w->world.v, 0), 0);
		assert_int_equal(vcpu_exit(w->world.v)->reason, i % 2 ? EXIT_HLT : EXIT_SHUTDOWN);
	}
}

static void test_remap_pdptes(void **state)
{
	view_both(remap_pdptes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rights),
		cmocka_unit_test(test_fetch_rights),
		cmocka_unit_test(test_remap_data),
		cmocka_unit_test(test_remap_rights),
		cmocka_unit_test(test_remap_device),
		cmocka_unit_test(test_remap_code),
		cmocka_unit_test(test_remap_self_modifying),
		cmocka_unit_test(test_remap_crossing),
		cmocka_unit_test(test_remap_tables),
		cmocka_unit_test(test_remap_pdptes),
	};

	return cmocka_run_group_tests_name("tap views", tests, NULL, NULL);
}
