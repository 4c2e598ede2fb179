/* SPDX-License-Identifier: MIT */
/* Answers to events: in any order, wrong ones, actions that an event does not have, CRASH. */
#include <signal.h>
#include <string.h>

#include "tests/kvmi/groups.h"
#include "tests/kvmi/world.h"

GUEST64(counters, "	movq %rsp, %rdi\n"
		  "	subq $0x21000, %rdi\n"
		  "1:	lock incq DATA(%rdi)\n"
		  "	jmp 1b\n");
#define COUNTER(n) (VM_DATA + (n)*0x1000)
GUEST64(cr3, "	movq %cr3, %rax\n"
	     "	orq $8, %rax\n"
	     "	movq %rax, %cr3\n"
	     "	movq %cr3, %rax\n"
	     "	outl %eax, $0x10\n"
	     "	hlt\n");
GUEST64(hypercall, "	movl $34, %eax\n"
		   "	movl $24, %edi\n"
		   "	xorl %esi, %esi\n"
		   "	vmcall\n"
		   "	outl %eax, $0x10\n"
		   "	hlt\n");
GUEST64(store, "	movl $0x55, PAGE1\n"
	       "	TELL 0x10, 1\n"
	       "	hlt\n");
GUEST64(int3, "	int3\n"
	      "	TELL 0x10, 2\n"
	      "	hlt\n");

/* ---- order ---- */

static void test_out_of_order(enum dialect d)
{
	struct world w = WORLD(d, 4, LONG, counters);
	struct event e[4];

	vm_begin(w.vm);
	for (unsigned round = 0; round < 5; round++) {
		CHECK_EQ(cmd_pause_all(w.t), 4);
		for (unsigned i = 0; i < 4; i++)
			e[i] = tool_next_of(w.t, i);
		for (unsigned i = 0; i < 4; i++) {
			const unsigned k = (i + round) % 4;

			tool_continue(w.t, &e[k]);
			vm_moves(w.vm, COUNTER(k));
		}
	}
	tool_quiet(w.t);
	world_close(&w);
}

/* KVM_RUN ends by it when the tool has answered: the guest stands in the middle of an instruction until then. */
static void test_signal(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, counters);
	struct event e;

	vm_begin(w.vm);
	vm_moves(w.vm,
		COUNTER(0)); /* it makes no exits any more, of which each would take the signal */
	e = pause_cpu(w.t, 0);
	__atomic_store_n(&w.vm->cpu[0].stop, true, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < 3; i++) {
		CHECK_EQ(pthread_kill(w.vm->cpu[0].thread, SIGUSR1), 0);
		CHECK_EQ(cmd_get_registers(w.t, 0, NULL, 0, NULL), 0); /* it is there, and waits */
	}
	CHECK(vm_silent(w.vm, 0));
	tool_continue(w.t, &e);
	CHECK_EQ(vm_ended(w.vm, 0), -EINTR);
	world_close(&w);
}

/* A command and an event may have the same number. */
static void test_same_seq(enum dialect d)
{
	const u16 id = d == V5 ? KVMI_GET_VERSION : KVMI_V6_GET_VERSION;
	struct world w = WORLD(d, 1, LONG, counters);
	struct event e;

	vm_begin(w.vm);
	e = pause_cpu(w.t, 0);
	tool_send_as(w.t, id, 0, e.seq, NULL, 0);
	CHECK_EQ(tool_reply_to(w.t, id, e.seq, NULL), 0);
	tool_continue(w.t, &e);
	vm_moves(w.vm, COUNTER(0));
	world_close(&w);
}

/* ---- wrong ones that close ---- */

/* The guest goes on after it, as if it had been told to. */
static void closes(struct world *w)
{
	tool_closed(w->t);
	vm_moves(w->vm, COUNTER(0));
	tool_close(w->t);
	w->t = tool_open(w->vm, w->d);
	vm_moves(w->vm, COUNTER(0));
}

static struct world paused(enum dialect d, struct event *ret)
{
	struct world w = WORLD(d, 1, LONG, counters);

	vm_begin(w.vm);
	*ret = pause_cpu(w.t, 0);
	return w;
}

