/* SPDX-License-Identifier: MIT */
/* Every kind of event but those of pages, by step and by translation, and every answer. */
#include "watcher.h"

#include <errno.h>

#include "engine/exit.h"

/* ---- one guest, two executors ---- */

typedef void (*prepare_fn)(struct watcher *w);

static void run_one(struct watcher *w, bool step, u32 events, prepare_fn prepare)
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

static void both(u32 events, prepare_fn prepare, void (*check)(struct watcher *w))
{
	static struct watcher a, b;

	run_one(&a, true, events, prepare);
	run_one(&b, false, events, prepare);
	watcher_compare(&a, &b);
	check(&a);
	watcher_close(&a);
	watcher_close(&b);
}

static void expect(const struct seen *s, enum tap_kind kind, u64 rip)
{
	assert_int_equal(s->e.kind, kind);
	assert_int_equal(s->s.rip, rip);
}

/* ---- control registers ---- */

static void prepare_cr(struct watcher *w)
{
	WATCHER_CODE(w, 0xb8, 0x08, 0, 1, 0, /* mov $0x10008, %eax */
		0x0f, 0x22, 0xd8,            /* mov %rax, %cr3 */
		0x0f, 0x20, 0xe0,            /* mov %cr4, %rax */
		0x0f, 0xba, 0xe8, 0x02,      /* bts $2, %eax (TSD) */
		0x0f, 0x22, 0xe0,            /* mov %rax, %cr4 */
		0x0f, 0x20, 0xc0,            /* mov %cr0, %rax */
		0x0f, 0xba, 0xe8, 0x03,      /* bts $3, %eax (TS) */
		0x0f, 0x22, 0xc0,            /* mov %rax, %cr0 */
		0x0f, 0x06,                  /* clts */
		0xb8, 0x05, 0, 0, 0,         /* mov $5, %eax */
		0x44, 0x0f, 0x22, 0xc0,      /* mov %rax, %cr8 */
		0x0f, 0x22, 0xd0,            /* mov %rax, %cr2: not asked */
		0xf4);
}

static void check_cr(struct watcher *w)
{
	static const struct {
		u8 cr;
		u16 at;
	} want[] = {{3, 5}, {4, 15}, {0, 25}, {0, 28}, {8, 35}};

	assert_int_equal(w->count, ARRAY_SIZE(want));
	for (unsigned i = 0; i < w->count; i++) {
		expect(&w->seen[i], TAP_CR, CODE + want[i].at);
		assert_int_equal(w->seen[i].e.cr.cr, want[i].cr);
	}
	assert_int_equal(w->seen[0].e.cr.old, PML4);
	assert_int_equal(w->seen[0].e.cr.value, PML4 | 8);
	assert_int_equal(w->seen[0].s.cr3, PML4);
	assert_int_equal(w->seen[0].e.insn_len, 3);
	assert_int_equal(w->seen[1].e.cr.value ^ w->seen[1].e.cr.old, CR4_TSD);
	assert_int_equal(w->seen[2].e.cr.value ^ w->seen[2].e.cr.old, CR0_TS);
	assert_int_equal(w->seen[3].e.cr.old ^ w->seen[3].e.cr.value, CR0_TS);
	assert_int_equal(w->seen[4].e.cr.value, 5);
}

static void test_cr(void **state)
{
	both(BIT(TAP_CR), prepare_cr, check_cr);
}

/* ---- answers, on a CR3 write ---- */

static enum tap_verdict change_cr(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	e->cr.value = PML4 | 0x10;
	return TAP_GO_ON;
}

static enum tap_verdict change_cr_wrong(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	if (e->kind == TAP_CR)
		e->cr.value = BIT64(63);
	return TAP_GO_ON;
}

static enum tap_verdict skip_it(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	return TAP_SKIP;
}

static enum tap_verdict refuse_it(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	return e->kind == TAP_CR ? TAP_REFUSE : TAP_GO_ON;
}

/* The guest would write it again: with another value. */
static enum tap_verdict retry(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	if (w->count > 1)
		return TAP_GO_ON;
	watcher_set_gpr(w, RAX, PML4 | 0x18);
	return TAP_RETRY;
}

static enum tap_verdict move_away(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	struct vcpu_state s;

	vcpu_get(v, ST_REGS, &s);
	s.rip += 3;
	assert_int_equal(vcpu_set(v, ST_REGS, &s), 0);
	return TAP_GO_ON;
}

static u64 cr3_of(struct watcher *w)
{
	struct vcpu_state s;

	vcpu_get(w->world.v, ST_SREGS, &s);
	return s.cr3;
}

