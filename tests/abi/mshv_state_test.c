/* SPDX-License-Identifier: MIT */
/* MSHV_GET_VP_STATE and MSHV_SET_VP_STATE: what they refuse, in its order, and what each kind of state holds. */
#include "tests/abi/mshv_port.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SPOIL(name, what)                                                                          \
	static void name(struct attempt *a)                                                        \
	{                                                                                          \
		what;                                                                              \
	}

/* ---- refusals ---- */

SPOIL(no_structure, a->arg = BAD_POINTER)
SPOIL(state_type, a->state.type = MSHV_VP_STATE_COUNT)
SPOIL(state_rsvd, a->state.rsvd[2] = 1)
SPOIL(state_none, a->state.buf_sz = 0)
SPOIL(state_size, a->state.buf_sz = 4100)
SPOIL(state_pointer, a->state.buf_ptr += 64)
SPOIL(state_nowhere, a->state.buf_ptr = BAD_POINTER & ~0xffful)

REFUSALS(MSHV_GET_VP_STATE) = {
	{"the structure cannot be read", EFAULT, no_structure, 9},
	{"type is unknown", EINVAL, state_type, 0},
	{"rsvd is not 0", EINVAL, state_rsvd, 0},
	{"buf_sz is 0", EINVAL, state_none, 1},
	{"buf_sz is not a multiple of 4096", EINVAL, state_size, 1},
	{"buf_ptr is not a multiple of 4096", EINVAL, state_pointer, 2},
	{"the buffer is not the process's", EFAULT, state_nowhere, 2},
};

REFUSALS(MSHV_SET_VP_STATE) = {
	{"the structure cannot be read", EFAULT, no_structure, 9},
	{"type is unknown", EINVAL, state_type, 0},
	{"rsvd is not 0", EINVAL, state_rsvd, 0},
	{"buf_sz is 0", EINVAL, state_none, 1},
	{"buf_sz is not a multiple of 4096", EINVAL, state_size, 1},
	{"buf_ptr is not a multiple of 4096", EINVAL, state_pointer, 2},
	{"the buffer is not the process's", EFAULT, state_nowhere, 2},
};

static u8 *page; /* one, at a page's beginning */

static void good_state(struct attempt *a)
{
	a->fd = ((struct partition *)a->context)->vp[0];
	a->state = (struct mshv_get_set_vp_state){
		.type = MSHV_VP_STATE_SIMP, .buf_sz = HV_PAGE_SIZE, .buf_ptr = (unsigned long)page};
}

static void check(
	unsigned long request, const struct refusal_row *rows, unsigned n, struct partition *p)
{
	check_refusals(&(struct refusal_check){
		.request = request, .rows = rows, .count = n, .good = good_state, .context = p});
}

static void test_refusals(void **state)
{
	struct partition p = {0};

	partition_start(&p, LAPIC);
	check(MSHV_GET_VP_STATE, refusals_MSHV_GET_VP_STATE, ARRAY_SIZE(refusals_MSHV_GET_VP_STATE),
		&p);
	check(MSHV_SET_VP_STATE, refusals_MSHV_SET_VP_STATE, ARRAY_SIZE(refusals_MSHV_SET_VP_STATE),
		&p);
	partition_close(&p);
}

/* ---- transfers ---- */

static long transfer(struct partition *p, unsigned vp, u8 type, bool set, u32 *ret_size)
{
	struct mshv_get_set_vp_state a = {
		.type = type, .buf_sz = HV_PAGE_SIZE, .buf_ptr = (unsigned long)page};
	long r = mshv_p(p->vp[vp], set ? MSHV_SET_VP_STATE : MSHV_GET_VP_STATE, &a);

	if (ret_size)
		*ret_size = a.buf_sz;
	return r;
}

static void get(struct partition *p, unsigned vp, u8 type)
{
	memset(page, 0xee, HV_PAGE_SIZE);
	assert_int_equal(transfer(p, vp, type, false, NULL), 0);
}

static void set(struct partition *p, unsigned vp, u8 type)
{
	assert_int_equal(transfer(p, vp, type, true, NULL), 0);
}

