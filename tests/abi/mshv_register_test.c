/* SPDX-License-Identifier: MIT */
/*
 * Every register of a VP that has a name: what it is at first, what it may be set to and reads as, what is refused.
 * mshv_sregs_test.c is about those that have to fit together.
 */
#include "tests/abi/mshv_port.h"

#include <string.h>

/* How a register behaves. */
enum kind {
	RW,     /* reads as it was set */
	RO,     /* cannot be set: status 5 */
	SAME,   /* can be set to what it is alone */
	ZERO,   /* is 0, and can be set to nothing else */
	TAKES,  /* can be set, and reads as something else */
	ABSENT, /* there is none: status 5 */
};

static const struct row {
	u32 first, last;
	enum kind kind;
	struct hv_value128 good;
	u64 bad; /* 0: there is none to be tried */
	u16 status;
} rows[] = {
#define INVALID HVS_INVALID_REGISTER_VALUE
	{HV_REGISTER_EXPLICIT_SUSPEND, HV_REGISTER_EXPLICIT_SUSPEND, RW, {1}, 2, INVALID},
	{HV_REGISTER_INTERCEPT_SUSPEND, HV_REGISTER_INTERCEPT_SUSPEND, RW, {1}, 2, INVALID},
	{HV_REGISTER_INSTRUCTION_EMULATION_HINTS, HV_REGISTER_DISPATCH_SUSPEND, ZERO, {0}, 1,
		INVALID},
	{HV_REGISTER_INTERNAL_ACTIVITY_STATE, HV_REGISTER_INTERNAL_ACTIVITY_STATE, RW,
		{HV_ACTIVITY_HALT}, 8, INVALID},
	{HV_REGISTER_HYPERVISOR_VERSION, HV_REGISTER_HYPERVISOR_VERSION, RO, {0}, 0, 0},
	{HV_REGISTER_PRIVILEGES_AND_FEATURES_INFO, HV_REGISTER_HARDWARE_FEATURES_INFO, RO, {0}, 0,
		0},
	{HV_REGISTER_GUEST_CRASH_P0, HV_REGISTER_GUEST_CRASH_P4, RW, {0x123456789abcdef0}, 0, 0},
	{HV_REGISTER_GUEST_CRASH_CTL, HV_REGISTER_GUEST_CRASH_CTL, TAKES, {0}, 0, 0},
	{HV_REGISTER_PROCESSOR_CLOCK_FREQUENCY, HV_REGISTER_PROCESSOR_CLOCK_FREQUENCY, RO, {0}, 0,
		0},
	{HV_REGISTER_INTERRUPT_CLOCK_FREQUENCY, HV_REGISTER_INTERRUPT_CLOCK_FREQUENCY, RO, {0}, 0,
		0},
	{HV_REGISTER_GUEST_IDLE, HV_REGISTER_GUEST_IDLE, ZERO, {0}, 1, INVALID},
	{HV_REGISTER_PENDING_INTERRUPTION, HV_REGISTER_PENDING_INTERRUPTION, RW,
		{HV_PENDING | 0x40 << 16}, HV_PENDING | 7 << 1, INVALID},
	{HV_REGISTER_INTERRUPT_STATE, HV_REGISTER_INTERRUPT_STATE, RW,
		{HV_INTERRUPT_SHADOW | HV_NMI_MASKED}, 4, INVALID},
	{HV_REGISTER_PENDING_EVENT0, HV_REGISTER_PENDING_EVENT0, RW,
		{HV_PENDING | X86_PF << 16 | HV_EVENT_HAS_ERROR | 5ull << 32, 0x1234},
		HV_PENDING | 1 << 1, INVALID},
	{HV_REGISTER_PENDING_EVENT1, HV_REGISTER_PENDING_EVENT1, RW, {0}, HV_PENDING, INVALID},
	{HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, RW,
		{0x8001ull << 48}, 1ull << 47, INVALID},
	{HV_REGISTER_PENDING_DEBUG_EXCEPTION, HV_REGISTER_PENDING_DEBUG_EXCEPTION, ZERO, {0}, 1,
		INVALID},
	{HV_REGISTER_PENDING_EVENT2, HV_REGISTER_PENDING_EVENT3, ZERO, {0}, 1, INVALID},
	{HV_X64_REGISTER_RAX, HV_X64_REGISTER_R15, RW, {0xfedcba9876543210}, 0, 0},
	{HV_X64_REGISTER_RIP, HV_X64_REGISTER_RIP, RW, {0xffff800000001234}, 0, 0},
	{HV_X64_REGISTER_RFLAGS, HV_X64_REGISTER_RFLAGS, RW, {0x40246}, 1ull << 32, INVALID},
	{HV_X64_REGISTER_XMM0, HV_X64_REGISTER_XMM15, RW, {0x1122334455667788, 0x99aabbccddeeff00},
		0, 0},
	{HV_X64_REGISTER_FP_MMX0, HV_X64_REGISTER_FP_MMX7, RW, {0x8000000000000001, 0x3fff}, 0, 0},
	/* fcw, fsw, ftw (abridged), opcode; instruction pointer */
	{HV_X64_REGISTER_FP_CONTROL_STATUS, HV_X64_REGISTER_FP_CONTROL_STATUS, RW,
		{0x037f | 0x3800 << 16 | 0x55ull << 32 | 0x123ull << 48, 0x123456}, 0, 0},
	{HV_X64_REGISTER_XMM_CONTROL_STATUS, HV_X64_REGISTER_XMM_CONTROL_STATUS, TAKES,
		{0x1234, 0x1f80}, 0, 0},
	{HV_X64_REGISTER_CR0, HV_X64_REGISTER_CR0, RW, {0x10}, 1ull << 32, INVALID},
	{HV_X64_REGISTER_CR2, HV_X64_REGISTER_CR2, RW, {0xfedcba9876543210}, 0, 0},
	{HV_X64_REGISTER_CR3, HV_X64_REGISTER_CR3, RW, {0x12345018}, 0, 0},
	{HV_X64_REGISTER_CR4, HV_X64_REGISTER_CR4, RW, {0x620}, 1ull << 40, INVALID},
	{HV_X64_REGISTER_CR8, HV_X64_REGISTER_CR8, RW, {15}, 16, INVALID},
	{HV_X64_REGISTER_XFEM, HV_X64_REGISTER_XFEM, RW, {3}, 2, INVALID},
	{HV_X64_REGISTER_INTERMEDIATE_CR0, HV_X64_REGISTER_INTERMEDIATE_CR0, RW, {0x10}, 1ull << 32,
		INVALID},
	{HV_X64_REGISTER_INTERMEDIATE_CR3, HV_X64_REGISTER_INTERMEDIATE_CR3, RW, {0x5000}, 0, 0},
	{HV_X64_REGISTER_INTERMEDIATE_CR4, HV_X64_REGISTER_INTERMEDIATE_CR4, RW, {0x20}, 1ull << 40,
		INVALID},
	{HV_X64_REGISTER_INTERMEDIATE_CR8, HV_X64_REGISTER_INTERMEDIATE_CR8, RW, {3}, 16, INVALID},
	{HV_X64_REGISTER_DR0, HV_X64_REGISTER_DR3, RW, {0x12345678}, 0, 0},
	{HV_X64_REGISTER_DR6, HV_X64_REGISTER_DR6, RW, {0xffff4ff1}, 1ull << 32, INVALID},
	{HV_X64_REGISTER_DR7, HV_X64_REGISTER_DR7, RW, {0x455}, 1ull << 32, INVALID},
	/* base; limit, selector, attributes */
	{HV_X64_REGISTER_ES, HV_X64_REGISTER_ES, RW,
		{0x12340, 0xffff | 0x1234ull << 32 | 0x93ull << 48}, 0, 0},
	{HV_X64_REGISTER_CS, HV_X64_REGISTER_CS, RW,
		{0xf0000, 0xffff | 0xf000ull << 32 | 0x9bull << 48}, 0, 0},
	{HV_X64_REGISTER_SS, HV_X64_REGISTER_GS, RW,
		{0x12340, 0xffff | 0x1234ull << 32 | 0x93ull << 48}, 0, 0},
	{HV_X64_REGISTER_LDTR, HV_X64_REGISTER_LDTR, RW,
		{0x12340, 0xff | 0x28ull << 32 | 0x82ull << 48}, 0, 0},
	{HV_X64_REGISTER_TR, HV_X64_REGISTER_TR, RW,
		{0x12340, 0x67 | 0x18ull << 32 | 0x8bull << 48}, 0, 0},
	/* limit in the upper 16 bits; base */
	{HV_X64_REGISTER_IDTR, HV_X64_REGISTER_IDTR, RW, {0x3ffull << 48, 0x12345}, 0, 0},
	{HV_X64_REGISTER_GDTR, HV_X64_REGISTER_GDTR, RW, {0x27ull << 48, 0x54321}, 0, 0},
	{HV_X64_REGISTER_EFER, HV_X64_REGISTER_EFER, RW, {1}, 2, INVALID},
	{HV_X64_REGISTER_APIC_BASE, HV_X64_REGISTER_APIC_BASE, RW, {0xfee00d00}, 0, 0},
	{HV_X64_REGISTER_TSC, HV_X64_REGISTER_TSC, TAKES, {0x1000000}, 0, 0},
	{HV_X64_REGISTER_KERNEL_GS_BASE, HV_X64_REGISTER_KERNEL_GS_BASE, RW, {0xffff888000000000},
		1ull << 60, INVALID},
	{HV_X64_REGISTER_PAT, HV_X64_REGISTER_PAT, RW, {0x0606060606060606}, 2, INVALID},
	{HV_X64_REGISTER_SYSENTER_CS, HV_X64_REGISTER_SYSENTER_CS, RW, {0x10}, 0, 0},
	{HV_X64_REGISTER_SYSENTER_EIP, HV_X64_REGISTER_SYSENTER_EIP, RW, {0xffffffff81000000},
		1ull << 60, INVALID},
	{HV_X64_REGISTER_SYSENTER_ESP, HV_X64_REGISTER_SYSENTER_ESP, RW, {0xffffffff82000000},
		1ull << 60, INVALID},
	{HV_X64_REGISTER_STAR, HV_X64_REGISTER_STAR, RW, {0x0023001000000000}, 0, 0},
	{HV_X64_REGISTER_LSTAR, HV_X64_REGISTER_CSTAR, RW, {0xffffffff81000000}, 1ull << 60,
		INVALID},
	{HV_X64_REGISTER_SFMASK, HV_X64_REGISTER_SFMASK, RW, {0x47700}, 0, 0},
	{HV_X64_REGISTER_INITIAL_APIC_ID, HV_X64_REGISTER_INITIAL_APIC_ID, RW, {0}, ~0ull, INVALID},
	{HV_X64_REGISTER_MTRR_CAP, HV_X64_REGISTER_MTRR_CAP, SAME, {0}, 1, HVS_INVALID_PARAMETER},
	{HV_X64_REGISTER_MTRR_DEF_TYPE, HV_X64_REGISTER_MTRR_DEF_TYPE, RW, {0xc06}, 0xc02, INVALID},
	{HV_X64_REGISTER_MTRR_PHYS_BASE0, HV_X64_REGISTER_MTRR_PHYS_BASE0 + 7, RW, {0x80000006},
		0x80000002, INVALID},
	{HV_X64_REGISTER_MTRR_PHYS_BASE0 + 8, HV_X64_REGISTER_MTRR_PHYS_BASEF, ABSENT, {0}, 0, 0},
	{HV_X64_REGISTER_MTRR_PHYS_MASK0, HV_X64_REGISTER_MTRR_PHYS_MASK0 + 7, RW, {0xf80000800}, 1,
		INVALID},
	{HV_X64_REGISTER_MTRR_PHYS_MASK0 + 8, HV_X64_REGISTER_MTRR_PHYS_MASKF, ABSENT, {0}, 0, 0},
	{HV_X64_REGISTER_MTRR_FIX64K_00000, HV_X64_REGISTER_MTRR_FIX64K_00000, RW,
		{0x0606060606060606}, 2, INVALID},
	{HV_X64_REGISTER_MTRR_FIX16K_80000, HV_X64_REGISTER_MTRR_FIX16K_A0000, RW,
		{0x0606060606060606}, 2, INVALID},
	{HV_X64_REGISTER_MTRR_FIX4K_C0000, HV_X64_REGISTER_MTRR_FIX4K_F8000, RW,
		{0x0606060606060606}, 2, INVALID},
	{HV_X64_REGISTER_TSC_AUX, HV_X64_REGISTER_TSC_AUX, RW, {0x123}, 0, 0},
	{HV_X64_REGISTER_DEBUG_CTL, HV_X64_REGISTER_DEBUG_CTL, RW, {0}, 1ull << 40, INVALID},
	{HV_X64_REGISTER_SPEC_CTRL, HV_X64_REGISTER_SPEC_CTRL, RW, {0}, 1ull << 40, INVALID},
	{HV_X64_REGISTER_PRED_CMD, HV_X64_REGISTER_PRED_CMD, TAKES, {0}, 1ull << 40, INVALID},
	{HV_X64_REGISTER_TSC_OFFSET, HV_X64_REGISTER_TSC_OFFSET, RW, {0x123456}, 0, 0},
	{HV_X64_REGISTER_XSS, HV_X64_REGISTER_XSS, RW, {0}, 1ull << 40, INVALID},
	{HV_X64_REGISTER_TSC_DEADLINE, HV_X64_REGISTER_TSC_DEADLINE, TAKES, {0}, 0, 0},
	{HV_X64_REGISTER_TSC_ADJUST, HV_X64_REGISTER_TSC_ADJUST, RW, {0x5000}, 0, 0},
	{HV_X64_REGISTER_MISC_ENABLE, HV_X64_REGISTER_MISC_ENABLE, RW, {1}, 0, 0},
	{HV_X64_REGISTER_FEATURE_CONTROL, HV_X64_REGISTER_FEATURE_CONTROL, RW, {1}, 0, 0},
	{HV_X64_REGISTER_APIC_FIRST, HV_X64_REGISTER_APIC_FIRST + 1, TAKES, {0}, 0, 0},
	{HV_X64_REGISTER_APIC_ID, HV_X64_REGISTER_APIC_ID, RW, {0}, ~0ull, INVALID},
	{HV_X64_REGISTER_APIC_VERSION, HV_X64_REGISTER_APIC_VERSION, RO, {0}, 0, 0},
	{HV_X64_REGISTER_APIC_FIRST + 0xf, HV_X64_REGISTER_APIC_FIRST + 0xf, RW, {0x1ff}, 0, 0},
	{HV_X64_REGISTER_APIC_FIRST + 0x10, HV_X64_REGISTER_APIC_FIRST + 0x17, RW, {0}, 0, 0},
	{HV_X64_REGISTER_APIC_FIRST + 0x32, HV_X64_REGISTER_APIC_FIRST + 0x37, RW, {0x100fe}, 0, 0},
	{HV_X64_REGISTER_APIC_LAST, HV_X64_REGISTER_APIC_LAST, TAKES, {0}, 0, 0},
	{HV_REGISTER_VP_RUNTIME, HV_REGISTER_VP_RUNTIME, RO, {0}, 0, 0},
	{HV_REGISTER_GUEST_OS_ID, HV_REGISTER_GUEST_OS_ID, RW, {0x8100000000000000}, 0, 0},
	{HV_REGISTER_HYPERCALL, HV_REGISTER_HYPERCALL, RW, {0x50001}, 0, 0},
	{HV_REGISTER_VP_INDEX, HV_REGISTER_VP_INDEX, RO, {0}, 0, 0},
	{HV_REGISTER_TIME_REF_COUNT, HV_REGISTER_TIME_REF_COUNT, RO, {0}, 0, 0},
	{HV_REGISTER_EOI, HV_REGISTER_EOI, TAKES, {0}, 0, 0},
	{HV_REGISTER_ICR, HV_REGISTER_ICR, TAKES, {0xc4040}, 0, 0},
	{HV_REGISTER_TPR, HV_REGISTER_TPR, RW, {0x30}, 0, 0},
	{HV_REGISTER_VP_ASSIST_PAGE, HV_REGISTER_VP_ASSIST_PAGE, RW, {0x51001}, 0, 0},
	{HV_REGISTER_REFERENCE_TSC, HV_REGISTER_REFERENCE_TSC, RW, {0x52001}, 0, 0},
	{HV_REGISTER_SINT0, HV_REGISTER_SINT15, RW, {0x30040}, 0, 0},
	{HV_REGISTER_SCONTROL, HV_REGISTER_SCONTROL, RW, {1}, 0, 0},
	{HV_REGISTER_SVERSION, HV_REGISTER_SVERSION, RO, {0}, 0, 0},
	{HV_REGISTER_SIEFP, HV_REGISTER_SIEFP, RW, {0x53001}, 0, 0},
	{HV_REGISTER_SIMP, HV_REGISTER_SIMP, RW, {0x54001}, 0, 0},
	{HV_REGISTER_EOM, HV_REGISTER_EOM, TAKES, {0}, 0, 0},
	{HV_REGISTER_SIRBP, HV_REGISTER_SIRBP, ZERO, {0}, 1, INVALID},
	{HV_REGISTER_STIMER0_CONFIG, HV_REGISTER_STIMER0_CONFIG, RW, {0x20002}, 0, 0},
	{HV_REGISTER_STIMER0_CONFIG + 1, HV_REGISTER_STIMER0_CONFIG + 1, RW, {0x123456789}, 0, 0},
	{HV_REGISTER_STIMER3_COUNT - 1, HV_REGISTER_STIMER3_COUNT - 1, RW, {0x20000}, 0, 0},
	{HV_REGISTER_STIMER3_COUNT, HV_REGISTER_STIMER3_COUNT, RW, {0x123456789}, 0, 0},
	{HV_REGISTER_STIME_UNHALTED_TIMER_CONFIG, HV_REGISTER_STIME_UNHALTED_TIMER_COUNT, ZERO, {0},
		1, INVALID},
	{HV_REGISTER_VSM_CODE_PAGE_OFFSETS, HV_REGISTER_VSM_CODE_PAGE_OFFSETS, ABSENT, {0}, 0, 0},
	{HV_REGISTER_VSM_VP_STATUS, HV_REGISTER_VSM_VP_STATUS, ABSENT, {0}, 0, 0},
	{HV_REGISTER_VSM_PARTITION_STATUS, HV_REGISTER_VSM_PARTITION_STATUS, ABSENT, {0}, 0, 0},
	{HV_REGISTER_VSM_VINA, HV_REGISTER_VSM_VINA, ABSENT, {0}, 0, 0},
	{HV_REGISTER_VSM_CAPABILITIES, HV_REGISTER_VSM_CAPABILITIES, ABSENT, {0}, 0, 0},
	{HV_REGISTER_VSM_PARTITION_CONFIG, HV_REGISTER_VSM_PARTITION_CONFIG, ABSENT, {0}, 0, 0},
	/* names that this hypervisor does not have */
	{HV_X64_REGISTER_BNDCFGS, HV_X64_REGISTER_BNDCFGS, ABSENT, {0}, 0, 0},
	{HV_X64_REGISTER_VIRT_SPEC_CTRL, HV_X64_REGISTER_VIRT_SPEC_CTRL, ABSENT, {0}, 0, 0},
	{HV_X64_REGISTER_TSX_CTRL, HV_X64_REGISTER_TSX_CTRL, ABSENT, {0}, 0, 0},
	{HV_X64_REGISTER_U_CET, HV_X64_REGISTER_INTERRUPT_SSP_TABLE_ADDR, ABSENT, {0}, 0, 0},
	{HV_X64_REGISTER_XFD, HV_X64_REGISTER_XFD_ERR, ABSENT, {0}, 0, 0},
	{HV_REGISTER_ROOT_SIGNAL_COUNT, HV_REGISTER_ROOT_SIGNAL_COUNT, ABSENT, {0}, 0, 0},
	{HV_REGISTER_GHCB, HV_REGISTER_GHCB, ABSENT, {0}, 0, 0},
	{0x5, 0xff, ABSENT, {0}, 0, 0},
	{0x20012, 0x20020, ABSENT, {0}, 0, 0},
	{0x60008, 0x60010, ABSENT, {0}, 0, 0},
	{0x81000, 0x81010, ABSENT, {0}, 0, 0},
	{0x84840, 0x84850, ABSENT, {0}, 0, 0},
	{0xffffffff, 0xffffffff, ABSENT, {0}, 0, 0},
};

