/* SPDX-License-Identifier: MIT */
/* Delivery that needs answers from outside, EOIs that leave, what is queued from outside, and ends. */
#include "tests/unit/world/world.h"
#include "engine/engine.h"
#include "engine/exit.h"
#include "engine/irqchip.h"
#include "x86/regs.h"

#include <sys/mman.h>

#define LAPIC 0xfee00000ull
#define MMIO  0xa0000ull

/* ---- IDT and stack in MMIO ---- */

static void answer_gate(struct vcpu *v, u8 vector, u16 addr)
{
	struct exit *x = run_to(v, EXIT_MMIO_READ);
	u16 entry[2] = {addr, 0};

	assert_int_equal(x->mmio.gpa, MMIO + vector * 4);
	assert_int_equal(x->mmio.len, 4);
	memcpy(x->mmio.data, entry, 4);
}

static void test_exception_through_mmio(void **state)
{
	struct world w;

	world_open(&w, IRQCHIP_NONE);
	WORLD_CODE(&w, 0x0f, 0x0b); /* ud2 */
	WORLD_PUT(&w, 0x3000, 0xe6, 0x10, 0xf4);
	set_idt(w.v, MMIO, 0xffff);
	answer_gate(w.v, 6, 0x3000);
	assert_int_equal(rip_of(w.v), CODE);
	assert_true(events_of(w.v).exception.injected);
	assert_int_equal(events_of(w.v).exception.vector, 6);
	run_to(w.v, EXIT_IO_OUT);
	assert_int_equal(rip_of(w.v), 0x3000);
	assert_int_equal(gpr_of(w.v, RSP), STACK - 6); /* once */
	assert_false(events_of(w.v).exception.injected);
	run_to(w.v, EXIT_HLT);
	world_close(&w);
}

static void test_interrupt_through_mmio(void **state)
{
	struct world w;

	world_open(&w, IRQCHIP_NONE);
	WORLD_CODE(&w, 0x43, 0xeb, 0xfd); /* inc bx; jmp back */
	WORLD_PUT(&w, 0x3000, 0xe6, 0x10, 0xf4);
	set_idt(w.v, MMIO, 0xffff);
	set_rflags(w.v, FL_IF);
	vcpu_interrupt(w.v, 0x20);
	answer_gate(w.v, 0x20, 0x3000);
	assert_true(events_of(w.v).interrupt.injected);
	assert_int_equal(events_of(w.v).interrupt.vector, 0x20);
	assert_int_equal(rip_of(w.v), CODE);
	run_to(w.v, EXIT_IO_OUT);
	assert_int_equal(gpr_of(w.v, RBX), 0); /* the guest has not moved in between */
	assert_int_equal(gpr_of(w.v, RSP), STACK - 6);
	assert_false(events_of(w.v).interrupt.injected);
	world_close(&w);
}

/* Completing only what is pending delivers the event and does not start its handler. */
static void test_complete_only_delivers(void **state)
{
	struct world w;

	world_open(&w, IRQCHIP_NONE);
	WORLD_CODE(&w, 0x0f, 0x0b);
	WORLD_PUT(&w, 0x3000, 0xe6, 0x10, 0xf4);
	set_idt(w.v, MMIO, 0xffff);
	answer_gate(w.v, 6, 0x3000);
	assert_int_equal(vcpu_run(w.v, RUN_COMPLETE_ONLY), 0);
	assert_int_equal(vcpu_exit(w.v)->reason, EXIT_INTR);
	assert_int_equal(rip_of(w.v), 0x3000);
	run_to(w.v, EXIT_IO_OUT);
	world_close(&w);
}

/* The frame goes out before the handler's first instruction. */
static void test_stack_in_mmio(void **state)
{
	struct world w;

	world_open(&w, IRQCHIP_NONE);
	WORLD_CODE(&w, 0x0f, 0x0b);
	WORLD_PUT(&w, 0x3000, 0xe6, 0x10, 0xf4);
	world_vector(&w, 6, 0x3000);
	set_segment(w.v, SEG_SS, MMIO);
	for (unsigned i = 1; i <= 3; i++)
		assert_int_equal(run_to(w.v, EXIT_MMIO_WRITE)->mmio.gpa, MMIO + STACK - 2 * i);
	assert_int_equal(*(u16 *)vcpu_exit(w.v)->mmio.data, CODE); /* ip goes last */
	assert_int_equal(rip_of(w.v), 0x3000);
	run_to(w.v, EXIT_IO_OUT);
	world_close(&w);
}