/* How much there is is told, also by what fails; and no byte more is written. */
static void test_sizes(void **state)
{
	static const struct {
		u8 type;
		u32 size;
	} cases[] = {{MSHV_VP_STATE_LAPIC, 4096}, {MSHV_VP_STATE_XSAVE, 0},
		{MSHV_VP_STATE_SIMP, 4096}, {MSHV_VP_STATE_SIEFP, 4096},
		{MSHV_VP_STATE_SYNTHETIC_TIMERS, 200}};
	struct partition p = {.features = ~0ull};
	u32 size, want;

	partition_start(&p, LAPIC | X2APIC);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		want = cases[i].size ? cases[i].size
				     : (u32)property(p.fd, HV_PROPERTY_MAX_XSAVE_DATA_SIZE);
		memset(page, 0xee, HV_PAGE_SIZE);
		assert_int_equal(transfer(&p, 0, cases[i].type, false, &size), 0);
		assert_int_equal(size, want);
		for (u32 k = want; k < HV_PAGE_SIZE; k++)
			assert_int_equal(page[k], 0xee);
		/* What was read is taken back, and is the same then. */
		assert_int_equal(transfer(&p, 0, cases[i].type, true, &size), 0);
		assert_int_equal(size, want);
	}
	partition_close(&p);
}

static void test_round_trips(void **state)
{
	static u8 was[HV_PAGE_SIZE];
	struct partition p = {.features = ~0ull};

	partition_start(&p, LAPIC | X2APIC);
	partition_add_vp(&p, 1);
	for (u8 type = 0; type < MSHV_VP_STATE_COUNT; type++)
		for (unsigned vp = 0; vp < 2; vp++) {
			get(&p, vp, type);
			memcpy(was, page, sizeof(was));
			set(&p, vp, type);
			get(&p, vp, type);
			assert_memory_equal(was, page, sizeof(was));
		}
	partition_close(&p);
}

/* ---- MSHV_VP_STATE_LAPIC ---- */

static struct hv_lapic_state lapic(struct partition *p, unsigned vp)
{
	struct hv_lapic_state s;

	get(p, vp, MSHV_VP_STATE_LAPIC);
	memcpy(&s, page, sizeof(s));
	for (unsigned i = sizeof(s); i < HV_PAGE_SIZE; i++)
		assert_int_equal(page[i], 0);
	return s;
}

static void set_lapic(struct partition *p, unsigned vp, const struct hv_lapic_state *s)
{
	memset(page, 0, HV_PAGE_SIZE);
	memcpy(page, s, sizeof(*s));
	set(p, vp, MSHV_VP_STATE_LAPIC);
}

static void test_lapic_reset(void **state)
{
	struct hv_lapic_state s;
	struct partition p = {0};

	partition_start(&p, LAPIC | X2APIC);
	partition_add_vp(&p, 5);
	s = lapic(&p, 5);
	assert_int_equal(s.id, 5u << 24); /* as the register of xAPIC mode has it */
	assert_int_equal(s.version & 0xff, 0x14);
	assert_int_equal(s.dfr, 0xffffffff);
	assert_int_equal(s.spurious, 0xff);
	assert_int_equal(s.lvt_timer, 0x10000);
	assert_int_equal(s.lvt_thermal, 0x10000);
	assert_int_equal(s.lvt_perfmon, 0x10000);
	assert_int_equal(s.lvt_lint0, 0x10000);
	assert_int_equal(s.lvt_lint1, 0x10000);
	assert_int_equal(s.lvt_error, 0x10000);
	assert_int_equal(
		s.initial_count | s.counter_value | s.divide_configuration | s.esr | s.ldr, 0);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(s.isr[i] | s.tmr[i] | s.irr[i], 0);
	partition_close(&p);
}

