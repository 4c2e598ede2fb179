/* SPDX-License-Identifier: MIT */
/* The register page: between two runs it is the registers, beside the hypercalls. */
#include <string.h>

#include "tests/mshv/ioctls/groups.h"
#include "tests/mshv/machine.h"

static void filled_at_first(void)
{
	struct machine m;

	machine_make(&m, &(struct machine_how){.vps = 2});
	for (unsigned vp = 0; vp < 2; vp++) {
		const struct hv_register_page *p = m.page[vp];

		CHECK_EQ(p->version, 1);
		CHECK_EQ(p->is_valid, 1);
		CHECK_EQ(p->dirty, 0);
		CHECK_EQ(p->rip, 0xfff0);
		CHECK_EQ(p->rflags, 2);
		CHECK_EQ(p->cr0, 0x60000010);
		CHECK_EQ(p->xfem, 1);
		CHECK_EQ(p->dr7, 0x400);
		CHECK_EQ(p->segment[SEG_CS].base, 0xffff0000);
		CHECK_EQ(p->segment[SEG_CS].selector, 0xf000);
		CHECK_EQ(p->interrupt_vectors, 0);
	}
	machine_unmake(&m);
}

/* Each class, written here, is what the hypercall reads. */
static void written_classes(void)
{
	const struct hv_segment fs = {0x123000, 0xfff, 0x33, 0x93};
	struct hv_register r = {.name = HV_X64_REGISTER_FS};
	struct hv_register_page *p;
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	p = m.page[0];
	p->gpr[R9] = 0x99;
	p->rip = 0x4444;
	p->rflags = 0x46;
	p->segment[SEG_FS] = fs;
	p->xmm[3] = (struct hv_value128){5, 6};
	p->dirty = HV_PAGE_DIRTY_ALL;
	CHECK_EQ(machine_reg(&m, 0, HV_X64_REGISTER_RAX + R9), 0x99);
	CHECK_EQ(p->dirty, 0);
	CHECK_EQ(machine_reg(&m, 0, HV_X64_REGISTER_RIP), 0x4444);
	CHECK_EQ(machine_reg(&m, 0, HV_X64_REGISTER_RFLAGS), 0x46);
	CHECK_OK(root_regs_get(m.vp[0], 0, &r, 1));
	CHECK(!memcmp(&r.value, &fs, sizeof(fs)));
	r.name = HV_X64_REGISTER_XMM0 + 3;
	CHECK_OK(root_regs_get(m.vp[0], 0, &r, 1));
	CHECK_EQ(r.value.low, 5);
	CHECK_EQ(r.value.high, 6);
	machine_unmake(&m);
}

/* What is not called dirty has not been written. */
static void without_dirty_bits(void)
{
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	m.page[0]->gpr[RAX] = 0x12;
	m.page[0]->rip = 0x34;
	m.page[0]->dirty = HV_PAGE_DIRTY_RIP;
	CHECK_EQ(machine_reg(&m, 0, HV_X64_REGISTER_RAX), 0);
	CHECK_EQ(machine_reg(&m, 0, HV_X64_REGISTER_RIP), 0x34);
	machine_unmake(&m);
}

/* A hypercall after writes to the page keeps both. */
static void mixed_with_hypercalls(void)
{
	struct hv_register_page *p;
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	p = m.page[0];
	p->gpr[RBX] = 0x77;
	p->segment[SEG_DS].base = 0x5000;
	p->dirty = HV_PAGE_DIRTY_GPR | HV_PAGE_DIRTY_SEGMENTS;
	machine_set_reg(&m, 0, HV_X64_REGISTER_RAX, 0x66);
	CHECK_EQ(p->dirty, 0);
	CHECK_EQ(p->gpr[RAX], 0x66);
	CHECK_EQ(p->gpr[RBX], 0x77);
	CHECK_EQ(p->segment[SEG_DS].base, 0x5000);
	CHECK_EQ(machine_reg(&m, 0, HV_X64_REGISTER_RAX + RBX), 0x77);
	machine_unmake(&m);
}

/* All that has a place in the page and no dirty bit is seen there after a hypercall. */
static void shows_what_hypercalls_set(void)
{
	static const struct {
		u32 name;
		u64 value;
		size_t offset;
	} cases[] = {
		{HV_X64_REGISTER_RIP, 0x1234, offsetof(struct hv_register_page, rip)},
		{HV_X64_REGISTER_RFLAGS, 0x202, offsetof(struct hv_register_page, rflags)},
		{HV_X64_REGISTER_XMM0 + 5, 0x55, offsetof(struct hv_register_page, xmm[5])},
		{HV_X64_REGISTER_CR3, 0x8000, offsetof(struct hv_register_page, cr3)},
		{HV_X64_REGISTER_CR4, 0x20, offsetof(struct hv_register_page, cr4)},
		{HV_X64_REGISTER_CR8, 3, offsetof(struct hv_register_page, cr8)},
		{HV_X64_REGISTER_EFER, 0x100, offsetof(struct hv_register_page, efer)},
		{HV_X64_REGISTER_INTERMEDIATE_CR0, 0x11, offsetof(struct hv_register_page, cr0)},
		{HV_X64_REGISTER_DR7, 0x401, offsetof(struct hv_register_page, dr7)},
		{HV_X64_REGISTER_XFEM, 3, offsetof(struct hv_register_page, xfem)},
		{HV_REGISTER_INTERRUPT_STATE, 1,
			offsetof(struct hv_register_page, interrupt_state)},
	};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		u64 got;

		machine_set_reg(&m, 0, cases[i].name, cases[i].value);
		memcpy(&got, (const u8 *)m.page[0] + cases[i].offset, sizeof(got));
		if (got != cases[i].value)
			test_failed(__FILE__, __LINE__, "register 0x%x is 0x%llx in the page",
				cases[i].name, (unsigned long long)got);
	}
	machine_unmake(&m);
}

/* Storage of the client's, which nobody else touches. */
static void interrupt_vectors_stay(void)
{
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	m.page[0]->interrupt_vectors = 0x3130200000000002ull;
	machine_set_reg(&m, 0, HV_X64_REGISTER_RAX, 1);
	CHECK_EQ(m.page[0]->interrupt_vectors, 0x3130200000000002ull);
	machine_unmake(&m);
}

/* Real mode: a write to a port, and the next instruction is where the page says. */
static void used_by_a_run(void)
{
	static const u8 code[] = {0xe6, 0x10, /* out %al, $0x10 */ 0xe6, 0x20 /* out %al, $0x20 */};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	machine_code16(&m, 0, code, sizeof(code));
	m.page[0]->gpr[RAX] = 0x42;
	m.page[0]->dirty |= HV_PAGE_DIRTY_GPR;
	CHECK_EQ(machine_out(&m, 0, 0x10) & 0xff, 0x42);
	CHECK_EQ(m.page[0]->gpr[RAX], 0x42);
	CHECK_EQ(m.page[0]->rip, MACHINE_CODE + 2);
	m.page[0]->gpr[RAX] = 0x43;
	m.page[0]->dirty |= HV_PAGE_DIRTY_GPR;
	CHECK_EQ(machine_out(&m, 0, 0x20) & 0xff, 0x43);
	machine_unmake(&m);
}

const struct test page_tests[] = {
	{"filled at first", filled_at_first},
	{"written classes", written_classes},
	{"without dirty bits", without_dirty_bits},
	{"mixed with hypercalls", mixed_with_hypercalls},
	{"shows what hypercalls set", shows_what_hypercalls_set},
	{"interrupt vectors stay", interrupt_vectors_stay},
	{"used by a run", used_by_a_run},
	{0},
};