static void answer_as(struct tool *t, const struct event *e, u32 seq, u32 id, size_t size)
{
	struct event as = *e;
	u8 bytes[512] = {0};

	as.id = id;
	tool_answer_bytes(t->dialect, &as, KVMI_EVENT_ACTION_CONTINUE, bytes);
	tool_send_answer(t, seq, bytes, size);
}
#define SIZE(d) ((d) == V5 ? 8 : 16)

static void test_unknown_seq_closes(enum dialect d)
{
	static const int offsets[] = {-1, 1, 0x40000000};
	struct event e;
	struct world w = paused(d, &e);

	for (unsigned i = 0; i < ARRAY_SIZE(offsets); i++) {
		answer_as(w.t, &e, e.seq + (u32)offsets[i], e.id, SIZE(d));
		closes(&w);
		e = pause_cpu(w.t, 0);
	}
	world_close(&w);
}

static void test_nobody_waits_closes(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, counters);
	const struct event none = {.id = KVMI_EVENT_PAUSE_VCPU};

	vm_begin(w.vm);
	answer_as(w.t, &none, 0, none.id, SIZE(d));
	closes(&w);
	answer_as(w.t, &none, 1, none.id, SIZE(d));
	closes(&w);
	world_close(&w);
}

static void test_second_answer_closes(enum dialect d)
{
	struct event e;
	struct world w = paused(d, &e);

	tool_continue(w.t, &e);
	tool_continue(w.t, &e);
	closes(&w);
	world_close(&w);
}

/* V5: the size must fit the event that the answer names; of an event that there is not it is 8. */
static void test_size_closes(enum dialect d)
{
	static const struct {
		u32 id;
		size_t size;
	} wrong[] = {{KVMI_EVENT_PAUSE_VCPU, 16}, {KVMI_EVENT_PAUSE_VCPU, 9}, {KVMI_EVENT_CR, 8},
		{KVMI_EVENT_MSR, 24}, {KVMI_EVENT_PF, 8}, {KVMI_EVENT_PF, 271},
		{KVMI_EVENT_PF, 273}, {99, 16}, {0xffffffff, 9}};
	struct event e;
	struct world w = paused(d, &e);

	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		answer_as(w.t, &e, e.seq, wrong[i].id, wrong[i].size);
		closes(&w);
		e = pause_cpu(w.t, 0);
	}
	world_close(&w);
}

/* V5: the size fits what the answer names, but not what waits: the default answer, and the session goes on. */
static void test_other_size_is_default(enum dialect d)
{
	static const struct {
		u32 id;
		size_t size;
	} wrong[] = {{KVMI_EVENT_CR, 16}, {KVMI_EVENT_PF, 272}};
	struct event e;
	struct world w = paused(d, &e);

	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		answer_as(w.t, &e, e.seq, wrong[i].id, wrong[i].size);
		vm_moves(w.vm, COUNTER(0));
		e = pause_cpu(w.t, 0);
	}
	world_close(&w);
}

/* The guest goes on as if the tool had said "continue". */
static void continued(struct vm *vm, u32 event)
{
	switch (event) {
	case KVMI_EVENT_CR: VM_OUT(vm, 0, 0x10, VM_TABLES | 8); break;
	case KVMI_EVENT_BREAKPOINT: vm_vector(vm, 0, 3, NULL); break;
	case KVMI_EVENT_HYPERCALL: VM_OUT(vm, 0, 0x10, 0); break;
	default: VM_OUT(vm, 0, 0x10, 1);
	}
}

/* Default of CR: the guest's value; of PF: the access is done; of BREAKPOINT: it is the guest's. */
static void default_of(enum dialect d, u32 event, const u8 *code, const u8 *end)
{
	const u32 as = event == KVMI_EVENT_CR ? KVMI_EVENT_PAUSE_VCPU : KVMI_EVENT_CR;
	struct world w = world_open(d, 1, 0, LONG, code, end);
	struct event e;

	CHECK_EQ(cmd_control_cr(w.t, 0, 3, true), 0);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 5), 0);
	event_on(w.t, 0, event);
	vm_begin(w.vm);
	e = tool_event(w.t, event);
	e.value = 0xbad;
	answer_as(w.t, &e, e.seq, as, as == KVMI_EVENT_CR ? 16 : 8);
	continued(w.vm, event);
	if (event == KVMI_EVENT_PF)
		CHECK_EQ(vm_read64(w.vm, VM_PAGE(1)), 0x55);
	tool_quiet(w.t);
	world_close(&w);
}
#define DEFAULT_OF(d, event, name) default_of(d, event, guest_##name, guest_##name##_end)