static struct hv_result set128(struct partition *p, u32 name, struct hv_value128 v)
{
	struct hv_register r = {.name = name, .value = v};

	return hv_regs_set(p->vp[0], 0, &r, 1);
}

static struct hv_result get128(struct partition *p, u32 name, struct hv_value128 *ret)
{
	return hv_regs_get(p->fd, 0, &name, 1, ret);
}

#define CHECK_REG(condition, name)                                                                 \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("register 0x%x: not %s", name, #condition);                       \
	} while (0)

static void check_absent(struct partition *p, u32 name)
{
	struct hv_value128 v;
	struct hv_result r = get128(p, name, &v);

	CHECK_REG(r.status == HVS_INVALID_PARAMETER && !r.reps && r.error == -EINVAL, name);
	r = set128(p, name, (struct hv_value128){0});
	CHECK_REG(r.status == HVS_INVALID_PARAMETER && !r.reps && r.error == -EINVAL, name);
}

static void check_refused(struct partition *p, u32 name, u64 bad, u16 status)
{
	struct hv_value128 before, after;
	struct hv_result r;

	CHECK_REG(!get128(p, name, &before).error, name);
	r = set128(p, name, (struct hv_value128){bad, 0});
	CHECK_REG(r.status == status && !r.reps && r.error == -EINVAL, name);
	CHECK_REG(!get128(p, name, &after).error, name);
	CHECK_REG(!memcmp(&before, &after, sizeof(before)) || name == HV_X64_REGISTER_TSC, name);
}