static void test_nmi_through_mmio(void **state)
{
	struct world w;

	world_open(&w, IRQCHIP_NONE);
	WORLD_CODE(&w, 0x43, 0xeb, 0xfd);
	WORLD_PUT(&w, 0x3000, 0xe6, 0x10, 0xf4);
	set_idt(w.v, MMIO, 0xffff);
	vcpu_nmi(w.v);
	answer_gate(w.v, 2, 0x3000);
	assert_true(events_of(w.v).nmi.injected);
	assert_false(events_of(w.v).nmi.masked);
	run_to(w.v, EXIT_IO_OUT);
	assert_false(events_of(w.v).nmi.injected);
	assert_true(events_of(w.v).nmi.masked);
	assert_int_equal(gpr_of(w.v, RSP), STACK - 6);
	world_close(&w);
}

/* ---- EOI with the IOAPIC in user space ---- */

static void route_level(struct world *w, u8 vector)
{
	struct irq_route r = {.gsi = 5, .is_msi = true, .msi = {LAPIC, 0xc000u | vector}};

	assert_int_equal(irq_set_routing(w->m, &r, 1), 0);
}

static void test_eoi_exit_mmio(void **state)
{
	struct world w;
	struct exit *x;

	world_open(&w, IRQCHIP_SPLIT);
	WORLD_CODE(&w, 0x66, 0xc7, 0x06, 0xf0, 0x00, 0xff, 0x01, 0, 0,  /* movl $0x1ff, 0xf0 */
		0xe6, 0x10,                                             /* out %al, $0x10 */
		0xfb, 0xf4, 0xf4);                                      /* sti; hlt */
	WORLD_PUT(&w, 0x3000, 0x66, 0xc7, 0x06, 0xb0, 0x00, 0, 0, 0, 0, /* movl $0, 0xb0 */
		0xe6, 0x11);
	world_vector(&w, 0x50, 0x3000);
	set_segment(w.v, SEG_DS, LAPIC);
	route_level(&w, 0x50);
	run_to(w.v, EXIT_IO_OUT);
	assert_true(irq_line(w.m, 5, true) > 0);
	x = run_to(w.v, EXIT_IOAPIC_EOI);
	assert_int_equal(x->vector, 0x50);
	assert_int_equal(rip_of(w.v), 0x3009);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x11);
	world_close(&w);
}

static void test_eoi_exit_x2apic(void **state)
{
	struct world w;
	struct vcpu_state s;

	world_open(&w, IRQCHIP_SPLIT);
	WORLD_CODE(&w, 0x66, 0xb9, 0x0f, 0x08, 0, 0,        /* mov $0x80f, %ecx */
		0x66, 0xb8, 0xff, 0x01, 0, 0,               /* mov $0x1ff, %eax */
		0x0f, 0x30, 0xe6, 0x10, 0xfb, 0xf4);        /* wrmsr; out; sti; hlt */
	WORLD_PUT(&w, 0x3000, 0x66, 0xb9, 0x0b, 0x08, 0, 0, /* mov $0x80b, %ecx */
		0x66, 0x31, 0xc0, 0x0f, 0x30,               /* xor %eax, %eax; wrmsr */
		0xe6, 0x11);
	world_vector(&w, 0x50, 0x3000);
	vcpu_get(w.v, ST_SREGS, &s);
	s.apic_base = LAPIC | 0xd00;
	assert_int_equal(vcpu_set(w.v, ST_SREGS, &s), 0);
	route_level(&w, 0x50);
	run_to(w.v, EXIT_IO_OUT);
	irq_line(w.m, 5, true);
	assert_int_equal(run_to(w.v, EXIT_IOAPIC_EOI)->vector, 0x50);
	assert_int_equal(rip_of(w.v), 0x300b); /* past the wrmsr, which must not be done again */
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x11);
	world_close(&w);
}

/* ---- queued from outside ---- */

static void set_events(struct vcpu *v, const struct vcpu_events *e)
{
	struct vcpu_state s;

	s.events = *e;
	assert_int_equal(vcpu_set(v, ST_EVENT, &s), 0);
}

