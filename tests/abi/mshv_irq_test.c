/* SPDX-License-Identifier: MIT */
/*
 * Interrupts of a partition: by event descriptors and routes, by HVCALL_ASSERT_VIRTUAL_INTERRUPT, and what is told when they
 * end. Doorbells, the other way round.
 */
#include "tests/abi/mshv_port.h"

#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define HANDLER 0x2000 /* of vector 40h; that of the next one is 100h further */
#define VECTOR  0x40
#define VECTORS 4

/* Vector n's handler: out 40h + n - 40h, al; x2APIC EOI; out 60h, al; iretq */
static void put_handlers(struct partition *p)
{
	u8 code[] = {0xe6, 0x40, 0xb9, 0x0b, 0x08, 0, 0, 0x31, 0xc0, 0x31, 0xd2, 0x0f, 0x30, 0xe6,
		0x60, 0x48, 0xcf};

	for (unsigned i = 0; i < VECTORS; i++) {
		code[1] = (u8)(0x40 + i);
		memcpy(p->ram + HANDLER + 0x100 * i, code, sizeof(code));
		long_gate(p, (u8)(VECTOR + i), HANDLER + 0x100 * i);
	}
	long_gate(p, X86_NMI, HANDLER + 0x800);
	memcpy(p->ram + HANDLER + 0x800, (const u8[]){0xe6, 0x70, 0x48, 0xcf}, 4);
}
#define AFTER_EOI 13 /* offset in a handler */

/* sti; hlt, for ever */
static void start_on(struct partition *p, unsigned vp)
{
	code_long(p, vp, BYTES(0xfb, 0xf4, 0xeb, 0xfc));
	put_handlers(p);
	set_reg(p, vp, HV_X64_REGISTER_APIC_BASE, reg(p, vp, HV_X64_REGISTER_APIC_BASE) | 0xc00);
	set_reg(p, vp, HV_X64_REGISTER_APIC_FIRST + 0xf, 0x1ff);
}

static void start(struct partition *p)
{
	partition_start(p, LAPIC | X2APIC);
	start_on(p, 0);
}

static void set_route(struct partition *p, u32 gsi, u8 vector, u32 more)
{
	struct {
		struct mshv_user_irq_table head;
		struct mshv_user_irq_entry e;
	} t = {.head.nr = 1, .e = {.gsi = gsi, .address_lo = 0xfee00000, .data = vector | more}};

	assert_int_equal(mshv_p(p->fd, MSHV_SET_MSI_ROUTING, &t), 0);
}
#define LEVEL BIT(15)

