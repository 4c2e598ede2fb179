/* SPDX-License-Identifier: MIT */
/* What instructions ask, but for pages, by step and by translation, and every answer. */
#include "watcher.h"

#include <errno.h>

#include "engine/exit.h"

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
		watcher_expect(&w->seen[i], TAP_CR, CODE + want[i].at);
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
	watcher_both(BIT(TAP_CR), prepare_cr, check_cr);
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
	watcher_expect(&w.seen[1], TAP_EXCEPTION, CODE + 5);
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
	watcher_expect(&w->seen[0], TAP_XCR0, CODE + 9);
	assert_int_equal(w->seen[0].e.xcr.old, w->seen[0].s.xcr0);
	assert_int_equal(w->seen[0].e.xcr.value, 3);
	watcher_expect(&w->seen[1], TAP_MSR_WRITE, CODE + 17);
	assert_int_equal(w->seen[1].e.msr.index, 0xc0000102);
	assert_int_equal(w->seen[1].e.msr.value, 3);
	watcher_expect(&w->seen[2], TAP_MSR_READ, CODE + 19);
	assert_int_equal(w->seen[2].e.msr.value, 3);
	watcher_expect(&w->seen[3], TAP_MSR_WRITE, CODE + 26);
	assert_int_equal(w->seen[3].e.msr.index, 0x10);
	watcher_expect(&w->seen[4], TAP_CPUID, CODE + 30);
	assert_int_equal(w->seen[4].e.cpuid.leaf, 0);
	assert_int_equal(w->seen[4].e.insn_len, 2);
	watcher_expect(&w->seen[5], TAP_HYPERCALL, CODE + 37);
	assert_int_equal(w->seen[5].s.gpr[RAX], 0x1234);
	assert_int_equal(gpr_of(w->world.v, RAX), (u64)-1000);
}

static void test_registers(void **state)
{
	watcher_both(BIT(TAP_XCR0) | BIT(TAP_MSR_READ) | BIT(TAP_MSR_WRITE) | BIT(TAP_CPUID) |
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
		watcher_expect(&w->seen[i], TAP_TABLE, CODE + want[i].at);
		assert_int_equal(w->seen[i].e.table.table, want[i].table);
		assert_int_equal(w->seen[i].e.table.store, want[i].store);
	}
	assert_int_equal(gpr_of(w->world.v, RAX), 0x18);
}

static void test_tables(void **state)
{
	watcher_both(BIT(TAP_TABLE), prepare_tables, check_tables);
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
	};

	return cmocka_run_group_tests_name("tap events", tests, NULL, NULL);
}