typedef enum tap_verdict (*answer_fn)(struct watcher *w, struct vcpu *v, struct tap_event *e);

static void cr3_answered(struct watcher *w, answer_fn answer, unsigned asked, u64 cr3, u64 rip)
{
	static const u8 code[] = {0xb8, 0x08, 0, 1, 0, 0x0f, 0x22, 0xd8, 0xf4};

	watcher_code(w, CODE, code, sizeof(code));
	w->answer = answer;
	assert_int_equal(vcpu_tap_events(w->world.v, BIT(TAP_CR) | BIT(TAP_EXCEPTION)), 0);
	watcher_run(w);
	assert_int_equal(w->count, asked);
	assert_int_equal(cr3_of(w), cr3);
	assert_int_equal(rip_of(w->world.v), rip);
}

static void answers(bool step)
{
	struct watcher w;
	struct vcpu_state s;

	watcher_open(&w, step);
	vcpu_tap_cr(w.world.v, 3, true);
	cr3_answered(&w, NULL, 1, PML4 | 8, CODE + 9);
	cr3_answered(&w, change_cr, 1, PML4 | 0x10, CODE + 9);
	cr3_answered(&w, skip_it, 1, PML4, CODE + 9);
	cr3_answered(&w, move_away, 1, PML4, CODE + 9);
	cr3_answered(&w, refuse_it, 2, PML4, HANDLER + 1);
	cr3_answered(&w, change_cr_wrong, 2, PML4, HANDLER + 1);
	assert_int_equal(w.seen[1].e.exception.vector, X86_GP);
	expect(&w.seen[1], TAP_EXCEPTION, CODE + 5);
	cr3_answered(&w, retry, 2, PML4 | 0x18, CODE + 9);
	assert_int_equal(w.seen[1].e.cr.value, PML4 | 0x18);
	vcpu_get(w.world.v, ST_REGS, &s);
	watcher_close(&w);
}

static void test_answers(void **state)
{
	answers(true);
	answers(false);
}

static enum tap_verdict stop(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	return w->count < 3 ? TAP_STOP : TAP_GO_ON;
}

static void stops(bool step)
{
	struct watcher w;

	watcher_open(&w, step);
	vcpu_tap_cr(w.world.v, 3, true);
	vcpu_tap_events(w.world.v, BIT(TAP_CR));
	w.answer = stop;
	WATCHER_CODE(&w, 0xb8, 0x08, 0, 1, 0, 0x0f, 0x22, 0xd8, 0xf4);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(vcpu_run(w.world.v, 0), 0);
		assert_int_equal(vcpu_exit(w.world.v)->reason, EXIT_TAP);
		assert_int_equal(vcpu_tap_event(w.world.v)->kind, TAP_CR);
		assert_int_equal(rip_of(w.world.v), CODE + 5);
		assert_int_equal(cr3_of(&w), PML4);
	}
	watcher_run(&w);
	assert_int_equal(w.count, 3);
	assert_int_equal(cr3_of(&w), PML4 | 8);
	watcher_close(&w);
}

static void test_stop(void **state)
{
	stops(true);
	stops(false);
}

/* Nobody is asked who has not asked for it. */
static void test_selection(void **state)
{
	struct watcher w;

	watcher_open(&w, false);
	prepare_cr(&w);
	watcher_run(&w);
	assert_int_equal(w.count, 0);
	vcpu_tap_events(w.world.v, BIT(TAP_CR));
	vcpu_tap_cr(w.world.v, 4, true);
	prepare_cr(&w);
	watcher_run(&w);
	assert_int_equal(w.count, 1);
	vcpu_tap_cr(w.world.v, 4, false);
	prepare_cr(&w);
	watcher_run(&w);
	assert_int_equal(w.count, 0);
	assert_int_equal(vcpu_tap_events(w.world.v, BIT(TAP_PAUSE)), -EINVAL);
	assert_int_equal(vcpu_tap_events(w.world.v, BIT(TAP_KINDS)), -EINVAL);
	assert_int_equal(vcpu_tap_msr(w.world.v, 0x12345, true, true), -EINVAL);
	watcher_close(&w);
}

/* ---- XCR0, MSRs, descriptor table registers, CPUID, hypercalls ---- */

