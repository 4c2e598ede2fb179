/* SPDX-License-Identifier: MIT */
/* Saving a processor, putting the state into another one, and starting from the beginning again. */
#include <stdlib.h>
#include <string.h>

#include "tests/mshv/openvmm/bringup.h"

GUEST(synic);
GUEST(count);
extern const u8 guest_synic_h30[], guest_synic_take[];

#define BANK0_RDTSCP BIT64(38)
#define BANK1_CET_SS BIT64(8)
#define XSAVES       BIT64(12)

/* Names that are saved beside the blobs; bank: what must be there for them. */
static const struct {
	u32 first, last;
	u64 bank0, bank1, xsave;
} names[] = {
	{HV_X64_REGISTER_RAX, HV_X64_REGISTER_RFLAGS, 0, 0, 0},
	{HV_X64_REGISTER_CR0, HV_X64_REGISTER_XFEM, 0, 0, 0},
	{HV_X64_REGISTER_DR0, HV_X64_REGISTER_DR7, 0, 0, 0},
	{HV_X64_REGISTER_ES, HV_X64_REGISTER_TR, 0, 0, 0},
	{HV_X64_REGISTER_IDTR, HV_X64_REGISTER_GDTR, 0, 0, 0},
	{HV_X64_REGISTER_EFER, HV_X64_REGISTER_SFMASK, 0, 0, 0},
	{HV_X64_REGISTER_MTRR_DEF_TYPE, HV_X64_REGISTER_MTRR_DEF_TYPE, 0, 0, 0},
	{HV_X64_REGISTER_MTRR_PHYS_BASE0, HV_X64_REGISTER_MTRR_PHYS_BASE0 + 7, 0, 0, 0},
	{HV_X64_REGISTER_MTRR_PHYS_MASK0, HV_X64_REGISTER_MTRR_PHYS_MASK0 + 7, 0, 0, 0},
	{HV_X64_REGISTER_MTRR_FIX64K_00000, HV_X64_REGISTER_MTRR_FIX4K_F8000, 0, 0, 0},
	{HV_X64_REGISTER_TSC_AUX, HV_X64_REGISTER_TSC_AUX, BANK0_RDTSCP, 0, 0},
	{HV_X64_REGISTER_XSS, HV_X64_REGISTER_XSS, 0, 0, XSAVES},
	{HV_X64_REGISTER_U_CET, HV_X64_REGISTER_INTERRUPT_SSP_TABLE_ADDR, 0, BANK1_CET_SS, 0},
	{HV_REGISTER_INTERNAL_ACTIVITY_STATE, HV_REGISTER_INTERNAL_ACTIVITY_STATE, 0, 0, 0},
	{HV_REGISTER_PENDING_INTERRUPTION, HV_REGISTER_PENDING_EVENT1, 0, 0, 0},
	{HV_REGISTER_GUEST_OS_ID, HV_REGISTER_GUEST_OS_ID, 0, 0, 0},
	{HV_REGISTER_VP_ASSIST_PAGE, HV_REGISTER_VP_ASSIST_PAGE, 0, 0, 0},
	{HV_REGISTER_REFERENCE_TSC, HV_REGISTER_REFERENCE_TSC, 0, 0, 0},
	{HV_REGISTER_SINT0, HV_REGISTER_SCONTROL, 0, 0, 0},
	{HV_REGISTER_SIEFP, HV_REGISTER_SIMP, 0, 0, 0},
	{HV_REGISTER_STIMER0_CONFIG, HV_REGISTER_STIMER3_COUNT, 0, 0, 0},
};

struct saved {
	u16 count;
	struct hv_register reg[127];
	_Alignas(HV_PAGE_SIZE) u8 blob[MSHV_VP_STATE_COUNT][HV_PAGE_SIZE];
	u64 time;
};

static void choose(struct machine *m, struct saved *s)
{
	u64 bank0, bank1, xsave;

	CHECK_OK(root_property_get(m->partition, HV_PROPERTY_PROCESSOR_FEATURES0, &bank0));
	CHECK_OK(root_property_get(m->partition, HV_PROPERTY_PROCESSOR_FEATURES1, &bank1));
	CHECK_OK(root_property_get(m->partition, HV_PROPERTY_PROCESSOR_XSAVE_FEATURES, &xsave));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (names[i].bank0 & ~bank0 || names[i].bank1 & ~bank1 || names[i].xsave & ~xsave)
			continue;
		for (u32 n = names[i].first; n <= names[i].last; n++)
			s->reg[s->count++].name = n;
	}
}

static struct saved *save(struct machine *m)
{
	struct saved *s = aligned_alloc(HV_PAGE_SIZE, sizeof(*s));

