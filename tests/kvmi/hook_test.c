/* SPDX-License-Identifier: MIT */
/* The beginning and the end of a session: requests of the VMM, tools that go, machines that end. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/dev.h"
#include "tests/inside.h"
#include "tests/kvmi/groups.h"
#include "tests/kvmi/world.h"

GUEST_COUNT;
/* Counts at DATA, and writes to PAGE1 in each round. */
GUEST64(writer, "1:	lock incq DATA\n"
		"	lock incq PAGE1\n"
		"	jmp 1b\n");

static void test_capability(enum dialect d)
{
	struct vm *vm = vm_open(1, 0);

	CHECK_EQ(kvm(vm, vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_INTROSPECTION), KVMI_VERSION);
	CHECK_EQ(KVM_INTROSPECTION_HOOK, 0x4020aeff);
	CHECK_EQ(KVM_INTROSPECTION_UNHOOK, 0x0000aefe);
	vm_close(vm);
}

static void test_hook_refused(enum dialect d)
{
	struct vm *vm = vm_open(1, 0);
	const int file = open("/dev/null", O_RDWR | O_CLOEXEC);

	CHECK_EQ(vm_hook(vm, -1, ~0u, ~0u), -EINVAL);
	CHECK_EQ(vm_hook(vm, 9999, ~0u, ~0u), -EINVAL);
	CHECK_EQ(vm_hook(vm, file, ~0u, ~0u), -EINVAL);
	CHECK_EQ(vm_hook(vm, vm->fd, ~0u, ~0u), -EINVAL);
	CHECK_EQ(kvm(vm, vm->fd, KVM_INTROSPECTION_HOOK, 8), -EFAULT);
	CHECK_EQ(kvm(vm, vm->sys, KVM_INTROSPECTION_UNHOOK, 0), -EINVAL);
	CHECK_EQ(kvm(vm, vm->cpu[0].fd, KVM_INTROSPECTION_UNHOOK, 0), -EINVAL);
	CHECK_EQ(kvm(vm, vm->fd, KVM_INTROSPECTION_UNHOOK, 0), -ENOENT);
	close(file);
	vm_close(vm);
}

static void test_unhook(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	struct event e;

	vm_begin(w.vm);
	CHECK_EQ(kvm(w.vm, w.vm->fd, KVM_INTROSPECTION_UNHOOK, 0), -EPERM);
	CHECK_EQ(cmd_control_vm_event(w.t, KVMI_EVENT_UNHOOK, true), 0);
	CHECK_EQ(kvm(w.vm, w.vm->fd, KVM_INTROSPECTION_UNHOOK, 0), 0);
	e = tool_event(w.t, KVMI_EVENT_UNHOOK);
	CHECK_EQ(e.vcpu, 0);
	CHECK_EQ(e.seq, 1);
	/* It only asks: the session goes on. */
	CHECK_EQ(cmd_write(w.t, VM_DATA + 64, "x", 1), 0);
	tool_close(w.t);
	w.t = tool_open(w.vm, d);
	CHECK_EQ(kvm(w.vm, w.vm->fd, KVM_INTROSPECTION_UNHOOK, 0), -EPERM);
	CHECK_EQ(cmd_control_vm_event(w.t, KVMI_EVENT_UNHOOK, true), 0);
	CHECK_EQ(cmd_control_vm_event(w.t, KVMI_EVENT_UNHOOK, false), 0);
	CHECK_EQ(kvm(w.vm, w.vm->fd, KVM_INTROSPECTION_UNHOOK, 0), -EPERM);
	vm_moves(w.vm, VM_DATA);
	world_close(&w);
}

/* Tools may answer it; nobody waits for that. */
static void test_unhook_answered(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	struct event e;

	CHECK_EQ(cmd_control_vm_event(w.t, KVMI_EVENT_UNHOOK, true), 0);
	CHECK_EQ(kvm(w.vm, w.vm->fd, KVM_INTROSPECTION_UNHOOK, 0), 0);
	e = tool_event(w.t, KVMI_EVENT_UNHOOK);
	tool_continue(w.t, &e);
	tool_quiet(w.t);
	world_close(&w);
}

