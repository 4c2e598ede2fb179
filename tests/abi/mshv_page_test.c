/* SPDX-License-Identifier: MIT */
/* The pages of a VP that a VMM maps: what they show, and when what is written to the register page counts. */
#include "tests/abi/mshv_port.h"

#include <string.h>
#include <sys/mman.h>

#include "abi/dev.h"

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

/* ---- what a VMM writes ---- */

static struct hv_register_page scribbled(const struct partition *p)
{
	struct hv_register_page page = *p->page[0];

	for (unsigned i = 0; i < 16; i++)
		page.gpr[i] = 0x1000 + i;
	page.rip = 0x2222;
	page.rflags = 0x246;
	for (unsigned i = 0; i < 6; i++) {
		page.xmm[i] = (struct hv_value128){i + 1, i + 7};
		page.segment[i] = (struct hv_segment){.base = 0x10 * i,
			.limit = 0xffff,
			.selector = (u16)i,
			.attr = i == 1 ? 0x9b : 0x93};
	}
	return page;
}

/* Which of the classes the registers have as the page said. */
static u32 taken(struct partition *p, const struct hv_register_page *want)
{
	struct hv_value128 x = reg128(p, 0, HV_X64_REGISTER_XMM0 + 5);
	struct hv_value128 s = reg128(p, 0, HV_X64_REGISTER_GS);
	u32 bits = 0;

	bits |= reg(p, 0, HV_X64_REGISTER_RAX + RDI) == want->gpr[RDI] ? HV_PAGE_DIRTY_GPR : 0;
	bits |= reg(p, 0, HV_X64_REGISTER_RIP) == want->rip ? HV_PAGE_DIRTY_RIP : 0;
	bits |= reg(p, 0, HV_X64_REGISTER_RFLAGS) == want->rflags ? HV_PAGE_DIRTY_RFLAGS : 0;
	bits |= !memcmp(&x, &want->xmm[5], sizeof(x)) ? HV_PAGE_DIRTY_XMM : 0;
	return bits | (!memcmp(&s, &want->segment[5], sizeof(s)) ? HV_PAGE_DIRTY_SEGMENTS : 0);
}

/* Each bit stands for its class and for no other; unknown bits for nothing. A hypercall about the VP takes them. */
static void test_dirty_bits(void **state)
{
	for (u32 dirty = 0; dirty <= HV_PAGE_DIRTY_ALL; dirty++) {
		struct partition p = {0};
		struct hv_register_page want;
		const u32 name = HV_X64_REGISTER_RAX;
		struct hv_value128 v;

		partition_start(&p, LAPIC);
		code_real(&p, 0, outs, sizeof(outs));
		want = scribbled(&p);
		*p.page[0] = want;
		p.page[0]->dirty = dirty | (dirty & 1 ? 0xffffffe0 : 0);
		/* On any descriptor. */
		assert_hv(hv_regs_get(dirty & 2 ? p.fd : p.vp[0], 0, &name, 1, &v), 0, 1);
		assert_int_equal(p.page[0]->dirty, 0);
		assert_int_equal(taken(&p, &want), dirty);
		partition_close(&p);
	}
}

/* After a hypercall that sets registers the page shows what is true: what was not marked is gone. */
static void test_set_shows(void **state)
{
	struct partition p = {0};

	partition_start(&p, LAPIC);
	code_real(&p, 0, outs, sizeof(outs));
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RBX, 7);
	p.page[0]->gpr[RBX] = 8; /* not marked */
	p.page[0]->rip = 0x3333;
	p.page[0]->dirty = HV_PAGE_DIRTY_RIP;
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RCX, 9);
	assert_int_equal(p.page[0]->gpr[RBX], 7);
	assert_int_equal(p.page[0]->gpr[RCX], 9);
	assert_int_equal(p.page[0]->rip, 0x3333);
	check_page(&p, 0);
	/* What both say: the page first, then the hypercall. */
	p.page[0]->rip = 0x4444;
	p.page[0]->dirty = HV_PAGE_DIRTY_RIP;
	set_reg(&p, 0, HV_X64_REGISTER_RIP, 0x5555);
	assert_int_equal(p.page[0]->rip, 0x5555);
	partition_close(&p);
}

/* A run takes them, too; and what is no register of the page's stays the processor's. */
static void test_run_takes(void **state)
{
	struct partition p = {0};

	partition_start(&p, LAPIC);
	code_real(&p, 0, outs, sizeof(outs));
	p.page[0]->gpr[RAX] = 0x5a;
	p.page[0]->cr0 = 0x11;
	p.page[0]->cr3 = 0x1000;
	p.page[0]->efer = 0x500;
	p.page[0]->dr7 = 0x455;
	p.page[0]->version = 9;
	p.page[0]->is_valid = 0;
	p.page[0]->dirty = HV_PAGE_DIRTY_ALL;
	assert_int_equal(run_to_out(&p, 0, 0x10), 0x5a);
	assert_int_equal(p.page[0]->version, 1);
	assert_int_equal(p.page[0]->is_valid, 1);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_CR0), 0x10);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_CR3), 0);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_EFER), 0);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_DR7), 0x400);
	partition_close(&p);
}

