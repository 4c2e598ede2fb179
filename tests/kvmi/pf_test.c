/* SPDX-License-Identifier: MIT */
/* Accesses that the rights of a page do not allow: which are told, and what CONTINUE and RETRY do. */
#include <string.h>

#include "tests/kvmi/groups.h"
#include "tests/kvmi/world.h"

/* A load, a store, both in one, both in one locked; then a function in PAGE2 is called. */
GUEST64(access, "guest_access_r:\n"
		"	movl PAGE1, %eax\n"
		"guest_access_w:\n"
		"	movl %eax, PAGE1 + 4\n"
		"guest_access_rw:\n"
		"	incl PAGE1 + 8\n"
		"guest_access_lock:\n"
		"	lock incl PAGE1 + 16\n"
		"	outl %eax, $0x10\n"
		"	movl $PAGE2, %ebx\n"
		"guest_access_call:\n"
		"	call *%rbx\n"
		"	TELL 0x11, 1\n"
		"	hlt\n");
GUEST_LABEL(access, r);
GUEST_LABEL(access, w);
GUEST_LABEL(access, rw);
GUEST_LABEL(access, lock);
/* nop; ret */
#define FUNCTION 0xc390

static struct world access_world(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, access);

	w.vm->ram[VM_PAGE(1)] = 0x77;
	vm_write64(w.vm, VM_PAGE(2), FUNCTION);
	event_on(w.t, 0, KVMI_EVENT_PF);
	return w;
}

static struct event pf(struct world *w, u8 access, u64 gpa, u64 rip)
{
	const struct event e = tool_event_of(w->t, KVMI_EVENT_PF, 0);

	if (e.access != access || e.gpa != gpa || e.gva != gpa || e.regs.rip != rip)
		test_failed(__FILE__, __LINE__,
			"access %u, gpa 0x%llx, gva 0x%llx, rip 0x%llx; not %u, 0x%llx, rip 0x%llx",
			e.access, (long long)e.gpa, (long long)e.gva, (long long)e.regs.rip, access,
			(long long)gpa, (long long)rip);
	return e;
}

static void pf_continue(struct world *w, u8 access, u64 gpa, u64 rip)
{
	const struct event e = pf(w, access, gpa, rip);

	tool_continue(w->t, &e);
}

/* All eight combinations: exactly what was taken away is asked, and happens. */
static void test_combinations(enum dialect d)
{
	for (u8 bits = 0; bits < 8; bits++) {
		struct world w = access_world(d);
		const bool r = !(bits & 1), x = !(bits & 4), wr = !(bits & 2);

		CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), bits), 0);
		CHECK_EQ(cmd_set_access(w.t, VM_PAGE(2), bits), 0);
		vm_begin(w.vm);
		if (r)
			pf_continue(&w, 1, VM_PAGE(1), AT_LABEL(0, access, r));
		if (wr)
			pf_continue(&w, 2, VM_PAGE(1) + 4, AT_LABEL(0, access, w));
		if (r)
			pf_continue(&w, 1, VM_PAGE(1) + 8, AT_LABEL(0, access, rw));
		if (wr)
			pf_continue(&w, 2, VM_PAGE(1) + 8, AT_LABEL(0, access, rw));
		if (r)
			pf_continue(&w, 1, VM_PAGE(1) + 16, AT_LABEL(0, access, lock));
		if (wr)
			pf_continue(&w, 2, VM_PAGE(1) + 16, AT_LABEL(0, access, lock));
		VM_OUT(w.vm, 0, 0x10, 0x77);
		if (x) {
			pf_continue(&w, 4, VM_PAGE(2), VM_PAGE(2));
			pf_continue(&w, 4, VM_PAGE(2) + 1, VM_PAGE(2) + 1);
		}
		VM_OUT(w.vm, 0, 0x11, 1);
		CHECK_EQ((u32)vm_read64(w.vm, VM_PAGE(1) + 4), 0x77);
		CHECK_EQ(vm_read64(w.vm, VM_PAGE(1) + 8), 1);
		CHECK_EQ(vm_read64(w.vm, VM_PAGE(1) + 16), 1);
		tool_quiet(w.t);
		world_close(&w);
	}
}

