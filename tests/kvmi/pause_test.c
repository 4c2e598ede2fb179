/* SPDX-License-Identifier: MIT */
/* Pauses: as many events as were asked for, in which the guest does nothing. */
#include <unistd.h>

#include "tests/kvmi/groups.h"
#include "tests/kvmi/world.h"

/* Each vcpu counts at its own place: DATA + RDI. */
GUEST64(counters, "	movq %rsp, %rdi\n"
		  "	subq $0x21000, %rdi\n"
		  "1:	lock incq DATA(%rdi)\n"
		  "	jmp 1b\n");
#define COUNTER(n) (VM_DATA + (n)*0x1000)
GUEST64(halt, "	movq $1, DATA\n"
	      "1:	hlt\n"
	      "	lock incq DATA\n"
	      "	jmp 1b\n");
GUEST64(int3, "	int3\n"
	      "	TELL 0x10, 1\n"
	      "	hlt\n");

/* After the reply nothing is executed, although no event has been read yet. */
static void test_no_progress(enum dialect d)
{
	struct world w = WORLD(d, 2, LONG, counters);

	vm_begin(w.vm);
	for (unsigned round = 0; round < 20; round++) {
		u64 was[2];

		vm_moves(w.vm, COUNTER(0));
		vm_moves(w.vm, COUNTER(1));
		CHECK_EQ(cmd_pause_all(w.t), 2);
		for (unsigned i = 0; i < 2; i++)
			was[i] = vm_read64(w.vm, COUNTER(i));
		usleep(3000);
		for (unsigned i = 0; i < 2; i++)
			CHECK_EQ(vm_read64(w.vm, COUNTER(i)), was[i]);
		for (unsigned i = 0; i < 2; i++) {
			const struct event e = tool_next_of(w.t, i);

			CHECK_EQ(e.id, KVMI_EVENT_PAUSE_VCPU);
			tool_continue(w.t, &e);
		}
	}
	world_close(&w);
}

/* One that goes on, while the other is still paused */
static void test_one_goes_on(enum dialect d)
{
	struct world w = WORLD(d, 2, LONG, counters);
	struct event e;
	u64 was;

	vm_begin(w.vm);
	CHECK_EQ(cmd_pause_all(w.t), 2);
	e = tool_next_of(w.t, 1);
	was = vm_read64(w.vm, COUNTER(0));
	tool_continue(w.t, &e);
	vm_moves(w.vm, COUNTER(1));
	CHECK_EQ(vm_read64(w.vm, COUNTER(0)), was);
	e = tool_next_of(w.t, 0);
	tool_continue(w.t, &e);
	vm_moves(w.vm, COUNTER(0));
	world_close(&w);
}

static void test_each_counts(enum dialect d)
{
	struct world w = WORLD(d, 2, LONG, counters);

	vm_begin(w.vm);
	CHECK_EQ(cmd_pause_all(w.t), 2);
	CHECK_EQ(cmd_pause_all(w.t), 2);
	CHECK_EQ(cmd_pause_all(w.t), 2);
	for (unsigned k = 0; k < 3; k++)
		for (unsigned i = 0; i < 2; i++) {
			const struct event e = tool_next_of(w.t, i);

			CHECK_EQ(e.id, KVMI_EVENT_PAUSE_VCPU);
			CHECK_EQ(cmd_get_registers(w.t, i, NULL, 0, NULL), 0);
			CHECK(!tool_has_event_of(w.t, i));
			tool_continue(w.t, &e);
		}
	vm_moves(w.vm, COUNTER(0));
	vm_moves(w.vm, COUNTER(1));
	tool_quiet(w.t);
	world_close(&w);
}

/* A pause comes behind commands that were sent before it, and behind other events. */
static void test_comes_last(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, int3);
	struct event e;

	event_on(w.t, 0, KVMI_EVENT_BREAKPOINT);
	vm_begin(w.vm);
	e = tool_event(w.t, KVMI_EVENT_BREAKPOINT);
	CHECK_EQ(cmd_pause_all(w.t), 1);
	for (unsigned i = 0; i < 5; i++)
		CHECK_EQ(cmd_get_registers(w.t, 0, NULL, 0, NULL), 0);
	tool_quiet(w.t);
	CHECK_EQ(cmd_set_registers(w.t, 0,
			 &(struct kvm_regs){.rip = e.regs.rip + 1, .rflags = 2, .rsp = e.regs.rsp}),
		0);
	tool_retry(w.t, &e);
	e = tool_event(w.t, KVMI_EVENT_PAUSE_VCPU);
	CHECK_EQ(e.regs.rip, VM_CODE + 1);
	tool_continue(w.t, &e);
	VM_OUT(w.vm, 0, 0x10, 1);
	world_close(&w);
}

