/* SPDX-License-Identifier: MIT */
/* Events that the client injects: exceptions that its emulator has found, and interrupts. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/mshv/openvmm/bringup.h"

GUEST(injected);
GUEST(irq);
GUEST(count);
extern const u8 guest_injected_pf[], guest_injected_gp[], guest_injected_irq[], guest_irq_h30[];

#define PF 14
#define GP 13

/* Stands at a port access that the client is about to emulate. */
static void start(struct machine *m)
{
	struct hv_message message;

	bringup(m, 1);
	CODE64(m, 0, injected);
	machine_gate(m, PF, GUEST_LABEL(injected, pf));
	machine_gate(m, GP, GUEST_LABEL(injected, gp));
	machine_gate(m, 0x40, GUEST_LABEL(injected, irq));
	machine_run(m, 0, HVMSG_X64_IO_PORT_INTERCEPT, &message);
}

static void set_events(struct machine *m, struct hv_value128 event0)
{
	const struct hv_register r[] = {{.name = HV_REGISTER_PENDING_EVENT0, .value = event0},
		{.name = HV_REGISTER_PENDING_EVENT1}};

	CHECK_OK(root_regs_set(m->vp[0], 0, r, ARRAY_SIZE(r)));
}

static struct hv_value128 exception(u32 vector, u32 error, u64 parameter)
{
	return (struct hv_value128){HV_PENDING | HV_EVENT_EXCEPTION << 1 | HV_EVENT_HAS_ERROR |
					    (u64)vector << 16 | (u64)error << 32,
		parameter};
}

static void page_fault(void)
{
	struct machine m;

	start(&m);
	set_events(&m, exception(PF, 6, 0x12345678));
	CHECK_EQ(machine_out(&m, 0, 0x20), 0x12345678);
	CHECK_EQ(machine_out(&m, 0, 0x21), 6);
	CHECK_EQ(machine_reg(&m, 0, HV_REGISTER_PENDING_EVENT0) & 1, 0);
	machine_unmake(&m);
}

static void general_protection(void)
{
	struct machine m;

	start(&m);
	set_events(&m, exception(GP, 0x18, 0));
	CHECK_EQ(machine_out(&m, 0, 0x22), 0x18);
	machine_unmake(&m);
}

/* It can be seen and taken back before the run. */
static void taken_back(void)
{
	struct machine m;
	struct hv_message message;
	struct hv_register r = {.name = HV_REGISTER_PENDING_EVENT0};

	start(&m);
	set_events(&m, exception(PF, 2, 0x1000));
	CHECK_OK(root_regs_get(m.vp[0], 0, &r, 1));
	CHECK_EQ(r.value.low, exception(PF, 2, 0x1000).low);
	CHECK_EQ(r.value.high, 0x1000);
	set_events(&m, (struct hv_value128){0});
	machine_run(&m, 0, HVMSG_X64_IO_PORT_INTERCEPT, &message); /* the same access again */
	machine_unmake(&m);
}

/* A vector without a local APIC's doing. */
static void external_interrupt(void)
{
	struct machine m;

	start(&m);
	machine_set_reg(&m, 0, HV_X64_REGISTER_RFLAGS, 0x202);
	set_events(&m, (struct hv_value128){HV_PENDING | HV_EVENT_EXTINT << 1 | 0x40 << 8, 0});
	CHECK_EQ(machine_out(&m, 0, 0x23), 0x123);
	machine_unmake(&m);
}

/* ---- its interrupts: 0x94, and routes of numbers that are its own ---- */

#define COUNT (MACHINE_DATA + 4 * 0x30)

static struct runner *start_sleeper(struct machine *m)
{
	struct runner *r;

	bringup(m, 1);
	CODE64(m, 0, irq);
	machine_gate(m, 0x30, GUEST_LABEL(irq, h30));
	r = machine_start(m, 0);
	machine_await(m, MACHINE_DATA, 1);
	return r;
}

static void asserted_interrupt(void)
{
	const struct hv_assert_interrupt how = {.type = HV_INTERRUPT_FIXED, .vector = 0x30};
	struct machine m;
	struct runner *r = start_sleeper(&m);

	CHECK_OK(root_interrupt_assert(m.partition, &how));
	machine_await(&m, COUNT, 1);
	CHECK_EQ(machine_stop(r, NULL), -EINTR);
	machine_unmake(&m);
}

static void routed_interrupt(void)
{
	enum { GSI = 2047 };
	const struct mshv_user_irq_entry e = {.gsi = GSI, .address_lo = 0xfee00000, .data = 0x30};
	const u64 one = 1;
	struct machine m;
	struct runner *r = start_sleeper(&m);
	int fd = eventfd(0, EFD_NONBLOCK);

	CHECK_OK(root_irqfd_set(m.partition, fd, GSI, 0));
	CHECK_OK(root_routing_set(m.partition, &e, 1));
	CHECK_EQ(write(fd, &one, sizeof(one)), sizeof(one));
	machine_await(&m, COUNT, 1);
	CHECK_EQ(machine_stop(r, NULL), -EINTR);
	close(fd);
	machine_unmake(&m);
}

/* The time is asked for all the while, and does not go back. */
static void time_is_polled(void)
{
	struct machine m;
	struct runner *r;
	u64 last = 0;

	bringup(&m, 1);
	CODE64(&m, 0, count);
	r = machine_start(&m, 0);
	for (unsigned i = 0; i < 10000; i++) {
		u64 now;

		CHECK_OK(root_property_get(m.partition, HV_PROPERTY_REFERENCE_TIME, &now));
		CHECK(now >= last);
		last = now;
	}
	CHECK_EQ(machine_stop(r, NULL), -EINTR);
	machine_unmake(&m);
}

const struct test inject_tests[] = {
	{"page fault", page_fault},
	{"general protection", general_protection},
	{"taken back", taken_back},
	{"external interrupt", external_interrupt},
	{"asserted interrupt", asserted_interrupt},
	{"routed interrupt", routed_interrupt},
	{"time is polled", time_is_polled},
	{0},
};
