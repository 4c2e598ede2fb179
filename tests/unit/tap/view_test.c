/* SPDX-License-Identifier: MIT */
/* Views of memory: rights of their own, pages found elsewhere, and switches between them, by step and by translation. */
#include "watcher.h"

#include <errno.h>

#include "engine/exit.h"

#define OTHER  0x3000u  /* in the place of CODE2 */
#define OTHER2 0x16000u /* in the place of CODE, or of a table */

static unsigned new_view(struct watcher *w)
{
	unsigned view;

	assert_int_equal(machine_create_view(w->world.m, &view), 0);
	return view;
}

static void deny(struct watcher *w, unsigned view, u64 gpa, u32 denied)
{
	const struct page_rights p = {gpa, RIGHTS_ALL & ~denied};

	assert_int_equal(machine_set_page_rights(w->world.m, view, &p, 1), 0);
}

static void lead(struct watcher *w, unsigned view, u64 from, u64 to)
{
	assert_int_equal(
		machine_view_remap(w->world.m, view, from >> PAGE_SHIFT, to >> PAGE_SHIFT), 0);
}

static void enter(struct watcher *w, unsigned view)
{
	assert_int_equal(vcpu_set_view(w->world.v, view), 0);
	assert_int_equal(vcpu_view(w->world.v), view);
}

static u32 word_at(const struct watcher *w, u32 at)
{
	u32 v;

	memcpy(&v, w->world.ram + at, 4);
	return v;
}

static u32 eax(struct watcher *w)
{
	return (u32)gpr_of(w->world.v, RAX);
}

/* What is at CODE again, in this view. Returns what was asked. */
static unsigned again(struct watcher *w, unsigned view)
{
	enter(w, view);
	watcher_start(w);
	watcher_run(w);
	return w->count;
}

static void begin(struct watcher *w, bool step)
{
	watcher_open(w, step);
	assert_int_equal(vcpu_tap_events(w->world.v, BIT(TAP_PAGE)), 0);
	memset(w->world.ram + DATA, 0x11, PAGE_SIZE);
	memset(w->world.ram + DATA2, 0x22, PAGE_SIZE);
}

static void both(void (*test)(struct watcher *w))
{
	static struct watcher w;

	for (unsigned step = 0; step < 2; step++) {
		begin(&w, step);
		test(&w);
		watcher_close(&w);
	}
}

/* ---- rights ---- */

static void rights(struct watcher *w)
{
	unsigned shut = new_view(w), readable = new_view(w);
	u32 r;

	deny(w, shut, DATA, BIT(TAP_READ) | BIT(TAP_WRITE));
	deny(w, readable, DATA, BIT(TAP_WRITE));
	WATCHER_CODE(w, 0x8b, 0x04, 0x25, 0x00, 0x40, 0, 0, /* mov 0x4000, %eax */
		0x89, 0x04, 0x25, 0x10, 0x40, 0, 0,         /* mov %eax, 0x4010 */
		0xf4);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(again(w, 0), 0);
		assert_int_equal(again(w, shut), 2);
		assert_int_equal(w->seen[0].e.page.gpa, DATA);
		assert_int_equal(w->seen[0].e.page.access, TAP_READ);
		assert_int_equal(w->seen[1].e.page.access, TAP_WRITE);
		assert_int_equal(again(w, readable), 1);
		assert_int_equal(w->seen[0].e.page.access, TAP_WRITE);
	}
	assert_int_equal(machine_page_rights(w->world.m, shut, DATA, &r), 0);
	assert_int_equal(r, RIGHTS_ALL & ~(BIT(TAP_READ) | BIT(TAP_WRITE)));
	assert_int_equal(machine_page_rights(w->world.m, 0, DATA, &r), 0);
	assert_int_equal(r, RIGHTS_ALL);
	/* The vcpu is in it while it changes. */
	assert_int_equal(again(w, readable), 1);
	deny(w, readable, DATA, BIT(TAP_READ) | BIT(TAP_WRITE));
	assert_int_equal(again(w, readable), 2);
	deny(w, readable, DATA, 0);
	assert_int_equal(again(w, readable), 0);
}