/* Commands, all sent before any reply is read: they are answered in their order, and the event is behind them. */
static void test_queued(enum dialect d)
{
	struct world w = {.d = d, .vm = vm_open(1, 0)};
	const u16 id = d == V5 ? KVMI_GET_REGISTERS : KVMI_V6_GET_REGISTERS;
	const u8 request[16] = {0}, pause[16] = {0};
	struct event e;
	u32 seq;

	VM_GUEST(w.vm, 0, LONG, counters);
	w.t = tool_open(w.vm, d);
	if (d == V5)
		cmd_pause_all(w.t);
	else
		CHECK_EQ(tool_command(w.t, KVMI_V6_PAUSE_VCPU, pause, 16, 0), 0);
	seq = w.t->seq;
	for (unsigned i = 0; i < 10; i++)
		tool_send(w.t, id, request, d == V5 ? 8 : 16);
	/* The answer says that all before it has been received. */
	tool_send(w.t, d == V5 ? KVMI_GET_VERSION : KVMI_V6_GET_VERSION, NULL, 0);
	CHECK_EQ(tool_reply(w.t, d == V5 ? KVMI_GET_VERSION : KVMI_V6_GET_VERSION, NULL), 0);
	vm_begin(w.vm);
	vm_go(w.vm);
	for (u32 i = 1; i <= 10; i++) {
		CHECK_EQ(tool_reply_to(w.t, id, seq + i, NULL), 0);
		CHECK(!tool_has_event(w.t));
	}
	e = tool_event(w.t, KVMI_EVENT_PAUSE_VCPU);
	CHECK_EQ(vm_read64(w.vm, COUNTER(0)), 0);
	tool_continue(w.t, &e);
	vm_moves(w.vm, COUNTER(0));
	world_close(&w);
}

static void test_halted(enum dialect d)
{
	struct world w = world_open(d, 1, VM_IRQCHIP, LONG, guest_halt, guest_halt_end);
	struct event e;

	vm_begin(w.vm);
	vm_wait64(w.vm, VM_DATA, 1);
	for (unsigned i = 0; i < 5; i++) {
		e = pause_cpu(w.t, 0);
		tool_continue(w.t, &e);
	}
	/* It still halts. */
	CHECK_EQ(cmd_get_registers(w.t, 0, NULL, 0, NULL), 0);
	CHECK_EQ(vm_read64(w.vm, VM_DATA), 1);
	world_close(&w);
}

/* V5 counts vcpus that have not begun; they send it when they first run. */
static void test_not_started(enum dialect d)
{
	struct world w = {.d = d, .vm = vm_open(2, VM_IRQCHIP)};
	struct kvm_mp_state runnable = {KVM_MP_STATE_RUNNABLE};
	struct event e;

	VM_GUEST(w.vm, 0, LONG, counters);
	VM_GUEST(w.vm, 1, LONG, counters);
	w.t = tool_open(w.vm, d);
	vm_begin(w.vm);
	vm_start(w.vm, 0);
	CHECK_EQ(cmd_pause_all(w.t), 2);
	e = tool_event_of(w.t, KVMI_EVENT_PAUSE_VCPU, 0);
	tool_continue(w.t, &e);
	vm_moves(w.vm, COUNTER(0));
	tool_quiet(w.t);
	CHECK_EQ(kvm_p(w.vm, w.vm->cpu[1].fd, KVM_SET_MP_STATE, &runnable), 0);
	vm_start(w.vm, 1);
	e = tool_event_of(w.t, KVMI_EVENT_PAUSE_VCPU, 1);
	CHECK_EQ(vm_read64(w.vm, COUNTER(1)), 0);
	tool_continue(w.t, &e);
	vm_moves(w.vm, COUNTER(1));
	world_close(&w);
}

/* One vcpu alone, without waiting. */
static void test_single(enum dialect d)
{
	struct world w = WORLD(d, 2, LONG, counters);
	u8 request[16] = {1};
	struct event e;

	vm_begin(w.vm);
	CHECK_EQ(tool_command(w.t, KVMI_V6_PAUSE_VCPU, request, 16, 0), 0);
	e = tool_event_of(w.t, KVMI_EVENT_PAUSE_VCPU, 1);
	vm_moves(w.vm, COUNTER(0));
	tool_quiet(w.t);
	tool_continue(w.t, &e);
	vm_moves(w.vm, COUNTER(1));
	world_close(&w);
}

/* There is an end to how many can wait. */
static void test_too_many(enum dialect d)
{
	struct world w = {.d = d, .vm = vm_open(1, 0)};
	const u8 request[16] = {0};
	s32 err = 0;

	VM_GUEST(w.vm, 0, LONG, counters);
	w.t = tool_open(w.vm, d);
	for (unsigned i = 0; i < 1000000 && !err; i++)
		err = tool_command(w.t, KVMI_V6_PAUSE_VCPU, request, 16, 0);
	CHECK_EQ(err, -KVM_EBUSY);
	world_close(&w);
}

const struct test pause_tests[] = {
	TEST(test_no_progress, BOTH),
	TEST(test_one_goes_on, BOTH),
	TEST(test_each_counts, BOTH),
	TEST(test_comes_last, BOTH),
	TEST(test_queued, BOTH),
	TEST(test_halted, BOTH),
	TEST(test_not_started, V5),
	TEST(test_single, V6),
	TEST(test_too_many, V6),
	{0},
};
