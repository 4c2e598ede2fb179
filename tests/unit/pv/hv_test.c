/* SPDX-License-Identifier: MIT */
/* The Hyper-V interface as a guest sees it: registers, SynIC, synthetic timers, hypercalls, what leaves. */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/unit/world/hvguest.h"

/* ---- access ---- */

static void test_not_announced(void **state)
{
	struct world w;
	struct cpuid_entry none = {.function = 0x40000001};

	world_open(&w, IRQCHIP_FULL);
	assert_false(wrmsr_works(&w, GUEST_OS_ID, 1)); /* no Hv#1 */
	hv_give_cpuid(w.v);
	wrmsr(&w, GUEST_OS_ID, 1);
	assert_false(wrmsr_works(&w, SIMP, 1)); /* the SynIC is the VMM's to switch on */
	assert_int_equal(vcpu_set_cpuid(w.v, &none, 1), 0);
	assert_false(wrmsr_works(&w, GUEST_OS_ID, 1));
	world_close(&w);
}

static void test_hypercall_page(void **state)
{
	struct world w;

	hv_open(&w, false);
	wrmsr(&w, HYPERCALL, PAGE_AT | 1); /* nobody yet */
	assert_int_equal(msr_of(&w, HYPERCALL), 0);
	wrmsr(&w, GUEST_OS_ID, 0x8100ull << 48);
	wrmsr(&w, HYPERCALL, PAGE_AT | 1);
	assert_int_equal(msr_of(&w, HYPERCALL), PAGE_AT | 1);
	assert_int_equal(w.ram[PAGE_AT], 0x0f);
	assert_int_equal(w.ram[PAGE_AT + 1], 0x01);
	assert_int_equal(w.ram[PAGE_AT + 3], 0xc3);
	assert_false(wrmsr_works(&w, HYPERCALL, 0xf0000000 | 1)); /* no RAM */
	wrmsr(&w, GUEST_OS_ID, 0);
	assert_int_equal(msr_of(&w, HYPERCALL), PAGE_AT);
	world_close(&w);
}

static void test_assist_page(void **state)
{
	struct world w;

	hv_open(&w, false);
	memset(w.ram + PAGE_AT, 0xff, 8);
	wrmsr(&w, ASSIST_PAGE, PAGE_AT | 1);
	assert_memory_equal(w.ram + PAGE_AT, "\0\0\0\0\xff\xff\xff\xff", 8);
	assert_false(wrmsr_works(&w, ASSIST_PAGE, 0xf0000000 | 1));
	world_close(&w);
}

/* ---- what leaves when the instruction is done ---- */

static struct exit *wrmsr_exit(struct world *w, u32 index, u64 value, u32 reason)
{
	struct exit *x;

	begin_wrmsr(w, index, value);
	x = run_to(w->v, reason);
	assert_int_equal(rip_of(w->v), CODE + 2);
	return x;
}

static void test_events(void **state)
{
	struct world w;

	hv_open(&w, false);
	wrmsr(&w, 0x40000100, 0xabc);
	wrmsr(&w, CRASH_CTL, 1); /* without the bit it is nothing */
	assert_int_equal(
		wrmsr_exit(&w, CRASH_CTL, BIT64(63), EXIT_SYSTEM_EVENT)->event.type, EVENT_CRASH);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x10);
	assert_int_equal(msr_of(&w, 0x40000100), 0xabc);
	wrmsr(&w, RESET, 0);
	assert_int_equal(wrmsr_exit(&w, RESET, 1, EXIT_SYSTEM_EVENT)->event.type, EVENT_RESET);
	world_close(&w);
}

static void test_syndbg(void **state)
{
	struct world w;
	struct exit *x;

	hv_open(&w, false);
	wrmsr(&w, SYNDBG_STATUS, 3);
	x = wrmsr_exit(&w, SYNDBG_CONTROL, 7, EXIT_HYPERV);
	assert_int_equal(x->hyperv.kind, HYPERV_SYNDBG);
	assert_int_equal(x->hyperv.msr, SYNDBG_CONTROL);
	assert_int_equal(x->hyperv.arg[0], 7);
	assert_int_equal(x->hyperv.arg[1], 3);
	x->hyperv.result = 0x55;
	run_to(w.v, EXIT_IO_OUT);
	assert_int_equal(msr_of(&w, SYNDBG_STATUS), 0x55);
	world_close(&w);
}

