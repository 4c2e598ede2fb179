/* SPDX-License-Identifier: MIT */
/* INJECT_EXCEPTION, and TRAP. */
#include <unistd.h>

#include "tests/kvmi/groups.h"
#include "tests/kvmi/world.h"

GUEST_COUNT;
GUEST64(int3, "	int3\n"
	      "	TELL 0x10, 2\n"
	      "	hlt\n");

/* Into a guest that runs: delivered in front of its next instruction. */
static void injected(enum dialect d, u8 nr, bool has_error, u32 error, u64 address, u64 want_error)
{
	struct world w = WORLD(d, 1, LONG, count);
	u64 rip;

	vm_begin(w.vm);
	vm_moves(w.vm, VM_DATA);
	CHECK_EQ(cmd_inject(w.t, 0, nr, has_error, error, address), 0);
	CHECK_EQ(vm_vector(w.vm, 0, nr, &rip), want_error);
	CHECK(rip >= VM_CODE && rip < VM_CODE + 16);
	if (nr == 14)
		CHECK_EQ(vm_out(w.vm, 0, PORT_CR2), (u32)address);
	tool_quiet(w.t);
	world_close(&w);
}

static void test_inject(enum dialect d)
{
	injected(d, 6, false, 0, 0, 0);
	injected(d, 13, true, 0x18, 0, 0x18);
	injected(d, 14, true, 2, 0xdead000, 2);
	injected(d, 0, false, 0, 0, 0);
}

/* Of #PF the error code and the address always count; V6 knows by the vector which ones have an error code. */
static void test_inject_has_error(enum dialect d)
{
	injected(d, 14, false, 6, 0x1234000, 6);
	if (d == V6) {
		injected(d, 13, false, 0x20, 0, 0x20);
		injected(d, 6, true, 0x20, 0, 0);
	}
}

static void test_inject_refused(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);

	vm_begin(w.vm);
	CHECK_EQ(cmd_inject(w.t, 0, 32, false, 0, 0), -KVM_EINVAL);
	CHECK_EQ(cmd_inject(w.t, 0, 255, false, 0, 0), -KVM_EINVAL);
	vm_moves(w.vm, VM_DATA);
	vm_moves(w.vm, VM_DATA);
	CHECK(vm_silent(w.vm, 0));
	world_close(&w);
}

/* In an event: delivered when it is over, in front of the instruction. */
static void test_inject_in_event(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, int3);
	struct event e;
	u64 rip;

	e = pause_cpu(w.t, 0);
	CHECK_EQ(cmd_inject(w.t, 0, 14, true, 4, 0xabc000), 0);
	CHECK(vm_silent(w.vm, 0));
	tool_continue(w.t, &e);
	CHECK_EQ(vm_vector(w.vm, 0, 14, &rip), 4);
	CHECK_EQ(vm_out(w.vm, 0, PORT_CR2), 0xabc000);
	tool_quiet(w.t);
	world_close(&w);
}

/* In the event of an instruction that the tool has tried again: the exception comes in its place. */
static void test_inject_on_retry(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, int3);
	struct event e;
	u64 rip;

	event_on(w.t, 0, KVMI_EVENT_BREAKPOINT);
	vm_begin(w.vm);
	e = tool_event(w.t, KVMI_EVENT_BREAKPOINT);
	CHECK_EQ(cmd_inject(w.t, 0, 13, true, 0x40, 0), 0);
	tool_retry(w.t, &e);
	CHECK_EQ(vm_vector(w.vm, 0, 13, &rip), 0x40);
	CHECK_EQ(rip, VM_CODE);
	tool_quiet(w.t);
	world_close(&w);
}