static void test_defaults(enum dialect d)
{
	DEFAULT_OF(d, KVMI_EVENT_CR, cr3);
	DEFAULT_OF(d, KVMI_EVENT_PF, store);
	DEFAULT_OF(d, KVMI_EVENT_BREAKPOINT, int3);
	DEFAULT_OF(d, KVMI_EVENT_HYPERCALL, hypercall);
}

/* The tool dies in the middle of an event: the same. */
static void dies_in(enum dialect d, u32 event, const u8 *code, const u8 *end)
{
	struct world w = world_open(d, 1, 0, LONG, code, end);

	CHECK_EQ(cmd_control_cr(w.t, 0, 3, true), 0);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 5), 0);
	event_on(w.t, 0, event);
	vm_begin(w.vm);
	tool_event(w.t, event);
	tool_close(w.t);
	continued(w.vm, event);
	w.t = tool_open(w.vm, d);
	tool_quiet(w.t);
	world_close(&w);
}
#define DIES_IN(d, event, name) dies_in(d, event, guest_##name, guest_##name##_end)

static void test_tool_dies(enum dialect d)
{
	DIES_IN(d, KVMI_EVENT_CR, cr3);
	DIES_IN(d, KVMI_EVENT_PF, store);
	DIES_IN(d, KVMI_EVENT_BREAKPOINT, int3);
	DIES_IN(d, KVMI_EVENT_HYPERCALL, hypercall);
}

/* V5 does not compare the event that an answer names, where the size fits. */
static void test_other_event(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, hypercall);
	struct event e;

	event_on(w.t, 0, KVMI_EVENT_HYPERCALL);
	vm_begin(w.vm);
	e = tool_event(w.t, KVMI_EVENT_HYPERCALL);
	answer_as(w.t, &e, e.seq, KVMI_EVENT_PAUSE_VCPU, 8);
	VM_OUT(w.vm, 0, 0x10, 0);
	tool_quiet(w.t);
	world_close(&w);
}

/* V6 compares all. */
static void test_strict_closes(enum dialect d)
{
	struct world w = WORLD(d, 2, LONG, counters);
	struct {
		u8 at, value;
	} wrong[] = {{0, 1}, {0, 9}, {1, 1}, {2, 1}, {4, 1}, {7, 1}, {9, KVMI_EVENT_CR}, {9, 77},
		{10, 1}, {12, 1}, {15, 1}};

	vm_begin(w.vm);
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct event e = pause_cpu(w.t, 0);
		u8 bytes[64];
		const size_t n = tool_answer_bytes(d, &e, KVMI_EVENT_ACTION_CONTINUE, bytes);

		bytes[wrong[i].at] = wrong[i].value;
		tool_send_answer(w.t, e.seq, bytes, n);
		closes(&w);
	}
	world_close(&w);
}

static void test_longer_closes(enum dialect d)
{
	struct event e;
	struct world w = paused(d, &e);

	answer_as(w.t, &e, e.seq, e.id, SIZE(d) + 1);
	closes(&w);
	e = pause_cpu(w.t, 0);
	answer_as(w.t, &e, e.seq, e.id, 300);
	closes(&w);
	world_close(&w);
}

/* V6: what is missing is 0. */
static void test_shorter(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, store);
	struct event e;
	u8 bytes[512];

	event_on(w.t, 0, KVMI_EVENT_PF);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 5), 0);
	vm_begin(w.vm);
	e = tool_event(w.t, KVMI_EVENT_PF);
	tool_answer_bytes(d, &e, KVMI_EVENT_ACTION_CONTINUE, bytes);
	tool_send_answer(w.t, e.seq, bytes, 24);
	VM_OUT(w.vm, 0, 0x10, 1);
	CHECK_EQ(vm_read64(w.vm, VM_PAGE(1)), 0x55);
	tool_quiet(w.t);
	world_close(&w);
}