static void test_injected_goes_first(void **state)
{
	struct world w;
	struct vcpu_events e = {.exception = {.pending = true, .vector = 6}};

	world_open(&w, IRQCHIP_NONE);
	WORLD_CODE(&w, 0xf4);
	world_vector(&w, 6, 0x3000);
	world_vector(&w, 2, 0x3100);
	world_vector(&w, 0x20, 0x3200);
	WORLD_PUT(&w, 0x3000, 0xe6, 0x06, 0xf4);
	WORLD_PUT(&w, 0x3100, 0xe6, 0x02, 0xcf);
	WORLD_PUT(&w, 0x3200, 0xe6, 0x20, 0xf4);
	e.interrupt.injected = true;
	e.interrupt.vector = 0x20;
	e.nmi.pending = 1;
	set_rflags(w.v, FL_IF);
	set_events(w.v, &e);
	/* The interrupt was under way, so its frame is the outermost; the NMI comes upon the exception. */
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x02);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x06);
	assert_int_equal(gpr_of(w.v, RSP), STACK - 12);
	assert_int_equal(*(u16 *)(w.ram + STACK - 6), CODE);
	assert_int_equal(*(u16 *)(w.ram + STACK - 12), 0x3200);
	world_close(&w);
}

static void test_masked_nmi_waits(void **state)
{
	struct world w;
	struct vcpu_events e = {.nmi = {.pending = 1, .masked = true}};

	world_open(&w, IRQCHIP_NONE);
	WORLD_CODE(&w, 0xe6, 0x10,                   /* out */
		0x9c, 0x0e, 0x68, 0x00, 0x11, 0xcf); /* pushf; push %cs; push $0x1100; iret */
	WORLD_PUT(&w, 0x1100, 0xf4);
	WORLD_PUT(&w, 0x3000, 0xe6, 0x02, 0xf4);
	world_vector(&w, 2, 0x3000);
	set_events(w.v, &e);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x10);
	assert_int_equal(events_of(w.v).nmi.pending, 1);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x02); /* after the iret */
	assert_int_equal(events_of(w.v).nmi.pending, 0);
	/* One that was being delivered is not held by the mask. */
	world_start(w.v, CODE);
	e = (struct vcpu_events){.nmi = {.injected = true, .masked = true}};
	set_events(w.v, &e);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x02);
	world_close(&w);
}

/* While one is handled one waits, however many were sent; where none is, two (SDM 3:6.7.1, and KVM's limit). */
static void test_nmis_that_wait(void **state)
{
	struct world w;
	struct vcpu_events e = {.nmi = {.masked = true}};

	world_open(&w, IRQCHIP_NONE);
	WORLD_CODE(&w, 0xe6, 0x10, 0xf4);  /* out; hlt */
	WORLD_PUT(&w, 0x3000, 0x43, 0xcf); /* inc %bx; iret */
	world_vector(&w, 2, 0x3000);
	set_events(w.v, &e);
	for (unsigned i = 0; i < 3; i++)
		vcpu_nmi(w.v);
	run_to(w.v, EXIT_IO_OUT);
	assert_int_equal(gpr_of(w.v, RBX), 0);
	assert_int_equal(events_of(w.v).nmi.pending, 1);
	e = (struct vcpu_events){.nmi = {.pending = events_of(w.v).nmi.pending}};
	set_events(w.v, &e);
	run_to(w.v, EXIT_HLT);
	assert_int_equal(gpr_of(w.v, RBX), 1);

	world_start(w.v, CODE);
	for (unsigned i = 0; i < 3; i++)
		vcpu_nmi(w.v);
	run_to(w.v, EXIT_IO_OUT);
	assert_int_equal(gpr_of(w.v, RBX), 2);
	world_close(&w);
}

/* STI's shadow holds NMIs off as well, as KVM has it: the frame is that of the instruction after the next. */
static void test_nmi_in_the_shadow(void **state)
{
	struct world w;
	struct vcpu_events e = {.nmi.pending = 1, .shadow = SHADOW_STI};

	world_open(&w, IRQCHIP_NONE);
	WORLD_CODE(&w, 0x43, 0xf4);
	WORLD_PUT(&w, 0x3000, 0xe6, 0x02, 0xf4);
	world_vector(&w, 2, 0x3000);
	set_events(w.v, &e);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x02);
	assert_int_equal(gpr_of(w.v, RBX), 1);
	assert_int_equal(*(u16 *)(w.ram + STACK - 6), CODE + 1);
	world_close(&w);
}

