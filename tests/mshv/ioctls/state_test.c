/* SPDX-License-Identifier: MIT */
/* The states of a processor that come in pages. */
#include <errno.h>
#include <string.h>

#include "tests/mshv/ioctls/groups.h"
#include "tests/mshv/machine.h"

GUEST(timer);
extern const u8 guest_timer_h30[];

struct blob {
	_Alignas(HV_PAGE_SIZE) union {
		u8 bytes[HV_PAGE_SIZE];
		struct hv_lapic_state lapic;
		struct hv_stimers_state timers;
	};
};

static u32 get(struct machine *m, u8 type, struct blob *b)
{
	u32 size = sizeof(*b);

	memset(b, 0xee, sizeof(*b));
	CHECK_OK(root_vp_state_get(m->vp[0], type, b, &size));
	CHECK(size <= sizeof(*b));
	return size;
}

static void set(struct machine *m, u8 type, const struct blob *b)
{
	CHECK_OK(root_vp_state_set(m->vp[0], type, b, sizeof(*b)));
}

/* What was read can be set, and is then the same, byte for byte. */
static void round_trips(void)
{
	struct blob before, after;
	struct machine m;

	machine_make(&m, &(struct machine_how){.synthetic = ~0ull});
	for (u8 type = 0; type < MSHV_VP_STATE_COUNT; type++) {
		const u32 size = get(&m, type, &before);

		set(&m, type, &before);
		CHECK_EQ(get(&m, type, &after), size);
		if (memcmp(&before, &after, size))
			test_failed(__FILE__, __LINE__, "state %u changes", type);
	}
	machine_unmake(&m);
}

static void sizes(void)
{
	static const struct {
		u8 type;
		u32 size; /* 0: a property tells it */
	} cases[] = {{MSHV_VP_STATE_LAPIC, 4096}, {MSHV_VP_STATE_XSAVE, 0},
		{MSHV_VP_STATE_SIMP, 4096}, {MSHV_VP_STATE_SIEFP, 4096},
		{MSHV_VP_STATE_SYNTHETIC_TIMERS, 200}};
	struct machine m;
	struct blob b;
	u64 xsave;

	machine_make(&m, &(struct machine_how){.synthetic = ~0ull});
	CHECK_OK(root_property_get(m.partition, HV_PROPERTY_MAX_XSAVE_DATA_SIZE, &xsave));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CHECK_EQ(get(&m, cases[i].type, &b), cases[i].size ? cases[i].size : xsave);
	machine_unmake(&m);
}

static void refusals(void)
{
	static struct blob b[2];
	const u64 at = (unsigned long)b;
	const struct {
		struct mshv_get_set_vp_state s;
		int want;
	} cases[] = {
		{{.type = MSHV_VP_STATE_COUNT, .buf_sz = 4096, .buf_ptr = at}, -EINVAL},
		{{.type = 0xff, .buf_sz = 4096, .buf_ptr = at}, -EINVAL},
		{{.type = 0, .rsvd = {1}, .buf_sz = 4096, .buf_ptr = at}, -EINVAL},
		{{.type = 0, .rsvd = {0, 0, 1}, .buf_sz = 4096, .buf_ptr = at}, -EINVAL},
		{{.type = 0, .buf_sz = 0, .buf_ptr = at}, -EINVAL},
		{{.type = 0, .buf_sz = 4095, .buf_ptr = at}, -EINVAL},
		{{.type = 0, .buf_sz = 200, .buf_ptr = at}, -EINVAL},
		{{.type = 4, .buf_sz = 200, .buf_ptr = at}, -EINVAL},
		{{.type = 0, .buf_sz = 4096, .buf_ptr = at + 8}, -EINVAL},
		{{.type = 0, .buf_sz = 4096, .buf_ptr = 0xdead000000000000}, -EFAULT},
	};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mshv_get_set_vp_state get_it = cases[i].s, set_it = cases[i].s;
		const long g = port_ioctl(m.vp[0], MSHV_GET_VP_STATE, &get_it);
		const long s = port_ioctl(m.vp[0], MSHV_SET_VP_STATE, &set_it);

		if (g != cases[i].want || s != cases[i].want)
			test_failed(__FILE__, __LINE__, "case %zu: %ld and %ld", i, g, s);
	}
	CHECK_EQ(port_ioctl(m.vp[0], MSHV_GET_VP_STATE, (void *)0xdead000000000000ul), -EFAULT);
	machine_unmake(&m);
}

/* ---- the local APIC ---- */

