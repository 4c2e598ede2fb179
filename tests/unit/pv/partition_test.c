/* SPDX-License-Identifier: MIT */
/*
 * What a partition's guest finds of Hyper-V's interface beside SynIC and time: that CPUID decides what there is, the MSR by
 * which it idles, hypercalls, who serves them, and processors that it starts.
 */
#include <pthread.h>
#include <time.h>

#include "tests/unit/world/hvguest.h"
#include "engine/core/vcpu.h"
#include "x86/hyperv.h"
#include "x86/msr.h"

#define GUEST_IDLE 0x400000f0u

static void nap(void)
{
	struct timespec ts = {.tv_nsec = 100000};

	nanosleep(&ts, NULL);
}

static void open_guest(struct world *w)
{
	world_open_partition(w);
	hv_give_cpuid(w->v);
	enable_interrupts(w);
}

/* CPUID with these bits only, and what it does not say is refused. */
static void announce(struct vcpu *v, const u32 word[HV_WORDS])
{
	struct cpuid_entry e[] = {{.function = 1, .ecx = BIT(31)},
		{.function = 0x40000001, .eax = 0x31237648},
		{.function = 0x40000003,
			.eax = word[HV_EAX],
			.ebx = word[HV_EBX],
			.edx = word[HV_EDX]},
		{.function = 0x40000004, .eax = word[HV_HINTS], .ebx = word[HV_SPIN]},
		{.function = 0x4000000a, .eax = word[HV_NESTED]}};

	assert_int_equal(vcpu_set_cpuid(v, e, ARRAY_SIZE(e)), 0);
	vcpu_enforce_hv_cpuid(v, true);
}

static void announce_bit(struct vcpu *v, unsigned word, u32 bits)
{
	u32 words[HV_WORDS] = {0};

	words[word] = bits;
	announce(v, words);
}

/* ---- MSRs ---- */

/* TLFS 2.4: the bit and what it lets the guest read. */
static const struct {
	u32 first, last;
	u8 word;
	u32 bit;
} features[] = {
	{0x40000010, 0x40000010, HV_EAX, BIT(0)},
	{0x40000020, 0x40000020, HV_EAX, BIT(1)},
	{0x40000080, 0x40000084, HV_EAX, BIT(2)},
	{0x40000090, 0x4000009f, HV_EAX, BIT(2)},
	{0x400000b0, 0x400000b7, HV_EAX, BIT(3)},
	{0x40000071, 0x40000073, HV_EAX, BIT(4)}, /* 70h is to be written */
	{0x40000000, 0x40000001, HV_EAX, BIT(5)},
	{0x40000002, 0x40000002, HV_EAX, BIT(6)},
	{0x40000003, 0x40000003, HV_EAX, BIT(7)},
	{0x40000021, 0x40000021, HV_EAX, BIT(9)},
	{0x40000022, 0x40000023, HV_EAX, BIT(11)},
	{GUEST_IDLE, GUEST_IDLE, HV_EDX, BIT(5)},
	{0x40000100, 0x40000105, HV_EDX, BIT(10)},
};

static void wake(struct world *w)
{
	struct msi msi = {.address = 0xfee00000, .data = VECTOR};

	assert_int_equal(irq_msi(w->m, &msi), 1);
}

static void test_features(void **state)
{
	struct world w;

	open_guest(&w);
	wake(&w); /* for GUEST_IDLE */
	for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
		announce_bit(w.v, features[i].word, features[i].bit);
		for (unsigned k = 0; k < ARRAY_SIZE(features); k++) {
			bool may = features[k].word == features[i].word &&
				   features[k].bit == features[i].bit;

			for (u32 m = features[k].first; m <= features[k].last; m++)
				if (rdmsr_works(&w, m) != may)
					fail_msg("MSR %#x with word %u bit %#x", m,
						features[i].word, features[i].bit);
		}
	}
	announce_bit(w.v, HV_EAX, 0);
	for (u32 m = 0x40000000; m < 0x40000200; m++)
		if (rdmsr_works(&w, m) || wrmsr_works(&w, m, 0))
			fail_msg("MSR %#x", m);
	world_close(&w);
}