static void check_row(struct partition *p, const struct row *row, u32 name)
{
	struct hv_value128 first, now;

	if (row->kind == ABSENT) {
		check_absent(p, name);
		return;
	}
	CHECK_REG(!get128(p, name, &first).error, name);
	if (row->kind == RO) {
		CHECK_REG(set128(p, name, first).status == HVS_INVALID_PARAMETER, name);
		return;
	}
	/* What was just read can be written back. */
	CHECK_REG(!set128(p, name, first).error, name);
	CHECK_REG(row->kind != ZERO || !(first.low | first.high), name);
	if (row->bad)
		check_refused(p, name, row->bad, row->status);
	if (row->kind == SAME)
		return;
	CHECK_REG(!set128(p, name, row->good).error, name);
	CHECK_REG(!get128(p, name, &now).error, name);
	if (row->kind == RW)
		CHECK_REG(now.low == row->good.low && now.high == row->good.high, name);
}

/* Each register of a fresh VP. */
static void test_each(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct partition p = {.features = ~0ull};

		partition_start(&p, LAPIC | X2APIC);
		if (rows[i].first == HV_REGISTER_HYPERCALL)
			set_reg(&p, 0, HV_REGISTER_GUEST_OS_ID, 1);
		for (u32 name = rows[i].first;; name++) {
			check_row(&p, &rows[i], name);
			if (name == rows[i].last)
				break;
		}
		partition_close(&p);
	}
}