static void prepare_registers(struct watcher *w)
{
	WATCHER_CODE(w, 0x31, 0xc9, 0x31, 0xd2,     /* xor %ecx, %ecx; xor %edx, %edx */
		0xb8, 3, 0, 0, 0, 0x0f, 0x01, 0xd1, /* mov $3, %eax; xsetbv */
		0xb9, 0x02, 0x01, 0, 0xc0,          /* mov $0xc0000102, %ecx */
		0x0f, 0x30, 0x0f, 0x32,             /* wrmsr; rdmsr */
		0xb9, 0x10, 0, 0, 0, 0x0f,
		0x30,                   /* mov $0x10, %ecx; wrmsr: the TSC, by outer code */
		0x31, 0xc0, 0x0f, 0xa2, /* xor %eax, %eax; cpuid */
		0xb8, 0x34, 0x12, 0, 0, 0x0f, 0x01, 0xc1, /* mov $0x1234, %eax; vmcall */
		0xf4);
	vcpu_tap_msr(w->world.v, 0xc0000102, false, true);
	vcpu_tap_msr(w->world.v, 0xc0000102, true, true);
	vcpu_tap_msr(w->world.v, 0x10, true, true);
}

static void check_registers(struct watcher *w)
{
	assert_int_equal(w->count, 6);
	expect(&w->seen[0], TAP_XCR0, CODE + 9);
	assert_int_equal(w->seen[0].e.xcr.old, w->seen[0].s.xcr0);
	assert_int_equal(w->seen[0].e.xcr.value, 3);
	expect(&w->seen[1], TAP_MSR_WRITE, CODE + 17);
	assert_int_equal(w->seen[1].e.msr.index, 0xc0000102);
	assert_int_equal(w->seen[1].e.msr.value, 3);
	expect(&w->seen[2], TAP_MSR_READ, CODE + 19);
	assert_int_equal(w->seen[2].e.msr.value, 3);
	expect(&w->seen[3], TAP_MSR_WRITE, CODE + 26);
	assert_int_equal(w->seen[3].e.msr.index, 0x10);
	expect(&w->seen[4], TAP_CPUID, CODE + 30);
	assert_int_equal(w->seen[4].e.cpuid.leaf, 0);
	assert_int_equal(w->seen[4].e.insn_len, 2);
	expect(&w->seen[5], TAP_HYPERCALL, CODE + 37);
	assert_int_equal(w->seen[5].s.gpr[RAX], 0x1234);
	assert_int_equal(gpr_of(w->world.v, RAX), (u64)-1000);
}

static void test_registers(void **state)
{
	both(BIT(TAP_XCR0) | BIT(TAP_MSR_READ) | BIT(TAP_MSR_WRITE) | BIT(TAP_CPUID) |
			BIT(TAP_HYPERCALL),
		prepare_registers, check_registers);
}

static enum tap_verdict change_registers(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	switch (e->kind) {
	case TAP_XCR0: e->xcr.value = 1; return TAP_GO_ON;
	case TAP_MSR_WRITE:
		e->msr.value = 0x7000;
		return e->msr.index == 0x10 ? TAP_SKIP : TAP_GO_ON;
	case TAP_MSR_READ:
		assert_int_equal(e->msr.value, 0x7000);
		e->msr.value = 0x1234500000000ull;
		return TAP_GO_ON;
	case TAP_CPUID: watcher_set_gpr(w, RBX, 0x55); return TAP_SKIP;
	default: watcher_set_gpr(w, RAX, 0x66); return TAP_SKIP;
	}
}

static void test_change_registers(void **state)
{
	struct vcpu_state s;
	struct watcher w;

	for (unsigned step = 0; step < 2; step++) {
		watcher_open(&w, step);
		w.answer = change_registers;
		vcpu_tap_events(w.world.v, BIT(TAP_XCR0) | BIT(TAP_MSR_READ) | BIT(TAP_MSR_WRITE) |
						   BIT(TAP_CPUID) | BIT(TAP_HYPERCALL));
		prepare_registers(&w);
		watcher_run(&w);
		assert_int_equal(w.count, 6);
		vcpu_get(w.world.v, ST_REGS | ST_XCR, &s);
		assert_int_equal(s.xcr0, 1);
		assert_int_equal(s.gpr[RDX], 0x12345);
		assert_int_equal(s.gpr[RBX], 0x55);
		assert_int_equal(s.gpr[RAX], 0x66);
		watcher_close(&w);
	}
}

/* At CPL 3, to which all pages are open; HLT raises #GP there, whose handler halts at CPL 0. */
static void enter_user(struct watcher *w)
{
	struct vcpu_state s;

	memcpy(w->world.ram + TSS + 4, &(u64){STACK - 0x1000}, 8);
	vcpu_get(w->world.v, ST_SREGS, &s);
	s.seg[SEG_CS] = (struct segment){.selector = 0x2b, .limit = ~0u, .attr = 0xa0fb};
	s.seg[SEG_SS] = (struct segment){.selector = 0x33, .limit = ~0u, .attr = 0xc0f3};
	s.seg[SEG_TR].base = TSS;
	assert_int_equal(vcpu_set(w->world.v, ST_SREGS, &s), 0);
}

