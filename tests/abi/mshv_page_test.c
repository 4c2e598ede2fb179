/* SPDX-License-Identifier: MIT */
/* The pages of a VP that a VMM maps: what they show, and when what is written to the register page counts. */
#include "tests/abi/mshv_port.h"

#include <string.h>

/* out 10h, al; out 11h, al; jmp back */
static const u8 outs[] = {0xe6, 0x10, 0xe6, 0x11, 0xeb, 0xfa};

/* All that the page shows is what the registers are. */
static void check_page(struct partition *p, unsigned vp)
{
	struct hv_register_page page = *p->page[vp];

	assert_int_equal(page.version, 1);
	assert_int_equal(page.is_valid, 1);
	assert_int_equal(page.reserved, 0);
	assert_int_equal(page.dirty, 0);
	for (u32 i = 0; i < 16; i++)
		assert_int_equal(page.gpr[i], reg(p, vp, HV_X64_REGISTER_RAX + i));
	assert_int_equal(page.rip, reg(p, vp, HV_X64_REGISTER_RIP));
	assert_int_equal(page.rflags, reg(p, vp, HV_X64_REGISTER_RFLAGS));
	for (u32 i = 0; i < 6; i++) {
		struct hv_value128 x = reg128(p, vp, HV_X64_REGISTER_XMM0 + i);
		struct hv_value128 s = reg128(p, vp, HV_X64_REGISTER_ES + i);

		assert_memory_equal(&page.xmm[i], &x, sizeof(x));
		assert_memory_equal(&page.segment[i], &s, sizeof(s));
	}
	assert_int_equal(page.cr0, reg(p, vp, HV_X64_REGISTER_CR0));
	assert_int_equal(page.cr3, reg(p, vp, HV_X64_REGISTER_CR3));
	assert_int_equal(page.cr4, reg(p, vp, HV_X64_REGISTER_CR4));
	assert_int_equal(page.cr8, reg(p, vp, HV_X64_REGISTER_CR8));
	assert_int_equal(page.efer, reg(p, vp, HV_X64_REGISTER_EFER));
	assert_int_equal(page.dr7, reg(p, vp, HV_X64_REGISTER_DR7));
	assert_int_equal(page.xfem, reg(p, vp, HV_X64_REGISTER_XFEM));
	assert_int_equal(page.pending_interruption, reg(p, vp, HV_REGISTER_PENDING_INTERRUPTION));
	assert_int_equal(page.interrupt_state, reg(p, vp, HV_REGISTER_INTERRUPT_STATE));
}

static void test_shows(void **state)
{
	const struct hv_value128 x = {0x1122334455667788, 0x99aabbccddeeff00};
	struct partition p = {0};

	partition_start(&p, LAPIC);
	check_page(&p, 0); /* as it was made */
	code_long(&p, 0, outs, sizeof(outs));
	check_page(&p, 0);
	for (u32 i = 0; i < 16; i++)
		set_reg(&p, 0, HV_X64_REGISTER_RAX + i, 0x1000 * i + 7);
	for (u32 i = 0; i < 6; i++)
		set_reg128(&p, 0, HV_X64_REGISTER_XMM0 + i, &x);
	set_reg(&p, 0, HV_X64_REGISTER_DR7, 0x455);
	set_reg(&p, 0, HV_X64_REGISTER_CR8, 3);
	set_reg(&p, 0, HV_REGISTER_INTERRUPT_STATE, HV_INTERRUPT_SHADOW);
	set_reg(&p, 0, HV_REGISTER_PENDING_INTERRUPTION, HV_PENDING | 0x40 << 16);
	check_page(&p, 0);
	set_reg(&p, 0, HV_REGISTER_PENDING_INTERRUPTION, 0);
	run_until(&p, 0, HVMSG_X64_IO_PORT_INTERCEPT);
	check_page(&p, 0);
	partition_close(&p);
}

/* Registers that do not fit together yet are shown like the others. */
static void test_shows_staged(void **state)
{
	struct partition p = {0};

	partition_start(&p, LAPIC);
	code_real(&p, 0, outs, sizeof(outs));
	for (u32 i = 0; i < 16; i++)
		set_reg(&p, 0, HV_X64_REGISTER_RAX + i, 0x100 + i);
	set_reg(&p, 0, HV_X64_REGISTER_CR0, 0x80000010); /* paging without protection */
	set_reg(&p, 0, HV_X64_REGISTER_RIP, 0x1234);
	assert_int_equal(p.page[0]->cr0, 0x80000010);
	assert_int_equal(p.page[0]->rip, 0x1234);
	check_page(&p, 0);
	set_reg(&p, 0, HV_X64_REGISTER_CR0, 0x10);
	check_page(&p, 0);
	partition_close(&p);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_shows),
	cmocka_unit_test(test_shows_staged),
};
MSHV_MAIN(tests)