static void test_rights(void **state)
{
	both(rights);
}

/* What one view may execute is translated and linked, and the other one is asked all the same. */
static void fetch_rights(struct watcher *w)
{
	static const u8 callee[] = {0xff, 0xc3, 0xc3}; /* inc %ebx; ret */
	unsigned shut = new_view(w), no_caller = new_view(w);

	deny(w, shut, CODE2, BIT(TAP_FETCH));
	deny(w, no_caller, CODE, BIT(TAP_FETCH));
	machine_write(w->world.m, CODE2, callee, sizeof(callee));
	WATCHER_CODE(w, 0xb9, 3, 0, 0, 0,      /* mov $3, %ecx */
		0xe8, 0xf6, 0x0f, 0, 0,        /* call CODE2 */
		0xff, 0xc9, 0x75, 0xf7, 0xf4); /* dec %ecx; jnz; hlt */
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(again(w, 0), 0);
		assert_int_equal(again(w, 0), 0);
		assert_int_equal(again(w, shut), 6);
		for (unsigned n = 0; n < 6; n++) {
			assert_int_equal(w->seen[n].e.page.access, TAP_FETCH);
			assert_int_equal(w->seen[n].s.rip, CODE2 + n % 2 * 2);
		}
		assert_int_equal(again(w, no_caller), 1 + 3 * 3 + 1);
		assert_int_equal(gpr_of(w->world.v, RBX), 3);
	}
}

static void test_fetch_rights(void **state)
{
	both(fetch_rights);
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
	unsigned view = new_view(w);

	log_writes(w);
	WATCHER_CODE(w, 0x8b, 0x04, 0x25, 0x00, 0x40, 0, 0,    /* mov 0x4000, %eax */
		0xff, 0x04, 0x25, 0x08, 0x40, 0, 0,            /* incl 0x4008 */
		0x8b, 0x1c, 0x25, 0xfe, 0x4f, 0, 0,            /* mov 0x4ffe, %ebx */
		0xf0, 0x01, 0x04, 0x25, 0x10, 0x40, 0, 0, 0xf4 /* lock add %eax, 0x4010 */
	);
	for (unsigned i = 1; i < 4; i++) {
		assert_int_equal(again(w, 0), 0);
		assert_int_equal(eax(w), 0x11111111);
		assert_int_equal(written_pages(w), BIT64(DATA >> PAGE_SHIFT));
		lead(w, view, DATA, DATA2);
		again(w, view);
		assert_int_equal(eax(w), 0x22222222);
		assert_int_equal(gpr_of(w->world.v, RBX), 0x22222222);
		assert_int_equal(word_at(w, DATA + 8), 0x11111111 + i);
		assert_int_equal(word_at(w, DATA2 + 8), 0x22222222 + i);
		assert_int_equal(word_at(w, DATA2 + 0x10), 0x22222222 * (i + 1));
		assert_int_equal(written_pages(w), BIT64(DATA2 >> PAGE_SHIFT));
		/* Not followed further; and by the VMM not at all. */
		lead(w, view, DATA2, CODE);
		again(w, view);
		assert_int_equal(eax(w), 0x22222222);
		assert_int_equal(gpr_of(w->world.v, RBX) & 0xffff, 0x2222);
		assert_int_equal((u16)(gpr_of(w->world.v, RBX) >> 16), (u16)word_at(w, CODE));
		assert_int_equal(machine_write(w->world.m, DATA + 8, &(u32){0x11111111 + i}, 4), 0);
		assert_int_equal(
			machine_write(w->world.m, DATA2 + 8, &(u32){0x22222222 + i}, 4), 0);
		memset(w->world.ram + DATA2 + 0x10, 0x22, 8);
		for (unsigned k = 0; k < i; k++)
			*(u32 *)(w->world.ram + DATA2 + 0x10) += 0x22222222;
		/* As at first, while the vcpu is there. */
		lead(w, view, DATA2, DATA2);
		lead(w, view, DATA, DATA);
		written_pages(w);
		w->world.ram[DATA + 8]--;
		again(w, view);
		assert_int_equal(eax(w), 0x11111111);
		assert_int_equal(word_at(w, DATA + 8), 0x11111111 + i);
		assert_int_equal(written_pages(w), BIT64(DATA >> PAGE_SHIFT));
	}
}