static int new_event(unsigned count)
{
	int fd = eventfd(count, EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

static void signal_event(int fd)
{
	assert_int_equal(eventfd_write(fd, 1), 0);
}

static bool take_event(int fd)
{
	eventfd_t n;

	return !eventfd_read(fd, &n);
}

static void irqfd(struct partition *p, int fd, int resample, u32 gsi, u32 flags)
{
	struct mshv_user_irqfd a = {.fd = fd, .resamplefd = resample, .gsi = gsi, .flags = flags};

	assert_int_equal(mshv_p(p->fd, MSHV_IRQFD, &a), 0);
}

/* The helper thread has emptied it: what it had to do is done, or about to be. */
static void wait_taken(int fd)
{
	char path[64], text[256] = "";

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	for (unsigned i = 0; i < 20000; i++) {
		FILE *f = fopen(path, "re");
		unsigned long long count = 1;

		assert_non_null(f);
		while (fgets(text, sizeof(text), f) &&
			sscanf(text, "eventfd-count: %llx", &count) != 1)
			;
		fclose(f);
		if (!count)
			return;
		usleep(1000);
	}
	fail_msg("nobody takes the event");
}

/* It stays halted: a signal has to end the run. */
static void assert_halted(struct partition *p, unsigned vp)
{
	struct runner r;

	runner_start(&r, p, vp);
	runner_inside(&r);
	assert_int_equal(runner_stop(&r), -EINTR);
}

/* The handler of this vector runs, and ends it without a message. */
static void assert_vector(struct partition *p, unsigned vp, u8 vector)
{
	run_to_out(p, vp, vector);
	run_to_out(p, vp, 0x60);
}

/* ---- irqfds ---- */

static void test_irqfd(void **state)
{
	struct partition p = {0};
	int event = new_event(0);

	start(&p);
	set_route(&p, 5, VECTOR, 0);
	irqfd(&p, event, 0, 5, 0);
	assert_halted(&p, 0);
	signal_event(event);
	assert_vector(&p, 0, VECTOR);
	assert_false(take_event(event)); /* consumed */
	/* The route is looked at when it fires. */
	set_route(&p, 5, VECTOR + 1, 0);
	signal_event(event);
	assert_vector(&p, 0, VECTOR + 1);
	/* No route: nothing. */
	set_route(&p, 6, VECTOR + 1, 0);
	signal_event(event);
	wait_taken(event);
	assert_halted(&p, 0);
	irqfd(&p, event, 0, 5, 1 << MSHV_IRQFD_BIT_DEASSIGN);
	set_route(&p, 5, VECTOR, 0);
	signal_event(event);
	assert_halted(&p, 0);
	assert_true(take_event(event));
	partition_close(&p);
	close(event);
}

static void test_irqfd_signalled_before(void **state)
{
	struct partition p = {0};
	int event = new_event(3);

	start(&p);
	set_route(&p, 4095, VECTOR + 2, 0);
	irqfd(&p, event, 0, 4095, 0);
	assert_vector(&p, 0, VECTOR + 2); /* once */
	assert_halted(&p, 0);
	partition_close(&p);
	close(event);
}

static void test_irqfd_wakes(void **state)
{
	struct partition p = {0};
	int event = new_event(0);
	struct runner r;

	start(&p);
	set_route(&p, 0, VECTOR, 0);
	irqfd(&p, event, 0, 0, 0);
	runner_start(&r, &p, 0);
	runner_inside(&r);
	signal_event(event);
	assert_int_equal(runner_wait(&r), 0);
	assert_int_equal(r.message.type, HVMSG_X64_IO_PORT_INTERCEPT);
	partition_close(&p);
	close(event);
}

/* Without local APICs there is nobody to interrupt, but the requests are as always. */
static void test_irqfd_without_lapic(void **state)
{
	struct partition p = {0};
	int event = new_event(0), resample = new_event(0);

	partition_start(&p, 0);
	code_real(&p, 0, BYTES(0xe6, 0x10));
	set_route(&p, 3, VECTOR, 0);
	irqfd(&p, event, resample, 3, 1 << MSHV_IRQFD_BIT_RESAMPLE);
	signal_event(event);
	wait_taken(event);
	run_to_out(&p, 0, 0x10);
	partition_close(&p);
	close(event);
	close(resample);
}

/* ---- the end of an interrupt ---- */

static void assert_eoi(struct partition *p, unsigned vp, u8 vector)
{
	const struct hv_message *m = run_until(p, vp, HVMSG_X64_APIC_EOI);
	const struct hv_apic_eoi_message *e = (const void *)m->payload;

	assert_int_equal(m->len, sizeof(*e));
	assert_int_equal(e->vp_index, vp);
	assert_int_equal(e->vector, vector);
	for (unsigned i = sizeof(*e); i < sizeof(m->payload); i++)
		assert_int_equal(m->payload[i], 0);
	/* The instruction has completed. */
	assert_int_equal(p->page[vp]->rip, HANDLER + 0x100 * (vector - VECTOR) + AFTER_EOI);
}

static void test_level(void **state)
{
	struct partition p = {0};
	int event = new_event(0);

	start(&p);
	set_route(&p, 9, VECTOR, LEVEL);
	irqfd(&p, event, 0, 9, 0);
	signal_event(event);
	run_to_out(&p, 0, VECTOR);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_APIC_FIRST + 0x18 + VECTOR / 32), 1); /* TMR */
	assert_eoi(&p, 0, VECTOR);
	run_to_out(&p, 0, 0x60);
	/* An edge clears it. */
	set_route(&p, 9, VECTOR, 0);
	signal_event(event);
	assert_vector(&p, 0, VECTOR);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_APIC_FIRST + 0x18 + VECTOR / 32), 0);
	partition_close(&p);
	close(event);
}

