/* SPDX-License-Identifier: MIT */
/*
 * What is read from one vcpu and written to another reads the same there: every pair of get and set, with random
 * values and with every kind of event; and a guest that is moved between two exits does not notice.
 */
#include "tests/abi/port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS   40
#define MSRS_MAX 200

struct everything {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debug;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp;
	struct kvm_lapic_state lapic;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e[MSRS_MAX];
	} msrs;
};

static u64 seed = 0x9e3779b97f4a7c15;

static u64 random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void fill(void *p, size_t n)
{
	u8 *b = p;

	while (n--)
		*b++ = (u8)random64();
}

static void must(int vcpu, unsigned long request, void *p, const char *name)
{
	long r = kvm_p(vcpu, request, p);

	if (r < 0)
		fail_msg("%s: %ld", name, r);
}
#define MUST(vcpu, request, p) must(vcpu, request, p, #request)

static void list_msrs(struct guest *g, struct everything *s)
{
	static struct {
		struct kvm_msr_list head;
		u32 index[MSRS_MAX];
	} list;

	list.head.nmsrs = MSRS_MAX;
	MUST(g->sys, KVM_GET_MSR_INDEX_LIST, &list);
	s->msrs.head.nmsrs = list.head.nmsrs;
	for (u32 i = 0; i < list.head.nmsrs; i++)
		s->msrs.e[i] = (struct kvm_msr_entry){.index = list.head.indices[i]};
}

static void save(struct guest *g, struct everything *s)
{
	memset(s, 0, sizeof(*s));
	MUST(g->vcpu, KVM_GET_REGS, &s->regs);
	MUST(g->vcpu, KVM_GET_SREGS, &s->sregs);
	MUST(g->vcpu, KVM_GET_XSAVE, &s->xsave);
	MUST(g->vcpu, KVM_GET_XCRS, &s->xcrs);
	MUST(g->vcpu, KVM_GET_DEBUGREGS, &s->debug);
	MUST(g->vcpu, KVM_GET_VCPU_EVENTS, &s->events);
	MUST(g->vcpu, KVM_GET_MP_STATE, &s->mp);
	MUST(g->vcpu, KVM_GET_LAPIC, &s->lapic);
	list_msrs(g, s);
	assert_int_equal(kvm_p(g->vcpu, KVM_GET_MSRS, &s->msrs), s->msrs.head.nmsrs);
}

/* The order that QEMU has. */
static void restore(struct guest *g, struct everything *s)
{
	long r;

	MUST(g->vcpu, KVM_SET_SREGS, &s->sregs);
	MUST(g->vcpu, KVM_SET_REGS, &s->regs);
	MUST(g->vcpu, KVM_SET_XSAVE, &s->xsave);
	MUST(g->vcpu, KVM_SET_XCRS, &s->xcrs);
	r = kvm_p(g->vcpu, KVM_SET_MSRS, &s->msrs);
	if (r != s->msrs.head.nmsrs)
		fail_msg(
			"MSR %x refuses its own value %llx", s->msrs.e[r].index, s->msrs.e[r].data);
	MUST(g->vcpu, KVM_SET_LAPIC, &s->lapic);
	MUST(g->vcpu, KVM_SET_VCPU_EVENTS, &s->events);
	MUST(g->vcpu, KVM_SET_MP_STATE, &s->mp);
	MUST(g->vcpu, KVM_SET_DEBUGREGS, &s->debug);
}

/* What moves with time. */
static bool is_clock(u32 msr)
{
	return msr == 0x10 || (msr >= 0x40000000 && msr < 0x40000200);
}

static void compare(const struct everything *a, const struct everything *b)
{
	assert_memory_equal(&a->regs, &b->regs, sizeof(a->regs));
	assert_memory_equal(&a->sregs, &b->sregs, sizeof(a->sregs));
	assert_memory_equal(&a->xsave, &b->xsave, sizeof(a->xsave));
	assert_memory_equal(&a->xcrs, &b->xcrs, sizeof(a->xcrs));
	assert_memory_equal(&a->debug, &b->debug, sizeof(a->debug));
	assert_memory_equal(&a->events, &b->events, sizeof(a->events));
	assert_int_equal(a->mp.mp_state, b->mp.mp_state);
	assert_memory_equal(&a->lapic, &b->lapic, sizeof(a->lapic));
	for (u32 i = 0; i < a->msrs.head.nmsrs; i++)
		if (a->msrs.e[i].data != b->msrs.e[i].data && !is_clock(a->msrs.e[i].index))
			fail_msg("MSR %x: %llx, %llx", a->msrs.e[i].index, a->msrs.e[i].data,
				b->msrs.e[i].data);
}