/* Flags that there are not are dropped, and bit 1 is always set: the page has no way to refuse them. */
static void test_flags(void **state)
{
	struct partition p = {0};

	partition_start(&p, LAPIC);
	code_real(&p, 0, outs, sizeof(outs));
	p.page[0]->rflags = ~0ull & ~0x20300ull; /* without VM, TF, IF */
	p.page[0]->dirty = HV_PAGE_DIRTY_RFLAGS;
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_RFLAGS), 0x3f7cd7 & ~0x20300u);
	p.page[0]->rflags = 0;
	p.page[0]->dirty = HV_PAGE_DIRTY_RFLAGS;
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_RFLAGS), 2);
	partition_close(&p);
}

/* Interrupt vectors are the caller's: runs and hypercalls leave them alone. */
static void test_vectors(void **state)
{
	struct partition p = {0};

	partition_start(&p, LAPIC);
	code_real(&p, 0, outs, sizeof(outs));
	assert_int_equal(p.page[0]->interrupt_vectors, 0);
	p.page[0]->interrupt_vectors = 0x4001;
	set_reg(&p, 0, HV_X64_REGISTER_RAX, 1);
	run_to_out(&p, 0, 0x10);
	run_to_out(&p, 0, 0x11);
	assert_int_equal(p.page[0]->interrupt_vectors, 0x4001);
	partition_close(&p);
}

/* ---- mappings ---- */

static void test_mappings(void **state)
{
	enum { rw = PROT_READ | PROT_WRITE };
	static const struct {
		u64 page;
		int prot, flags;
		size_t pages;
		int error;
	} cases[] = {
		{MSHV_VP_MMAP_OFFSET_REGISTERS, rw, MAP_SHARED, 1, 0},
		{MSHV_VP_MMAP_OFFSET_INTERCEPT_MESSAGE, rw, MAP_SHARED, 1, 0},
		{MSHV_VP_MMAP_OFFSET_INTERCEPT_MESSAGE, PROT_READ, MAP_SHARED, 1, 0},
		{MSHV_VP_MMAP_OFFSET_GHCB, rw, MAP_SHARED, 1, -ENODEV},
		{MSHV_VP_MMAP_OFFSET_COUNT, rw, MAP_SHARED, 1, -EINVAL},
		{1ull << 40, rw, MAP_SHARED, 1, -EINVAL},
		{MSHV_VP_MMAP_OFFSET_REGISTERS, rw, MAP_SHARED, 2, -EINVAL},
		{MSHV_VP_MMAP_OFFSET_REGISTERS, rw, MAP_PRIVATE, 1, -EINVAL},
	};
	struct partition p = {0};

	partition_start(&p, LAPIC);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(
			dev_mmap_check(port.dev, p.vp[0], cases[i].prot, cases[i].flags,
				cases[i].pages * HV_PAGE_SIZE, cases[i].page * HV_PAGE_SIZE),
			cases[i].error);
	assert_true(dev_mmap_check(port.dev, p.fd, rw, MAP_SHARED, HV_PAGE_SIZE, 0) < 0);
	assert_true(dev_mmap_check(port.dev, p.sys, rw, MAP_SHARED, HV_PAGE_SIZE, 0) < 0);
	partition_close(&p);
}

/* All mappings are one page; a message stays until the next run. */
static void test_aliases(void **state)
{
	struct hv_register_page *other;
	struct hv_message was;
	struct partition p = {0};

	partition_start(&p, LAPIC);
	code_real(&p, 0, outs, sizeof(outs));
	other = mmap(NULL, HV_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, p.vp[0], 0);
	assert_true(other != MAP_FAILED);
	assert_memory_equal(other, p.page[0], sizeof(*other));
	run_until(&p, 0, HVMSG_X64_IO_PORT_INTERCEPT);
	was = *p.message[0];
	set_reg(&p, 0, HV_X64_REGISTER_RAX, 5);
	assert_memory_equal(&was, p.message[0], sizeof(was));
	other->rip += 2;
	other->dirty = HV_PAGE_DIRTY_RIP;
	assert_int_equal(p.page[0]->dirty, HV_PAGE_DIRTY_RIP);
	run_to_out(&p, 0, 0x11);
	munmap(other, HV_PAGE_SIZE);
	partition_close(&p);
}

/* A short message leaves nothing of a longer one behind. */
static void test_message_page_is_clean(void **state)
{
	const struct hv_table none = {0};
	struct partition p = {0};

	partition_start(&p, LAPIC);
	code_long(&p, 0, outs, sizeof(outs));
	run_until(&p, 0, HVMSG_X64_IO_PORT_INTERCEPT);
	set_reg128(&p, 0, HV_X64_REGISTER_IDTR, &none);
	memcpy(p.ram + CODE_GPA, (const u8[]){0x0f, 0x0b}, 2);
	run_until(&p, 0, HVMSG_UNRECOVERABLE_EXCEPTION);
	for (unsigned i = p.message[0]->len; i < sizeof(p.message[0]->payload); i++)
		assert_int_equal(p.message[0]->payload[i], 0);
	partition_close(&p);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_shows),
	cmocka_unit_test(test_shows_staged),
	cmocka_unit_test(test_dirty_bits),
	cmocka_unit_test(test_set_shows),
	cmocka_unit_test(test_run_takes),
	cmocka_unit_test(test_flags),
	cmocka_unit_test(test_vectors),
	cmocka_unit_test(test_mappings),
	cmocka_unit_test(test_aliases),
	cmocka_unit_test(test_message_page_is_clean),
};
MSHV_MAIN(tests)