static void test_resample(void **state)
{
	struct partition p = {0};
	int event = new_event(0), resample = new_event(0), other = new_event(0);

	start(&p);
	set_route(&p, 9, VECTOR, LEVEL);
	irqfd(&p, event, resample, 9, 1 << MSHV_IRQFD_BIT_RESAMPLE);
	for (unsigned i = 0; i < 3; i++) {
		signal_event(event);
		run_to_out(&p, 0, VECTOR);
		assert_false(take_event(resample));
		run_to_out(&p, 0, 0x60); /* and no message of the EOI */
		assert_true(take_event(resample));
	}
	/* That of another vector is told. */
	set_route(&p, 10, VECTOR + 1, LEVEL);
	irqfd(&p, other, 0, 10, 0);
	signal_event(other);
	run_to_out(&p, 0, VECTOR + 1);
	assert_eoi(&p, 0, VECTOR + 1);
	run_to_out(&p, 0, 0x60);
	assert_false(take_event(resample));
	/* And so is that of this one, once nobody resamples. */
	set_route(&p, 9, VECTOR, LEVEL);
	signal_event(event);
	run_to_out(&p, 0, VECTOR);
	irqfd(&p, event, resample, 9, 1 << MSHV_IRQFD_BIT_DEASSIGN);
	assert_eoi(&p, 0, VECTOR);
	assert_false(take_event(resample));
	partition_close(&p);
	close(event);
	close(resample);
	close(other);
}

/* ---- HVCALL_ASSERT_VIRTUAL_INTERRUPT ---- */

static struct hv_result assert_interrupt(
	struct partition *p, u32 type, u32 control, u64 dest, u32 vector)
{
	struct hv_assert_interrupt in = {
		.type = type, .control = control, .dest = dest, .vector = vector};

	return hv_call(p->fd,
		&(struct hv_call){
			.code = HVCALL_ASSERT_VIRTUAL_INTERRUPT, .in = &in, .in_size = sizeof(in)});
}

static void test_assert_fixed(void **state)
{
	struct partition p = {0};

	start(&p);
	assert_hv(assert_interrupt(&p, HV_INTERRUPT_FIXED, 0, 0, VECTOR), 0, 0);
	assert_vector(&p, 0, VECTOR);
	assert_hv(
		assert_interrupt(&p, HV_INTERRUPT_FIXED, HV_INTERRUPT_LEVEL, 0, VECTOR + 1), 0, 0);
	run_to_out(&p, 0, VECTOR + 1);
	assert_eoi(&p, 0, VECTOR + 1);
	run_to_out(&p, 0, 0x60);
	assert_hv(
		assert_interrupt(&p, HV_INTERRUPT_LOWEST, HV_INTERRUPT_LONG, 0, VECTOR + 2), 0, 0);
	assert_vector(&p, 0, VECTOR + 2);
	/* x2APIC's logical id: cluster 0, bit 0 */
	assert_hv(assert_interrupt(&p, HV_INTERRUPT_FIXED, HV_INTERRUPT_LOGICAL, 1, VECTOR), 0, 0);
	assert_vector(&p, 0, VECTOR);
	/* Nobody has that id. */
	assert_hv(assert_interrupt(&p, HV_INTERRUPT_FIXED, 0, 77, VECTOR), 0, 0);
	/* A local APIC that is off takes none. */
	set_reg(&p, 0, HV_X64_REGISTER_APIC_FIRST + 0xf, 0xff);
	assert_hv(assert_interrupt(&p, HV_INTERRUPT_FIXED, 0, 0, VECTOR), 0, 0);
	set_reg(&p, 0, HV_X64_REGISTER_APIC_FIRST + 0xf, 0x1ff);
	assert_halted(&p, 0);
	partition_close(&p);
}