static void test_remap_data(void **state)
{
	both(remap_data);
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
	unsigned view = new_view(w);

	lead(w, view, DATA, DATA2);
	WATCHER_CODE(w, 0x8b, 0x04, 0x25, 0x00, 0x40, 0, 0, 0xf4);
	deny(w, view, DATA2, BIT(TAP_READ));
	assert_int_equal(again(w, view), 0);
	assert_int_equal(eax(w), 0x22222222);
	deny(w, view, DATA, BIT(TAP_READ));
	assert_int_equal(again(w, view), 1);
	assert_int_equal(w->seen[0].e.page.gpa, DATA);
	assert_int_equal(eax(w), 0x22222222);
	w->answer = give;
	assert_int_equal(again(w, view), 1);
	assert_int_equal(eax(w), 0x44444444);
}

static void test_remap_rights(void **state)
{
	both(remap_rights);
}

static void remap_device(struct watcher *w)
{
	unsigned view = new_view(w);
	const struct exit *x = vcpu_exit(w->world.v);

	WATCHER_CODE(w, 0x8b, 0x04, 0x25, 0x10, 0x40, 0, 0, 0xf4);
	again(w, 0);
	lead(w, view, DATA, 0x300000);
	for (unsigned i = 0; i < 2; i++) {
		enter(w, view);
		watcher_start(w);
		assert_int_equal(vcpu_run(w->world.v, 0), 0);
		assert_int_equal(x->reason, EXIT_MMIO_READ);
		assert_int_equal(x->mmio.gpa, 0x300010);
		memcpy(vcpu_exit(w->world.v)->mmio.data, "\1\2\3\4", 4);
		watcher_run(w);
		assert_int_equal(eax(w), 0x04030201);
		again(w, 0);
		assert_int_equal(eax(w), 0x11111111);
	}
	/* A device's page that is memory here. */
	memcpy(w->world.ram + PT2, &(u64){0x300007}, 8);
	lead(w, view, DATA, DATA);
	lead(w, view, 0x300000, DATA2);
	WATCHER_CODE(w, 0x8b, 0x04, 0x25, 0x10, 0, 0, 0x40, 0xf4); /* mov 0x40000010, %eax */
	again(w, view);
	assert_int_equal(eax(w), 0x22222222);
}

static void test_remap_device(void **state)
{
	both(remap_device);
}

/* ---- code ---- */

/* CODE2 and OTHER: mov $value, %eax; ret */
static void put_function(struct watcher *w, u32 at, u8 value)
{
	const u8 code[] = {0xb8, value, 0, 0, 0, 0xc3};

	assert_int_equal(machine_write(w->world.m, at, code, sizeof(code)), 0);
}

static u32 result_in(struct watcher *w, unsigned view)
{
	again(w, view);
	return eax(w);
}

static void remap_code(struct watcher *w)
{
	unsigned view = new_view(w);

	put_function(w, CODE2, 1);
	put_function(w, OTHER, 2);
	lead(w, view, CODE2, OTHER);
	WATCHER_CODE(w, 0xe8, 0xfb, 0x0f, 0, 0, 0xf4); /* call CODE2; hlt */
	for (u8 i = 0; i < 3; i++) {
		assert_int_equal(result_in(w, 0), 1 + i);
		assert_int_equal(result_in(w, view), 2 + i);
		assert_int_equal(result_in(w, view), 2 + i);
		put_function(w, OTHER, 3 + i);
		assert_int_equal(result_in(w, view), 3 + i);
		assert_int_equal(result_in(w, 0), 1 + i);
		put_function(w, CODE2, 2 + i);
		assert_int_equal(result_in(w, view), 3 + i);
		assert_int_equal(result_in(w, 0), 2 + i);
		/* While it is in there. */
		result_in(w, view);
		lead(w, view, CODE2, CODE2);
		assert_int_equal(result_in(w, view), 2 + i);
		lead(w, view, CODE2, OTHER);
		assert_int_equal(result_in(w, view), 3 + i);
	}
}