/* ---- actions ---- */

/* An action that the event does not have is not "continue": pauses and hypercalls go on all the same. */
static void test_unknown_action(enum dialect d)
{
	struct event e;
	struct world w = paused(d, &e);

	tool_answer(w.t, &e, KVMI_EVENT_ACTION_RETRY);
	vm_moves(w.vm, COUNTER(0));
	e = pause_cpu(w.t, 0);
	tool_answer(w.t, &e, 77);
	vm_moves(w.vm, COUNTER(0));
	tool_quiet(w.t);
	world_close(&w);
}

/* A page fault that is not continued is tried again. */
static void test_unknown_action_pf(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, store);
	struct event e;

	event_on(w.t, 0, KVMI_EVENT_PF);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 5), 0);
	vm_begin(w.vm);
	e = tool_event(w.t, KVMI_EVENT_PF);
	tool_answer(w.t, &e, 77);
	e = tool_event(w.t, KVMI_EVENT_PF);
	CHECK_EQ(vm_read64(w.vm, VM_PAGE(1)), 0);
	tool_continue(w.t, &e);
	VM_OUT(w.vm, 0, 0x10, 1);
	world_close(&w);
}

/* CRASH of any event: no further instruction of this vcpu, and KVM_RUN says something else than that it has halted. */
static void crash(enum dialect d, u32 event, const u8 *code, const u8 *end)
{
	struct world w = world_open(d, 1, 0, LONG, code, end);
	struct event e;
	s64 reason;

	CHECK_EQ(cmd_control_cr(w.t, 0, 3, true), 0);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 5), 0);
	event_on(w.t, 0, event);
	if (event == KVMI_EVENT_PAUSE_VCPU)
		e = pause_cpu(w.t, 0);
	vm_begin(w.vm);
	if (event != KVMI_EVENT_PAUSE_VCPU)
		e = tool_event(w.t, event);
	if (e.id == KVMI_EVENT_CR)
		tool_answer_value(w.t, &e, KVMI_EVENT_ACTION_CRASH, e.value);
	else
		tool_answer(w.t, &e, KVMI_EVENT_ACTION_CRASH);
	reason = vm_ended(w.vm, 0);
	CHECK(reason != KVM_EXIT_HLT && reason != KVM_EXIT_IO && reason != -EINTR);
	CHECK_EQ(vm_read64(w.vm, VM_PAGE(1)), 0);
	CHECK_EQ(vm_read64(w.vm, VM_DATA), 0);
	/* Whoever runs it again gets no further. */
	vm_start(w.vm, 0);
	CHECK_EQ(vm_ended(w.vm, 0), reason);
	world_close(&w);
}
#define CRASHES(d, event, name) crash(d, event, guest_##name, guest_##name##_end)

static void test_crash(enum dialect d)
{
	CRASHES(d, KVMI_EVENT_CR, cr3);
	CRASHES(d, KVMI_EVENT_PF, store);
	CRASHES(d, KVMI_EVENT_BREAKPOINT, int3);
	CRASHES(d, KVMI_EVENT_HYPERCALL, hypercall);
	CRASHES(d, KVMI_EVENT_PAUSE_VCPU, counters);
}

const struct test reply_tests[] = {
	TEST(test_out_of_order, BOTH),
	TEST(test_signal, BOTH),
	TEST(test_same_seq, BOTH),
	TEST(test_unknown_seq_closes, BOTH),
	TEST(test_nobody_waits_closes, BOTH),
	TEST(test_second_answer_closes, BOTH),
	TEST(test_size_closes, V5),
	TEST(test_other_size_is_default, V5),
	TEST(test_defaults, V5),
	TEST(test_tool_dies, BOTH),
	TEST(test_other_event, V5),
	TEST(test_strict_closes, V6),
	TEST(test_longer_closes, V6),
	TEST(test_shorter, V6),
	TEST(test_unknown_action, BOTH),
	TEST(test_unknown_action_pf, BOTH),
	TEST(test_crash, BOTH),
	{0},
};