/* Without the event accesses go on. */
static void test_off(enum dialect d)
{
	struct world w = access_world(d);

	event_off(w.t, 0, KVMI_EVENT_PF);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 0), 0);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(2), 0), 0);
	vm_begin(w.vm);
	VM_OUT(w.vm, 0, 0x10, 0x77);
	VM_OUT(w.vm, 0, 0x11, 1);
	tool_quiet(w.t);
	world_close(&w);
}

/* A restriction of a page that has been used for long, by blocks that are translated */
GUEST64(hot, "1:	lock incq DATA\n"
	     "	incq PAGE1 + 8\n"
	     "	jmp 1b\n");

static void test_hot(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, hot);
	struct event e;
	u64 was;

	event_on(w.t, 0, KVMI_EVENT_PF);
	vm_begin(w.vm);
	for (unsigned i = 0; i < 20; i++) {
		vm_moves(w.vm, VM_DATA);
		CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), KVMI_PAGE_ACCESS_R), 0);
		e = tool_event(w.t, KVMI_EVENT_PF);
		CHECK_EQ(e.access, KVMI_PAGE_ACCESS_W);
		was = vm_read64(w.vm, VM_PAGE(1) + 8);
		tool_continue(w.t, &e);
		e = tool_event(w.t, KVMI_EVENT_PF);
		CHECK_EQ(vm_read64(w.vm, VM_PAGE(1) + 8), was + 1);
		CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 7), 0);
		tool_retry(w.t, &e);
	}
	vm_moves(w.vm, VM_PAGE(1) + 8);
	tool_quiet(w.t);
	world_close(&w);
}

/* RETRY as it is: the same again, and nothing has happened. With the page opened: no more. */
static void test_retry(enum dialect d)
{
	struct world w = access_world(d);
	struct event e;

	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), KVMI_PAGE_ACCESS_R), 0);
	vm_begin(w.vm);
	for (unsigned i = 0; i < 4; i++) {
		e = pf(&w, 2, VM_PAGE(1) + 4, AT_LABEL(0, access, w));
		CHECK_EQ(vm_read64(w.vm, VM_PAGE(1) + 4), 0);
		tool_retry(w.t, &e);
	}
	e = pf(&w, 2, VM_PAGE(1) + 4, AT_LABEL(0, access, w));
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 7), 0);
	tool_retry(w.t, &e);
	VM_OUT(w.vm, 0, 0x10, 0x77);
	VM_OUT(w.vm, 0, 0x11, 1);
	CHECK_EQ((u32)vm_read64(w.vm, VM_PAGE(1) + 4), 0x77);
	tool_quiet(w.t);
	world_close(&w);
}

/* RETRY somewhere else: the access is not done. */
static void test_retry_elsewhere(enum dialect d)
{
	struct world w = access_world(d);
	struct kvm_regs r;
	struct event e;

	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), KVMI_PAGE_ACCESS_R), 0);
	vm_begin(w.vm);
	e = pf(&w, 2, VM_PAGE(1) + 4, AT_LABEL(0, access, w));
	r = e.regs;
	r.rip = AT_LABEL(0, access, rw);
	CHECK_EQ(cmd_set_registers(w.t, 0, &r), 0);
	tool_retry(w.t, &e);
	pf_continue(&w, 2, VM_PAGE(1) + 8, AT_LABEL(0, access, rw));
	CHECK_EQ((u32)vm_read64(w.vm, VM_PAGE(1) + 4), 0);
	world_close(&w);
}

/* ---- more than one access ---- */

GUEST64(cross, "	movl PAGE1 + 0xffe, %eax\n"
	       "	outl %eax, $0x10\n"
	       "guest_cross_w:\n"
	       "	movl $0x11223344, PAGE1 + 0xffd\n"
	       "	TELL 0x10, 1\n"
	       "	hlt\n");
GUEST_LABEL(cross, w);