static void test_reset_values(void **state)
{
	struct world w;
	struct vcpu *v;
	u64 value;

	world_open_partition(&w);
	for (u32 m = 0x40000000; m <= 0x40000105; m++) {
		bool runs = m == 0x40000010 || (m >= 0x40000020 && m <= 0x40000023);

		if (m == 0x40000070 || m == 0x40000071 || m == 0x40000072 || runs ||
			vcpu_get_msr(w.v, m, &value, true))
			continue;
		if (value != (m == 0x40000081                             ? 1
				     : m >= 0x40000090 && m <= 0x4000009f ? 0x10000
									  : 0))
			fail_msg("MSR %#x is %#lx", m, (unsigned long)value);
		assert_int_equal(vcpu_set_msr(w.v, m, value, true), 0); /* restored */
	}
	assert_int_equal(vcpu_create(w.m, 7, &v), 0);
	assert_int_equal(vcpu_get_msr(v, 0x40000002, &value, true), 0);
	assert_int_equal(value, 7);
	vcpu_destroy(v);
	world_close(&w);
}

/* The guest reads what it can say; the VMM, what it has said. Nothing leaves. */
static void test_crash(void **state)
{
	struct world w;

	open_guest(&w);
	wrmsr(&w, 0x40000102, 0xabc);
	assert_int_equal(msr_of(&w, CRASH_CTL), 0);
	wrmsr(&w, CRASH_CTL, BIT64(63));
	assert_int_equal(msr_of(&w, CRASH_CTL), BIT64(63));
	assert_int_equal(msr_of(&w, 0x40000102), 0xabc);
	assert_true(rdmsr_works(&w, CRASH_CTL));
	assert_int_equal(gpr_of(w.v, RDX) >> 30, 3);
	world_close(&w);
}

static void test_hypercall_page_restored(void **state)
{
	struct world w;

	open_guest(&w);
	wrmsr(&w, HYPERCALL, PAGE_AT | 1); /* nobody yet */
	assert_int_equal(msr_of(&w, HYPERCALL), 0);
	assert_int_equal(vcpu_set_msr(w.v, HYPERCALL, PAGE_AT | 1, true), 0);
	assert_int_equal(vcpu_set_msr(w.v, GUEST_OS_ID, 5, true), 0);
	assert_int_equal(msr_of(&w, HYPERCALL), PAGE_AT | 1);
	world_close(&w);
}

/* ---- idling ---- */

struct idler {
	struct world *w;
	_Atomic bool out;
};

/* cli is how it begins: an interrupt wakes it all the same. */
static void *idler(void *opaque)
{
	struct idler *i = opaque;

	atomic_store(&i->out, false);
	if (vcpu_run(i->w->v, 0))
		return (void *)1;
	atomic_store(&i->out, true);
	return NULL;
}

#define SVR 0xf0

static void set_svr(struct world *w, u32 value)
{
	u8 page[1024];

	assert_int_equal(vcpu_get_lapic(w->v, page), 0);
	memcpy(page + SVR, &value, sizeof(value));
	assert_int_equal(vcpu_set_lapic(w->v, page), 0);
}

static void begin_idle(struct world *w)
{
	begin_wrmsr(w, GUEST_IDLE, ~0ull);
	w->ram[CODE + 1] = 0x32; /* rdmsr */
}

static pthread_t go_idle(struct idler *i)
{
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, idler, i), 0);
	while (atomic_load(&i->w->v->where) != VCPU_ASLEEP)
		nap();
	return t;
}

static void joined(pthread_t t)
{
	void *failed;

	pthread_join(t, &failed);
	assert_null(failed);
}