/* Ids have 32 bits: those that nobody has are not their lower 8. */
static void test_assert_wide(void **state)
{
	static const u64 nobody[] = {0x100, 0x1000000, 1ull << 32, 1ull << 40 | 16};
	struct partition p = {0};

	start(&p);
	for (unsigned i = 0; i < ARRAY_SIZE(nobody); i++)
		assert_hv(assert_interrupt(&p, HV_INTERRUPT_FIXED, 0, nobody[i], VECTOR), 0, 0);
	/* The second cluster of x2APIC's logical ids */
	assert_hv(assert_interrupt(&p, HV_INTERRUPT_FIXED, HV_INTERRUPT_LOGICAL, 0x10001, VECTOR),
		0, 0);
	assert_halted(&p, 0);
	partition_add_vp(&p, 16);
	start_on(&p, 16);
	set_reg(&p, 16, HV_REGISTER_INTERNAL_ACTIVITY_STATE, 0);
	assert_hv(assert_interrupt(&p, HV_INTERRUPT_FIXED, HV_INTERRUPT_LOGICAL, 0x10001, VECTOR),
		0, 0);
	assert_vector(&p, 16, VECTOR);
	assert_halted(&p, 0);
	/* Everybody */
	assert_hv(assert_interrupt(&p, HV_INTERRUPT_FIXED, 0, ~0u, VECTOR + 1), 0, 0);
	assert_vector(&p, 0, VECTOR + 1);
	assert_vector(&p, 16, VECTOR + 1);
	partition_close(&p);
}

static void test_assert_others(void **state)
{
	struct partition p = {0};

	start(&p);
	assert_halted(&p, 0);
	assert_hv(assert_interrupt(&p, HV_INTERRUPT_NMI, 0, 0, 0), 0, 0);
	run_to_out(&p, 0, 0x70);
	/* The PIC's: its vector as it is; 0 takes nothing there is, and is a success. */
	assert_hv(assert_interrupt(&p, HV_INTERRUPT_EXTINT, 0, 0, VECTOR + 3), 0, 0);
	run_to_out(&p, 0, VECTOR + 3);
	run_to_out(&p, 0, 0x60);
	for (unsigned i = 0; i < 3; i++)
		assert_hv(assert_interrupt(&p, HV_INTERRUPT_EXTINT, 0, 0, 0), 0, 0);
	assert_halted(&p, 0);
	partition_close(&p);
}

/* The local vector table says what an interrupt at a pin is. */
static void test_assert_pins(void **state)
{
	const u32 lint0 = HV_X64_REGISTER_APIC_FIRST + 0x35, lint1 = lint0 + 1;
	struct partition p = {0};

	start(&p);
	/* Masked at first; and who is not there takes none. */
	assert_hv(assert_interrupt(&p, HV_INTERRUPT_LINT0, 0, 0, VECTOR), 0, 0);
	assert_hv(assert_interrupt(&p, HV_INTERRUPT_LINT1, 0, 0, VECTOR), 0, 0);
	assert_hv(assert_interrupt(&p, HV_INTERRUPT_LINT1, 0, 5, VECTOR), 0, 0);
	assert_halted(&p, 0);
	set_reg(&p, 0, lint0, HV_INTERRUPT_EXTINT << 8);
	assert_hv(assert_interrupt(&p, HV_INTERRUPT_LINT0, 0, 0, VECTOR + 1), 0, 0);
	assert_vector(&p, 0, VECTOR + 1);
	set_reg(&p, 0, lint1, HV_INTERRUPT_NMI << 8);
	assert_hv(assert_interrupt(&p, HV_INTERRUPT_LINT1, 0, 0, VECTOR + 1), 0, 0);
	run_to_out(&p, 0, 0x70);
	set_reg(&p, 0, lint1, VECTOR + 2);
	assert_hv(assert_interrupt(&p, HV_INTERRUPT_LINT1, 0, 0, 0), 0, 0);
	assert_vector(&p, 0, VECTOR + 2);
	partition_close(&p);
}

