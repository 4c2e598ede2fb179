/* SPDX-License-Identifier: MIT */
/*
 * Reading all state and writing it back changes nothing, at every kind of exit; and where no answer is under
 * way, another vcpu that gets the state goes on in the first one's place.
 */
#include "tests/unit/world/world.h"
#include "engine/engine.h"
#include "engine/exit.h"
#include "engine/irqchip.h"
#include "x86/regs.h"

#define ALL (ST_REGS | ST_SREGS | ST_XSAVE | ST_XCR | ST_DEBUG | ST_EVENT | ST_MP)

static void assert_same(const struct vcpu_state *a, const struct vcpu_state *b)
{
	assert_memory_equal(a->gpr, b->gpr, sizeof(a->gpr));
	assert_int_equal(a->rip, b->rip);
	assert_int_equal(a->rflags, b->rflags);
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		assert_int_equal(a->seg[i].base, b->seg[i].base);
		assert_int_equal(a->seg[i].limit, b->seg[i].limit);
		assert_int_equal(a->seg[i].attr, b->seg[i].attr);
		assert_int_equal(a->seg[i].selector, b->seg[i].selector);
	}
	assert_int_equal(a->idt.base, b->idt.base);
	assert_int_equal(a->gdt.base, b->gdt.base);
	assert_int_equal(a->cr0, b->cr0);
	assert_int_equal(a->cr2, b->cr2);
	assert_int_equal(a->cr3, b->cr3);
	assert_int_equal(a->cr4, b->cr4);
	assert_int_equal(a->cr8, b->cr8);
	assert_int_equal(a->efer, b->efer);
	assert_int_equal(a->apic_base, b->apic_base);
	assert_memory_equal(a->xsave, b->xsave, sizeof(a->xsave));
	assert_int_equal(a->xcr0, b->xcr0);
	assert_memory_equal(a->dr, b->dr, sizeof(a->dr));
	assert_memory_equal(&a->events, &b->events, sizeof(a->events));
	assert_int_equal(a->mp_state, b->mp_state);
}

static struct vcpu_state state_of(struct vcpu *v)
{
	struct vcpu_state s;

	memset(&s, 0, sizeof(s));
	vcpu_get(v, ALL, &s);
	return s;
}

/* There and back, in one call and group by group. */
static void round_trip(struct vcpu *v)
{
	struct vcpu_state before = state_of(v), after;

	assert_int_equal(vcpu_set(v, ALL, &before), 0);
	after = state_of(v);
	assert_same(&before, &after);
	for (u32 group = ST_REGS; group <= ST_MP; group <<= 1)
		assert_int_equal(vcpu_set(v, group, &before), 0);
	after = state_of(v);
	assert_same(&before, &after);
}

/* Replace the vcpu by a new one with its state. */
static void migrate(struct world *w)
{
	struct vcpu_state s = state_of(w->v), after;

	vcpu_destroy(w->v);
	assert_int_equal(vcpu_create(w->m, 0, &w->v), 0);
	assert_int_equal(vcpu_set(w->v, ALL, &s), 0);
	after = state_of(w->v);
	assert_same(&s, &after);
}

static void test_io_in(void **state)
{
	struct world w;
	struct exit *x;

	world_open(&w, IRQCHIP_NONE);
	WORLD_CODE(&w, 0xd9, 0xe8, 0xe5, 0x10, 0xe7, 0x11); /* fld1; in $0x10, %ax; out */
	x = run_to(w.v, EXIT_IO_IN);
	round_trip(w.v);
	assert_int_equal(x->io.size, 2);
	*(u16 *)x->io.data = 0x1234;
	round_trip(w.v);
	assert_int_equal(*(u16 *)run_to(w.v, EXIT_IO_OUT)->io.data, 0x1234);
	round_trip(w.v);
	/* Another vcpu asks again. */
	world_start(w.v, CODE + 2);
	run_to(w.v, EXIT_IO_IN);
	migrate(&w);
	*(u16 *)run_to(w.v, EXIT_IO_IN)->io.data = 0x4321;
	assert_int_equal(*(u16 *)run_to(w.v, EXIT_IO_OUT)->io.data, 0x4321);
	world_close(&w);
}

static void test_mmio_read(void **state)
{
	struct world w;
	struct exit *x;

	world_open(&w, IRQCHIP_NONE);
	WORLD_CODE(&w, 0x03, 0x06, 0x10, 0x00, 0xe7, 0x11); /* add 0x10, %ax; out */
	set_segment(w.v, SEG_DS, 0xa0000);
	x = run_to(w.v, EXIT_MMIO_READ);
	round_trip(w.v);
	memcpy(x->mmio.data, "\x05\x01", 2);
	round_trip(w.v);
	assert_int_equal(*(u16 *)run_to(w.v, EXIT_IO_OUT)->io.data, 0x105);
	world_close(&w);
}