	CHECK(s);
	memset(s, 0, sizeof(*s));
	CHECK_OK(root_property_set(m->partition, HV_PROPERTY_TIME_FREEZE, 1));
	CHECK_OK(root_property_get(m->partition, HV_PROPERTY_REFERENCE_TIME, &s->time));
	choose(m, s);
	CHECK_OK(root_regs_get(m->vp[0], 0, s->reg, s->count));
	for (u8 type = 0; type < MSHV_VP_STATE_COUNT; type++) {
		u32 size = HV_PAGE_SIZE;

		CHECK_OK(root_vp_state_get(m->vp[0], type, s->blob[type], &size));
	}
	return s;
}

static void restore(struct machine *m, const struct saved *s)
{
	CHECK_OK(root_property_set(m->partition, HV_PROPERTY_TIME_FREEZE, 1));
	CHECK_OK(root_property_set(m->partition, HV_PROPERTY_REFERENCE_TIME, s->time));
	if (root_regs_set(m->vp[0], 0, s->reg, s->count) < 0)
		test_failed(__FILE__, __LINE__, "register 0x%x cannot be set, status 0x%x",
			s->reg[root_last.done].name, root_last.status);
	for (u8 type = 0; type < MSHV_VP_STATE_COUNT; type++)
		CHECK_OK(root_vp_state_set(m->vp[0], type, s->blob[type], HV_PAGE_SIZE));
}

static void check_same(const struct saved *a, const struct saved *b)
{
	CHECK_EQ(a->count, b->count);
	CHECK_EQ(a->time, b->time);
	for (u16 i = 0; i < a->count; i++)
		if (memcmp(&a->reg[i].value, &b->reg[i].value, sizeof(a->reg[i].value)))
			test_failed(__FILE__, __LINE__, "register 0x%x is 0x%llx, not 0x%llx",
				a->reg[i].name, (unsigned long long)b->reg[i].value.low,
				(unsigned long long)a->reg[i].value.low);
	for (unsigned type = 0; type < MSHV_VP_STATE_COUNT; type++)
		CHECK(!memcmp(a->blob[type], b->blob[type], HV_PAGE_SIZE));
}

static void start(struct machine *m)
{
	bringup(m, 1);
	CODE64(m, 0, synic);
	machine_gate(m, 0x30, GUEST_LABEL(synic, h30));
	machine_out(m, 0, 0x10);
}

/* Into another partition, which goes on as the first would have. */
static void to_another_partition(void)
{
	struct machine a, b;
	struct saved *s, *again;

	start(&a);
	a.page[0]->xmm[2] = (struct hv_value128){0x1234, 0x5678};
	a.page[0]->dirty |= HV_PAGE_DIRTY_XMM;
	machine_set_reg(&a, 0, HV_X64_REGISTER_DR0 + 1, 0x777);
	machine_go(&a, 0, GUEST_LABEL(synic, take));
	s = save(&a);
	bringup(&b, 1);
	memcpy(b.ram, a.ram, MACHINE_RAM);
	restore(&b, s);
	again = save(&b);
	check_same(s, again);
	CHECK_OK(root_property_set(b.partition, HV_PROPERTY_TIME_FREEZE, 0));
	machine_out(&b, 0, 0x10);
	CHECK_EQ(b.page[0]->xmm[2].high, 0x5678);
	free(s);
	free(again);
	machine_unmake(&a);
	machine_unmake(&b);
}

/* A machine that is reset: frozen, given its first state again, and started. */
static void reset(void)
{
	struct machine m;
	struct saved *first, *again;

	bringup(&m, 1);
	first = save(&m);
	CHECK_OK(root_property_set(m.partition, HV_PROPERTY_TIME_FREEZE, 0));
	CODE64(&m, 0, synic);
	machine_gate(&m, 0x30, GUEST_LABEL(synic, h30));
	machine_out(&m, 0, 0x10);
	CHECK_OK(root_property_set(m.partition, HV_PROPERTY_TIME_FREEZE, 1));
	restore(&m, first);
	again = save(&m);
	check_same(first, again);
	CHECK_EQ(machine_reg(&m, 0, HV_X64_REGISTER_RIP), 0xfff0);
	CHECK_OK(root_property_set(m.partition, HV_PROPERTY_TIME_FREEZE, 0));
	CODE64(&m, 0, synic);
	machine_out(&m, 0, 0x10);
	free(first);
	free(again);
	machine_unmake(&m);
}

const struct test save_tests[] = {
	{"to another partition", to_another_partition},
	{"reset", reset},
	{0},
};