/* All that can be read of one VP can be set on another, and is the same there. */
static void test_copy(void **state)
{
	struct partition p = {.features = ~0ull};

	partition_start(&p, LAPIC | X2APIC);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		for (u32 name = rows[i].first; rows[i].kind != ABSENT && name <= rows[i].last;
			name++) {
			struct hv_value128 v;

			assert_hv(get128(&p, name, &v), 0, 1);
			if (rows[i].kind != RO)
				assert_hv(set128(&p, name, v), 0, 1);
		}
	partition_close(&p);
}

/* ---- after reset ---- */

static const struct {
	u32 name;
	u64 low, high;
} reset[] = {
	{HV_X64_REGISTER_RAX, 0, 0},
	{HV_X64_REGISTER_RAX + RSP, 0, 0},
	{HV_X64_REGISTER_R15, 0, 0},
	{HV_X64_REGISTER_RIP, 0xfff0, 0},
	{HV_X64_REGISTER_RFLAGS, 2, 0},
	{HV_X64_REGISTER_CS, 0xffff0000, 0xffff | 0xf000ull << 32 | 0x9bull << 48},
	{HV_X64_REGISTER_DS, 0, 0xffff | 0x93ull << 48},
	{HV_X64_REGISTER_SS, 0, 0xffff | 0x93ull << 48},
	{HV_X64_REGISTER_GS, 0, 0xffff | 0x93ull << 48},
	{HV_X64_REGISTER_LDTR, 0, 0xffff | 0x82ull << 48},
	{HV_X64_REGISTER_TR, 0, 0xffff | 0x8bull << 48},
	{HV_X64_REGISTER_GDTR, 0xffffull << 48, 0},
	{HV_X64_REGISTER_IDTR, 0xffffull << 48, 0},
	{HV_X64_REGISTER_CR0, 0x60000010, 0},
	{HV_X64_REGISTER_CR2, 0, 0},
	{HV_X64_REGISTER_CR3, 0, 0},
	{HV_X64_REGISTER_CR4, 0, 0},
	{HV_X64_REGISTER_CR8, 0, 0},
	{HV_X64_REGISTER_EFER, 0, 0},
	{HV_X64_REGISTER_XFEM, 1, 0},
	{HV_X64_REGISTER_DR6, 0xffff0ff0, 0},
	{HV_X64_REGISTER_DR7, 0x400, 0},
	{HV_X64_REGISTER_PAT, 0x0007040600070406, 0},
	{HV_X64_REGISTER_APIC_BASE, 0xfee00900, 0},
	{HV_X64_REGISTER_MTRR_DEF_TYPE, 0, 0},
	{HV_REGISTER_EXPLICIT_SUSPEND, 1, 0},
	{HV_REGISTER_INTERCEPT_SUSPEND, 0, 0},
	{HV_REGISTER_INTERNAL_ACTIVITY_STATE, 0, 0},
	{HV_REGISTER_PENDING_INTERRUPTION, 0, 0},
	{HV_REGISTER_INTERRUPT_STATE, 0, 0},
	{HV_REGISTER_GUEST_OS_ID, 0, 0},
	{HV_REGISTER_HYPERCALL, 0, 0},
	{HV_REGISTER_SCONTROL, 0, 0},
	{HV_REGISTER_SVERSION, 1, 0},
	{HV_REGISTER_SIMP, 0, 0},
	{HV_REGISTER_SINT0, 0x10000, 0},
	{HV_REGISTER_SINT15, 0x10000, 0},
	{HV_REGISTER_STIMER0_CONFIG, 0, 0},
	{HV_REGISTER_VP_INDEX, 0, 0},
};