/* After the tool has gone, the session is over soon: there is none to be unhooked. */
static void test_after_the_tool(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	long r = -EPERM;

	tool_close(w.t);
	w.t = NULL;
	for (unsigned ms = 0; ms < wait_ms() && r == -EPERM; ms++) {
		r = kvm(w.vm, w.vm->fd, KVM_INTROSPECTION_UNHOOK, 0);
		usleep(1000);
	}
	CHECK_EQ(r, -ENOENT);
	world_close(&w);
}

/* ---- two sessions ---- */

struct second {
	struct vm *vm;
	int pair[2];
	_Atomic int tid;
	_Atomic bool done;
	long result;
};

static void *hook_second(void *opaque)
{
	struct second *s = opaque;

	s->tid = gettid();
	s->result = vm_hook(s->vm, s->pair[0], ~0u, ~0u);
	s->done = true;
	return NULL;
}

/* A second hook waits until the first tool has gone. */
static void test_second_hook_waits(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	struct second s = {.vm = w.vm};
	pthread_t thread;

	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s.pair), 0);
	CHECK_EQ(pthread_create(&thread, NULL, hook_second, &s), 0);
	while (!s.tid && !s.done)
		usleep(1000);
	if (!s.done)
		inside_wait_thread(s.tid, 20);
	CHECK(!s.done);
	CHECK_EQ(cmd_version(w.t, NULL, NULL), 0);
	tool_close(w.t);
	pthread_join(thread, NULL);
	CHECK_EQ(s.result, 0);
	close(s.pair[0]);
	w.t = tool_on(s.pair[1], d);
	world_close(&w);
}

/* Each in the dialect that it speaks. */
static void test_dialects_by_turns(enum dialect d)
{
	struct world w = WORLD(V5, 1, LONG, count);

	for (unsigned i = 0; i < 20; i++) {
		tool_close(w.t);
		w.t = tool_open(w.vm, i % 2 ? V5 : V6);
		CHECK_EQ(cmd_get_registers(w.t, 0, NULL, 0, NULL), 0);
	}
	world_close(&w);
}

/* ---- what is left of a session: nothing ---- */

/* All is dropped: restrictions, events, what waits. The next tool finds nothing of it. */
static void test_nothing_stays(enum dialect d)
{
	struct world w = WORLD(d, 2, LONG, writer);
	u8 access = 0;

	event_on(w.t, 0, KVMI_EVENT_PF);
	event_on(w.t, 1, KVMI_EVENT_PF);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), KVMI_PAGE_ACCESS_R), 0);
	vm_begin(w.vm);
	/* Both wait for an answer that never comes. */
	tool_next_of(w.t, 0);
	tool_next_of(w.t, 1);
	CHECK_EQ(vm_read64(w.vm, VM_PAGE(1)), 0);
	tool_close(w.t);
	vm_moves(w.vm, VM_PAGE(1));
	w.t = tool_open(w.vm, d);
	if (!cmd_get_access(w.t, VM_PAGE(1), &access))
		CHECK_EQ(access, 7);
	event_on(w.t, 0, KVMI_EVENT_PF);
	vm_moves(w.vm, VM_PAGE(1));
	tool_quiet(w.t);
	world_close(&w);
}

/* Pauses that were asked for are dropped with the session. */
static void test_pauses_go(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);

	vm_begin(w.vm);
	for (unsigned i = 0; i < 5; i++)
		cmd_pause_all(w.t);
	tool_event(w.t, KVMI_EVENT_PAUSE_VCPU);
	tool_close(w.t);
	vm_moves(w.vm, VM_DATA);
	w.t = tool_open(w.vm, d);
	vm_moves(w.vm, VM_DATA);
	tool_quiet(w.t);
	world_close(&w);
}

/* Commands that wait for a vcpu which nobody runs. */
static void test_waiting_commands_go(enum dialect d)
{
	struct world w = {.d = d, .vm = vm_open(1, 0)};
	const u8 request[16] = {0};

	VM_GUEST(w.vm, 0, LONG, count);
	for (unsigned i = 0; i < 3; i++) {
		w.t = tool_open(w.vm, d);
		for (unsigned k = 0; k < 10; k++)
			tool_send(w.t, d == V5 ? KVMI_GET_REGISTERS : KVMI_V6_GET_REGISTERS,
				request, d == V5 ? 8 : 16);
		CHECK_EQ(cmd_version(w.t, NULL, NULL), 0);
		tool_close(w.t);
	}
	w.t = tool_open(w.vm, d);
	vm_go(w.vm);
	CHECK_EQ(cmd_get_registers(w.t, 0, NULL, 0, NULL), 0);
	world_close(&w);
}