static void test_crossing(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, cross);

	memcpy(w.vm->ram + VM_PAGE(1) + 0xffe, "\x11\x22\x33\x44", 4);
	event_on(w.t, 0, KVMI_EVENT_PF);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 0), 0);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(2), 0), 0);
	vm_begin(w.vm);
	pf_continue(&w, 1, VM_PAGE(1) + 0xffe, VM_CODE);
	pf_continue(&w, 1, VM_PAGE(2), VM_CODE);
	VM_OUT(w.vm, 0, 0x10, 0x44332211);
	pf_continue(&w, 2, VM_PAGE(1) + 0xffd, AT_LABEL(0, cross, w));
	CHECK_EQ(w.vm->ram[VM_PAGE(1) + 0xffd], 0);
	pf_continue(&w, 2, VM_PAGE(2), AT_LABEL(0, cross, w));
	VM_OUT(w.vm, 0, 0x10, 1);
	CHECK_EQ(get_u32(w.vm->ram + VM_PAGE(1) + 0xffd), 0x11223344);
	tool_quiet(w.t);
	world_close(&w);
}

/* An instruction whose bytes are in two pages */
static void test_crossing_fetch(enum dialect d)
{
	struct world w = access_world(d);
	struct event e;

	/* mov $1, %eax; ret: four bytes of it are in PAGE2 */
	memcpy(w.vm->ram + VM_PAGE(2) - 1, "\xb8\x01\0\0\0\xc3", 6);
	e = pause_cpu(w.t, 0);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 3), 0);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(2), 3), 0);
	CHECK_EQ(cmd_set_registers(w.t, 0,
			 &(struct kvm_regs){
				 .rip = VM_PAGE(2) - 1, .rsp = VM_STACK + 0x800, .rflags = 2}),
		0);
	vm_write64(w.vm, VM_STACK + 0x800, VM_CODE);
	tool_continue(w.t, &e);
	pf_continue(&w, 4, VM_PAGE(2) - 1, VM_PAGE(2) - 1);
	e = tool_event(w.t, KVMI_EVENT_PF);
	CHECK_EQ(e.access, 4);
	CHECK_EQ(e.gpa, VM_PAGE(2));
	CHECK_EQ(e.regs.rip, VM_PAGE(2) - 1);
	tool_continue(w.t, &e);
	pf_continue(&w, 4, VM_PAGE(2) + 4, VM_PAGE(2) + 4);
	vm_begin(w.vm);
	world_close(&w);
}

/* Three bytes from PAGE1 to PAGE2 */
GUEST64(movs, "	movl $PAGE1, %esi\n"
	      "	movl $PAGE2, %edi\n"
	      "	movl $3, %ecx\n"
	      "	cld\n"
	      "guest_movs_here:\n"
	      "	rep movsb\n"
	      "	movl PAGE2, %eax\n"
	      "	outl %eax, $0x10\n"
	      "	hlt\n");
GUEST_LABEL(movs, here);

static struct world movs(enum dialect d, u8 source, u8 target)
{
	struct world w = WORLD(d, 1, LONG, movs);

	memcpy(w.vm->ram + VM_PAGE(1), "abc", 3);
	event_on(w.t, 0, KVMI_EVENT_PF);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), source), 0);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(2), target), 0);
	vm_begin(w.vm);
	return w;
}

static void test_rep(enum dialect d)
{
	struct world w = movs(d, 6, 5);
	const u64 rip = AT_LABEL(0, movs, here);

	for (unsigned i = 0; i < 3; i++) {
		struct event e = pf(&w, 1, VM_PAGE(1) + i, rip);

		CHECK_EQ(e.regs.rcx, 3 - i);
		tool_continue(w.t, &e);
		pf_continue(&w, 2, VM_PAGE(2) + i, rip);
	}
	VM_OUT(w.vm, 0, 0x10, 0x636261);
	tool_quiet(w.t);
	world_close(&w);
}

/* No more events of this instruction, but all of its first pass; the next one asks again. */
static void test_rep_complete(enum dialect d)
{
	struct world w = movs(d, 6, 5);
	const u64 rip = AT_LABEL(0, movs, here);
	struct event e = pf(&w, 1, VM_PAGE(1), rip);

	tool_answer_pf(
		w.t, &e, KVMI_EVENT_ACTION_CONTINUE, (struct pf_answer){.rep_complete = true});
	pf_continue(&w, 2, VM_PAGE(2), rip);
	VM_OUT(w.vm, 0, 0x10, 0x636261);
	tool_quiet(w.t);
	world_close(&w);
}

