/* SPDX-License-Identifier: MIT */
/* A guest that maps pages of another one: KVM_HC_MEM_MAP, KVM_HC_MEM_UNMAP. maps_end_test.c has what ends it. */
#include <string.h>
#include <unistd.h>

#include "abi/dev.h"
#include "tests/kvmi/groups.h"
#include "tests/kvmi/pair.h"

/* ---- mapping ---- */

static void test_map(enum dialect d)
{
	struct pair p = pair_open_mapped(d);

	CHECK_EQ(guest_load(p.borrower, OWN + 4088), 0);
	CHECK_EQ(guest_load(p.borrower, LENT), 0); /* nothing else is shown */
	CHECK_EQ(vm_read64(p.borrower, OWN), OWN_VALUE);
	pair_close(&p);
}

static void test_both_write(enum dialect d)
{
	struct pair p = pair_open_mapped(d);

	for (u64 n = 0; n < 20; n++) {
		guest_store(p.borrower, OWN + n * 8, 100 + n);
		CHECK_EQ(guest_load(p.lender, LENT + n * 8), 100 + n);
		guest_store(p.lender, LENT + n * 8, 200 + n);
		CHECK_EQ(guest_load(p.borrower, OWN + n * 8), 200 + n);
	}
	CHECK_EQ(vm_read64(p.borrower, OWN), OWN_VALUE);
	pair_close(&p);
}

/* mov $value, %eax; ret */
static u64 returns(u32 value)
{
	return 0xb8 | (u64)value << 8 | 0xc3ull << 40;
}

static void test_code(enum dialect d)
{
	struct pair p = pair_open(d);

	guest_store(p.lender, LENT, returns(0));
	CHECK_EQ(guest_call(p.lender, LENT), 0); /* is translated */
	guest_store(p.borrower, OWN, returns(1));
	CHECK_EQ(guest_call(p.borrower, OWN), 1);
	CHECK_EQ(pair_map(&p, LENT, OWN), 0);
	CHECK_EQ(guest_call(p.borrower, OWN), 0);
	for (u32 n = 2; n < 20; n += 2) {
		guest_store(p.lender, LENT, returns(n));
		CHECK_EQ(guest_call(p.borrower, OWN), n);
		CHECK_EQ(guest_call(p.lender, LENT), n);
		guest_store(p.borrower, OWN, returns(n + 1));
		CHECK_EQ(guest_call(p.lender, LENT), n + 1);
		CHECK_EQ(guest_call(p.borrower, OWN), n + 1);
	}
	CHECK_EQ(pair_unmap(&p, OWN), 0);
	CHECK_EQ(guest_call(p.borrower, OWN), 1);
	CHECK_EQ(guest_call(p.lender, LENT), 19);
	pair_close(&p);
}

static void test_unmap(enum dialect d)
{
	struct pair p = pair_open_mapped(d);

	guest_store(p.borrower, OWN, 5);
	CHECK_EQ(pair_unmap(&p, LENT), -KVM_ENOENT);
	CHECK_EQ(pair_unmap(&p, OWN + 8), -KVM_ENOENT);
	CHECK_EQ(guest_load(p.borrower, OWN), 5);
	CHECK_EQ(pair_unmap(&p, OWN), 0);
	CHECK_EQ(guest_load(p.borrower, OWN), OWN_VALUE);
	guest_store(p.borrower, OWN, 6);
	CHECK_EQ(guest_load(p.lender, LENT), 5);
	CHECK_EQ(pair_unmap(&p, OWN), -KVM_ENOENT);
	/* and again */
	CHECK_EQ(pair_map(&p, LENT, OWN), 0);
	CHECK_EQ(guest_load(p.borrower, OWN), 5);
	pair_close(&p);
}

/* One page of the lender's at many places, and many at a time. */
static void test_many(enum dialect d)
{
	struct pair p = pair_open(d);

	for (unsigned n = 0; n < 40; n++) {
		const u64 lent = n % 2 ? LENT : 0x100000 + n * 4096;

		guest_store(p.lender, lent + 8, n);
		CHECK_EQ(pair_map(&p, lent, 0x100000 + n * 4096), 0);
	}
	for (unsigned n = 0; n < 40; n++)
		CHECK_EQ(guest_load(p.borrower, 0x100000 + n * 4096 + 8), n % 2 ? 39 : n);
	for (unsigned n = 0; n < 40; n += 3)
		CHECK_EQ(pair_unmap(&p, 0x100000 + n * 4096), 0);
	guest_store(p.lender, LENT + 8, 77);
	for (unsigned n = 0; n < 40; n++)
		CHECK_EQ(guest_load(p.borrower, 0x100000 + n * 4096 + 8), n % 3 == 0 ? 0
									  : n % 2    ? 77
										     : n);
	pair_close(&p);
}