static void test_lapic_fields(void **state)
{
	struct hv_lapic_state s, now;
	struct partition p = {0};

	partition_start(&p, LAPIC | X2APIC);
	s = lapic(&p, 0);
	/* As a VMM prepares one for its firmware: delivery modes alone. */
	s.lvt_lint0 = (s.lvt_lint0 & ~0x700u) | 0x700;
	s.lvt_lint1 = (s.lvt_lint1 & ~0x700u) | 0x400;
	s.lvt_cmci = s.error_status = 0;
	set_lapic(&p, 0, &s);
	now = lapic(&p, 0);
	assert_memory_equal(&s, &now, sizeof(s));
	assert_int_equal(now.lvt_lint0, 0x10700);
	s.spurious = 0x1ff;
	s.ldr = 0x01000000;
	s.lvt_timer = 0x20040;
	s.divide_configuration = 0xb;
	s.isr[2] = 1;
	s.tmr[3] = 0x80;
	s.irr[3] = 0x80 | 1;
	s.icr_low = 0x40;
	s.icr_high = 0x02000000;
	set_lapic(&p, 0, &s);
	now = lapic(&p, 0);
	assert_memory_equal(&s, &now, sizeof(s));
	/* The task priority is not part of it. */
	set_reg(&p, 0, HV_X64_REGISTER_CR8, 7);
	set_lapic(&p, 0, &s);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_CR8), 7);
	partition_close(&p);
}

/* An NMI that waits is bit 2 of the requests, both ways. */
static void test_lapic_nmi(void **state)
{
	struct hv_assert_interrupt in = {.type = HV_INTERRUPT_NMI};
	struct hv_lapic_state s;
	struct partition p = {0};

	partition_start(&p, LAPIC | X2APIC);
	assert_hv(hv_call(p.fd, &(struct hv_call){.code = HVCALL_ASSERT_VIRTUAL_INTERRUPT,
					.in = &in,
					.in_size = sizeof(in)}),
		0, 0);
	s = lapic(&p, 0);
	assert_int_equal(s.irr[0], 4);
	s.irr[0] = 0;
	set_lapic(&p, 0, &s);
	assert_int_equal(lapic(&p, 0).irr[0], 0);
	s.irr[0] = 4;
	set_lapic(&p, 0, &s);
	code_long(&p, 0, BYTES(0xe6, 0x10));
	long_gate(&p, X86_NMI, 0x3000);
	memcpy(p.ram + 0x3000, (const u8[]){0xe6, 0x2}, 2);
	run_to_out(&p, 0, 2);
	partition_close(&p);
}

/* x2APIC's id is a plain number; what is pending is delivered on the VP to which it was moved. */
static void test_lapic_moved(void **state)
{
	struct hv_lapic_state s;
	struct partition p = {0};

	partition_start(&p, LAPIC | X2APIC);
	partition_add_vp(&p, 3);
	set_reg(&p, 3, HV_X64_REGISTER_APIC_BASE, 0xfee00c00);
	s = lapic(&p, 3);
	assert_int_equal(s.id, 3);
	s.spurious = 0x1ff;
	s.irr[2] = 2; /* vector 41h */
	set_lapic(&p, 3, &s);
	code_long(&p, 3, BYTES(0xf4));
	long_gate(&p, 0x41, 0x3000);
	memcpy(p.ram + 0x3000, (const u8[]){0xe6, 0x41}, 2);
	set_reg(&p, 3, HV_REGISTER_INTERNAL_ACTIVITY_STATE, 0);
	set_reg(&p, 3, HV_X64_REGISTER_RFLAGS, 0x202);
	run_to_out(&p, 3, 0x41);
	s = lapic(&p, 3);
	assert_int_equal(s.isr[2], 2);
	assert_int_equal(s.irr[2], 0);
	partition_close(&p);
}

/* The timer's counter stands still while time does. */
static void test_lapic_timer(void **state)
{
	struct hv_lapic_state s, now;
	struct partition p = {0};

	partition_start(&p, LAPIC | X2APIC);
	assert_hv(property_set(p.fd, HV_PROPERTY_TIME_FREEZE, 1), 0, 0);
	s = lapic(&p, 0);
	s.spurious = 0x1ff;
	s.lvt_timer = 0x20040;
	s.divide_configuration = 0xb;
	s.initial_count = 0x40000000;
	s.counter_value = 0x12345678;
	set_lapic(&p, 0, &s);
	usleep(2000);
	now = lapic(&p, 0);
	assert_memory_equal(&s, &now, sizeof(s));
	partition_close(&p);
}