/* ---- SynIC ---- */

static struct exit *expect_synic(struct world *w, u32 index, u64 value)
{
	struct exit *x = wrmsr_exit(w, index, value, EXIT_HYPERV);

	assert_int_equal(x->hyperv.kind, HYPERV_SYNIC);
	assert_int_equal(x->hyperv.msr, index);
	return x;
}

static void test_synic_registers(void **state)
{
	struct world w;
	struct exit *x;

	hv_open(&w, true);
	memset(w.ram + PAGE_AT, 0xff, 4096);
	expect_synic(&w, SCONTROL, 1);
	expect_synic(&w, SIEFP, 0x20000);
	x = expect_synic(&w, SIMP, PAGE_AT | 1);
	assert_int_equal(x->hyperv.arg[0], 1);
	assert_int_equal(x->hyperv.arg[1], 0x20000);
	assert_int_equal(x->hyperv.arg[2], PAGE_AT | 1);
	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(w.ram[PAGE_AT + i], 0); /* cleared */
	assert_false(wrmsr_works(&w, SINT2, 5));         /* vectors begin at 16 */
	wrmsr(&w, SINT2, 0x10005);                       /* unless masked */
	wrmsr(&w, SINT2, VECTOR);
	assert_int_equal(msr_of(&w, SINT2), VECTOR);
	assert_false(wrmsr_works(&w, SIMP, 0xf0000000 | 1));
	world_close(&w);

	/* SYNIC2 leaves the pages alone. */
	hv_open(&w, false);
	assert_int_equal(vcpu_enable_synic(w.v, true), 0);
	memset(w.ram + PAGE_AT, 0xff, 4);
	expect_synic(&w, SIMP, PAGE_AT | 1);
	assert_int_equal(w.ram[PAGE_AT], 0xff);
	world_close(&w);
}

static u32 message_type(struct world *w, unsigned sint)
{
	u32 type;

	memcpy(&type, w->ram + PAGE_AT + sint * 256, 4);
	return type;
}

static void test_timer_message(void **state)
{
	struct world w;
	u64 due, expiry, delivery;

	hv_open(&w, true);
	enable_interrupts(&w);
	expect_synic(&w, SIMP, PAGE_AT | 1);
	wrmsr(&w, SINT2, VECTOR);
	wrmsr(&w, STIMER0_CONFIG, 2 << 16 | BIT(3)); /* auto-enable, SINT 2 */
	due = reference_time(&w) + 50000;            /* 5 ms */
	wrmsr(&w, STIMER0_COUNT, due);
	/* Enabled; or, on a busy machine, over already. */
	assert_true((msr_of(&w, STIMER0_CONFIG) & 1) || reference_time(&w) >= due);
	wait_for_interrupt(&w);
	assert_true(reference_time(&w) >= due);
	assert_int_equal(message_type(&w, 2), 0x80000010);
	assert_int_equal(w.ram[PAGE_AT + 2 * 256 + 4], 24); /* bytes of payload */
	memcpy(&expiry, w.ram + PAGE_AT + 2 * 256 + 16 + 8, 8);
	memcpy(&delivery, w.ram + PAGE_AT + 2 * 256 + 16 + 16, 8);
	assert_int_equal(expiry, due);
	assert_true(delivery >= due);
	assert_int_equal(msr_of(&w, STIMER0_CONFIG) & 1, 0); /* one-shot */

	/* The slot is full: it waits for the guest to say that it is not. */
	wrmsr(&w, STIMER0_COUNT, reference_time(&w));
	assert_int_equal(msr_of(&w, STIMER0_CONFIG) & 1, 1);
	assert_int_equal(w.ram[PAGE_AT + 2 * 256 + 5] & 1, 1); /* message pending */
	hv_eoi(&w);
	memset(w.ram + PAGE_AT + 2 * 256, 0, 256);
	wrmsr(&w, EOM, 0);
	wait_for_interrupt(&w);
	assert_int_equal(message_type(&w, 2), 0x80000010);
	world_close(&w);
}