/* ---- tokens ---- */

static void test_used(enum dialect d)
{
	struct pair p = pair_open_mapped(d);

	CHECK_EQ(pair_map_with(&p, TOKEN, LENT, VM_PAGE(6)), -KVM_ENOENT);
	CHECK_EQ(guest_load(p.borrower, VM_PAGE(6)), 0);
	/* Also by a call that maps nothing */
	CHECK_EQ(pair_map(&p, VM_HOLE, VM_PAGE(6)), -KVM_EFAULT);
	CHECK_EQ(pair_map_with(&p, TOKEN, LENT, VM_PAGE(6)), -KVM_ENOENT);
	pair_close(&p);
}

static void test_expired(enum dialect d)
{
	struct pair p = pair_open(d);

	pair_give_token(&p, TOKEN);
	usleep(3100000);
	CHECK_EQ(pair_map_with(&p, TOKEN, LENT, OWN), -KVM_ENOENT);
	CHECK_EQ(guest_load(p.borrower, OWN), OWN_VALUE);
	pair_close(&p);
}

static void test_wrong(enum dialect d)
{
	struct pair p = pair_open(d);

	CHECK_EQ(pair_map_with(&p, TOKEN, LENT, OWN), -KVM_ENOENT); /* all 0 */
	pair_give_token(&p, TOKEN);
	for (unsigned n = 0; n < 32; n += 31) {
		p.borrower->ram[TOKEN + n] ^= 1;
		CHECK_EQ(pair_map_with(&p, TOKEN, LENT, OWN), -KVM_ENOENT);
		p.borrower->ram[TOKEN + n] ^= 1;
	}
	CHECK_EQ(guest_load(p.borrower, OWN), OWN_VALUE);
	CHECK_EQ(pair_map_with(&p, TOKEN, LENT, OWN), 0); /* it is still good */
	pair_close(&p);
}

/* It is at a linear address, and may lie in two pages, wherever these are. */
static void test_place(enum dialect d)
{
	const u64 at = VM_PAGE(2) - 7;
	struct pair p = pair_open(d);
	u8 *ram = p.borrower->ram;

	vm_write64(p.borrower, VM_TABLES + 0x6000 + (VM_PAGE(2) >> 12) * 8, VM_PAGE(8) | 7);
	pair_give_token(&p, at);
	memcpy(ram + VM_PAGE(8), ram + VM_PAGE(2), 25);
	memset(ram + VM_PAGE(2), 0, 25);
	CHECK_EQ(pair_map_with(&p, at, LENT, OWN), -KVM_ENOENT);
	CHECK_EQ(pair_map_with(&p, VM_HOLE, LENT, OWN), -KVM_EFAULT);
	CHECK_EQ(pair_map_with(&p, VM_BYTES - 8, LENT, OWN), -KVM_EFAULT);
	CHECK_EQ(pair_map_with(&p, 0x8000000000, LENT, OWN), -KVM_EFAULT);
	CHECK_EQ(pair_map_with(&p, ~0ull, LENT, OWN), -KVM_EFAULT);
	CHECK_EQ(pair_map_with(&p, VM_ALIAS + at, LENT, OWN), 0);
	CHECK_EQ(guest_load(p.borrower, OWN), LENT_VALUE);
	pair_close(&p);
}

/* Of the lender's, not of any guest with a tool: the token decides. */
static void test_two_lenders(enum dialect d)
{
	struct pair p = pair_open(d);
	struct tool *other = tool_open(p.borrower, d), *first = p.t;

	guest_store(p.borrower, LENT, 9);
	p.t = other;
	CHECK_EQ(pair_map(&p, LENT, OWN), 0); /* one of its own */
	CHECK_EQ(guest_load(p.borrower, OWN), 9);
	CHECK_EQ(pair_unmap(&p, OWN), 0);
	p.t = first;
	CHECK_EQ(pair_map(&p, LENT, OWN), 0);
	CHECK_EQ(guest_load(p.borrower, OWN), LENT_VALUE);
	tool_close(other);
	usleep(50000);
	CHECK_EQ(guest_load(p.borrower, OWN), LENT_VALUE); /* another one's end is nothing to it */
	pair_close(&p);
}

