/* SPDX-License-Identifier: MIT */
/* I/O APIC at register level. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "chips/ioapic.h"

static struct ioapic io;
static unsigned sent;
static u64 last;
static int answer;
static u32 acked;
static bool ack_lowers;

static int on_deliver(void *opaque, u64 entry)
{
	sent++;
	last = entry;
	return answer;
}

static void on_ack(void *opaque, unsigned pin)
{
	acked |= BIT(pin);
	if (ack_lowers)
		ioapic_set_irq(&io, pin, false);
}

static int setup(void **state)
{
	memset(&io, 0, sizeof(io));
	io.deliver = on_deliver;
	io.ack = on_ack;
	ioapic_reset(&io);
	sent = acked = 0;
	answer = 1;
	ack_lowers = false;
	return 0;
}

static void wr(u32 reg, u32 value)
{
	ioapic_write(&io, 0, reg);
	ioapic_write(&io, 0x10, value);
}

static u32 rd(u32 reg)
{
	ioapic_write(&io, 0, reg);
	return ioapic_read(&io, 0x10);
}

static void test_registers(void **state)
{
	assert_int_equal(rd(1), 0x170011);
	wr(0, 0xff000000);
	assert_int_equal(rd(0), 0x0f000000);
	assert_int_equal(rd(2), 0x0f000000);
	assert_int_equal(rd(0x10), 0x10000); /* masked */
	wr(0x10, 0xffffffff);
	wr(0x11, 0xa5000000);
	assert_int_equal(rd(0x10), 0x1afff); /* status and remote IRR are read-only */
	assert_int_equal(rd(0x11), 0xa5000000);
	assert_int_equal(rd(0x40), 0);
	assert_int_equal(ioapic_read(&io, 0), 0x40);
	assert_int_equal(ioapic_read(&io, 0x20), 0);
}

static void test_edge(void **state)
{
	wr(0x18, 0x31);
	assert_int_equal(ioapic_set_irq(&io, 4, true), 1);
	assert_int_equal(ioapic_set_irq(&io, 4, true), 0);
	assert_int_equal(sent, 1);
	assert_int_equal(RTE_VECTOR(last), 0x31);
	assert_int_equal(ioapic_set_irq(&io, 4, false), 1);
	assert_int_equal(ioapic_set_irq(&io, 4, true), 1);
	assert_int_equal(sent, 2);
}

static void test_masked_edge(void **state)
{
	assert_int_equal(ioapic_set_irq(&io, 4, true), -1);
	wr(0x18, 0x31);
	assert_int_equal(sent, 0);
	ioapic_set_irq(&io, 4, false);
	ioapic_set_irq(&io, 4, true);
	assert_int_equal(sent, 1);
}

static void test_level(void **state)
{
	wr(0x2a, 0x8041);
	assert_int_equal(ioapic_set_irq(&io, 13, true), 1);
	assert_int_equal(rd(0x2a), 0xc041); /* remote IRR */
	assert_int_equal(ioapic_set_irq(&io, 13, true), -1);
	assert_int_equal(sent, 1);
	ioapic_eoi(&io, 0x42); /* another one's */
	assert_int_equal(sent, 1);
	ioapic_eoi(&io, 0x41); /* still up */
	assert_int_equal(sent, 2);
	assert_int_equal(acked, BIT(13));
	ioapic_set_irq(&io, 13, false);
	ioapic_eoi(&io, 0x41);
	assert_int_equal(sent, 2);
	assert_int_equal(rd(0x2a), 0x8041);
}

static void test_level_masked(void **state)
{
	wr(0x2a, 0x18041);
	ioapic_set_irq(&io, 13, true);
	assert_int_equal(sent, 0);
	wr(0x2a, 0x8041); /* unmasking shows the level */
	assert_int_equal(sent, 1);
	wr(0x2a, 0x18041);
	wr(0x2a, 0x8041); /* but not twice without an EOI */
	assert_int_equal(sent, 1);
}

static void test_ack_may_lower(void **state)
{
	ack_lowers = true;
	wr(0x2a, 0x8041);
	ioapic_set_irq(&io, 13, true);
	ioapic_eoi(&io, 0x41);
	assert_int_equal(sent, 1);
}

static void test_refused(void **state)
{
	answer = -1;
	wr(0x2a, 0x8041);
	assert_int_equal(ioapic_set_irq(&io, 13, true), -1);
	assert_int_equal(rd(0x2a), 0x8041);
	answer = 1;
	assert_int_equal(ioapic_set_irq(&io, 13, true), 1);
}

static void test_edge_drops_remote_irr(void **state)
{
	wr(0x2a, 0x8041);
	ioapic_set_irq(&io, 13, true);
	wr(0x2a, 0x41);
	assert_int_equal(rd(0x2a), 0x41);
}

static void test_state(void **state)
{
	struct ioapic_state s;

	wr(0x18, 0x31);
	wr(0x2a, 0x8041);
	ioapic_set_irq(&io, 4, true); /* delivered edge: not to be repeated */
	ioapic_set_irq(&io, 5, true); /* masked */
	ioapic_set_irq(&io, 13, true);
	ioapic_get_state(&io, &s);
	assert_int_equal(s.irr, BIT(5) | BIT(13));
	ioapic_reset(&io);
	sent = 0;
	ioapic_set_state(&io, &s);
	assert_int_equal(sent, 0); /* remote IRR holds 13 back */
	ioapic_eoi(&io, 0x41);
	assert_int_equal(sent, 1);
	assert_int_equal(io.s.base_address, IOAPIC_BASE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_registers, setup),
		cmocka_unit_test_setup(test_edge, setup),
		cmocka_unit_test_setup(test_masked_edge, setup),
		cmocka_unit_test_setup(test_level, setup),
		cmocka_unit_test_setup(test_level_masked, setup),
		cmocka_unit_test_setup(test_ack_may_lower, setup),
		cmocka_unit_test_setup(test_refused, setup),
		cmocka_unit_test_setup(test_edge_drops_remote_irr, setup),
		cmocka_unit_test_setup(test_state, setup),
	};

	return cmocka_run_group_tests_name("ioapic", tests, NULL, NULL);
}