/* An exit of the instruction in the shadow shows it, also where both were translated: a state that is taken there has it. */
static void test_shadow_at_an_exit(void **state)
{
	static const struct {
		u8 code[5];
		u32 reason;
		u8 shadow;
	} cases[] = {
		{{0xfb, 0xe4, 0x10, 0x43, 0xf4}, EXIT_IO_IN, SHADOW_STI},    /* sti; in */
		{{0xfb, 0xe6, 0x10, 0x43, 0xf4}, EXIT_IO_OUT, SHADOW_STI},   /* sti; out */
		{{0x8e, 0xd0, 0xe4, 0x10, 0xf4}, EXIT_IO_IN, SHADOW_MOVSS},  /* mov %ax, %ss; in */
		{{0x17, 0xe4, 0x10, 0x43, 0xf4}, EXIT_IO_IN, SHADOW_MOVSS},  /* pop %ss; in */
		{{0x17, 0xe6, 0x10, 0x43, 0xf4}, EXIT_IO_OUT, SHADOW_MOVSS}, /* pop %ss; out */
		{{0xfb, 0x43, 0xe4, 0x10, 0xf4}, EXIT_IO_IN, 0},             /* sti; inc; in */
		{{0x8e, 0xd8, 0xe4, 0x10, 0xf4}, EXIT_IO_IN, 0},             /* mov %ax, %ds; in */
	};
	struct world w;

	world_open(&w, IRQCHIP_NONE);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		world_code(&w, cases[i].code, sizeof(cases[i].code));
		run_to(w.v, cases[i].reason);
		assert_int_equal(events_of(w.v).shadow, cases[i].shadow);
		run_to(w.v, EXIT_HLT);
		assert_int_equal(events_of(w.v).shadow, 0);
	}
	world_close(&w);
}

/* ---- shutdown ---- */

static void test_shutdown_again(void **state)
{
	struct world w;
	struct vcpu_events e = {.triple_fault = true};

	world_open(&w, IRQCHIP_NONE);
	WORLD_CODE(&w, 0x0f, 0x0b);
	set_idt(w.v, 0, 0);
	run_to(w.v, EXIT_SHUTDOWN);
	assert_int_equal(rip_of(w.v), CODE);
	run_to(w.v, EXIT_SHUTDOWN);
	set_idt(w.v, 0, 0xffff);
	WORLD_CODE(&w, 0xe6, 0x10, 0xf4);
	run_to(w.v, EXIT_IO_OUT);
	set_events(w.v, &e);
	run_to(w.v, EXIT_SHUTDOWN);
	assert_int_equal(rip_of(w.v), CODE + 2);
	run_to(w.v, EXIT_HLT);
	world_close(&w);
}

/* ---- finishing what is pending ---- */

static void complete(struct vcpu *v, u32 reason)
{
	assert_int_equal(vcpu_run(v, RUN_COMPLETE_ONLY), 0);
	assert_int_equal(vcpu_exit(v)->reason, reason);
}

static void test_complete_string_input(void **state)
{
	struct world w;
	struct exit *x;

	world_open(&w, IRQCHIP_NONE);
	WORLD_CODE(&w, 0xb9, 5, 0, 0xbf, 0xfe, 0x2f, /* cx = 5, di = 0x2ffe */
		0xf3, 0x6c, 0xf4);                   /* rep insb; hlt */
	x = run_to(w.v, EXIT_IO_IN);
	assert_int_equal(x->io.count, 2); /* to the end of the page */
	memcpy(x->io.data, "ab", 2);
	complete(w.v, EXIT_INTR);
	assert_int_equal(gpr_of(w.v, RCX), 3);
	assert_int_equal(rip_of(w.v), CODE + 6);
	assert_memory_equal(w.ram + 0x2ffe, "ab", 2);
	complete(w.v, EXIT_INTR); /* nothing is pending: nothing happens */
	assert_int_equal(gpr_of(w.v, RCX), 3);
	x = run_to(w.v, EXIT_IO_IN);
	assert_int_equal(x->io.count, 3);
	memcpy(x->io.data, "cde", 3);
	complete(w.v, EXIT_INTR);
	assert_int_equal(rip_of(w.v), CODE + 8);
	assert_memory_equal(w.ram + 0x2ffe, "abcde", 5);
	run_to(w.v, EXIT_HLT);
	world_close(&w);
}