static void test_clear(void **state)
{
	u64 in = 0;
	const struct hv_call clear = {
		.code = HVCALL_CLEAR_VIRTUAL_INTERRUPT, .in = &in, .in_size = sizeof(in)};
	struct partition p = {0};

	start(&p);
	assert_hv(hv_call(p.fd, &clear), 0, 0);
	assert_hv(assert_interrupt(&p, HV_INTERRUPT_EXTINT, 0, 0, VECTOR), 0, 0);
	assert_hv(hv_call(p.vp[0], &clear), 0, 0);
	assert_halted(&p, 0);
	partition_close(&p);
}

/* INIT stops a processor, SIPI says where it goes on: without any message. */
static void test_init_sipi(void **state)
{
	struct partition p = {0};
	struct runner r;

	start(&p);
	partition_add_vp(&p, 1);
	assert_int_equal(reg(&p, 1, HV_REGISTER_INTERNAL_ACTIVITY_STATE), HV_ACTIVITY_STARTUP);
	memcpy(p.ram + 0x5000, (const u8[]){0xe6, 0x55, 0xf4}, 3);
	runner_start(&r, &p, 1);
	runner_inside(&r);
	assert_hv(assert_interrupt(&p, HV_INTERRUPT_INIT, 0, 1, 0), 0, 0);
	assert_hv(assert_interrupt(&p, HV_INTERRUPT_SIPI, 0, 1, 5), 0, 0);
	assert_int_equal(runner_wait(&r), 0);
	assert_int_equal(r.message.type, HVMSG_X64_IO_PORT_INTERCEPT);
	assert_int_equal(p.page[1]->segment[1].base, 0x5000);
	assert_int_equal(p.page[1]->rip, 0);
	partition_close(&p);
}

static void test_assert_bad(void **state)
{
	static const struct {
		u32 type, control, vector;
	} bad[] = {{HV_INTERRUPT_FIXED, 0, 15}, {HV_INTERRUPT_FIXED, 0, 256},
		{HV_INTERRUPT_LOWEST, 0, 0}, {HV_INTERRUPT_REMOTE_READ, 0, 0}, {10, 0, 0x40},
		{~0u, 0, 0x40}, {HV_INTERRUPT_FIXED, 4, 0x40}, {HV_INTERRUPT_NMI, BIT(31), 0}};
	struct partition p = {0};

	start(&p);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_hv(assert_interrupt(&p, bad[i].type, bad[i].control, 0, bad[i].vector),
			HVS_INVALID_PARAMETER, 0);
	assert_halted(&p, 0);
	partition_close(&p);
}

/* ---- doorbells ---- */

static void doorbell(struct partition *p, int fd, u64 addr, u32 len, u64 match, u32 flags)
{
	struct mshv_user_ioeventfd a = {
		.addr = addr, .len = len, .fd = fd, .datamatch = match, .flags = flags};

	assert_int_equal(mshv_p(p->fd, MSHV_IOEVENTFD, &a), 0);
}

/* mov [rbx], eax; mov [rbx], ax; mov rax from it; out 10h, al */
static const u8 doorbell_code[] = {0x89, 0x03, 0x66, 0x89, 0x03, 0x8b, 0x03, 0xe6, 0x10};