static void test_remap_code(void **state)
{
	both(remap_code);
}

/* The guest writes the code that it runs: what it reaches, and that alone. */
static void remap_self_modifying(struct watcher *w)
{
	unsigned view = new_view(w);

	lead(w, view, CODE2, OTHER);
	WATCHER_CODE(w, 0xe8, 0xfb, 0x0f, 0, 0,        /* call CODE2 */
		0x89, 0xc3,                            /* mov %eax, %ebx */
		0xc6, 0x04, 0x25, 0x01, 0x20, 0, 0, 9, /* movb $9, CODE2 + 1 */
		0xe8, 0xec, 0x0f, 0, 0, 0xf4);         /* call CODE2; hlt */
	for (u8 i = 0; i < 3; i++) {
		put_function(w, CODE2, 1);
		put_function(w, OTHER, 2);
		assert_int_equal(result_in(w, view), 9);
		assert_int_equal(gpr_of(w->world.v, RBX), 2);
		assert_int_equal(w->world.ram[CODE2 + 1], 1);
		put_function(w, OTHER, 2);
		assert_int_equal(result_in(w, 0), 9);
		assert_int_equal(gpr_of(w->world.v, RBX), 1);
		assert_int_equal(w->world.ram[OTHER + 1], 2);
	}
}

static void test_remap_self_modifying(void **state)
{
	both(remap_self_modifying);
}

/* An instruction that reaches into a page that is another one here. */
static void remap_crossing(struct watcher *w)
{
	static const u8 head[] = {0xb8, 0x11}; /* mov $..11, %eax */
	unsigned view = new_view(w);

	lead(w, view, CODE2, OTHER);
	machine_write(w->world.m, CODE2 - 2, head, 2);
	machine_write(w->world.m, CODE2, "\x22\0\0\xf4", 4);
	machine_write(w->world.m, OTHER, "\x33\0\0\xf4", 4);
	WATCHER_CODE(w, 0xe9, 0xf9, 0x0f, 0, 0); /* jmp CODE2 - 2 */
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(result_in(w, 0), 0x2211);
		assert_int_equal(result_in(w, view), 0x3311);
	}
}

static void test_remap_crossing(void **state)
{
	both(remap_crossing);
}

/* ---- page tables ---- */

static void remap_tables(struct watcher *w)
{
	unsigned view = new_view(w);
	struct translation t;

	memcpy(w->world.ram + OTHER2, &(u64){DATA2 | 7}, 8);
	lead(w, view, PT2, OTHER2);
	WATCHER_CODE(w, 0x8b, 0x04, 0x25, 0, 0, 0, 0x40, 0xf4); /* mov 0x40000000, %eax */
	for (unsigned i = 0; i < 3; i++) {
		w->world.ram[PT2] = w->world.ram[OTHER2] = 7; /* not accessed */
		assert_int_equal(result_in(w, view), 0x22222222);
		assert_int_equal(w->world.ram[PT2], 7);
		assert_int_equal(w->world.ram[OTHER2], 0x27);
		assert_int_equal(vcpu_translate(w->world.v, HIGH, &t), 0);
		assert_int_equal(t.gpa, DATA2);
		assert_int_equal(result_in(w, 0), 0x11111111);
		assert_int_equal(w->world.ram[PT2], 0x27);
		/* Before it has run there. */
		enter(w, view);
		assert_int_equal(vcpu_translate(w->world.v, HIGH, &t), 0);
		assert_int_equal(t.gpa, DATA2);
		enter(w, 0);
		assert_int_equal(vcpu_translate(w->world.v, HIGH, &t), 0);
		assert_int_equal(t.gpa, DATA);
	}
	w->world.ram[OTHER2] = 7;
	deny(w, view, OTHER2, BIT(TAP_WALK_READ) | BIT(TAP_WALK_WRITE));
	deny(w, view, PT2, BIT(TAP_WALK_READ) | BIT(TAP_WALK_WRITE));
	assert_int_equal(again(w, view), 2);
	assert_int_equal(w->seen[0].e.page.gpa, PT2);
	assert_int_equal(w->seen[1].e.page.access, TAP_WALK_WRITE);
	assert_int_equal(w->seen[1].e.page.gpa, PT2);
	assert_int_equal(eax(w), 0x22222222);
}