static void test_idle(void **state)
{
	struct idler i;
	struct world w;
	pthread_t t;

	i.w = &w;
	open_guest(&w);
	for (unsigned k = 0; k < 20; k++) {
		begin_idle(&w);
		t = go_idle(&i);
		wake(&w);
		joined(t);
		assert_int_equal(vcpu_exit(w.v)->reason, EXIT_IO_OUT);
		assert_int_equal(rip_of(w.v), CODE + 2);
		assert_int_equal(gpr_of(w.v, RAX) | gpr_of(w.v, RDX), 0);
		/* The request is still there: another one does not wait. */
		begin_idle(&w);
		run_to(w.v, EXIT_IO_OUT);
		wait_for_interrupt(&w);
		hv_eoi(&w);
	}
	world_close(&w);
}

/* Who is called out has not begun yet, and shows nothing of it; what the VMM sets then counts. */
static void test_idle_kicked(void **state)
{
	struct vcpu_state s;
	struct idler i;
	struct world w;
	pthread_t t;

	i.w = &w;
	open_guest(&w);
	begin_idle(&w);
	for (unsigned k = 0; k < 3; k++) {
		t = go_idle(&i);
		vcpu_kick(w.v);
		joined(t);
		assert_int_equal(vcpu_exit(w.v)->reason, EXIT_INTR);
		vcpu_get(w.v, ST_REGS | ST_MP, &s);
		assert_int_equal(s.rip, CODE);
		assert_int_equal(s.mp_state, MP_RUNNABLE);
	}
	set_rflags(w.v, FL_IF);
	t = go_idle(&i);
	wake(&w); /* and its handler runs after the instruction */
	joined(t);
	assert_int_equal(vcpu_exit(w.v)->io.port, 0x72);
	assert_int_equal(w.ram[STACK - 6] | w.ram[STACK - 5] << 8, CODE + 2);
	hv_eoi(&w);
	begin_idle(&w);
	t = go_idle(&i);
	vcpu_kick(w.v);
	joined(t);
	WORLD_CODE(&w, 0xe6, 0x55);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x55);
	world_close(&w);
}

/* Any interrupt ends it: one that a handler of higher priority holds off, and one that a disabled local APIC does not keep. */
static void test_idle_held(void **state)
{
	const struct msi low = {.address = 0xfee00000, .data = VECTOR};
	struct idler i;
	struct world w;
	pthread_t t;

	i.w = &w;
	open_guest(&w);
	for (unsigned k = 0; k < 10; k++) {
		const bool disabled = k & 1;

		vcpu_set_cr8(w.v, 15);
		if (disabled)
			set_svr(&w, 0xff);
		begin_idle(&w);
		t = go_idle(&i);
		irq_msi(w.m, &low);
		joined(t);
		assert_int_equal(vcpu_exit(w.v)->reason, EXIT_IO_OUT);
		assert_int_equal(rip_of(w.v), CODE + 2);
		if (disabled) { /* that was all of it */
			set_svr(&w, 0x1ff);
			continue;
		}
		begin_idle(&w);
		run_to(w.v, EXIT_IO_OUT);
		vcpu_set_cr8(w.v, 0);
		wait_for_interrupt(&w);
		hv_eoi(&w);
	}
	/* It comes between the guest's look and its sleep. */
	set_svr(&w, 0xff);
	irq_msi(w.m, &low);
	begin_idle(&w);
	run_to(w.v, EXIT_IO_OUT);
	begin_idle(&w);
	t = go_idle(&i);
	vcpu_kick(w.v);
	joined(t);
	assert_int_equal(vcpu_exit(w.v)->reason, EXIT_INTR);
	world_close(&w);
}

/* INIT ends it: an application processor then waits for SIPI, whatever else has come. */
static void test_idle_init(void **state)
{
	struct msi init = {.address = 0xfee01000, .data = 5 << 8},
		   irq = {.address = 0xfee01000, .data = VECTOR};
	static const struct vcpu_state runs = {.mp_state = MP_RUNNABLE};
	struct idler i;
	struct world w, second;
	pthread_t t;

	open_guest(&w);
	second = w;
	second.v = world_add_vcpu(&w);
	hv_give_cpuid(second.v);
	enable_interrupts(&second);
	assert_int_equal(vcpu_set(second.v, ST_MP, &runs), 0);
	begin_idle(&second);
	i.w = &second;
	t = go_idle(&i);
	irq_msi(w.m, &init);
	while (atomic_load(&second.v->mp_state) != MP_INIT_RECEIVED)
		nap();
	irq_msi(w.m, &irq);
	nap();
	assert_int_equal(atomic_load(&second.v->mp_state), MP_INIT_RECEIVED);
	assert_false(atomic_load(&i.out));
	vcpu_kick(second.v);
	joined(t);
	world_close(&w);
}