static void test_lapic_without(void **state)
{
	struct partition p = {0};

	partition_start(&p, 0);
	assert_int_equal(transfer(&p, 0, MSHV_VP_STATE_LAPIC, false, NULL), -EIO);
	assert_int_equal(transfer(&p, 0, MSHV_VP_STATE_LAPIC, true, NULL), -EIO);
	partition_close(&p);
}

/* ---- MSHV_VP_STATE_XSAVE ---- */

static u64 word(unsigned at)
{
	u64 v;

	memcpy(&v, page + at, sizeof(v));
	return v;
}

static void put_word(unsigned at, u64 v)
{
	memcpy(page + at, &v, sizeof(v));
}

static void test_xsave(void **state)
{
	const struct hv_value128 x = {0x1122334455667788, 0x99aabbccddeeff00};
	struct partition p = {0};
	u64 states, layout;

	partition_start(&p, LAPIC);
	states = property(p.fd, HV_PROPERTY_XSAVE_STATES) | 3;
	set_reg128(&p, 0, HV_X64_REGISTER_XMM0 + 3, &x);
	get(&p, 0, MSHV_VP_STATE_XSAVE);
	layout = word(520); /* XCOMP_BV */
	assert_int_equal(layout, 1ull << 63 | states);
	assert_int_equal(word(512) & ~states, 0);
	assert_memory_equal(page + 160 + 3 * 16, &x, sizeof(x));
	page[160] = 0x77;
	set(&p, 0, MSHV_VP_STATE_XSAVE);
	assert_int_equal(reg128(&p, 0, HV_X64_REGISTER_XMM0).low & 0xff, 0x77);
	/* A format that is not compacted, components that there are not */
	put_word(520, 0);
	assert_int_equal(transfer(&p, 0, MSHV_VP_STATE_XSAVE, true, NULL), -EINVAL);
	put_word(520, layout | 1ull << 9);
	assert_int_equal(transfer(&p, 0, MSHV_VP_STATE_XSAVE, true, NULL), -EINVAL);
	put_word(520, layout);
	put_word(512, 1ull << 9);
	assert_int_equal(transfer(&p, 0, MSHV_VP_STATE_XSAVE, true, NULL), -EINVAL);
	put_word(512, 3);
	put_word(528, 1); /* reserved */
	assert_int_equal(transfer(&p, 0, MSHV_VP_STATE_XSAVE, true, NULL), -EINVAL);
	put_word(528, 0);
	put_word(24, 0xffffffff); /* MXCSR */
	assert_int_equal(transfer(&p, 0, MSHV_VP_STATE_XSAVE, true, NULL), -EINVAL);
	assert_int_equal(
		reg128(&p, 0, HV_X64_REGISTER_XMM0).low & 0xff, 0x77); /* nothing has changed */
	partition_close(&p);
}

/* The components lie behind each other, all of a size that is a multiple of 64: AVX, then AVX-512's three. */
static void test_xsave_components(void **state)
{
	static const unsigned size[] = {[2] = 256, [5] = 64, [6] = 512, [7] = 1024};
	struct partition p = {0};
	unsigned at = 576;
	u64 states;

	partition_start(&p, LAPIC);
	states = property(p.fd, HV_PROPERTY_XSAVE_STATES);
	get(&p, 0, MSHV_VP_STATE_XSAVE);
	put_word(512, states | 3);
	for (unsigned i = 2; i < ARRAY_SIZE(size); i++) {
		if (!(states >> i & 1))
			continue;
		memset(page + at, 0x50 + (int)i, size[i]);
		at += size[i];
	}
	assert_int_equal(property(p.fd, HV_PROPERTY_MAX_XSAVE_DATA_SIZE), at);
	set(&p, 0, MSHV_VP_STATE_XSAVE);
	memset(page, 0, 4096);
	get(&p, 0, MSHV_VP_STATE_XSAVE);
	assert_int_equal(word(512), states | 3);
	at = 576;
	for (unsigned i = 2; i < ARRAY_SIZE(size); i++) {
		for (unsigned n = 0; states >> i & 1 && n < size[i]; n++)
			assert_int_equal(page[at++], 0x50 + i);
	}
	partition_close(&p);
}