GUEST64(stos, "	movl $PAGE1, %edi\n"
	      "	movl $100, %ecx\n"
	      "	movl $0x20, %eax\n"
	      "	cld\n"
	      "	rep stosb\n"
	      "	TELL 0x10, 1\n"
	      "	movl $10, %ecx\n"
	      "	rep stosb\n"
	      "	TELL 0x10, 2\n"
	      "	hlt\n");

static void test_rep_complete_ends(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, stos);
	struct event e;

	event_on(w.t, 0, KVMI_EVENT_PF);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 5), 0);
	vm_begin(w.vm);
	e = tool_event(w.t, KVMI_EVENT_PF);
	tool_answer_pf(
		w.t, &e, KVMI_EVENT_ACTION_CONTINUE, (struct pf_answer){.rep_complete = true});
	VM_OUT(w.vm, 0, 0x10, 1);
	CHECK_EQ(w.vm->ram[VM_PAGE(1) + 99], 0x20);
	e = tool_event(w.t, KVMI_EVENT_PF);
	CHECK_EQ(e.gpa, VM_PAGE(1) + 100);
	tool_answer_pf(
		w.t, &e, KVMI_EVENT_ACTION_CONTINUE, (struct pf_answer){.rep_complete = true});
	VM_OUT(w.vm, 0, 0x10, 2);
	tool_quiet(w.t);
	world_close(&w);
}

/* With TF each iteration is followed by a trap, whose handler is in the way. */
GUEST64(trapped, "1:	movl $PAGE1, %edi\n"
		 "	movl $5, %ecx\n"
		 "	movl $0x20, %eax\n"
		 "	cld\n"
		 "	pushfq\n"
		 "	orl $0x100, (%rsp)\n"
		 "	popfq\n"
		 "	rep stosb\n"
		 "	pushfq\n"
		 "	andl $~0x100, (%rsp)\n"
		 "	popfq\n"
		 "	TELL 0x10, 1\n"
		 "	jmp 1b\n"
		 "guest_trapped_handler:\n"
		 "	incq DATA\n"
		 "	iretq\n");
GUEST_LABEL(trapped, handler);

/* It holds on when the guest comes back from what has interrupted the instruction, and no longer than this. */
static void test_rep_complete_interrupted(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, trapped);
	const u64 handler = AT_LABEL(0, trapped, handler);

	vm_write64(w.vm, VM_IDT + 16, handler | SEL_CODE64 << 16 | 0x8e00ull << 32);
	event_on(w.t, 0, KVMI_EVENT_PF);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 5), 0);
	vm_begin(w.vm);
	for (unsigned i = 0; i < 3; i++) {
		const struct event e = tool_event(w.t, KVMI_EVENT_PF);

		CHECK_EQ(e.gpa, VM_PAGE(1));
		tool_answer_pf(w.t, &e, KVMI_EVENT_ACTION_CONTINUE,
			(struct pf_answer){.rep_complete = true});
		VM_OUT(w.vm, 0, 0x10, 1);
		CHECK(vm_read64(w.vm, VM_DATA) >= 5 * (i + 1));
	}
	world_close(&w);
}

/* It ends by what it finds, and goes on from there with the same registers: that is another instruction. */
GUEST64(scas, "	movl $PAGE1, %edi\n"
	      "	movl $8, %ecx\n"
	      "	movl $0x62, %eax\n"
	      "	cld\n"
	      "1:	repne scasb\n"
	      "	movl %ecx, DATA\n"
	      "	je 1b\n"
	      "	TELL 0x10, 1\n"
	      "	hlt\n");

static void test_rep_complete_goes_on(enum dialect d)
{
	static const unsigned events_at[] = {0, 2, 5};
	struct world w = WORLD(d, 1, LONG, scas);

	memcpy(w.vm->ram + VM_PAGE(1), "abaabccc", 8);
	event_on(w.t, 0, KVMI_EVENT_PF);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 6), 0);
	vm_begin(w.vm);
	for (unsigned i = 0; i < ARRAY_SIZE(events_at); i++) {
		const struct event e = tool_event(w.t, KVMI_EVENT_PF);

		CHECK_EQ(e.gpa, VM_PAGE(1) + events_at[i]);
		tool_answer_pf(w.t, &e, KVMI_EVENT_ACTION_CONTINUE,
			(struct pf_answer){.rep_complete = true});
	}
	VM_OUT(w.vm, 0, 0x10, 1);
	tool_quiet(w.t);
	world_close(&w);
}