/* ---- what is refused ---- */

/* So that the lender's page at VM_PAGE(6) is elsewhere than in its slot. */
static void overlay_lender(struct pair *p)
{
	u8 token[32];

	CHECK_EQ(cmd_map_token(p->t, token), 0);
	memcpy(p->lender->ram + TOKEN, token, sizeof(token));
	CHECK_EQ(guest_hypercall(p->lender, KVM_HC_MEM_MAP, TOKEN, LENT, VM_PAGE(6)), 0);
	CHECK_EQ(guest_load(p->lender, VM_PAGE(6)), LENT_VALUE);
}

static void test_not_mappable(enum dialect d)
{
	static const u64 none[] = {
		VM_HOLE, VM_MMIO, SECOND, LENT + 8, BIT64(51), BIT64(52), ~0xfffull};
	struct pair p = pair_open_mapped(d);

	for (unsigned n = 0; n < ARRAY_SIZE(none); n++) {
		CHECK_EQ(pair_map(&p, none[n], VM_PAGE(7)), -KVM_EFAULT);
		CHECK_EQ(pair_map(&p, LENT, none[n]), -KVM_EFAULT);
	}
	CHECK_EQ(pair_map(&p, LENT, OWN), -KVM_EFAULT); /* it is one already */
	overlay_lender(&p);
	CHECK_EQ(pair_map(&p, VM_PAGE(6), VM_PAGE(7)), -KVM_EFAULT);
	pair_add_second(&p, p.lender, KVM_MEM_READONLY, 3);
	CHECK_EQ(pair_map(&p, SECOND, VM_PAGE(7)), -KVM_EFAULT);
	pair_set_second(&p, p.lender, 0, false);
	pair_set_second(&p, p.borrower, KVM_MEM_READONLY, true);
	CHECK_EQ(pair_map(&p, LENT, SECOND), -KVM_EFAULT);
	CHECK_EQ(guest_load(p.borrower, VM_PAGE(7)), 0);
	pair_close(&p);
}

static void test_level(enum dialect d)
{
	struct pair p = pair_open_without_tool(d, USER);

	p.t = tool_open(p.lender, d);
	CHECK_EQ(pair_map(&p, LENT, OWN), -KVM_EPERM);
	CHECK_EQ(pair_unmap(&p, OWN), -KVM_EPERM);
	CHECK_EQ(guest_load(p.borrower, OWN), OWN_VALUE);
	pair_close(&p);
}

/* Where nobody introspects they do not exist; where somebody does, hypercalls that user space wants are still its. */
static void test_exists(enum dialect d)
{
	const struct kvm_enable_cap cap = {
		.cap = KVM_CAP_EXIT_HYPERCALL, .args = {BIT(KVM_HC_MAP_GPA_RANGE)}};
	struct pair p = pair_open_without_tool(d, LONG);

	CHECK_EQ(pair_map_with(&p, TOKEN, LENT, OWN), -KVM_ENOSYS);
	CHECK_EQ(pair_unmap(&p, OWN), -KVM_ENOSYS);
	p.t = tool_open(p.lender, d);
	CHECK_EQ(pair_unmap(&p, OWN), -KVM_ENOENT);
	CHECK_EQ(kvm_p(p.borrower, p.borrower->fd, KVM_ENABLE_CAP, &cap), 0);
	CHECK_EQ(pair_map(&p, LENT, OWN), 0);
	CHECK_EQ(guest_hypercall(p.borrower, 31, 0, 0, 0), -KVM_ENOSYS);
	pair_close(&p);
}

const struct test maps_tests[] = {
	TEST(test_map, BOTH),
	TEST(test_both_write, BOTH),
	TEST(test_code, BOTH),
	TEST(test_unmap, BOTH),
	TEST(test_many, BOTH),
	TEST(test_used, BOTH),
	TEST(test_expired, BOTH),
	TEST(test_wrong, BOTH),
	TEST(test_place, BOTH),
	TEST(test_two_lenders, BOTH),
	TEST(test_not_mappable, BOTH),
	TEST(test_level, BOTH),
	TEST(test_exists, BOTH),
	{0},
};