static void test_timer_direct(void **state)
{
	struct world w;
	u64 first, last;

	hv_open(&w, true);
	enable_interrupts(&w);
	wrmsr(&w, STIMER0_COUNT, 20000); /* 2 ms */
	/* enable, periodic, direct */
	first = reference_time(&w);
	wrmsr(&w, STIMER0_CONFIG, 3 | BIT(12) | VECTOR << 4);
	for (unsigned i = 0; i < 3; i++) {
		wait_for_interrupt(&w);
		hv_eoi(&w);
	}
	last = reference_time(&w);
	assert_true(last - first >= 3 * 20000);
	wrmsr(&w, STIMER0_COUNT, 0); /* off */
	assert_int_equal(msr_of(&w, STIMER0_CONFIG) & 1, 0);
	world_close(&w);
}

/* A GSI that is routed to a SINT, resampled by its end of message. */
static void test_sint_route(void **state)
{
	struct irq_route r = {.gsi = 40, .is_hv_sint = true, .hv_sint = {0, 2}};
	int trigger = eventfd(0, EFD_NONBLOCK), acked = eventfd(0, EFD_NONBLOCK);
	struct world w;
	u64 n = 1;

	hv_open(&w, true);
	enable_interrupts(&w);
	assert_int_equal(irq_set_routing(w.m, &r, 1), 0);
	assert_true(irq_line(w.m, 40, true) <= 0); /* masked */
	wrmsr(&w, SINT2, VECTOR);
	assert_int_equal(irqfd_assign(w.m, trigger, 40, acked), 0);
	assert_int_equal(write(trigger, &n, 8), 8);
	wait_for_interrupt(&w);
	assert_int_equal(read(acked, &n, 8), -1);
	hv_eoi(&w);
	assert_int_equal(read(acked, &n, 8), 8);
	wrmsr(&w, SINT2, VECTOR | BIT(18)); /* polling, which KVM does not have */
	assert_int_equal(irq_line(w.m, 40, true), 1);
	r.hv_sint.sint = 16;
	assert_int_equal(irq_set_routing(w.m, &r, 1), -EINVAL);
	world_close(&w);
	close(trigger);
	close(acked);
}

static void test_auto_eoi(void **state)
{
	struct irq_route r = {.gsi = 40, .is_hv_sint = true, .hv_sint = {0, 2}};
	struct world w;
	u8 page[1024];

	hv_open(&w, true);
	enable_interrupts(&w);
	assert_int_equal(irq_set_routing(w.m, &r, 1), 0);
	wrmsr(&w, SINT2, VECTOR | BIT(17));
	assert_int_equal(irq_line(w.m, 40, true), 1);
	wait_for_interrupt(&w);
	assert_int_equal(vcpu_get_lapic(w.v, page), 0);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(page[0x100 + 0x10 * i], 0); /* nothing in service */
	world_close(&w);
}

/* ---- time ---- */

static void test_reference_tsc(void **state)
{
	struct world w;
	u64 scale, before, after, page;
	s64 offset;
	u32 sequence;

	hv_open(&w, false);
	wrmsr(&w, REFERENCE_TSC, PAGE_AT | 1);
	memcpy(&sequence, w.ram + PAGE_AT, 4);
	memcpy(&scale, w.ram + PAGE_AT + 8, 8);
	memcpy(&offset, w.ram + PAGE_AT + 16, 8);
	assert_int_not_equal(sequence, 0);
	before = reference_time(&w);
	page = (u64)((unsigned __int128)msr_of(&w, 0x10) * scale >> 64) + (u64)offset;
	after = reference_time(&w);
	assert_true(before <= page && page <= after);
	machine_set_clock(w.m, 0);
	assert_true(reference_time(&w) < 10000000); /* a second */
	assert_memory_not_equal(w.ram + PAGE_AT, &sequence, 4);
	world_close(&w);
}