static void ring(struct partition *p, u64 rax)
{
	code_long(p, 0, doorbell_code, sizeof(doorbell_code));
	set_reg(p, 0, HV_X64_REGISTER_RAX, rax);
	set_reg(p, 0, HV_X64_REGISTER_RAX + RBX, NOWHERE);
}

static void expect_access(struct partition *p, u8 access, u64 rip)
{
	const struct hv_memory_message *m =
		RUN_UNTIL(p, 0, HVMSG_UNMAPPED_GPA, struct hv_memory_message);

	assert_int_equal(m->header.access, access);
	assert_int_equal(m->header.rip, rip);
	assert_int_equal(m->gpa, NOWHERE);
}

static void test_doorbell_any(void **state)
{
	struct partition p = {0};
	int event = new_event(0);
	eventfd_t n = 0;

	partition_start(&p, LAPIC);
	doorbell(&p, event, NOWHERE, 0, 0, 0);
	ring(&p, 1);
	/* Both stores ring, whatever they are; a load does not. */
	expect_access(&p, HV_INTERCEPT_READ, CODE_GPA + 5);
	assert_int_equal(eventfd_read(event, &n), 0);
	assert_int_equal(n, 2);
	doorbell(&p, event, NOWHERE, 0, 0, 1 << MSHV_IOEVENTFD_BIT_DEASSIGN);
	ring(&p, 1);
	expect_access(&p, HV_INTERCEPT_WRITE, CODE_GPA);
	assert_false(take_event(event));
	partition_close(&p);
	close(event);
}

static void test_doorbell_match(void **state)
{
	struct partition p = {0};
	int event = new_event(0);

	partition_start(&p, LAPIC);
	doorbell(&p, event, NOWHERE, 4, 0x12345678, 1);
	ring(&p, 0x12345678);
	expect_access(&p, HV_INTERCEPT_WRITE, CODE_GPA + 2); /* 2 bytes: another length */
	assert_true(take_event(event));
	ring(&p, 0x12345679);
	expect_access(&p, HV_INTERCEPT_WRITE, CODE_GPA);
	assert_false(take_event(event));
	/* One byte further is another address. */
	set_reg(&p, 0, HV_X64_REGISTER_RAX, 0x12345678);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RBX, NOWHERE + 1);
	assert_int_equal(
		RUN_UNTIL(&p, 0, HVMSG_UNMAPPED_GPA, struct hv_memory_message)->gpa, NOWHERE + 1);
	assert_false(take_event(event));
	partition_close(&p);
	close(event);
}

/* One of a length and one of any length, on the same address. */
static void test_doorbell_two(void **state)
{
	struct partition p = {0};
	int any = new_event(0), four = new_event(0);

	partition_start(&p, LAPIC);
	doorbell(&p, any, NOWHERE, 0, 0, 0);
	doorbell(&p, four, NOWHERE, 4, 0, 0);
	ring(&p, 1);
	expect_access(&p, HV_INTERCEPT_READ, CODE_GPA + 5);
	assert_true(take_event(four));
	assert_true(take_event(any));
	partition_close(&p);
	close(any);
	close(four);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_irqfd),
	cmocka_unit_test(test_irqfd_signalled_before),
	cmocka_unit_test(test_irqfd_wakes),
	cmocka_unit_test(test_irqfd_without_lapic),
	cmocka_unit_test(test_level),
	cmocka_unit_test(test_resample),
	cmocka_unit_test(test_assert_fixed),
	cmocka_unit_test(test_assert_wide),
	cmocka_unit_test(test_assert_others),
	cmocka_unit_test(test_assert_pins),
	cmocka_unit_test(test_clear),
	cmocka_unit_test(test_init_sipi),
	cmocka_unit_test(test_assert_bad),
	cmocka_unit_test(test_doorbell_any),
	cmocka_unit_test(test_doorbell_match),
	cmocka_unit_test(test_doorbell_two),
};
MSHV_MAIN(tests)