static void test_complete_string_output(void **state)
{
	struct world w;

	world_open(&w, IRQCHIP_NONE);
	WORLD_CODE(&w, 0xb9, 2, 0, 0xbe, 0x00, 0x20, 0xf3, 0x6e, 0xf4); /* rep outsb */
	run_to(w.v, EXIT_IO_OUT);
	complete(w.v, EXIT_INTR);
	assert_int_equal(rip_of(w.v), CODE + 6);
	assert_int_equal(gpr_of(w.v, RCX), 1);
	run_to(w.v, EXIT_IO_OUT);
	complete(w.v, EXIT_INTR);
	assert_int_equal(rip_of(w.v), CODE + 8);
	run_to(w.v, EXIT_HLT);
	world_close(&w);
}

/* Read, modify, write: the second exit of the same instruction is pending work, too. */
static void test_complete_rmw(void **state)
{
	struct world w;
	struct exit *x;

	world_open(&w, IRQCHIP_NONE);
	WORLD_CODE(&w, 0xff, 0x06, 0x10, 0x00, 0xf4); /* incw 0x10 */
	set_segment(w.v, SEG_DS, MMIO);
	x = run_to(w.v, EXIT_MMIO_READ);
	assert_int_equal(rip_of(w.v), CODE);
	memcpy(x->mmio.data, "\xff\x12", 2);
	complete(w.v, EXIT_MMIO_WRITE);
	assert_int_equal(x->mmio.gpa, MMIO + 0x10);
	assert_int_equal(x->mmio.len, 2);
	assert_memory_equal(x->mmio.data, "\x00\x13", 2);
	assert_int_equal(rip_of(w.v), CODE + 4);
	complete(w.v, EXIT_INTR);
	run_to(w.v, EXIT_HLT);
	assert_int_equal(rip_of(w.v), CODE + 5);
	world_close(&w);
}

/*
 * The trap of an instruction that left for user space is delivered when the vcpu runs again. Its stack has gone meanwhile,
 * and the processor had an entry for it: nothing may be written to memory that is the caller's again.
 */
static void test_trap_after_slot(void **state)
{
	const u64 page = RAM_BYTES + PAGE_SIZE;
	u8 *stack =
		mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct memslot_config c = {.id = 1, .gpa = page, .size = PAGE_SIZE, .hva = (u64)stack};
	struct world w;

	world_open(&w, IRQCHIP_NONE);
	assert_int_equal(machine_set_memslot(w.m, &c), 0);
	WORLD_CODE(&w, 0x50, 0x58,                         /* push, pop: an entry for the stack */
		0x68, 0x02, 0x01, 0x9d, 0xe6, 0x10, 0xf4); /* push $TF; popf; out */
	set_segment(w.v, SEG_SS, page - STACK + 0x100);
	run_to(w.v, EXIT_IO_OUT);
	c.size = 0;
	assert_int_equal(machine_set_memslot(w.m, &c), 0);
	memset(stack, 0xcc, PAGE_SIZE);
	assert_int_equal(vcpu_run(w.v, 0), 0);
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		assert_int_equal(stack[i], 0xcc);
	world_close(&w);
	munmap(stack, PAGE_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exception_through_mmio),
		cmocka_unit_test(test_interrupt_through_mmio),
		cmocka_unit_test(test_complete_only_delivers),
		cmocka_unit_test(test_stack_in_mmio),
		cmocka_unit_test(test_nmi_through_mmio),
		cmocka_unit_test(test_eoi_exit_mmio),
		cmocka_unit_test(test_eoi_exit_x2apic),
		cmocka_unit_test(test_injected_goes_first),
		cmocka_unit_test(test_masked_nmi_waits),
		cmocka_unit_test(test_nmis_that_wait),
		cmocka_unit_test(test_nmi_in_the_shadow),
		cmocka_unit_test(test_shadow_at_an_exit),
		cmocka_unit_test(test_shutdown_again),
		cmocka_unit_test(test_complete_string_input),
		cmocka_unit_test(test_complete_string_output),
		cmocka_unit_test(test_complete_rmw),
		cmocka_unit_test(test_trap_after_slot),
	};

	return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