static void hypercall_gives(struct watcher *w, u32 nr, bool user, u64 result)
{
	WATCHER_CODE(w, 0x0f, 0x01, 0xc1, 0xf4); /* vmcall; hlt */
	watcher_set_gpr(w, RAX, nr);
	if (user)
		enter_user(w);
	watcher_run(w);
	assert_int_equal(gpr_of(w->world.v, RAX), result);
	assert_int_equal(rip_of(w->world.v), user ? HANDLER + 1 : CODE + 4);
}

/* The call that is meant for the subscriber, without one, and with one. */
static void test_subscribers_hypercall(void **state)
{
	struct watcher w;

	for (unsigned step = 0; step < 2; step++) {
		watcher_open(&w, step);
		machine_set_tap(w.world.m, NULL, NULL);
		for (unsigned user = 0; user < 2; user++) {
			hypercall_gives(&w, 34, user, (u64)-1000);
			hypercall_gives(&w, 33, user, user ? (u64)-1 : (u64)-1000);
		}
		watcher_close(&w);
		watcher_open(&w, step);
		w.answer = change_registers;
		vcpu_tap_events(w.world.v, BIT(TAP_HYPERCALL));
		hypercall_gives(&w, 34, true, 0x66);
		assert_int_equal(w.count, 1);
		watcher_close(&w);
	}
}

static void prepare_tables(struct watcher *w)
{
	static const struct __attribute__((packed)) {
		u16 limit;
		u64 base;
	} gdt = {0x7f, GDT}, idt = {0xfff, IDT};

	WATCHER_CODE(w, 0x0f, 0x01, 0x14, 0x25, 0x00, 0x40, 0, 0, /* lgdt 0x4000 */
		0x0f, 0x01, 0x1c, 0x25, 0x10, 0x40, 0, 0,         /* lidt 0x4010 */
		0xb8, 0x28, 0, 0, 0, 0x0f, 0x00, 0xd0,            /* mov $0x28, %eax; lldt */
		0xb8, 0x18, 0, 0, 0, 0x0f, 0x00, 0xd8,            /* mov $0x18, %eax; ltr */
		0x0f, 0x01, 0x04, 0x25, 0x20, 0x40, 0, 0,         /* sgdt 0x4020 */
		0x0f, 0x01, 0x0c, 0x25, 0x30, 0x40, 0, 0,         /* sidt 0x4030 */
		0x0f, 0x00, 0xc0, 0x0f, 0x00, 0xc8,               /* sldt; str */
		0xf4);
	machine_write(w->world.m, DATA, &gdt, 10);
	machine_write(w->world.m, DATA + 16, &idt, 10);
	w->world.ram[GDT + 24 + 5] = 0x89; /* the TSS is not busy */
}

static void check_tables(struct watcher *w)
{
	static const struct {
		u8 table;
		bool store;
		u8 at;
	} want[] = {{TAP_GDTR, false, 0}, {TAP_IDTR, false, 8}, {TAP_LDTR, false, 21},
		{TAP_TR, false, 29}, {TAP_GDTR, true, 32}, {TAP_IDTR, true, 40},
		{TAP_LDTR, true, 48}, {TAP_TR, true, 51}};

	assert_int_equal(w->count, ARRAY_SIZE(want));
	for (unsigned i = 0; i < w->count; i++) {
		expect(&w->seen[i], TAP_TABLE, CODE + want[i].at);
		assert_int_equal(w->seen[i].e.table.table, want[i].table);
		assert_int_equal(w->seen[i].e.table.store, want[i].store);
	}
	assert_int_equal(gpr_of(w->world.v, RAX), 0x18);
}

static void test_tables(void **state)
{
	both(BIT(TAP_TABLE), prepare_tables, check_tables);
}

/* ---- exceptions ---- */

/* #UD, whose gate is none: #GP, whose gate is none: #DF. */
static void prepare_chain(struct watcher *w)
{
	WATCHER_CODE(w, 0x43, 0x8d, 0x04, 0x00, 0x0f, 0x0b); /* lea (%r8,%r8), %eax; ud2 */
	w->world.ram[IDT + X86_UD * 16 + 5] = w->world.ram[IDT + X86_GP * 16 + 5] = 0;
}

