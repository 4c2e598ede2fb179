/* SPDX-License-Identifier: MIT */
#include "watcher.h"

#include <errno.h>

#include "engine/core/vcpu.h"
#include "engine/exit.h"

/* The bytes between fields are whatever they are. */
static void clear_padding(struct vcpu_state *s)
{
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		const struct segment o = s->seg[i];
		struct segment *d = memset(&s->seg[i], 0, sizeof(*d));

		d->base = o.base;
		d->limit = o.limit;
		d->attr = o.attr;
		d->selector = o.selector;
	}
}

/* The same for what was asked: d is zero. */
static void copy_event(struct tap_event *d, const struct tap_event *e)
{
	d->kind = e->kind;
	d->insn_len = e->insn_len;
	switch (e->kind) {
	case TAP_CR:
	case TAP_XCR0:
		d->cr.cr = e->cr.cr;
		d->cr.old = e->cr.old;
		d->cr.value = e->cr.value;
		break;
	case TAP_MSR_READ:
	case TAP_MSR_WRITE:
		d->msr.index = e->msr.index;
		d->msr.value = e->msr.value;
		break;
	case TAP_TABLE:
		d->table.table = e->table.table;
		d->table.store = e->table.store;
		break;
	case TAP_EXCEPTION:
		d->exception.vector = e->exception.vector;
		d->exception.has_error = e->exception.has_error;
		d->exception.injected = e->exception.injected;
		d->exception.error = e->exception.error;
		d->exception.payload = e->exception.payload;
		break;
	case TAP_SOFT_INT:
		d->soft_int.vector = e->soft_int.vector;
		d->soft_int.insn = e->soft_int.insn;
		break;
	case TAP_CPUID:
		d->cpuid.leaf = e->cpuid.leaf;
		d->cpuid.index = e->cpuid.index;
		break;
	case TAP_STEP: d->step.unfinished = e->step.unfinished; break;
	case TAP_PAGE:
		d->page.gpa = e->page.gpa;
		d->page.gva = e->page.gva;
		d->page.access = e->page.access;
		break;
	default: break;
	}
}

static enum tap_verdict event(void *opaque, struct vcpu *v, struct tap_event *e)
{
	struct watcher *w = opaque;

	if (e->kind == TAP_BIRTH || e->kind == TAP_END)
		return TAP_GO_ON;
	assert_true(w->count < SEEN_MAX);
	memset(&w->seen[w->count], 0, sizeof(w->seen[0]));
	copy_event(&w->seen[w->count].e, e);
	vcpu_get(v, ST_REGS | ST_SREGS | ST_XSAVE | ST_XCR | ST_DEBUG, &w->seen[w->count].s);
	clear_padding(&w->seen[w->count].s);
	w->seen[w->count++].byte = w->world.ram[DATA];
	return w->answer ? w->answer(w, v, e) : TAP_GO_ON;
}

static const struct tap ops = {.event = event};

static void put64(struct watcher *w, u32 at, u64 v)
{
	memcpy(w->world.ram + at, &v, 8);
}

static void make_tables(struct watcher *w)
{
	put64(w, PML4, PDPT | 7);
	put64(w, PDPT, PD | 7);
	put64(w, PDPT + 8, PD2 | 7);
	put64(w, PD, PT | 7);
	put64(w, PD2, PT2 | 7);
	for (u32 i = 0; i < RAM_BYTES >> 12; i++)
		put64(w, PT + i * 8, (u64)i << 12 | 0x67);
	put64(w, PT2, DATA | 7); /* not accessed yet */
	put64(w, GDT + 8, 0x00af9b000000ffff);
	put64(w, GDT + 16, 0x00cf93000000ffff);
	put64(w, GDT + 24, TSS << 16 | 0x67 | 0x89ull << 40);
	put64(w, GDT + 32, 0);
	put64(w, GDT + 40, (u64)TSS << 16 | 0x67 | 0x82ull << 40); /* an LDT */
	for (u32 i = 0; i < 256; i++) {
		put64(w, IDT + i * 16, HANDLER | 8 << 16 | 0x8eull << 40);
		put64(w, IDT + i * 16 + 8, 0);
	}
	w->world.ram[HANDLER] = 0xf4;
}