/* ---- hypercalls ---- */

static void test_hypercalls(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct world w;
	struct exit *x;
	u64 n;

	hv_open(&w, false);
	wrmsr(&w, GUEST_OS_ID, 1);
	assert_int_equal(call_result(&w, 0xbeef, 0), 2);              /* no such call */
	assert_int_equal(call_result(&w, 0x5c, 0), 3);                /* no SynIC, no messages */
	assert_int_equal(call_result(&w, 0x5d, 3), 4);                /* alignment */
	assert_int_equal(call_result(&w, 0x5d | FAST, 0x1000000), 3); /* beyond connection ids */
	assert_int_equal(call_result(&w, 8 | FAST, 0), 0);            /* spin wait */
	assert_int_equal(call_result(&w, 8 | FAST | REPS(1), 0), 3);
	assert_int_equal(call_result(&w, 2 | BIT64(30), PAGE_AT), 3); /* reserved bit */
	assert_int_equal(call_result(&w, 2, PAGE_AT), 0);             /* flush */
	assert_int_equal(call_result(&w, 3, PAGE_AT), 3);             /* of a list: how many? */
	assert_int_equal(call_result(&w, 3 | REPS(2), PAGE_AT), REPS(2));
	assert_int_equal(call_result(&w, 2, 0xf0000000), 3);  /* no RAM */
	assert_int_equal(call_result(&w, 0x0b | FAST, 5), 3); /* vectors begin at 16 */
	assert_int_equal(call_result(&w, 0x8001 | FAST, 0), 5);

	assert_int_equal(hv_event_assign(w.m, 9, fd), 0);
	assert_int_equal(call_result(&w, 0x5d | FAST, 9), 0);
	assert_int_equal(read(fd, &n, 8), 8);
	assert_int_equal(hv_event_deassign(w.m, 9), 0);

	/* What only the VMM can answer. */
	assert_int_equal(vcpu_enable_synic(w.v, false), 0);
	x = flat_call(&w, 0x5c, PAGE_AT);
	assert_int_equal(x->reason, EXIT_HYPERV);
	assert_int_equal(x->hyperv.kind, HYPERV_CALL);
	assert_int_equal(x->hyperv.arg[0], 0x5c);
	assert_int_equal(x->hyperv.arg[1], PAGE_AT);
	x->hyperv.result = 19;
	run_to(w.v, EXIT_IO_OUT);
	assert_int_equal(gpr_of(w.v, RAX), 19);
	world_close(&w);
	close(fd);
}

static void test_enforced(void **state)
{
	struct world w;
	struct cpuid_entry e[] = {{.function = 0x40000001, .eax = 0x31237648},
		{.function = 0x40000003, .eax = BIT(5)}, {.function = 0x40000004}};

	hv_open(&w, false);
	assert_int_equal(vcpu_set_cpuid(w.v, e, ARRAY_SIZE(e)), 0);
	vcpu_enforce_hv_cpuid(w.v, true);
	wrmsr(&w, GUEST_OS_ID, 1);
	assert_false(wrmsr_works(&w, RESET, 0));
	assert_int_equal(call_result(&w, 2, PAGE_AT), 6);
	assert_int_equal(call_result(&w, 0x5c, PAGE_AT), 6);
	vcpu_enforce_hv_cpuid(w.v, false);
	assert_int_equal(call_result(&w, 2, PAGE_AT), 0);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_announced),
		cmocka_unit_test(test_hypercall_page),
		cmocka_unit_test(test_assist_page),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_syndbg),
		cmocka_unit_test(test_synic_registers),
		cmocka_unit_test(test_timer_message),
		cmocka_unit_test(test_timer_direct),
		cmocka_unit_test(test_sint_route),
		cmocka_unit_test(test_auto_eoi),
		cmocka_unit_test(test_reference_tsc),
		cmocka_unit_test(test_hypercalls),
		cmocka_unit_test(test_enforced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