static void check_chain(struct watcher *w)
{
	static const struct {
		u8 vector;
		bool has_error;
		u32 error;
	} want[] = {{X86_UD, false, 0}, {X86_GP, true, X86_UD * 8 + 3}, {X86_DF, true, 0}};

	assert_int_equal(w->count, ARRAY_SIZE(want));
	for (unsigned i = 0; i < w->count; i++) {
		expect(&w->seen[i], TAP_EXCEPTION, CODE + 4);
		assert_int_equal(w->seen[i].e.exception.vector, want[i].vector);
		assert_int_equal(w->seen[i].e.exception.has_error, want[i].has_error);
		assert_int_equal(w->seen[i].e.exception.error, want[i].error);
		assert_false(w->seen[i].e.exception.injected);
		assert_int_equal(w->seen[i].s.gpr[RSP], STACK);
	}
}

static void prepare_pf(struct watcher *w)
{
	WATCHER_CODE(w, 0xff, 0xc3, 0x88, 0x04, 0x25, 0, 0, 0x30, 0,
		0x9c); /* inc %ebx; mov %al, 0x300000; pushf */
}

static void check_pf(struct watcher *w)
{
	assert_int_equal(w->count, 1);
	expect(&w->seen[0], TAP_EXCEPTION, CODE + 2);
	assert_int_equal(w->seen[0].e.exception.vector, X86_PF);
	assert_int_equal(w->seen[0].e.exception.error, PF_W);
	assert_int_equal(w->seen[0].e.exception.payload, 0x300000);
	assert_int_equal(w->seen[0].s.cr2, 0);
	assert_int_equal(rip_of(w->world.v), HANDLER + 1);
}

static void test_exceptions(void **state)
{
	both(BIT(TAP_EXCEPTION), prepare_chain, check_chain);
	both(BIT(TAP_EXCEPTION), prepare_pf, check_pf);
}

static enum tap_verdict change_exception(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	e->exception.vector = X86_PF;
	e->exception.has_error = true;
	e->exception.error = 0x15;
	e->exception.payload = 0x1234567;
	return TAP_GO_ON;
}

static enum tap_verdict drop_exception(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	machine_write(w->world.m, CODE + 4, "\x90\x90\xf4", 3);
	return TAP_SKIP;
}

/* What the handler finds: error code, rip, ... */
static u64 frame_word(struct watcher *w, unsigned n)
{
	u64 v;

	memcpy(&v, w->world.ram + gpr_of(w->world.v, RSP) + n * 8, 8);
	return v;
}

static void test_change_exception(void **state)
{
	struct vcpu_state s;
	struct watcher w;

	for (unsigned step = 0; step < 2; step++) {
		watcher_open(&w, step);
		vcpu_tap_events(w.world.v, BIT(TAP_EXCEPTION));
		w.answer = change_exception;
		WATCHER_CODE(&w, 0x43, 0x8d, 0x04, 0x00, 0x0f, 0x0b);
		watcher_run(&w);
		assert_int_equal(w.count, 1);
		vcpu_get(w.world.v, ST_SREGS, &s);
		assert_int_equal(s.cr2, 0x1234567);
		assert_int_equal(frame_word(&w, 0), 0x15);
		assert_int_equal(frame_word(&w, 1), CODE + 4);
		w.answer = drop_exception;
		watcher_start(&w);
		watcher_run(&w);
		assert_int_equal(w.count, 1);
		assert_int_equal(rip_of(w.world.v), CODE + 7);
		/* The VMM's. */
		w.answer = NULL;
		watcher_start(&w);
		assert_int_equal(vcpu_inject_exception(w.world.v, X86_DB), 0);
		watcher_run(&w);
		assert_int_equal(w.count, 1);
		assert_true(w.seen[0].e.exception.injected);
		assert_int_equal(w.seen[0].e.exception.vector, X86_DB);
		watcher_close(&w);
	}
}

/* ---- software interrupts ---- */

static void prepare_soft(struct watcher *w)
{
	/* Handlers return; so does #BP's. */
	w->world.ram[HANDLER] = 0x48; /* iretq */
	w->world.ram[HANDLER + 1] = 0xcf;
	WATCHER_CODE(
		w, 0xcd, 0x21, 0xcc, 0x3e, 0xcc, 0xf1, 0xf4); /* int $0x21; int3 twice; icebp */
}

static void check_soft(struct watcher *w)
{
	static const struct {
		u8 vector, insn, at, len;
	} want[] = {{0x21, TAP_INT_N, 0, 2}, {X86_BP, TAP_INT3, 2, 1}, {X86_BP, TAP_INT3, 3, 2},
		{X86_DB, TAP_ICEBP, 5, 1}};

	assert_int_equal(w->count, ARRAY_SIZE(want));
	for (unsigned i = 0; i < w->count; i++) {
		expect(&w->seen[i], TAP_SOFT_INT, CODE + want[i].at);
		assert_int_equal(w->seen[i].e.soft_int.vector, want[i].vector);
		assert_int_equal(w->seen[i].e.soft_int.insn, want[i].insn);
		assert_int_equal(w->seen[i].e.insn_len, want[i].len);
		assert_int_equal(w->seen[i].s.gpr[RSP], STACK);
	}
}

