/* SPDX-License-Identifier: MIT */
/*
 * The way of a VMBus: messages go to a slot; if there is no room, the client asks to be told, through the partition, while the
 * processor runs, and posts again.
 */
#include <errno.h>
#include <string.h>

#include "tests/mshv/openvmm/bringup.h"

GUEST(synic);
extern const u8 guest_synic_h30[], guest_synic_take[];

#define SINT 2u
#define SLOT (MACHINE_DATA + 0x3000 + SINT * 0x100)

static long post(struct machine *m, u8 number)
{
	struct hv_post_message_direct in = {.sint = SINT};
	const struct root_call call = {HVCALL_POST_MESSAGE_DIRECT, 0, &in, sizeof(in), NULL, 0};
	const struct hv_message message = {.type = 1, .len = 8, .payload = {number}};

	memcpy(in.message, &message, sizeof(message));
	return root_call(m->partition, &call);
}

static void start(struct machine *m)
{
	bringup(m, 1);
	CODE64(m, 0, synic);
	machine_gate(m, 0x30, GUEST_LABEL(synic, h30));
	machine_out(m, 0, 0x10);
}

/* As many as it takes until one is refused; how many were not. */
static unsigned fill(struct machine *m)
{
	unsigned n = 0;

	while (post(m, (u8)(n + 1)) >= 0)
		CHECK(++n < 10000);
	return n;
}

/* The guest takes one message away and stands at its port access, deaf. */
static u8 take(struct machine *m)
{
	const u8 number = m->ram[SLOT + 16];

	CHECK_EQ(machine_u32(m, SLOT), 1);
	machine_go(m, 0, GUEST_LABEL(synic, take));
	m->page[0]->rflags &= ~0x200ull;
	m->page[0]->dirty |= HV_PAGE_DIRTY_RFLAGS;
	machine_out(m, 0, 0x10);
	return number;
}

static void all_arrive_in_order(void)
{
	struct machine m;
	unsigned n, taken = 0;

	start(&m);
	n = fill(&m);
	CHECK(n >= 1);
	while (taken < n)
		CHECK_EQ(take(&m), (u8)++taken);
	CHECK_EQ(machine_u32(&m, SLOT), 0);
	machine_unmake(&m);
}

/* Full: the client is told as soon as one more would be taken, while the guest runs. */
static void told_of_room(void)
{
	struct hv_message message;
	const struct hv_sint_deliverable_message *d = (const void *)message.payload;
	struct machine m;
	struct runner *r;

	start(&m);
	fill(&m);
	r = machine_start(&m, 0);
	CHECK_OK(root_reg_set(
		m.partition, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, 1ull << (48 + SINT)));
	CHECK_EQ(machine_stop(r, &message), -EINTR);                    /* not yet */
	machine_set_reg(&m, 0, HV_REGISTER_INTERNAL_ACTIVITY_STATE, 0); /* out of its HLT */
	machine_go(&m, 0, GUEST_LABEL(synic, take));
	m.page[0]->rflags &= ~0x200ull;
	m.page[0]->dirty |= HV_PAGE_DIRTY_RFLAGS;
	/* The slot may be filled from the queue again and again: it takes until there is room in the slot. */
	for (unsigned i = 0;; i++) {
		CHECK(i < 10000);
		CHECK_OK(root_vp_run(m.vp[0], &message));
		if (message.type == HVMSG_SYNIC_SINT_DELIVERABLE)
			break;
		CHECK_EQ(message.type, HVMSG_X64_IO_PORT_INTERCEPT);
		machine_go(&m, 0, GUEST_LABEL(synic, take));
	}
	CHECK_EQ(d->sints, 1u << SINT);
	CHECK_OK(post(&m, 0x99));
	machine_unmake(&m);
}

/* An event flag, from the client to the guest, many times. */
static void events(void)
{
	struct machine m;

	start(&m);
	for (u16 flag = 0; flag < 2048; flag = (u16)(flag + 31)) {
		const struct hv_signal_event_direct in = {.sint = SINT, .flag = flag};
		u8 out[8] = {0};
		const struct root_call call = {
			HVCALL_SIGNAL_EVENT_DIRECT, 0, &in, sizeof(in), out, sizeof(out)};

		CHECK_OK(root_call(m.partition, &call));
		CHECK_EQ(out[0], 1);
		CHECK(m.ram[MACHINE_DATA + 0x4000 + SINT * 256 + flag / 8] >> flag % 8 & 1);
	}
	machine_unmake(&m);
}

const struct test vmbus_tests[] = {
	{"all arrive in order", all_arrive_in_order},
	{"told of room", told_of_room},
	{"events", events},
	{0},
};