/* ---- random states ---- */

static void random_regs(struct everything *s)
{
	fill(&s->regs, sizeof(s->regs));
	s->regs.rflags = (random64() & 0x240cd5) | 2;
}

static void random_segment(struct kvm_segment *k)
{
	k->base = random64() & 0xffffffff;
	k->limit = (u32)random64() | 0xfff;
	k->selector = (u16)random64();
	k->g = 1;
}

static void random_sregs(struct everything *s)
{
	random_segment(&s->sregs.ds);
	random_segment(&s->sregs.es);
	random_segment(&s->sregs.fs);
	random_segment(&s->sregs.gs);
	s->sregs.gdt.base = random64() & 0xffffffff;
	s->sregs.gdt.limit = (u16)random64();
	s->sregs.idt.base = random64() & 0xffffffff;
	s->sregs.idt.limit = (u16)random64();
	s->sregs.cr2 = random64();
	s->sregs.cr8 = 0;
	memset(s->sregs.interrupt_bitmap, 0, sizeof(s->sregs.interrupt_bitmap));
}

static void random_debug(struct everything *s)
{
	for (unsigned i = 0; i < 4; i++)
		s->debug.db[i] = random64() & 0x7fffffffffff;
	s->debug.dr6 = 0xffff0ff0 | (random64() & 0xe00f);
	s->debug.dr7 = 0x400 | (random64() & 0xff);
}

static void random_events(struct everything *s)
{
	struct kvm_vcpu_events *e = &s->events;
	u32 kind = (u32)(random64() % 6);

	memset(e, 0, sizeof(*e));
	e->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	if (kind == 1) {
		e->exception.injected = 1;
		e->exception.nr = 13;
		e->exception.has_error_code = 1;
		e->exception.error_code = (u32)random64() & 0xffff;
	} else if (kind == 2) {
		e->interrupt.injected = 1;
		e->interrupt.nr = 32 + (u8)(random64() % 200);
	} else if (kind == 3) {
		e->nmi.injected = 1;
	} else if (kind == 4) {
		e->nmi.pending = 1;
		e->nmi.masked = 1;
	} else if (kind == 5) {
		e->interrupt.shadow =
			random64() & 1 ? KVM_X86_SHADOW_INT_MOV_SS : KVM_X86_SHADOW_INT_STI;
	}
}

/* Only vector registers: control words have rules of their own. */
static void random_xsave(struct everything *s)
{
	fill((u8 *)s->xsave.region + 160, 256);
}

static void random_msrs(struct everything *s)
{
	static const u32 any[] = {0x174, 0xc0000081, 0xc0000103, 0xc0000084, 0x3b};

	for (u32 i = 0; i < s->msrs.head.nmsrs; i++)
		for (unsigned k = 0; k < ARRAY_SIZE(any); k++)
			if (s->msrs.e[i].index == any[k])
				s->msrs.e[i].data = (u32)random64();
}

static void offer_cpuid(struct guest *g)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 e[100];
	} c;

	c.head.nent = 100;
	MUST(g->sys, KVM_GET_SUPPORTED_CPUID, &c);
	MUST(g->vcpu, KVM_SET_CPUID2, &c);
}

static void open_two(struct guest *a, struct guest *b)
{
	guest_open_irqchip(a);
	guest_open_irqchip(b);
	offer_cpuid(a);
	offer_cpuid(b);
}

static void test_random_states(void **state)
{
	static struct everything want, first, second;
	struct guest a, b;

	open_two(&a, &b);
	save(&a, &want);
	for (unsigned i = 0; i < ROUNDS; i++) {
		random_regs(&want);
		random_sregs(&want);
		random_debug(&want);
		random_events(&want);
		random_xsave(&want);
		random_msrs(&want);
		restore(&a, &want);
		save(&a, &first);
		assert_memory_equal(&first.regs, &want.regs, sizeof(want.regs));
		assert_memory_equal(&first.debug, &want.debug, sizeof(want.debug));
		assert_memory_equal(&first.events.exception, &want.events.exception,
			sizeof(want.events.exception));
		assert_memory_equal(&first.events.nmi, &want.events.nmi, sizeof(want.events.nmi));
		assert_int_equal(first.events.interrupt.injected, want.events.interrupt.injected);
		assert_int_equal(first.events.interrupt.shadow, want.events.interrupt.shadow);
		restore(&b, &first);
		save(&b, &second);
		compare(&first, &second);
	}
	guest_close(&b);
	guest_close(&a);
}