static void test_soft(void **state)
{
	both(BIT(TAP_SOFT_INT) | BIT(TAP_EXCEPTION), prepare_soft, check_soft);
}

static enum tap_verdict change_soft(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	if (e->soft_int.insn == TAP_INT_N)
		return TAP_SKIP;
	e->soft_int.vector = X86_UD;
	return TAP_GO_ON;
}

static void test_change_soft(void **state)
{
	struct watcher w;

	for (unsigned step = 0; step < 2; step++) {
		watcher_open(&w, step);
		vcpu_tap_events(w.world.v, BIT(TAP_SOFT_INT));
		w.answer = change_soft;
		WATCHER_CODE(&w, 0xcd, 0x21, 0xcc);
		w.world.ram[IDT + X86_UD * 16] = 8; /* another handler: HANDLER + 8 */
		w.world.ram[HANDLER + 8] = 0xf4;
		watcher_run(&w);
		assert_int_equal(rip_of(w.world.v), HANDLER + 9);
		assert_int_equal(frame_word(&w, 0), CODE + 3);
		watcher_close(&w);
	}
}

/* INT n of real mode is translated, where nobody asks for it; INTO. */
static void prepare_real(struct watcher *w)
{
	static const u16 entry[2] = {HANDLER, 0};
	struct vcpu_state s;

	memcpy(w->world.ram + 0x21 * 4, entry, 4);
	memcpy(w->world.ram + X86_OF * 4, entry, 4);
	w->world.ram[HANDLER] = 0xcf;                       /* iret */
	WATCHER_CODE(w, 0xb9, 3, 0, 0xcd, 0x21, 0xe2, 0xfc, /* mov $3, %cx; int $0x21; loop */
		0xb0, 0x7f, 0x04, 0x01, 0xce, 0xf4);        /* mov $0x7f, %al; add $1, %al; into */
	vcpu_get(w->world.v, ST_SREGS, &s);
	s.cr0 = CR0_ET | CR0_NE;
	s.cr3 = s.cr4 = s.efer = 0;
	for (unsigned i = 0; i <= SEG_GS; i++)
		s.seg[i] = (struct segment){.limit = 0xffff, .attr = i == SEG_CS ? 0x9b : 0x93};
	s.idt = (struct dtable){.limit = 0xffff};
	assert_int_equal(vcpu_set(w->world.v, ST_SREGS, &s), 0);
}

static void check_real(struct watcher *w)
{
	assert_int_equal(w->count, 4);
	for (unsigned i = 0; i < 3; i++) {
		expect(&w->seen[i], TAP_SOFT_INT, CODE + 3);
		assert_int_equal(w->seen[i].s.gpr[RCX], 3 - i);
	}
	expect(&w->seen[3], TAP_SOFT_INT, CODE + 11);
	assert_int_equal(w->seen[3].e.soft_int.vector, X86_OF);
}

/* Switched on when the code has been translated. */
static void test_real(void **state)
{
	struct watcher w;

	both(BIT(TAP_SOFT_INT), prepare_real, check_real);
	watcher_open(&w, false);
	prepare_real(&w);
	watcher_run(&w);
	assert_int_equal(w.count, 0);
	prepare_real(&w);
	vcpu_tap_events(w.world.v, BIT(TAP_SOFT_INT));
	watcher_run(&w);
	check_real(&w);
	watcher_close(&w);
}

/* ---- single step ---- */

static void prepare_step(struct watcher *w)
{
	vcpu_tap_events(w->world.v, 0); /* so that the first instruction follows none */
	WATCHER_CODE(w, 0xbf, 0, 0x40, 0, 0, 0xb9, 2, 0, 0, 0, /* mov $DATA, %edi; mov $2, %ecx */
		0xf3, 0xaa, 0x0f, 0x0b);                       /* rep stosb; ud2 */
	vcpu_tap_events(w->world.v, BIT(TAP_STEP));
}

static void check_step(struct watcher *w)
{
	static const u32 want[] = {CODE + 5, CODE + 10, CODE + 10, CODE + 12, HANDLER};

	assert_int_equal(w->count, ARRAY_SIZE(want));
	for (unsigned i = 0; i < w->count; i++) {
		expect(&w->seen[i], TAP_STEP, want[i]);
		assert_int_equal(w->seen[i].e.step.unfinished, i == 2);
	}
	assert_int_equal(w->seen[2].s.gpr[RCX], 1);
}