static void test_reset(void **state)
{
	struct partition p = {.features = ~0ull};
	struct hv_value128 v;

	partition_start(&p, LAPIC | X2APIC);
	for (unsigned i = 0; i < ARRAY_SIZE(reset); i++) {
		assert_hv(get128(&p, reset[i].name, &v), 0, 1);
		if (v.low != reset[i].low || v.high != reset[i].high)
			fail_msg("register 0x%x: 0x%llx 0x%llx", reset[i].name,
				(unsigned long long)v.low, (unsigned long long)v.high);
	}
	assert_int_equal(
		reg128(&p, 0, HV_X64_REGISTER_XMM_CONTROL_STATUS).high & 0xffffffff, 0x1f80);
	/* The signature of the processor is in EDX. */
	assert_int_not_equal(reg(&p, 0, HV_X64_REGISTER_RAX + RDX), 0);
	/* Others wait for SIPI, and do not boot. */
	partition_add_vp(&p, 7);
	assert_int_equal(reg(&p, 7, HV_REGISTER_INTERNAL_ACTIVITY_STATE), HV_ACTIVITY_STARTUP);
	assert_int_equal(reg(&p, 7, HV_X64_REGISTER_APIC_BASE), 0xfee00800);
	assert_int_equal(reg(&p, 7, HV_REGISTER_VP_INDEX), 7);
	assert_int_equal(reg(&p, 7, HV_X64_REGISTER_APIC_ID), 7);
	partition_close(&p);
}