void watcher_start(struct watcher *w)
{
	struct vcpu_state s;

	vcpu_get(w->world.v, ST_REGS | ST_SREGS | ST_EVENT | ST_DEBUG, &s);
	memset(s.gpr, 0, sizeof(s.gpr));
	memset(&s.events, 0, sizeof(s.events));
	s.gpr[RSP] = STACK;
	s.rip = CODE;
	s.rflags = FL_FIXED;
	s.cr0 = CR0_PE | CR0_MP | CR0_PG | CR0_ET | CR0_NE | CR0_WP;
	s.cr2 = s.cr8 = 0;
	s.cr3 = PML4;
	s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXSAVE;
	s.efer = EFER_LME | EFER_LMA | EFER_NX;
	s.seg[SEG_CS] = (struct segment){.selector = 8, .limit = ~0u, .attr = 0xa09b};
	s.seg[SEG_SS] = (struct segment){.selector = 16, .limit = ~0u, .attr = 0xc093};
	s.seg[SEG_DS] = s.seg[SEG_ES] = s.seg[SEG_SS];
	s.seg[SEG_LDTR] = (struct segment){.attr = SEG_UNUSABLE};
	s.seg[SEG_TR] = (struct segment){.limit = 0x67, .attr = 0x8b};
	s.dr[6] = DR6_FIXED;
	s.xcr0 = 1;
	s.gdt = (struct dtable){.base = GDT, .limit = 0x7f};
	s.idt = (struct dtable){.base = IDT, .limit = 0xfff};
	assert_int_equal(
		vcpu_set(w->world.v, ST_REGS | ST_SREGS | ST_EVENT | ST_DEBUG | ST_XCR, &s), 0);
	w->count = 0;
}

void watcher_open_with(struct watcher *w, enum irqchip_mode mode)
{
	memset(w, 0, sizeof(*w));
	world_open(&w->world, mode);
	world_give_cpuid(w->world.v);
	make_tables(w);
	watcher_start(w);
	assert_int_equal(machine_set_tap(w->world.m, &ops, w), 0);
}

void watcher_open(struct watcher *w, bool step)
{
	watcher_open_with(w, IRQCHIP_NONE);
	w->world.v->cpu.step_only = step;
}

void watcher_close(struct watcher *w)
{
	machine_set_tap(w->world.m, NULL, NULL);
	world_close(&w->world);
}

void watcher_code(struct watcher *w, u32 at, const u8 *code, size_t len)
{
	assert_int_equal(machine_write(w->world.m, at, code, len), 0);
	watcher_start(w);
}

void watcher_set_gpr(struct watcher *w, unsigned reg, u64 value)
{
	struct vcpu_state s;

	vcpu_get(w->world.v, ST_REGS, &s);
	s.gpr[reg] = value;
	assert_int_equal(vcpu_set(w->world.v, ST_REGS, &s), 0);
}

void watcher_run(struct watcher *w)
{
	run_to(w->world.v, EXIT_HLT);
}

void watcher_compare(const struct watcher *a, const struct watcher *b)
{
	assert_int_equal(a->count, b->count);
	for (unsigned i = 0; i < a->count; i++) {
		assert_memory_equal(&a->seen[i].e, &b->seen[i].e, sizeof(a->seen[i].e));
		assert_memory_equal(&a->seen[i].s, &b->seen[i].s, sizeof(a->seen[i].s));
		assert_int_equal(a->seen[i].byte, b->seen[i].byte);
	}
}

/* ---- one guest, two executors ---- */

static void run_one(struct watcher *w, bool step, u32 events, void (*prepare)(struct watcher *w))
{
	watcher_open(w, step);
	for (unsigned cr = 0; cr < 9; cr++)
		assert_int_equal(vcpu_tap_cr(w->world.v, cr, true),
			cr == 0 || cr == 3 || cr == 4 || cr == 8 ? 0 : -EINVAL);
	assert_int_equal(vcpu_tap_events(w->world.v, events), 0);
	prepare(w);
	watcher_run(w);
	if (!step) { /* again: with what has been translated and filled */
		w->count = 0;
		prepare(w);
		watcher_run(w);
	}
}

void watcher_both(u32 events, void (*prepare)(struct watcher *w), void (*check)(struct watcher *w))
{
	static struct watcher a, b;

	run_one(&a, true, events, prepare);
	run_one(&b, false, events, prepare);
	watcher_compare(&a, &b);
	check(&a);
	watcher_close(&a);
	watcher_close(&b);
}

void watcher_expect(const struct seen *s, enum tap_kind kind, u64 rip)
{
	assert_int_equal(s->e.kind, kind);
	assert_int_equal(s->s.rip, rip);
}

/* What the handler finds: error code, rip, ... */
u64 watcher_frame(struct watcher *w, unsigned n)
{
	u64 v;

	memcpy(&v, w->world.ram + gpr_of(w->world.v, RSP) + n * 8, 8);
	return v;
}