static void test_remap_tables(void **state)
{
	both(remap_tables);
}

/* PAE: the four entries that are checked when CR3 is loaded, and read later. */
static void remap_pdptes(struct watcher *w)
{
	unsigned view = new_view(w);
	struct vcpu_state s;

	for (unsigned at = OTHER; at <= OTHER2; at += OTHER2 - OTHER) {
		memset(w->world.ram + at, 0, 32);
		memcpy(w->world.ram + at, &(u64){PD | 1}, 8);
	}
	w->world.ram[OTHER] |= 6; /* reserved */
	lead(w, view, OTHER, OTHER2);
	for (unsigned i = 0; i < 4; i++) {
		enter(w, i % 2 ? view : 0);
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
	both(remap_pdptes);
}

/* ---- while a question is open ---- */

static unsigned other_view;
static enum tap_verdict then;

static enum tap_verdict switch_view(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	assert_int_equal(vcpu_set_view(v, other_view), 0);
	return then;
}

static void switch_asked(struct watcher *w)
{
	unsigned view = new_view(w);

	deny(w, view, DATA, BIT(TAP_WRITE));
	WATCHER_CODE(w, 0x89, 0x04, 0x25, 0x10, 0x40, 0, 0, 0x89, 0x04, 0x25, 0x20, 0x40, 0, 0,
		0xf4); /* mov %eax, 0x4010; mov %eax, 0x4020 */
	w->answer = switch_view;
	other_view = 0;
	for (unsigned i = 0; i < 4; i++) {
		then = i % 2 ? TAP_RETRY : TAP_GO_ON;
		memset(w->world.ram + DATA, 0x11, PAGE_SIZE);
		assert_int_equal(again(w, view), 1);
		assert_int_equal(word_at(w, DATA + 0x10), 0);
		assert_int_equal(word_at(w, DATA + 0x20), 0);
		assert_int_equal(vcpu_view(w->world.v), 0);
	}
}

static void test_switch_asked(void **state)
{
	both(switch_asked);
}

/* From the next instruction on: its data, what it is, and whether it may be executed. */
static void switch_at_cpuid(struct watcher *w)
{
	static const u8 there[] = {0x8b, 0x3c, 0x25, 0x00, 0x40, 0, 0, 0xf4}; /* to %edi */
	unsigned view = new_view(w);

	WATCHER_CODE(w, 0x8b, 0x34, 0x25, 0x00, 0x40, 0, 0, /* mov 0x4000, %esi */
		0x31, 0xc0, 0x0f, 0xa2,                     /* xor %eax, %eax; cpuid */
		0x8b, 0x2c, 0x25, 0x00, 0x40, 0, 0, 0xf4);  /* mov 0x4000, %ebp; hlt */
	memcpy(w->world.ram + OTHER2 + 11, there, sizeof(there));
	lead(w, view, DATA, DATA2);
	lead(w, view, CODE, OTHER2);
	other_view = view;
	then = TAP_GO_ON;
	vcpu_tap_events(w->world.v, BIT(TAP_CPUID));
	w->answer = NULL;
	for (unsigned i = 0; i < 3; i++) {
		w->answer = NULL;
		assert_int_equal(again(w, 0), 1);
		assert_int_equal(gpr_of(w->world.v, RBP), 0x11111111);
		w->answer = switch_view;
		assert_int_equal(again(w, 0), 1);
		assert_int_equal(gpr_of(w->world.v, RSI), 0x11111111);
		assert_int_equal(gpr_of(w->world.v, RDI), 0x22222222);
		assert_int_equal(gpr_of(w->world.v, RBP), 0);
	}
	deny(w, view, CODE, BIT(TAP_FETCH));
	vcpu_tap_events(w->world.v, BIT(TAP_CPUID) | BIT(TAP_PAGE));
	assert_int_equal(again(w, 0), 3);
	assert_int_equal(w->seen[1].s.rip, CODE + 11);
	assert_int_equal(w->seen[1].e.page.access, TAP_FETCH);
}

static void test_switch_at_cpuid(void **state)
{
	both(switch_at_cpuid);
}

/* Each instruction in the view that was chosen between it and the one before. */
static enum tap_verdict alternate(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	assert_int_equal(e->kind, TAP_STEP);
	assert_int_equal(vcpu_set_view(v, w->count % 2 ? other_view : 0), 0);
	return TAP_GO_ON;
}

static void switch_stepping(struct watcher *w)
{
	unsigned view = new_view(w);

	lead(w, view, DATA, DATA2);
	other_view = view;
	w->answer = alternate;
	WATCHER_CODE(w, 0x90, 0x8b, 0x04, 0x25, 0x00, 0x40, 0, 0, /* nop; mov 0x4000, %eax */
		0x8b, 0x1c, 0x25, 0x00, 0x40, 0, 0,               /* to %ebx */
		0x8b, 0x34, 0x25, 0x00, 0x40, 0, 0, 0xf4);        /* to %esi; hlt */
	for (unsigned i = 0; i < 3; i++) {
		vcpu_tap_events(w->world.v, 0);
		vcpu_tap_events(w->world.v, BIT(TAP_STEP));
		assert_int_equal(again(w, 0), 4);
		assert_int_equal(eax(w), 0x22222222);
		assert_int_equal(gpr_of(w->world.v, RBX), 0x11111111);
		assert_int_equal(gpr_of(w->world.v, RSI), 0x22222222);
	}
}

static void test_switch_stepping(void **state)
{
	both(switch_stepping);
}

/* One that a device has answered is finished where it began; and it may be gone by then. */
static void switch_answered(struct watcher *w)
{
	unsigned view = new_view(w), short_lived = new_view(w);
	struct exit *x = vcpu_exit(w->world.v);

	lead(w, view, CODE, OTHER2);
	lead(w, short_lived, DATA, DATA2);
	WATCHER_CODE(w, 0xe4, 0x60, 0x8b, 0x1c, 0x25, 0, 0x40, 0, 0,
		0xf4); /* in $0x60, %al; mov 0x4000, %ebx; hlt */
	memset(w->world.ram + OTHER2, 0xf4, 32);
	for (unsigned i = 0; i < 3; i++) {
		enter(w, short_lived);
		watcher_start(w);
		assert_int_equal(vcpu_run(w->world.v, 0), 0);
		assert_int_equal(x->reason, EXIT_IO_IN);
		x->io.data[0] = 0x77;
		enter(w, view);
		if (i == 2)
			assert_int_equal(machine_destroy_view(w->world.m, short_lived), 0);
		watcher_run(w);
		/* i == 2: in the new view it is another instruction. */
		assert_int_equal(rip_of(w->world.v), i == 2 ? CODE + 1 : CODE + 3);
		assert_int_equal(eax(w), i == 2 ? 0 : 0x77);
	}
}

static void test_switch_answered(void **state)
{
	both(switch_answered);
}

/* The exception is delivered where it was asked about, and its handler begins in the new view. */
static void switch_at_exception(struct watcher *w)
{
	unsigned view = new_view(w);

	memset(w->world.ram + OTHER2, 0x90, 8);
	memcpy(w->world.ram + OTHER2, "\xff\xc3\xf4", 3); /* inc %ebx; hlt */
	memcpy(w->world.ram + HANDLER, "\x90\xf4", 2);
	lead(w, view, HANDLER, OTHER2);
	lead(w, view, IDT, 0x300000);
	other_view = view;
	then = TAP_GO_ON;
	w->answer = switch_view;
	vcpu_tap_events(w->world.v, BIT(TAP_EXCEPTION));
	WATCHER_CODE(w, 0x0f, 0x0b);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(again(w, 0), 1);
		assert_int_equal(gpr_of(w->world.v, RBX), 1);
		assert_int_equal(rip_of(w->world.v), HANDLER + 3);
	}
}