/* A delivery that waits for an answer is part of the state. */
static void test_mmio_in_delivery(void **state)
{
	struct world w;
	struct exit *x;

	world_open(&w, IRQCHIP_NONE);
	WORLD_CODE(&w, 0x0f, 0x0b);
	WORLD_PUT(&w, 0x3000, 0xe7, 0x11);
	set_idt(w.v, 0xa0000, 0xffff);
	run_to(w.v, EXIT_MMIO_READ);
	round_trip(w.v);
	migrate(&w);
	WORLD_PUT(&w, CODE, 0xf4); /* the event is delivered, the instruction is not done again */
	x = run_to(w.v, EXIT_MMIO_READ);
	memcpy(x->mmio.data, "\x00\x30\x00\x00", 4);
	run_to(w.v, EXIT_IO_OUT);
	assert_int_equal(gpr_of(w.v, RSP), STACK - 6);
	world_close(&w);
}

static void test_hlt(void **state)
{
	struct world w;

	world_open(&w, IRQCHIP_NONE);
	WORLD_CODE(&w, 0xfb, 0xf4, 0xe7, 0x11);
	run_to(w.v, EXIT_HLT);
	assert_int_equal(rip_of(w.v), CODE + 2);
	round_trip(w.v);
	migrate(&w);
	run_to(w.v, EXIT_IO_OUT);
	world_close(&w);

	world_open(&w, IRQCHIP_FULL);
	WORLD_CODE(&w, 0xf4, 0xe7, 0x11);
	vcpu_kick(w.v); /* which comes first */
	run_to(w.v, EXIT_INTR);
	assert_int_equal(rip_of(w.v), CODE);
	world_close(&w);
}

static void halt_at_kick(struct vcpu *v)
{
	struct vcpu_state s = state_of(v);

	s.mp_state = MP_HALTED;
	assert_int_equal(vcpu_set(v, ST_MP, &s), 0);
	vcpu_kick(v);
	run_to(v, EXIT_INTR);
}

static void test_halted(void **state)
{
	struct world w;

	world_open(&w, IRQCHIP_FULL);
	WORLD_CODE(&w, 0xe7, 0x11);
	WORLD_PUT(&w, 0x3000, 0xe7, 0x12);
	world_vector(&w, 2, 0x3000);
	halt_at_kick(w.v);
	assert_int_equal(state_of(w.v).mp_state, MP_HALTED);
	round_trip(w.v);
	migrate(&w);
	vcpu_nmi(w.v);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x12);
	assert_int_equal(state_of(w.v).mp_state, MP_RUNNABLE);
	world_close(&w);
}

static void test_rep_ins(void **state)
{
	struct world w;
	struct exit *x;

	world_open(&w, IRQCHIP_NONE);
	WORLD_CODE(&w, 0xb9, 5, 0, 0xbf, 0xfe, 0x2f, 0xf3, 0x6c, 0xe7, 0x11);
	x = run_to(w.v, EXIT_IO_IN);
	round_trip(w.v);
	memcpy(x->io.data, "ab", 2);
	x = run_to(w.v, EXIT_IO_IN);
	assert_int_equal(gpr_of(w.v, RCX), 3);
	round_trip(w.v);
	migrate(&w);
	x = run_to(w.v, EXIT_IO_IN);
	assert_int_equal(x->io.count, 3);
	memcpy(x->io.data, "cde", 3);
	round_trip(w.v);
	run_to(w.v, EXIT_IO_OUT);
	assert_memory_equal(w.ram + 0x2ffe, "abcde", 5);
	world_close(&w);
}

/* A vector that user space has queued and the guest cannot take yet. */
static void test_queued_interrupt(void **state)
{
	struct world w;

	world_open(&w, IRQCHIP_NONE);
	WORLD_CODE(&w, 0xe7, 0x11, 0xfb, 0x90, 0xe7, 0x13); /* out; sti; nop; out */
	WORLD_PUT(&w, 0x3000, 0xe7, 0x12);
	world_vector(&w, 0x20, 0x3000);
	vcpu_interrupt(w.v, 0x20);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x11);
	assert_true(events_of(w.v).interrupt.injected);
	assert_int_equal(events_of(w.v).interrupt.vector, 0x20);
	round_trip(w.v);
	migrate(&w);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x11); /* rip was on it */
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x12);
	assert_false(events_of(w.v).interrupt.injected);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_io_in),
		cmocka_unit_test(test_mmio_read),
		cmocka_unit_test(test_mmio_in_delivery),
		cmocka_unit_test(test_hlt),
		cmocka_unit_test(test_halted),
		cmocka_unit_test(test_rep_ins),
		cmocka_unit_test(test_queued_interrupt),
	};

	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