static void test_fresh(void **state)
{
	static struct everything first, second;
	struct guest a, b;

	open_two(&a, &b);
	save(&a, &first);
	restore(&b, &first);
	save(&b, &second);
	compare(&first, &second);
	guest_close(&b);
	guest_close(&a);
}

/* Flags say what else is in the structure; without them those parts stay. */
static void test_event_flags(void **state)
{
	struct kvm_vcpu_events e = {
		.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW};
	struct guest g;

	guest_open_irqchip(&g);
	e.nmi.pending = 1;
	e.nmi.masked = 1;
	e.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	MUST(g.vcpu, KVM_SET_VCPU_EVENTS, &e);
	memset(&e, 0, sizeof(e));
	e.nmi.masked = 1;
	MUST(g.vcpu, KVM_SET_VCPU_EVENTS, &e);
	MUST(g.vcpu, KVM_GET_VCPU_EVENTS, &e);
	assert_int_equal(e.nmi.pending, 1);
	assert_int_equal(e.interrupt.shadow, KVM_X86_SHADOW_INT_STI);
	e.flags = 1 << 20;
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_VCPU_EVENTS, &e), -EINVAL);
	guest_close(&g);
}

/* Finish what waits for an answer, as a VMM does before it saves. */
static void complete(struct guest *g)
{
	g->run->immediate_exit = 1;
	assert_int_equal(kvm(g->vcpu, KVM_RUN, 0), -EINTR);
	g->run->immediate_exit = 0;
}

/* A loop that asks a port and sums: moved to the other vm after every answer. */
static void test_moving_guest(void **state)
{
	static struct everything s;
	struct guest g[2];
	struct kvm_regs r;
	unsigned i;

	if (port.real) /* such a guest does not run everywhere */
		return;
	open_two(&g[0], &g[1]);
	GUEST_CODE(&g[0], 0xe4, 0x10, /* in $0x10, %al */
		0x00, 0xc3,           /* add %al, %bl */
		0xeb, 0xfa);          /* again */
	memcpy(g[1].ram, g[0].ram, RAM_BYTES);
	for (i = 0; i < 20; i++) {
		struct guest *now = &g[i % 2], *next = &g[(i + 1) % 2];

		assert_int_equal(kvm(now->vcpu, KVM_RUN, 0), 0);
		assert_int_equal(now->run->exit_reason, KVM_EXIT_IO);
		*((u8 *)now->run + now->run->io.data_offset) = (u8)i;
		complete(now);
		save(now, &s);
		assert_int_equal(s.regs.rip, RAM_GPA + 2);
		restore(next, &s);
	}
	MUST(g[0].vcpu, KVM_GET_REGS, &r);
	assert_int_equal(r.rax & 0xff, 19);
	assert_int_equal(r.rbx & 0xff, 171); /* 0 + ... + 18: the last is not added yet */
	guest_close(&g[1]);
	guest_close(&g[0]);
}

/* Without the answer the question is asked again where the guest goes on. */
static void test_question_is_asked_again(void **state)
{
	static struct everything s;
	struct guest a, b;

	if (port.real)
		return;
	open_two(&a, &b);
	GUEST_CODE(&a, 0xa0, 0x00, 0x00, 0xf4); /* mov 0, %al: no RAM there */
	memcpy(b.ram, a.ram, RAM_BYTES);
	assert_int_equal(kvm(a.vcpu, KVM_RUN, 0), 0);
	assert_int_equal(a.run->exit_reason, KVM_EXIT_MMIO);
	save(&a, &s);
	restore(&b, &s);
	assert_int_equal(kvm(b.vcpu, KVM_RUN, 0), 0);
	assert_int_equal(b.run->exit_reason, KVM_EXIT_MMIO);
	assert_int_equal(b.run->mmio.is_write, 0);
	b.run->mmio.data[0] = 0x77;
	complete(&b);
	save(&b, &s);
	assert_int_equal(s.regs.rax & 0xff, 0x77);
	assert_int_equal(s.regs.rip, RAM_GPA + 3);
	guest_close(&b);
	guest_close(&a);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fresh),
		cmocka_unit_test(test_random_states),
		cmocka_unit_test(test_event_flags),
		cmocka_unit_test(test_moving_guest),
		cmocka_unit_test(test_question_is_asked_again),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