/* For KVM's callers the MSR is one that is not there. */
static void test_no_idle_of_kvm(void **state)
{
	struct world w;
	u64 value;

	hv_open(&w, true);
	assert_false(rdmsr_works(&w, GUEST_IDLE));
	assert_int_equal(machine_set_msr_exits(w.m, MSR_WHY_UNKNOWN), 0);
	begin_idle(&w);
	assert_int_equal(run_to(w.v, EXIT_RDMSR)->msr.why, MSR_WHY_UNKNOWN);
	assert_true(vcpu_get_msr(w.v, GUEST_IDLE, &value, true) < 0);
	world_close(&w);
}

/* ---- hypercalls ---- */

static void open_caller(struct world *w)
{
	open_guest(w);
	wrmsr(w, GUEST_OS_ID, 1);
}

/* Without an identity there is no such instruction; there is nobody else's call either. */
static void test_identity(void **state)
{
	struct world w;

	open_guest(&w);
	/* #UD without an IDT for it: shutdown */
	assert_int_equal(flat_call(&w, 8 | FAST, 0)->reason, EXIT_SHUTDOWN);
	world_close(&w);
}

static const struct {
	u64 control;
	u8 word;
	u32 bits;
} calls[] = {
	{2, HV_HINTS, BIT(2)},
	{3 | REPS(1), HV_HINTS, BIT(2)},
	{8 | FAST, HV_SPIN, 0xfff},
	{0x0b, HV_HINTS, BIT(10)},
	{0x13, HV_HINTS, BIT(2) | BIT(11)},
	{0x14 | REPS(1), HV_HINTS, BIT(2) | BIT(11)},
	{0x15, HV_HINTS, BIT(10) | BIT(11)},
	{0x5c, HV_EBX, BIT(4)},
	{0x5d, HV_EBX, BIT(5)},
	{0x99, HV_EBX, BIT(21)},
	{0x9a | REPS(1), HV_EBX, BIT(21)},
	{0xaf, HV_NESTED, BIT(18)},
	{0xb0 | REPS(1), HV_NESTED, BIT(18)},
	{0x8001, HV_EBX, BIT(20)},
};

static void test_calls_announced(void **state)
{
	struct world w;

	open_caller(&w);
	for (unsigned i = 0; i < ARRAY_SIZE(calls); i++) {
		announce_bit(w.v, HV_EAX, BIT(5));
		if (call_result(&w, calls[i].control, PAGE_AT) != 6)
			fail_msg("call %#lx without its bit", (unsigned long)calls[i].control);
		for (u32 left = calls[i].bits; left && calls[i].word == HV_HINTS;
			left &= left - 1) {
			bool all = calls[i].bits == (left & -left);

			announce_bit(w.v, HV_HINTS, left & -left);
			if ((call_result(&w, calls[i].control, PAGE_AT) == 6) == all)
				fail_msg("call %#lx with a bit", (unsigned long)calls[i].control);
		}
		announce_bit(w.v, calls[i].word, calls[i].bits);
		if (call_result(&w, calls[i].control, PAGE_AT) == 6)
			fail_msg("call %#lx with its bit", (unsigned long)calls[i].control);
	}
	announce_bit(w.v, HV_SPIN, ~0u);
	assert_int_equal(call_result(&w, 8 | FAST, 0), 6); /* never notify */
	world_close(&w);
}