/* Without local APICs nobody could send SIPI. */
static void test_reset_without_lapic(void **state)
{
	struct partition p = {0};
	struct hv_value128 v;

	partition_start(&p, 0);
	partition_add_vp(&p, 1);
	assert_int_equal(reg(&p, 1, HV_REGISTER_INTERNAL_ACTIVITY_STATE), 0);
	assert_hv(try_reg(&p, 1, HV_REGISTER_INTERNAL_ACTIVITY_STATE, HV_ACTIVITY_STARTUP),
		HVS_INVALID_REGISTER_VALUE, 0);
	assert_hv(get128(&p, HV_X64_REGISTER_APIC_FIRST + 0xf, &v), HVS_INVALID_PARAMETER, 0);
	partition_close(&p);
}

/* ---- registers of the whole partition ---- */

static void test_partition_wide(void **state)
{
	static const u32 names[] = {
		HV_REGISTER_GUEST_OS_ID, HV_REGISTER_HYPERCALL, HV_REGISTER_REFERENCE_TSC};
	static const u64 values[] = {0x8100000000000000, 0x50001, 0x52001};
	struct partition p = {.features = ~0ull};

	partition_start(&p, LAPIC);
	partition_add_vp(&p, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		set_reg(&p, i & 1, names[i], values[i]);
		assert_int_equal(reg(&p, 0, names[i]), values[i]);
		assert_int_equal(reg(&p, 1, names[i]), values[i]);
	}
	assert_int_equal(property(p.fd, HV_PROPERTY_GUEST_OS_ID), values[0]);
	/* Without an OS there are no hypercalls. */
	set_reg(&p, 0, HV_REGISTER_GUEST_OS_ID, 0);
	assert_int_equal(reg(&p, 1, HV_REGISTER_HYPERCALL) & 1, 0);
	partition_close(&p);
}