static void test_switch_at_exception(void **state)
{
	both(switch_at_exception);
}

/* ---- a life ---- */

static void test_life(void **state)
{
	struct machine *m;
	struct watcher w;
	unsigned view, n;
	u32 rights;

	begin(&w, false);
	m = w.world.m;
	assert_int_equal(vcpu_set_view(w.world.v, 1), -ENOENT);
	assert_int_equal(vcpu_set_view(w.world.v, VIEWS_MAX), -ENOENT);
	assert_int_equal(machine_destroy_view(m, 0), -EINVAL);
	assert_int_equal(machine_destroy_view(m, 1), -ENOENT);
	assert_int_equal(machine_destroy_view(m, ~0u), -ENOENT);
	assert_int_equal(machine_view_remap(m, 1, 1, 2), -ENOENT);
	assert_int_equal(machine_view_remap(m, 0, BIT64(40), 2), -EINVAL);
	assert_int_equal(machine_view_remap(m, 0, 2, BIT64(40)), -EINVAL);
	assert_int_equal(machine_page_rights(m, 1, 0, &rights), -ENOENT);
	assert_int_equal(machine_set_page_rights(m, 1, &(struct page_rights){0, 1}, 1), -ENOENT);
	for (n = 1; n < VIEWS_MAX; n++) {
		assert_int_equal(machine_create_view(m, &view), 0);
		assert_int_equal(view, n);
	}
	view = 12345;
	assert_int_equal(machine_create_view(m, &view), -ENOSPC);
	assert_int_equal(view, 12345);
	enter(&w, 77);
	assert_int_equal(machine_destroy_view(m, 77), -EBUSY);
	enter(&w, 78);
	assert_int_equal(machine_destroy_view(m, 77), 0);
	assert_int_equal(vcpu_set_view(w.world.v, 77), -ENOENT);
	assert_int_equal(vcpu_view(w.world.v), 78);
	/* It comes back as new. */
	deny(&w, 79, DATA, BIT(TAP_READ));
	lead(&w, 79, DATA, DATA2);
	assert_int_equal(machine_destroy_view(m, 79), 0);
	assert_int_equal(machine_create_view(m, &view), 0);
	assert_int_equal(machine_create_view(m, &view), 0);
	assert_int_equal(view, 79);
	WATCHER_CODE(&w, 0x8b, 0x04, 0x25, 0x00, 0x40, 0, 0, 0xf4);
	assert_int_equal(again(&w, 79), 0);
	assert_int_equal(eax(&w), 0x11111111);
	/* All goes with the subscriber; view 0's remaps, too. */
	lead(&w, 79, DATA, DATA2);
	lead(&w, 0, DATA, DATA2);
	assert_int_equal(result_in(&w, 0), 0x22222222);
	enter(&w, 79);
	machine_set_tap(m, NULL, NULL);
	assert_int_equal(vcpu_view(w.world.v), 0);
	assert_int_equal(vcpu_set_view(w.world.v, 79), -ENOENT);
	assert_int_equal(result_in(&w, 0), 0x11111111);
	watcher_close(&w);
}