/* What the tool has written stays. */
static void test_writes_stay(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);

	CHECK_EQ(cmd_write(w.t, VM_DATA + 64, "stays", 5), 0);
	tool_close(w.t);
	w.t = tool_open(w.vm, d);
	CHECK_EQ(w.vm->ram[VM_DATA + 68], 's');
	world_close(&w);
}

/* The tool shuts its side only: that is the end, too. */
static void test_shutdown_one_way(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);

	vm_begin(w.vm);
	pause_cpu(w.t, 0);
	shutdown(w.t->fd, SHUT_WR);
	tool_closed(w.t);
	vm_moves(w.vm, VM_DATA);
	world_close(&w);
}

/* ---- CREATE_VCPU ---- */

/* Each vcpu that exists sends it before it runs, if it is on by then: also to a tool that comes later. */
static void test_create_vcpu(enum dialect d)
{
	struct world w = {.d = d, .vm = vm_open(2, 0)};

	VM_GUEST(w.vm, 0, LONG, count);
	VM_GUEST(w.vm, 1, LONG, count);
	w.t = tool_open(w.vm, d);
	CHECK_EQ(cmd_control_vm_event(w.t, KVMI_EVENT_CREATE_VCPU, true), 0);
	vm_begin(w.vm);
	vm_go(w.vm);
	for (unsigned i = 0; i < 2; i++) {
		const struct event e = tool_next_of(w.t, i);

		CHECK_EQ(e.id, KVMI_EVENT_CREATE_VCPU);
		CHECK_EQ(e.regs.rip, VM_CODE + i * 0x2000 - 6);
		tool_continue(w.t, &e);
	}
	vm_moves(w.vm, VM_DATA);
	tool_quiet(w.t);
	world_close(&w);
}

/* It comes before a pause that the tool asked for while the vcpu had not run yet. */
static void test_create_paused(enum dialect d)
{
	struct world w = {.d = d, .vm = vm_open(1, 0)};
	struct event e;

	VM_GUEST(w.vm, 0, LONG, count);
	w.t = tool_open(w.vm, d);
	CHECK_EQ(cmd_control_vm_event(w.t, KVMI_EVENT_CREATE_VCPU, true), 0);
	CHECK_EQ(cmd_pause_all(w.t), 1);
	vm_begin(w.vm);
	vm_go(w.vm);
	e = tool_next_of(w.t, 0);
	CHECK_EQ(e.id, KVMI_EVENT_CREATE_VCPU);
	tool_continue(w.t, &e);
	e = tool_next_of(w.t, 0);
	CHECK_EQ(e.id, KVMI_EVENT_PAUSE_VCPU);
	CHECK_EQ(vm_read64(w.vm, VM_DATA), 0);
	tool_continue(w.t, &e);
	vm_moves(w.vm, VM_DATA);
	world_close(&w);
}

/* It waits for the answer. A vcpu that is made later sends it, too. */
static void test_create_later(enum dialect d)
{
	struct world w = {.d = d, .vm = vm_open(1, 0)};
	struct event e;

	w.t = tool_open(w.vm, d);
	CHECK_EQ(cmd_control_vm_event(w.t, KVMI_EVENT_CREATE_VCPU, true), 0);
	vm_add_cpu(w.vm);
	VM_GUEST(w.vm, 1, LONG, count);
	vm_begin(w.vm);
	vm_start(w.vm, 1);
	e = tool_event_of(w.t, KVMI_EVENT_CREATE_VCPU, 1);
	CHECK_EQ(cmd_get_registers(w.t, 1, NULL, 0, NULL), 0);
	CHECK_EQ(vm_read64(w.vm, VM_DATA), 0);
	tool_continue(w.t, &e);
	vm_moves(w.vm, VM_DATA);
	world_close(&w);
}

/* A vcpu that has run for an earlier tool sends it to the next one, before it goes on. */
static void test_create_again(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	struct event e;

	vm_begin(w.vm);
	vm_moves(w.vm, VM_DATA);
	for (unsigned i = 0; i < 3; i++) {
		vm_stop(w.vm, 0);
		vm_ended(w.vm, 0);
		tool_close(w.t);
		w.t = tool_open(w.vm, d);
		CHECK_EQ(cmd_control_vm_event(w.t, KVMI_EVENT_CREATE_VCPU, true), 0);
		vm_start(w.vm, 0);
		e = tool_event_of(w.t, KVMI_EVENT_CREATE_VCPU, 0);
		tool_continue(w.t, &e);
		vm_moves(w.vm, VM_DATA);
		tool_quiet(w.t);
	}
	world_close(&w);
}