/* What the guest has with an instruction is what the name says. */
static void test_as_guest_sees(void **state)
{
	static const struct {
		u32 name, msr;
		u64 value;
	} cases[] = {{HV_X64_REGISTER_KERNEL_GS_BASE, 0xc0000102, 0xffff888012345678},
		{HV_X64_REGISTER_LSTAR, 0xc0000082, 0xffffffff81000000},
		{HV_X64_REGISTER_PAT, 0x277, 0x0007040600070406},
		{HV_X64_REGISTER_MTRR_PHYS_BASE0 + 3, 0x206, 0x80000006},
		{HV_X64_REGISTER_MTRR_PHYS_MASK0 + 3, 0x207, 0xf80000800},
		{HV_X64_REGISTER_MTRR_FIX4K_C0000 + 2, 0x26a, 0x0606060606060606},
		{HV_X64_REGISTER_TSC_AUX, 0xc0000103, 5}, {HV_X64_REGISTER_TSC_ADJUST, 0x3b, 0x777},
		{HV_X64_REGISTER_SYSENTER_EIP, 0x176, 0x1234},
		{HV_X64_REGISTER_SYSENTER_ESP, 0x175, 0x5678},
		{HV_REGISTER_SINT0 + 9, 0x40000099, 0x10055},
		{HV_REGISTER_SIMP, 0x40000083, 0x54001}, {HV_REGISTER_SIEFP, 0x40000082, 0x55001},
		{HV_REGISTER_STIMER0_CONFIG + 3, 0x400000b3, 0x12345},
		{HV_REGISTER_VP_ASSIST_PAGE, 0x40000073, 0x56001},
		{HV_REGISTER_GUEST_OS_ID, 0x40000000, 0x123}};
	struct partition p = {.features = ~0ull};

	partition_start(&p, LAPIC | X2APIC);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		code_long(&p, 0, BYTES(0x0f, 0x32, 0xe6, 0x10)); /* rdmsr; out 10h, al */
		set_reg(&p, 0, cases[i].name, cases[i].value);
		set_reg(&p, 0, HV_X64_REGISTER_RAX + RCX, cases[i].msr);
		run_to_out(&p, 0, 0x10);
		assert_int_equal(reg(&p, 0, HV_X64_REGISTER_RAX) |
					 reg(&p, 0, HV_X64_REGISTER_RAX + RDX) << 32,
			cases[i].value);
	}
	partition_close(&p);
}

/* CR0.ET is always 1: who sets it to 0 reads 1. */
static void test_cr0_et(void **state)
{
	struct partition p = {0};

	partition_start(&p, LAPIC);
	set_reg(&p, 0, HV_X64_REGISTER_INTERMEDIATE_CR0, 1);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_CR0), 0x11);
	partition_close(&p);
}