/* KVM does not have what is new here. */
static void test_calls_of_kvm(void **state)
{
	static const u64 codes[] = {0x99, 0x9a | REPS(1), 0xaf, 0xb0 | REPS(1), 0x7e};
	struct world w;

	hv_open(&w, true);
	wrmsr(&w, GUEST_OS_ID, 1);
	machine_set_option(w.m, OPT_HYPERCALL_INTERCEPT, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(codes); i++)
		assert_int_equal(call_result(&w, codes[i], PAGE_AT), 2);
	assert_int_equal(call_result(&w, 2, PAGE_AT + 4), 0); /* nor does it look where input is */
	assert_int_equal(call_result(&w, 3 | REPS(2) | BIT64(48), PAGE_AT), 3);
	world_close(&w);
}

static void test_input(void **state)
{
	struct world w;

	open_caller(&w);
	assert_int_equal(call_result(&w, 2, PAGE_AT + 4), 4);
	assert_int_equal(call_result(&w, 2, PAGE_AT + 4096 - 16), 4);
	assert_int_equal(call_result(&w, 2, PAGE_AT + 4096 - 24), 0);
	assert_int_equal(call_result(&w, 3 | REPS(1), PAGE_AT + 4096 - 24), 4);
	assert_int_equal(call_result(&w, 3 | REPS(510), PAGE_AT), 4);
	assert_int_equal(call_result(&w, 3 | REPS(509), PAGE_AT), REPS(509));
	assert_int_equal(call_result(&w, 3 | REPS(4) | BIT64(48), PAGE_AT), REPS(4));
	assert_int_equal(call_result(&w, 3 | REPS(4) | BIT64(50), PAGE_AT), 3);
	assert_int_equal(call_result(&w, 0x15 | 1 << 17, PAGE_AT + 4096 - 24), 4);
	assert_int_equal(call_result(&w, 0x5c, PAGE_AT + 4096 - 248), 4);
	/* Guest mappings */
	assert_int_equal(call_result(&w, 0xaf, PAGE_AT), 0);
	assert_int_equal(call_result(&w, 0xaf | FAST, PAGE_AT), 0);
	assert_int_equal(call_result(&w, 0xaf | FAST, PAGE_AT + 8), 5);
	assert_int_equal(call_result(&w, 0xaf | REPS(1), PAGE_AT), 3);
	assert_int_equal(call_result(&w, 0xaf, 0xf0000000), 3);
	assert_int_equal(call_result(&w, 0xb0, PAGE_AT), 3);
	assert_int_equal(call_result(&w, 0xb0 | REPS(9), PAGE_AT), REPS(9));
	memset(w.ram + PAGE_AT + 8, 1, 1); /* flags that are none */
	assert_int_equal(call_result(&w, 0xaf, PAGE_AT), 5);
	world_close(&w);
}

/* ---- whose the rest is ---- */

static void test_unserved(void **state)
{
	struct world w;

	open_caller(&w);
	assert_int_equal(call_result(&w, 0x5c, PAGE_AT), 0x12);
	assert_int_equal(call_result(&w, 0x5d | FAST, 3), 0x12);
	assert_int_equal(call_result(&w, 0x7e, PAGE_AT), 2);
	assert_int_equal(call_result(&w, 0x7f0 | BIT64(30), PAGE_AT), 2);
	assert_int_equal(call_result(&w, 0x8001, PAGE_AT), 2);
	world_close(&w);
}

static void set_rip_and_rax(struct vcpu *v, u64 rip, u64 rax)
{
	struct vcpu_state s;

	vcpu_get(v, ST_REGS, &s);
	s.rip = rip;
	s.gpr[RAX] = rax;
	assert_int_equal(vcpu_set(v, ST_REGS, &s), 0);
}