/* ---- MSHV_VP_STATE_SIMP, MSHV_VP_STATE_SIEFP ---- */

static void pages_of(u8 type, u32 name)
{
	struct partition p = {.features = ~0ull};

	partition_start(&p, LAPIC);
	/* Without a page it is storage. */
	memset(page, 0x5a, HV_PAGE_SIZE);
	set(&p, 0, type);
	get(&p, 0, type);
	assert_int_equal(page[0], 0x5a);
	assert_int_equal(page[4095], 0x5a);
	/* With one it is the guest's. */
	set_reg(&p, 0, HV_REGISTER_SCONTROL, 1);
	set_reg(&p, 0, name, 0x40001);
	memset(p.ram + 0x40000, 0x77, HV_PAGE_SIZE);
	get(&p, 0, type);
	assert_int_equal(page[17], 0x77);
	page[17] = 0x78;
	set(&p, 0, type);
	assert_int_equal(p.ram[0x40000 + 17], 0x78);
	/* One that lies nowhere is storage again. */
	set_reg(&p, 0, name, NOWHERE | 1);
	get(&p, 0, type);
	set(&p, 0, type);
	partition_close(&p);
}

static void test_synic_pages(void **state)
{
	pages_of(MSHV_VP_STATE_SIMP, HV_REGISTER_SIMP);
	pages_of(MSHV_VP_STATE_SIEFP, HV_REGISTER_SIEFP);
}

/* ---- MSHV_VP_STATE_SYNTHETIC_TIMERS ---- */

static void test_timers(void **state)
{
	struct hv_stimers_state *t = (void *)page;
	struct partition p = {.features = ~0ull};

	partition_start(&p, LAPIC);
	assert_hv(property_set(p.fd, HV_PROPERTY_TIME_FREEZE, 1), 0, 0);
	get(&p, 0, MSHV_VP_STATE_SYNTHETIC_TIMERS);
	for (unsigned i = 0; i < 4; i++)
		assert_true(!t->timer[i].config && !t->timer[i].count && !t->timer[i].flags);
	for (unsigned i = 0; i < 4; i++) {
		t->timer[i].config = 0x20003 | i << 4; /* SINT 2, periodic, enabled */
		t->timer[i].count = 1000000 + i;
	}
	set(&p, 0, MSHV_VP_STATE_SYNTHETIC_TIMERS);
	memset(page, 0, HV_PAGE_SIZE);
	get(&p, 0, MSHV_VP_STATE_SYNTHETIC_TIMERS);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(t->timer[i].config, 0x20003 | i << 4);
		assert_int_equal(t->timer[i].count, 1000000 + i);
		assert_int_equal(reg(&p, 0, HV_REGISTER_STIMER0_CONFIG + 2 * i), 0x20003 | i << 4);
		assert_int_equal(reg(&p, 0, HV_REGISTER_STIMER0_CONFIG + 2 * i + 1), 1000000 + i);
	}
	/* Stopped ones, too: a count without being enabled. */
	for (unsigned i = 0; i < 4; i++)
		t->timer[i].config = 0x20000;
	set(&p, 0, MSHV_VP_STATE_SYNTHETIC_TIMERS);
	get(&p, 0, MSHV_VP_STATE_SYNTHETIC_TIMERS);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(t->timer[i].config, 0x20000);
		assert_int_equal(t->timer[i].count, 1000000 + i);
	}
	partition_close(&p);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_refusals),
	cmocka_unit_test(test_sizes),
	cmocka_unit_test(test_round_trips),
	cmocka_unit_test(test_lapic_reset),
	cmocka_unit_test(test_lapic_fields),
	cmocka_unit_test(test_lapic_nmi),
	cmocka_unit_test(test_lapic_moved),
	cmocka_unit_test(test_lapic_timer),
	cmocka_unit_test(test_lapic_without),
	cmocka_unit_test(test_xsave),
	cmocka_unit_test(test_xsave_components),
	cmocka_unit_test(test_synic_pages),
	cmocka_unit_test(test_timers),
};

int main(int argc, char **argv)
{
	page = pages_alloc(HV_PAGE_SIZE);
	return mshv_main(argc, argv, tests, ARRAY_SIZE(tests));
}