static void lapic_at_reset(void)
{
	static const struct hv_lapic_state zero;
	struct blob b;
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	get(&m, MSHV_VP_STATE_LAPIC, &b);
	CHECK_EQ(b.lapic.version & 0xff, 0x14);
	CHECK_EQ(b.lapic.spurious, 0xff);
	CHECK_EQ(b.lapic.dfr, 0xffffffff);
	CHECK_EQ(b.lapic.lvt_timer, 0x10000);
	CHECK_EQ(b.lapic.lvt_lint0, 0x10000);
	CHECK_EQ(b.lapic.lvt_lint1, 0x10000);
	CHECK_EQ(b.lapic.lvt_error, 0x10000);
	CHECK(!memcmp(b.lapic.isr, zero.isr, sizeof(zero.isr) * 3));
	CHECK_EQ(b.lapic.icr_low, 0);
	CHECK_EQ(b.lapic.initial_count, 0);
	for (unsigned i = sizeof(b.lapic); i < sizeof(b); i++)
		CHECK_EQ(b.bytes[i], 0);
	machine_unmake(&m);
}

static void lapic_id(void)
{
	struct machine m;
	struct blob b;
	u32 size = sizeof(b);

	machine_make(&m, &(struct machine_how){.vps = 3, .xapic = true});
	CHECK_OK(root_vp_state_get(m.vp[2], MSHV_VP_STATE_LAPIC, &b, &size));
	CHECK_EQ(b.lapic.id, 2u << 24);
	machine_unmake(&m);
}

/* As firmware would: how LINT0 and LINT1 are delivered; what was masked stays masked. */
static void lapic_lines(void)
{
	struct blob b;
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	get(&m, MSHV_VP_STATE_LAPIC, &b);
	b.lapic.lvt_lint0 |= 7 << 8;
	b.lapic.lvt_lint1 |= 4 << 8;
	b.lapic.lvt_cmci = 0;
	b.lapic.error_status = 0;
	set(&m, MSHV_VP_STATE_LAPIC, &b);
	get(&m, MSHV_VP_STATE_LAPIC, &b);
	CHECK_EQ(b.lapic.lvt_lint0, 0x10700);
	CHECK_EQ(b.lapic.lvt_lint1, 0x10400);
	machine_unmake(&m);
}

/* Requests that are set are requests: the guest's handler runs. */
static void lapic_requests(void)
{
	struct blob b;
	struct machine m;
	struct runner *r;

	machine_make(&m, &(struct machine_how){0});
	CODE64(&m, 0, timer);
	machine_gate(&m, 0x30, GUEST_LABEL(timer, h30));
	r = machine_start(&m, 0);
	machine_await(&m, MACHINE_DATA + 4 * 0x30, 1);
	CHECK_EQ(machine_stop(r, NULL), -EINTR);
	get(&m, MSHV_VP_STATE_LAPIC, &b);
	CHECK_EQ(b.lapic.spurious, 0x1ff);
	CHECK_EQ(b.lapic.lvt_timer, 0x30);
	CHECK_EQ(b.lapic.initial_count, 1000);
	CHECK_EQ(b.lapic.divide_configuration, 0xb);
	b.lapic.irr[0x30 / 32] |= BIT(0x30 % 32);
	set(&m, MSHV_VP_STATE_LAPIC, &b);
	r = machine_start(&m, 0);
	machine_await(&m, MACHINE_DATA + 4 * 0x30, 2);
	CHECK_EQ(machine_stop(r, NULL), -EINTR);
	machine_unmake(&m);
}

/* ---- XSAVE ---- */

#define XSAVE_MXCSR  24
#define XSAVE_XMM0   160
#define XSAVE_HEADER 512

static void xsave_is_compacted(void)
{
	const struct hv_register xmm = {.name = HV_X64_REGISTER_XMM0, .value = {0x1122, 0x3344}};
	struct blob b;
	struct machine m;
	u64 words[2], states;

	machine_make(&m, &(struct machine_how){0});
	CHECK_OK(root_property_get(m.partition, HV_PROPERTY_XSAVE_STATES, &states));
	CHECK_OK(root_regs_set(m.vp[0], 0, &xmm, 1));
	get(&m, MSHV_VP_STATE_XSAVE, &b);
	memcpy(words, b.bytes + XSAVE_HEADER, sizeof(words));
	CHECK(words[1] & BIT64(63));
	CHECK_EQ(words[1] & ~BIT64(63), states | 3);
	CHECK(words[0] & 2);
	memcpy(words, b.bytes + XSAVE_XMM0, sizeof(words));
	CHECK_EQ(words[0], 0x1122);
	CHECK_EQ(words[1], 0x3344);
	machine_unmake(&m);
}