static void test_intercepted(void **state)
{
	static const u64 codes[] = {0x5c, 0x5d | FAST, 0x7e, 0x7f0, 0x52};
	struct world w;
	struct exit *x;

	open_caller(&w);
	machine_set_option(w.m, OPT_HYPERCALL_INTERCEPT, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(codes); i++) {
		x = flat_call(&w, codes[i], PAGE_AT);
		for (unsigned again = 0; again < 2; again++) { /* rip stays, so it is made again */
			assert_int_equal(x->reason, EXIT_HYPERV);
			assert_int_equal(x->hyperv.kind, HYPERV_CALL);
			assert_int_equal(x->hyperv.arg[0], codes[i]);
			assert_int_equal(x->hyperv.arg[1], PAGE_AT);
			assert_int_equal(rip_of(w.v), CODE);
			assert_int_equal(vcpu_exit_insn(w.v)->len, 3);
			x->hyperv.result = 0x77; /* nobody takes that */
			x = run_to(w.v, EXIT_HYPERV);
		}
		set_rip_and_rax(w.v, CODE + 3, 0x13);
		run_to(w.v, EXIT_IO_OUT);
		assert_int_equal(gpr_of(w.v, RAX), 0x13);
	}
	/* What the engine serves, and what it refuses, does not leave. */
	assert_int_equal(call_result(&w, 2, PAGE_AT), 0);
	assert_int_equal(call_result(&w, 0x5c | REPS(1), PAGE_AT), 3);
	announce_bit(w.v, HV_EAX, BIT(5));
	assert_int_equal(call_result(&w, 0x5c, PAGE_AT), 6);
	world_close(&w);
}

/* ---- starting processors ---- */

#define START_AT (PAGE_AT + 0x100)

static struct hv_start *start_input(struct world *w, u32 vp)
{
	struct hv_start *s = (struct hv_start *)(w->ram + START_AT);
	struct hv_segment data = {.limit = 0xffffffff, .selector = 16, .attr = 0xc093};

	*s = (struct hv_start){.partition = ~0ull,
		.vp_index = vp,
		.rip = 0x6000,
		.rsp = 0x7ff0,
		.rflags = 2,
		.cs = {.limit = 0xffffffff, .selector = 8, .attr = 0xc09b},
		.ds = data,
		.es = data,
		.fs = data,
		.gs = data,
		.ss = data,
		.tr = {.limit = 0x67, .selector = 24, .attr = 0x8b},
		.gdtr = {.limit = 0x3f, .base = 0x9000},
		.cr0 = 0x11,
		.pat = 0x0007040600070406};
	return s;
}

static u64 start(struct world *w)
{
	return call_result(w, 0x99, START_AT);
}

struct runner {
	struct vcpu *v;
	int result;
};

static void *runner(void *opaque)
{
	struct runner *r = opaque;

	r->result = vcpu_run(r->v, 0);
	return NULL;
}

static void test_start(void **state)
{
	struct runner r;
	struct hv_start *s;
	struct vcpu_state state_of;
	struct world w;
	pthread_t t;
	u64 pat;

	open_caller(&w);
	r.v = world_add_vcpu(&w);
	WORLD_PUT(&w, 0x6000, 0xe6, 0x44); /* out 44h */
	s = start_input(&w, 0);
	assert_int_equal(start(&w), 0x15); /* runs */
	s->vp_index = 5;
	assert_int_equal(start(&w), 0xe);
	s->vp_index = 1;
	s->partition = 7;
	assert_int_equal(start(&w), 0xd);
	s->partition = ~0ull;
	s->vtl = 1;
	assert_int_equal(start(&w), 5);
	s->vtl = 0;
	s->pat = 0x0606060606060606;

	/* While it waits in vcpu_run(), which does not return for that. */
	assert_int_equal(pthread_create(&t, NULL, runner, &r), 0);
	while (atomic_load(&r.v->where) != VCPU_ASLEEP)
		nap();
	assert_int_equal(start(&w), 0);
	pthread_join(t, NULL);
	assert_int_equal(r.result, 0);
	assert_int_equal(vcpu_exit(r.v)->reason, EXIT_IO_OUT);
	assert_int_equal(vcpu_exit(r.v)->io.port, 0x44);
	vcpu_get(r.v, ST_REGS | ST_SREGS, &state_of);
	assert_int_equal(state_of.rip, 0x6000);
	assert_int_equal(state_of.gpr[RSP], 0x7ff0);
	assert_int_equal(state_of.cr0, 0x11);
	assert_int_equal(state_of.gdt.base, 0x9000);
	assert_int_equal(state_of.gdt.limit, 0x3f);
	assert_int_equal(state_of.seg[SEG_CS].attr, 0xc09b);
	assert_int_equal(state_of.seg[SEG_TR].selector, 24);
	assert_true(state_of.seg[SEG_LDTR].attr & BIT(16)); /* not present */
	assert_int_equal(vcpu_get_msr(r.v, MSR_PAT, &pat, true), 0);
	assert_int_equal(pat, 0x0606060606060606);
	assert_int_equal(start(&w), 0x15);
	world_close(&w);
}