static void test_step(void **state)
{
	both(0, prepare_step, check_step);
}

/* Switched on by the answer to a question: the instruction that asked it is the first to be seen over. */
static enum tap_verdict step_from_here(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	if (e->kind == TAP_CPUID)
		vcpu_tap_events(v, BIT(TAP_CPUID) | BIT(TAP_STEP));
	return TAP_GO_ON;
}

static void prepare_step_from_answer(struct watcher *w)
{
	vcpu_tap_events(w->world.v, BIT(TAP_CPUID));
	WATCHER_CODE(w, 0x0f, 0xa2, 0x90, 0x90, 0xf4); /* cpuid; nop; nop; hlt */
	w->answer = step_from_here;
}

static void check_step_from_answer(struct watcher *w)
{
	assert_int_equal(w->count, 4);
	expect(&w->seen[0], TAP_CPUID, CODE);
	for (unsigned i = 1; i < w->count; i++)
		expect(&w->seen[i], TAP_STEP, CODE + 1 + i);
}

static void test_step_from_answer(void **state)
{
	both(BIT(TAP_CPUID), prepare_step_from_answer, check_step_from_answer);
}

/* ---- a vcpu's life ---- */

static unsigned births, ends, pauses;

static enum tap_verdict life(void *opaque, struct vcpu *v, struct tap_event *e)
{
	births += e->kind == TAP_BIRTH;
	ends += e->kind == TAP_END;
	pauses += e->kind == TAP_PAUSE;
	return e->kind == TAP_PAUSE && pauses == 2 ? TAP_STOP : TAP_GO_ON;
}

static struct vcpu *existing[2];

static void life_exists(void *opaque, struct vcpu *v, unsigned index)
{
	existing[index] = v;
}

static void test_life(void **state)
{
	static const struct tap ops = {.event = life, .exists = life_exists};
	struct watcher w;
	struct vcpu *second;

	watcher_open(&w, false);
	assert_int_equal(machine_set_tap(w.world.m, &ops, NULL), -EBUSY);
	assert_int_equal(machine_set_tap(w.world.m, NULL, NULL), 0);
	assert_int_equal(machine_set_tap(w.world.m, &ops, NULL), 0);
	assert_ptr_equal(existing[0], w.world.v); /* before it runs */
	assert_int_equal(vcpu_create(w.world.m, 1, &second), 0);
	assert_ptr_equal(existing[1], second);
	assert_true(vcpu_started(second)); /* without a local APIC nobody waits for SIPI */
	WATCHER_CODE(&w, 0xf4);
	watcher_run(&w);
	watcher_start(&w);
	watcher_run(&w);
	assert_int_equal(births, 1); /* once; the other one has not run */
	vcpu_destroy(second);
	assert_int_equal(ends, 1);
	for (unsigned i = 0; i < 3; i++)
		vcpu_tap_pause(w.world.v);
	watcher_start(&w);
	assert_int_equal(vcpu_run(w.world.v, 0), 0);
	assert_int_equal(vcpu_exit(w.world.v)->reason, EXIT_TAP);
	assert_int_equal(vcpu_tap_event(w.world.v)->kind, TAP_PAUSE);
	assert_int_equal(pauses, 2);
	assert_int_equal(rip_of(w.world.v), CODE);
	watcher_run(&w);
	assert_int_equal(pauses, 3);
	watcher_close(&w);
	assert_int_equal(ends, 1);
}

/* ---- a pause that comes when the delivery of an interrupt is about to begin (the linker's --wrap) ---- */

static bool pause_now;

void __real_recheck_on_interrupt(struct vcpu *v);
void __wrap_recheck_on_interrupt(struct vcpu *v);

void __wrap_recheck_on_interrupt(struct vcpu *v)
{
	if (pause_now)
		vcpu_tap_pause(
			v); /* any thread may, and this one is as far outside as others believe */
	pause_now = false;
	__real_recheck_on_interrupt(v);
}

static void test_pause_before_delivery(void **state)
{
	struct vcpu_state s;
	struct watcher w;

	for (unsigned step = 0; step < 2; step++) {
		watcher_open(&w, step);
		WATCHER_CODE(&w, 0x90, 0xf4);
		vcpu_get(w.world.v, ST_REGS, &s);
		s.rflags |= FL_IF;
		vcpu_set(w.world.v, ST_REGS, &s);
		vcpu_interrupt(w.world.v, 0x40);
		pause_now = true;
		watcher_run(&w);
		assert_false(pause_now);
		assert_int_equal(w.count, 1);
		expect(&w.seen[0], TAP_PAUSE, CODE); /* not delivered yet */
		assert_int_equal(w.seen[0].s.gpr[RSP], STACK);
		/* And once, when it goes on. */
		assert_int_equal(rip_of(w.world.v), HANDLER + 1);
		assert_int_equal(gpr_of(w.world.v, RSP), STACK - 40);
		assert_int_equal(frame_word(&w, 0), CODE);
		watcher_close(&w);
	}
}