/* V5: TRAP tells only of one that is lost, because something else is delivered: #BP here. */
static void test_lost(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, int3);
	struct event e;
	u64 rip;

	event_on(w.t, 0, KVMI_EVENT_BREAKPOINT);
	event_on(w.t, 0, KVMI_EVENT_TRAP);
	vm_begin(w.vm);
	e = tool_event(w.t, KVMI_EVENT_BREAKPOINT);
	CHECK_EQ(cmd_inject(w.t, 0, 6, false, 0, 0), 0);
	tool_continue(w.t, &e);
	e = tool_event_of(w.t, KVMI_EVENT_TRAP, 0);
	CHECK_EQ(e.vector, 3);
	CHECK_EQ(e.type, 0x600);
	CHECK_EQ(e.error_code, 0);
	CHECK(vm_silent(w.vm, 0));
	tool_continue(w.t, &e);
	vm_vector(w.vm, 0, 3, &rip);
	CHECK_EQ(rip, VM_CODE + 1);
	tool_quiet(w.t);
	world_close(&w);
}

static void test_not_lost(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);

	event_on(w.t, 0, KVMI_EVENT_TRAP);
	vm_begin(w.vm);
	vm_moves(w.vm, VM_DATA);
	CHECK_EQ(cmd_inject(w.t, 0, 6, false, 0, 0), 0);
	vm_vector(w.vm, 0, 6, NULL);
	tool_quiet(w.t);
	world_close(&w);
}

/* V6: TRAP tells of each, and what has become of it. */
static void test_trap(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, int3);
	struct event e;

	event_on(w.t, 0, KVMI_EVENT_TRAP);
	event_on(w.t, 0, KVMI_EVENT_BREAKPOINT);
	e = pause_cpu(w.t, 0);
	CHECK_EQ(cmd_inject(w.t, 0, 14, true, 2, 0x1234000), 0);
	tool_continue(w.t, &e);
	e = tool_event_of(w.t, KVMI_EVENT_TRAP, 0);
	CHECK_EQ(e.vector, 14);
	CHECK_EQ(e.error_code, 2);
	CHECK_EQ(e.cr2, 0x1234000);
	CHECK(vm_silent(w.vm, 0));
	tool_continue(w.t, &e);
	CHECK_EQ(vm_vector(w.vm, 0, 14, NULL), 2);
	tool_quiet(w.t);
	world_close(&w);
}

/* V6: one at a time */
static void test_busy(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, int3);
	struct event e;

	event_on(w.t, 0, KVMI_EVENT_TRAP);
	e = pause_cpu(w.t, 0);
	CHECK_EQ(cmd_inject(w.t, 0, 6, false, 0, 0), 0);
	CHECK_EQ(cmd_inject(w.t, 0, 13, true, 0, 0), -KVM_EBUSY);
	tool_continue(w.t, &e);
	e = tool_event(w.t, KVMI_EVENT_TRAP);
	CHECK_EQ(e.vector, 6);
	tool_continue(w.t, &e);
	vm_vector(w.vm, 0, 6, NULL);
	world_close(&w);
}

/* The tool goes before it is delivered: it comes all the same, or not; the guest runs on in either case. */
static void test_inject_and_go(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);

	pause_cpu(w.t, 0);
	CHECK_EQ(cmd_inject(w.t, 0, 6, false, 0, 0), 0);
	vm_begin(w.vm);
	tool_close(w.t);
	w.t = tool_open(w.vm, d);
	for (unsigned ms = 0; vm_silent(w.vm, 0) && !vm_read64(w.vm, VM_DATA); ms++) {
		CHECK(ms < wait_ms());
		usleep(1000);
	}
	if (!vm_silent(w.vm, 0))
		vm_vector(w.vm, 0, 6, NULL);
	tool_quiet(w.t);
	world_close(&w);
}

const struct test inject_tests[] = {
	TEST(test_inject, BOTH),
	TEST(test_inject_has_error, BOTH),
	TEST(test_inject_refused, BOTH),
	TEST(test_inject_in_event, BOTH),
	TEST(test_inject_on_retry, BOTH),
	TEST(test_lost, V5),
	TEST(test_not_lost, V5),
	TEST(test_trap, V6),
	TEST(test_busy, V6),
	TEST(test_inject_and_go, BOTH),
	{0},
};