/* Twice before it runs; and with a state that there cannot be. */
static void test_start_left(void **state)
{
	struct hv_start *s;
	struct world w;
	struct vcpu *v;

	open_caller(&w);
	v = world_add_vcpu(&w);
	world_add_vcpu(&w); /* is destroyed with what was left for it */
	s = start_input(&w, 2);
	assert_int_equal(start(&w), 0);
	s->vp_index = 1;
	s->cr0 = 0x80000010; /* PG without PE */
	assert_int_equal(start(&w), 0);
	s->cr0 = 0x11;
	assert_int_equal(start(&w), 0x15);
	run_to(v, EXIT_SHUTDOWN);
	world_close(&w);
}

static void test_vp_index(void **state)
{
	u64 head[2] = {~0ull, 0};
	u32 ids[3] = {2, 0, 1}, out[3];
	struct world w;

	open_caller(&w);
	world_add_vcpu(&w);
	world_add_vcpu(&w);
	world_put(&w, PAGE_AT, head, sizeof(head));
	world_put(&w, PAGE_AT + 16, ids, sizeof(ids));
	assert_int_equal(call_with_output(&w, 0x9a | REPS(3), PAGE_AT, PAGE_AT + 0x100), REPS(3));
	memcpy(out, w.ram + PAGE_AT + 0x100, sizeof(out));
	assert_memory_equal(out, ids, sizeof(ids)); /* indices are the ids here */
	memset(w.ram + PAGE_AT + 0x100, 0xff, 12);
	ids[1] = 9;
	world_put(&w, PAGE_AT + 16, ids, sizeof(ids));
	assert_int_equal(
		call_with_output(&w, 0x9a | REPS(3), PAGE_AT, PAGE_AT + 0x100), 5 | REPS(1));
	ids[1] = 1;
	world_put(&w, PAGE_AT + 16, ids, sizeof(ids));
	assert_int_equal(call_with_output(&w, 0x9a | REPS(3) | BIT64(48), PAGE_AT, PAGE_AT + 0x100),
		REPS(3));
	memcpy(out, w.ram + PAGE_AT + 0x100, sizeof(out));
	assert_int_equal(out[1], 1);
	assert_int_equal(out[0], 2);
	assert_int_equal(call_with_output(&w, 0x9a | REPS(3), PAGE_AT, PAGE_AT + 4), 4);
	assert_int_equal(call_with_output(&w, 0x9a | REPS(3), PAGE_AT, PAGE_AT + 4096 - 8), 4);
	assert_int_equal(call_with_output(&w, 0x9a | REPS(3), PAGE_AT, 0xf0000000), 3);
	assert_int_equal(call_with_output(&w, 0x9a | REPS(1) | FAST, PAGE_AT, PAGE_AT), 3);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_reset_values),
		cmocka_unit_test(test_crash),
		cmocka_unit_test(test_hypercall_page_restored),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_idle_kicked),
		cmocka_unit_test(test_idle_held),
		cmocka_unit_test(test_idle_init),
		cmocka_unit_test(test_no_idle_of_kvm),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_calls_announced),
		cmocka_unit_test(test_calls_of_kvm),
		cmocka_unit_test(test_input),
		cmocka_unit_test(test_unserved),
		cmocka_unit_test(test_intercepted),
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_start_left),
		cmocka_unit_test(test_vp_index),
	};

	return cmocka_run_group_tests_name("partition", tests, NULL, NULL);
}