/* A vcpu that is made when view 0 denies something. */
static void test_new_vcpu(void **state)
{
	struct vcpu_state s;
	struct watcher w;
	struct vcpu *v, *first;

	begin(&w, false);
	deny(&w, 0, DATA, BIT(TAP_READ));
	WATCHER_CODE(&w, 0x8b, 0x04, 0x25, 0x00, 0x40, 0, 0, 0xf4);
	v = world_add_vcpu(&w.world);
	vcpu_tap_events(v, BIT(TAP_PAGE));
	vcpu_get(w.world.v, ~0u, &s);
	assert_int_equal(vcpu_set(v, ST_REGS | ST_SREGS, &s), 0);
	first = w.world.v;
	run_to(v, EXIT_HLT);
	assert_int_equal(w.count, 1);
	assert_int_equal(vcpu_view(v), 0);
	assert_ptr_equal(first, w.world.v);
	watcher_close(&w);
}

/* ---- at random, against a model ---- */

#define PAGES   8u
#define PAGE_AT 0x18000u
#define RESULTS 0x6000u
#define VIEWS   5u

struct model {
	unsigned view[VIEWS]; /* the numbers */
	u8 to[VIEWS][PAGES];
	bool denied[VIEWS][PAGES];
	u32 tag[PAGES];
};