/* ---- events that a VMM gives ---- */

static void start_events(struct partition *p)
{
	partition_start(p, LAPIC | X2APIC);
	code_long(p, 0, BYTES(0xe6, 0x10));
	for (unsigned v = 0; v < 256; v++)
		long_gate(p, (u8)v, 0x3000 + 4 * v);
	for (unsigned v = 0; v < 256; v++)
		memcpy(p->ram + 0x3000 + 4 * v, (const u8[]){0xe6, (u8)v}, 2);
}

static void test_pending_interruption(void **state)
{
	static const struct {
		u64 value;
		u8 vector;
		bool error;
	} cases[] = {
		{HV_PENDING | HV_PENDING_EXTINT << 1 | 0x40 << 16, 0x40, false},
		{HV_PENDING | HV_PENDING_NMI << 1 | 2 << 16, 2, false},
		{HV_PENDING | HV_PENDING_EXCEPTION << 1 | X86_UD << 16, X86_UD, false},
		{HV_PENDING | HV_PENDING_EXCEPTION << 1 | HV_PENDING_HAS_ERROR | X86_GP << 16 |
				0x18ull << 32,
			X86_GP, true},
		{HV_PENDING | HV_PENDING_SOFT_INT << 1 | 0x80 << 16 | 2 << 5, 0x80, false},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct partition p = {0};

		start_events(&p);
		set_reg(&p, 0, HV_X64_REGISTER_RFLAGS, 0x202); /* interrupts had been enabled */
		set_reg(&p, 0, HV_REGISTER_PENDING_INTERRUPTION, cases[i].value);
		run_to_out(&p, 0, cases[i].vector);
		assert_int_equal(reg(&p, 0, HV_REGISTER_PENDING_INTERRUPTION), 0);
		if (cases[i].error)
			assert_memory_equal(p.ram + STACK_GPA - 48, &(u64){0x18}, 8);
		/* One that is taken back is not delivered. */
		set_reg(&p, 0, HV_REGISTER_PENDING_INTERRUPTION, cases[i].value);
		set_reg(&p, 0, HV_REGISTER_PENDING_INTERRUPTION, 0);
		set_reg(&p, 0, HV_X64_REGISTER_RIP, CODE_GPA);
		run_to_out(&p, 0, 0x10);
		partition_close(&p);
	}
}

static void test_pending_event(void **state)
{
	const struct hv_value128 gp = {
		HV_PENDING | HV_EVENT_HAS_ERROR | X86_GP << 16 | 8ull << 32, 0};
	const struct hv_value128 db = {HV_PENDING | X86_DB << 16, 0x4000};
	const struct hv_value128 extint = {HV_PENDING | HV_EVENT_EXTINT << 1 | 0x41 << 8, 0};
	const struct hv_value128 none = {0, 0};
	struct partition p = {0};

	start_events(&p);
	set_reg128(&p, 0, HV_REGISTER_PENDING_EVENT0, &gp);
	set_reg128(&p, 0, HV_REGISTER_PENDING_EVENT1, &none);
	run_to_out(&p, 0, X86_GP);
	assert_memory_equal(p.ram + STACK_GPA - 48, &(u64){8}, 8);
	set_reg(&p, 0, HV_X64_REGISTER_RIP, CODE_GPA);
	set_reg128(&p, 0, HV_REGISTER_PENDING_EVENT0, &db);
	run_to_out(&p, 0, X86_DB);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_DR6) & 0x4000, 0x4000);
	/* An external interrupt waits for IF. */
	set_reg(&p, 0, HV_X64_REGISTER_RIP, CODE_GPA);
	set_reg128(&p, 0, HV_REGISTER_PENDING_EVENT0, &extint);
	run_to_out(&p, 0, 0x10);
	set_reg(&p, 0, HV_X64_REGISTER_RFLAGS, 0x202);
	set_reg(&p, 0, HV_X64_REGISTER_RIP, CODE_GPA);
	run_to_out(&p, 0, 0x41);
	/* Taken back */
	set_reg128(&p, 0, HV_REGISTER_PENDING_EVENT0, &gp);
	set_reg128(&p, 0, HV_REGISTER_PENDING_EVENT0, &none);
	set_reg(&p, 0, HV_X64_REGISTER_RIP, CODE_GPA);
	run_to_out(&p, 0, 0x10);
	partition_close(&p);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_each),
	cmocka_unit_test(test_copy),
	cmocka_unit_test(test_reset),
	cmocka_unit_test(test_reset_without_lapic),
	cmocka_unit_test(test_partition_wide),
	cmocka_unit_test(test_as_guest_sees),
	cmocka_unit_test(test_cr0_et),
	cmocka_unit_test(test_pending_interruption),
	cmocka_unit_test(test_pending_event),
};
MSHV_MAIN(tests)