static void xsave_is_set(void)
{
	struct hv_register xmm = {.name = HV_X64_REGISTER_XMM0 + 1};
	struct blob b;
	struct machine m;
	const u64 value[2] = {0xaabb, 0xccdd};
	u64 bv;

	machine_make(&m, &(struct machine_how){0});
	get(&m, MSHV_VP_STATE_XSAVE, &b);
	memcpy(&bv, b.bytes + XSAVE_HEADER, sizeof(bv));
	bv |= 2;
	memcpy(b.bytes + XSAVE_HEADER, &bv, sizeof(bv));
	memcpy(b.bytes + XSAVE_XMM0 + 16, value, sizeof(value));
	set(&m, MSHV_VP_STATE_XSAVE, &b);
	CHECK_OK(root_regs_get(m.vp[0], 0, &xmm, 1));
	CHECK_EQ(xmm.value.low, 0xaabb);
	CHECK_EQ(xmm.value.high, 0xccdd);
	machine_unmake(&m);
}

/* ---- SynIC ---- */

/* Without a page of the guest's they are storage. */
static void synic_pages(void)
{
	static const u8 types[] = {MSHV_VP_STATE_SIMP, MSHV_VP_STATE_SIEFP};
	struct blob b, got;
	struct machine m;

	machine_make(&m, &(struct machine_how){.synthetic = ~0ull});
	for (size_t t = 0; t < ARRAY_SIZE(types); t++) {
		for (unsigned i = 0; i < sizeof(b); i++)
			b.bytes[i] = (u8)(i * 7 + types[t]);
		set(&m, types[t], &b);
		get(&m, types[t], &got);
		CHECK(!memcmp(&b, &got, sizeof(b)));
	}
	machine_unmake(&m);
}

/* With one it is that page. */
static void synic_pages_in_memory(void)
{
	struct blob b;
	struct machine m;

	machine_make(&m, &(struct machine_how){.synthetic = ~0ull});
	machine_set_reg(&m, 0, HV_REGISTER_SIMP, MACHINE_DATA | 1);
	machine_set_reg(&m, 0, HV_REGISTER_SIEFP, (MACHINE_DATA + 0x1000) | 1);
	memset(&b, 0x5c, sizeof(b));
	set(&m, MSHV_VP_STATE_SIMP, &b);
	get(&m, MSHV_VP_STATE_SIMP, &b);
	CHECK_EQ(b.bytes[17], 0x5c);
	memset(&b, 0x6d, sizeof(b));
	set(&m, MSHV_VP_STATE_SIEFP, &b);
	get(&m, MSHV_VP_STATE_SIEFP, &b);
	CHECK_EQ(b.bytes[17], 0x6d);
	machine_unmake(&m);
}

static void timers(void)
{
	struct blob b;
	struct machine m;

	machine_make(&m, &(struct machine_how){.synthetic = ~0ull});
	get(&m, MSHV_VP_STATE_SYNTHETIC_TIMERS, &b);
	b.timers.timer[2].config = 0x20008; /* SINT 2, auto-enable */
	b.timers.timer[2].count = 0;
	set(&m, MSHV_VP_STATE_SYNTHETIC_TIMERS, &b);
	CHECK_EQ(machine_reg(&m, 0, HV_REGISTER_STIMER0_CONFIG + 4), 0x20008);
	machine_set_reg(&m, 0, HV_REGISTER_STIMER0_CONFIG + 2, 0x30000);
	get(&m, MSHV_VP_STATE_SYNTHETIC_TIMERS, &b);
	CHECK_EQ(b.timers.timer[1].config, 0x30000);
	CHECK_EQ(b.timers.timer[2].config, 0x20008);
	machine_unmake(&m);
}

const struct test state_tests[] = {
	{"round trips", round_trips},
	{"sizes", sizes},
	{"refusals", refusals},
	{"lapic at reset", lapic_at_reset},
	{"lapic id", lapic_id},
	{"lapic lines", lapic_lines},
	{"lapic requests", lapic_requests},
	{"xsave is compacted", xsave_is_compacted},
	{"xsave is set", xsave_is_set},
	{"synic pages", synic_pages},
	{"synic pages in memory", synic_pages_in_memory},
	{"timers", timers},
	{0},
};