static u32 dice;

static unsigned roll(unsigned n)
{
	dice = dice * 1664525 + 1013904223;
	return (dice >> 12) % n;
}

/* mov page, %eax; mov %eax, result; incl page + 4 */
static void put_reader(struct watcher *w)
{
	u8 code[PAGES * 21 + 1], *p = code;

	for (u32 i = 0; i < PAGES; i++) {
		u32 at = PAGE_AT + i * PAGE_SIZE, result = RESULTS + i * 4, count = at + 4;

		memcpy(p, "\x8b\x04\x25", 3);
		memcpy(p + 3, &at, 4);
		memcpy(p + 7, "\x89\x04\x25", 3);
		memcpy(p + 10, &result, 4);
		memcpy(p + 14, "\xff\x04\x25", 3);
		memcpy(p + 17, &count, 4);
		p += 21;
	}
	*p = 0xf4;
	watcher_code(w, CODE, code, sizeof(code));
}

static void change(struct watcher *w, struct model *m)
{
	unsigned v = roll(VIEWS), i = roll(PAGES);

	if (roll(2)) {
		m->to[v][i] = (u8)roll(PAGES);
		lead(w, m->view[v], PAGE_AT + i * PAGE_SIZE, PAGE_AT + m->to[v][i] * PAGE_SIZE);
	} else {
		m->denied[v][i] = roll(2);
		deny(w, m->view[v], PAGE_AT + i * PAGE_SIZE, m->denied[v][i] ? BIT(TAP_READ) : 0);
	}
}

static void look(struct watcher *w, const struct model *m, u32 count[PAGES])
{
	unsigned v = roll(VIEWS), asked = 0;

	again(w, m->view[v]);
	for (unsigned i = 0; i < PAGES; i++) {
		unsigned to = m->to[v][i];

		count[to]++;
		asked += m->denied[v][i] * 2; /* by the load, and by what reads before it writes */
		assert_int_equal(word_at(w, RESULTS + i * 4), to + 1);
	}
	assert_int_equal(w->count, asked);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(word_at(w, PAGE_AT + i * PAGE_SIZE + 4), count[i]);
}

static void at_random(struct watcher *w)
{
	struct model m = {0};
	u32 count[PAGES] = {0};

	dice = 1;
	put_reader(w);
	for (u32 i = 0; i < PAGES; i++) {
		const u32 words[2] = {i + 1, 0};

		memcpy(w->world.ram + PAGE_AT + i * PAGE_SIZE, words, 8);
	}
	for (unsigned v = 0; v < VIEWS; v++) {
		m.view[v] = v ? new_view(w) : 0;
		for (u8 i = 0; i < PAGES; i++)
			m.to[v][i] = i;
	}
	for (unsigned n = 0; n < 400; n++) {
		change(w, &m);
		look(w, &m, count);
	}
}

static void test_at_random(void **state)
{
	both(at_random);
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
		cmocka_unit_test(test_switch_asked),
		cmocka_unit_test(test_switch_at_cpuid),
		cmocka_unit_test(test_switch_stepping),
		cmocka_unit_test(test_switch_answered),
		cmocka_unit_test(test_switch_at_exception),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_new_vcpu),
		cmocka_unit_test(test_at_random),
	};

	return cmocka_run_group_tests_name("tap views", tests, NULL, NULL);
}