/* ---- addresses ---- */

GUEST64(alias, "	movl %eax, ALIAS + PAGE1 + 8\n"
	       "	TELL 0x10, 1\n"
	       "	hlt\n");

/* gva is the linear address, gpa the physical one. */
static void test_alias(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, alias);
	struct event e;

	event_on(w.t, 0, KVMI_EVENT_PF);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1) + 0x123, 5), 0); /* the low bits do not count */
	vm_begin(w.vm);
	e = tool_event(w.t, KVMI_EVENT_PF);
	CHECK_EQ(e.gva, VM_ALIAS + VM_PAGE(1) + 8);
	CHECK_EQ(e.gpa, VM_PAGE(1) + 8);
	tool_continue(w.t, &e);
	VM_OUT(w.vm, 0, 0x10, 1);
	world_close(&w);
}

/* The guest's own page tables come first: what they forbid is the guest's #PF. */
static void test_guest_fault_first(enum dialect d)
{
	struct world w = access_world(d);

	vm_write64(w.vm, VM_PT + 8 * (VM_PAGE(1) >> 12), 0);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 0), 0);
	vm_begin(w.vm);
	CHECK_EQ(vm_vector(w.vm, 0, 14, NULL), 0);
	CHECK_EQ(vm_out(w.vm, 0, PORT_CR2), VM_PAGE(1));
	tool_quiet(w.t);
	world_close(&w);
}

/* The processor's walk is exempt, also where it sets A and D; stores to the tables are not. */
GUEST64(walk, "	movl PAGE1, %eax\n"
	      "	movl %eax, PAGE1\n"
	      "	TELL 0x10, 1\n"
	      "guest_walk_store:\n"
	      "	lock orq $0x200, 0x44088\n" /* VM_PT, the entry of PAGE1 */
	      "	TELL 0x10, 2\n"
	      "	hlt\n");
GUEST_LABEL(walk, store);

static void test_walk(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, walk);

	event_on(w.t, 0, KVMI_EVENT_PF);
	for (u64 gpa = VM_TABLES; gpa <= VM_PT; gpa += 4096)
		CHECK_EQ(cmd_set_access(w.t, gpa, 0), 0);
	vm_begin(w.vm);
	VM_OUT(w.vm, 0, 0x10, 1);
	CHECK_EQ(vm_read64(w.vm, VM_PT + 8 * (VM_PAGE(1) >> 12)) & 0x60, 0x60);
	pf_continue(&w, 1, VM_PT + 0x88, AT_LABEL(0, walk, store));
	pf_continue(&w, 2, VM_PT + 0x88, AT_LABEL(0, walk, store));
	VM_OUT(w.vm, 0, 0x10, 2);
	CHECK_EQ(vm_read64(w.vm, VM_PT + 0x88) & 0x200, 0x200);
	tool_quiet(w.t);
	world_close(&w);
}

GUEST64(device, "	movl $0xd0000000, %ebx\n"
		"	movl %eax, 8(%rbx)\n"
		"	hlt\n");

/* Where there is no RAM there are rights as well: after CONTINUE the VMM gets the access. */
static void test_device(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, device);
	struct event e;

	event_on(w.t, 0, KVMI_EVENT_PF);
	CHECK_EQ(cmd_set_access(w.t, VM_MMIO, 1), 0);
	vm_begin(w.vm);
	e = tool_event(w.t, KVMI_EVENT_PF);
	CHECK_EQ(e.gpa, VM_MMIO + 8);
	tool_continue(w.t, &e);
	CHECK_EQ(vm_ended(w.vm, 0), KVM_EXIT_MMIO);
	CHECK_EQ(w.vm->cpu[0].run->mmio.phys_addr, VM_MMIO + 8);
	world_close(&w);
}