/* A vcpu that waits to be started when the tool comes sends it when it is. */
static void test_create_waits(enum dialect d)
{
	struct world w = {.d = d, .vm = vm_open(2, VM_IRQCHIP)};
	struct kvm_mp_state runnable = {KVM_MP_STATE_RUNNABLE};
	struct event e;

	VM_GUEST(w.vm, 1, LONG, count);
	vm_begin(w.vm);
	vm_start(w.vm, 1);
	w.t = tool_open(w.vm, d);
	vm_stop(w.vm, 1); /* it has seen the tool now */
	vm_ended(w.vm, 1);
	CHECK_EQ(cmd_control_vm_event(w.t, KVMI_EVENT_CREATE_VCPU, true), 0);
	vm_start(w.vm, 1);
	vm_stop(w.vm, 1);
	vm_ended(w.vm, 1);
	tool_quiet(w.t);
	CHECK_EQ(kvm_p(w.vm, w.vm->cpu[1].fd, KVM_SET_MP_STATE, &runnable), 0);
	vm_start(w.vm, 1);
	e = tool_event_of(w.t, KVMI_EVENT_CREATE_VCPU, 1);
	CHECK_EQ(vm_read64(w.vm, VM_DATA), 0);
	tool_continue(w.t, &e);
	vm_moves(w.vm, VM_DATA);
	world_close(&w);
}

static void test_create_off(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);

	vm_begin(w.vm);
	vm_moves(w.vm, VM_DATA);
	tool_quiet(w.t);
	world_close(&w);
}

/* ---- the machine ends first ---- */

static void test_machine_closed(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);

	vm_begin(w.vm);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 0), 0);
	vm_stop(w.vm, 0);
	vm_close(w.vm);
	tool_closed(w.t);
	tool_close(w.t);
}

/* While a vcpu waits for the tool, which is alive: closing is what the VMM does when it wants to end. */
static void test_machine_closed_in_event(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);

	pause_cpu(w.t, 0);
	tool_send(w.t, d == V5 ? KVMI_GET_VERSION : KVMI_V6_GET_VERSION, NULL, 0);
	tool_close(w.t);
	vm_close(w.vm);
}

/* Nothing runs before the answer; and a vcpu that KVM_RUN has left is watched as before when it is run again. */
static void test_stopped_and_run(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, count);
	struct event e;

	e = pause_cpu(w.t, 0);
	CHECK_EQ(vm_read64(w.vm, VM_DATA), 0);
	vm_begin(w.vm);
	CHECK_EQ(vm_read64(w.vm, VM_DATA), 0);
	tool_continue(w.t, &e);
	vm_moves(w.vm, VM_DATA);
	vm_stop(w.vm, 0);
	/* Stopped and started again, it is watched as before. */
	vm_start(w.vm, 0);
	e = pause_cpu(w.t, 0);
	tool_continue(w.t, &e);
	world_close(&w);
}

const struct test hook_tests[] = {
	TEST(test_capability, V5),
	TEST(test_hook_refused, V5),
	TEST(test_unhook, BOTH),
	TEST(test_unhook_answered, BOTH),
	TEST(test_after_the_tool, BOTH),
	TEST(test_second_hook_waits, BOTH),
	TEST(test_dialects_by_turns, V5),
	TEST(test_nothing_stays, BOTH),
	TEST(test_pauses_go, BOTH),
	TEST(test_waiting_commands_go, BOTH),
	TEST(test_writes_stay, BOTH),
	TEST(test_shutdown_one_way, BOTH),
	TEST(test_create_vcpu, BOTH),
	TEST(test_create_paused, BOTH),
	TEST(test_create_later, BOTH),
	TEST(test_create_again, BOTH),
	TEST(test_create_waits, BOTH),
	TEST(test_create_off, BOTH),
	TEST(test_machine_closed, BOTH),
	TEST(test_machine_closed_in_event, BOTH),
	TEST(test_stopped_and_run, BOTH),
	{0},
};