/* ---- what is switched on while user space has an instruction ---- */

#define ITEMS 16

static void ins_with_change(bool step)
{
	struct watcher w;
	struct exit *x;

	watcher_open(&w, step);
	WATCHER_CODE(&w, 0xbf, 0x00, 0x40, 0, 0, /* mov $DATA, %edi */
		0xb9, ITEMS, 0, 0, 0,            /* mov $ITEMS, %ecx */
		0xba, 0x60, 0, 0, 0,             /* mov $0x60, %edx */
		0xf3, 0x6c, 0xf4);               /* rep insb */
	watcher_start(&w);
	assert_int_equal(vcpu_run(w.world.v, 0), 0);
	x = vcpu_exit(w.world.v);
	assert_int_equal(x->reason, EXIT_IO_IN);
	assert_int_equal(x->io.count, ITEMS);
	for (u8 i = 0; i < ITEMS; i++)
		x->io.data[i] = (u8)(0x80 + i);
	assert_int_equal(vcpu_tap_events(w.world.v, BIT(TAP_STEP)), 0);
	assert_int_equal(vcpu_run(w.world.v, 0), 0);
	assert_int_equal(x->reason, EXIT_HLT); /* the device has been asked once */
	for (u8 i = 0; i < ITEMS; i++)
		assert_int_equal(w.world.ram[DATA + i], 0x80 + i);
	assert_int_equal(w.count, 0); /* nothing is over since it was switched on: HLT begins */
	watcher_close(&w);
}

/* And what follows goes by it at once. */
static void test_step_after_answer(void **state)
{
	struct watcher w;

	for (unsigned step = 0; step < 2; step++) {
		watcher_open(&w, step);
		WATCHER_CODE(&w, 0xe4, 0x60, 0x90, 0x90, 0xf4); /* in $0x60, %al; nop; nop; hlt */
		assert_int_equal(vcpu_run(w.world.v, 0), 0);
		assert_int_equal(vcpu_exit(w.world.v)->reason, EXIT_IO_IN);
		assert_int_equal(vcpu_tap_events(w.world.v, BIT(TAP_STEP)), 0);
		watcher_run(&w);
		assert_int_equal(w.count, 2);
		expect(&w.seen[0], TAP_STEP, CODE + 3);
		expect(&w.seen[1], TAP_STEP, CODE + 4);
		watcher_close(&w);
	}
}

static void test_ins_with_change(void **state)
{
	ins_with_change(true);
	ins_with_change(false);
}

/* ---- an exception that the subscriber does itself ---- */

static enum tap_verdict emulate(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	struct vcpu_state s;

	assert_int_equal(e->exception.vector, X86_UD);
	vcpu_get(v, ST_REGS, &s);
	s.rip += 2;
	s.gpr[RBX]++;
	assert_int_equal(vcpu_set(v, ST_REGS, &s), 0);
	return w->count & 1 ? TAP_SKIP : TAP_GO_ON; /* whatever it answers */
}

static void emulated(bool step)
{
	struct watcher w;

	watcher_open(&w, step);
	WATCHER_CODE(&w, 0x0f, 0x0b, 0x0f, 0x0b, 0x90, 0xf4); /* ud2; ud2; nop; hlt */
	w.answer = emulate;
	assert_int_equal(vcpu_tap_events(w.world.v, BIT(TAP_EXCEPTION)), 0);
	watcher_run(&w);
	assert_int_equal(w.count, 2);
	assert_int_equal(gpr_of(w.world.v, RBX), 2);
	assert_int_equal(rip_of(w.world.v), CODE + 6);
	watcher_close(&w);
}

static void test_emulated(void **state)
{
	emulated(true);
	emulated(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cr),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_selection),
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_change_registers),
		cmocka_unit_test(test_subscribers_hypercall),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_exceptions),
		cmocka_unit_test(test_change_exception),
		cmocka_unit_test(test_soft),
		cmocka_unit_test(test_change_soft),
		cmocka_unit_test(test_real),
		cmocka_unit_test(test_step),
		cmocka_unit_test(test_step_from_answer),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_pause_before_delivery),
		cmocka_unit_test(test_ins_with_change),
		cmocka_unit_test(test_step_after_answer),
		cmocka_unit_test(test_emulated),
	};

	return cmocka_run_group_tests_name("tap events", tests, NULL, NULL);
}