/* Rights stay when the slot goes and comes. */
static void test_slot(enum dialect d)
{
	struct kvm_userspace_memory_region slot = {.memory_size = 0};
	struct world w = {.d = d, .vm = vm_open(1, 0)};
	struct event e;

	VM_GUEST(w.vm, 0, LONG, access);
	w.t = tool_open(w.vm, d);
	vm_go(w.vm);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(1), 5), 0);
	event_on(w.t, 0, KVMI_EVENT_PF);
	vm_stop(w.vm, 0);
	CHECK_EQ(vm_ended(w.vm, 0), -EINTR);
	CHECK_EQ(kvm_p(w.vm, w.vm->fd, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	slot.memory_size = VM_BYTES;
	slot.userspace_addr = (unsigned long)w.vm->ram;
	CHECK_EQ(kvm_p(w.vm, w.vm->fd, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	vm_begin(w.vm);
	vm_start(w.vm, 0);
	e = tool_event(w.t, KVMI_EVENT_PF);
	CHECK_EQ(e.gpa, VM_PAGE(1) + 4);
	tool_continue(w.t, &e);
	world_close(&w);
}

/* ---- SET_PAGE_ACCESS, GET_PAGE_ACCESS ---- */

static void test_set(enum dialect d)
{
	const struct page_access many[] = {
		{VM_PAGE(1), 1}, {VM_PAGE(2), 9}, {VM_PAGE(3), 2}, {VM_PAGE(1) + 5, 3}};
	const struct page_access far[] = {{BIT64(40), 5}, {0xfffffffff000, 4}, {VM_HOLE, 0}};
	struct world w = WORLD(d, 1, LONG, hot);
	u8 access;

	/* All that are right are set, in their order; the error is of the one that is not. */
	CHECK_EQ(cmd_set_accesses(w.t, many, 4), -KVM_EINVAL);
	CHECK_EQ(cmd_set_access(w.t, VM_PAGE(4), 0xff), -KVM_EINVAL);
	CHECK_EQ(cmd_set_accesses(w.t, NULL, 0), 0);
	CHECK_EQ(cmd_set_accesses(w.t, far, 3), 0);
	if (d == V6)
		goto end;
	CHECK_EQ(cmd_get_access(w.t, VM_PAGE(1), &access), 0);
	CHECK_EQ(access, 3);
	CHECK_EQ(cmd_get_access(w.t, VM_PAGE(2) + 0xfff, &access), 0);
	CHECK_EQ(access, 7);
	CHECK_EQ(cmd_get_access(w.t, VM_PAGE(3), &access), 0);
	CHECK_EQ(access, 2);
	CHECK_EQ(cmd_get_access(w.t, BIT64(40), &access), 0);
	CHECK_EQ(access, 5);
	CHECK_EQ(cmd_get_access(w.t, BIT64(41), &access), 0);
	CHECK_EQ(access, 7);
end:
	world_close(&w);
}

/* Views: there is one. */
static void test_view(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, hot);
	u8 request[24] = {0};
	const unsigned view = d == V5 ? 4 : 0;

	put_u16(request + 2, 1);
	put_u16(request + view, 1);
	put_u64(request + 8, VM_PAGE(1));
	request[16] = 7;
	CHECK_EQ(tool_command(w.t, d == V5 ? KVMI_SET_PAGE_ACCESS : KVMI_V6_SET_PAGE_ACCESS,
			 request, 24, 0),
		-KVM_EINVAL);
	if (d == V5) {
		CHECK_EQ(tool_command(w.t, KVMI_GET_PAGE_ACCESS, request, 16, 1), -KVM_EINVAL);
		memset(request, 0, sizeof(request));
		CHECK_EQ(tool_command(w.t, KVMI_GET_PAGE_ACCESS, request, 8, 0), 0);
	}
	world_close(&w);
}

const struct test pf_tests[] = {
	TEST(test_combinations, BOTH),
	TEST(test_off, BOTH),
	TEST(test_hot, BOTH),
	TEST(test_retry, BOTH),
	TEST(test_retry_elsewhere, BOTH),
	TEST(test_crossing, BOTH),
	TEST(test_crossing_fetch, BOTH),
	TEST(test_rep, BOTH),
	TEST(test_rep_complete, BOTH),
	TEST(test_rep_complete_ends, BOTH),
	TEST(test_rep_complete_interrupted, BOTH),
	TEST(test_rep_complete_goes_on, BOTH),
	TEST(test_alias, BOTH),
	TEST(test_guest_fault_first, BOTH),
	TEST(test_walk, BOTH),
	TEST(test_device, BOTH),
	TEST(test_slot, BOTH),
	TEST(test_set, BOTH),
	TEST(test_view, BOTH),
	{0},
};
