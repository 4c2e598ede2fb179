/* SPDX-License-Identifier: MIT */
/* What ends the mapping of another guest's page, and that it ends at once. */
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/kvmi/groups.h"
#include "tests/kvmi/pair.h"

/* ---- what ends it ---- */

static void test_lender_slot(enum dialect d)
{
	struct pair p = pair_open_mapped(d);

	pair_add_second(&p, p.lender, 0, 3);
	CHECK_EQ(pair_map(&p, SECOND, VM_PAGE(6)), 0);
	CHECK_EQ(guest_load(p.borrower, VM_PAGE(6)), 3);
	pair_set_second_at(&p, p.lender, SECOND + 4096, 0, true); /* the memory is still its */
	guest_store(p.lender, SECOND + 4096, 4);
	CHECK_EQ(guest_load(p.borrower, VM_PAGE(6)), 4);
	pair_set_second(&p, p.lender, 0, false);
	CHECK_EQ(mprotect(p.second, 4096, PROT_NONE), 0);
	CHECK_EQ(guest_load(p.borrower, VM_PAGE(6)), 0);
	guest_store(p.borrower, VM_PAGE(6), 1);
	CHECK_EQ(pair_unmap(&p, VM_PAGE(6)), -KVM_ENOENT);
	CHECK_EQ(guest_load(p.borrower, OWN), LENT_VALUE); /* of another slot */
	pair_close(&p);
}

static void test_borrower_slot(enum dialect d)
{
	struct pair p = pair_open(d);

	pair_add_second(&p, p.borrower, 0, 3);
	CHECK_EQ(pair_map(&p, LENT, SECOND), 0);
	CHECK_EQ(guest_load(p.borrower, SECOND), LENT_VALUE);
	pair_set_second(&p, p.borrower, 0, false);
	pair_set_second(&p, p.borrower, 0, true);
	CHECK_EQ(guest_load(p.borrower, SECOND), 3);
	CHECK_EQ(pair_unmap(&p, SECOND), -KVM_ENOENT);
	CHECK_EQ(pair_map(&p, LENT, SECOND), 0);
	CHECK_EQ(guest_load(p.borrower, SECOND), LENT_VALUE);
	pair_set_second(&p, p.borrower, KVM_MEM_LOG_DIRTY_PAGES, true); /* no end */
	CHECK_EQ(guest_load(p.borrower, SECOND), LENT_VALUE);
	CHECK_EQ(pair_unmap(&p, SECOND), 0);
	CHECK_EQ(pair_map(&p, LENT, SECOND), 0);
	pair_set_second_at(&p, p.borrower, SECOND + 4096, 0, true);
	CHECK_EQ(guest_load(p.borrower, SECOND + 4096), 3);
	CHECK_EQ(pair_unmap(&p, SECOND), -KVM_ENOENT);
	CHECK_EQ(pair_unmap(&p, SECOND + 4096), -KVM_ENOENT);
	pair_close(&p);
}

static void test_lender_closed(enum dialect d)
{
	struct pair p = pair_open_mapped(d);

	vm_close(p.lender);
	p.lender = NULL;
	CHECK_EQ(guest_load(p.borrower, OWN), OWN_VALUE);
	guest_store(p.borrower, OWN, 1);
	CHECK_EQ(pair_unmap(&p, OWN), -KVM_ENOENT);
	pair_close(&p);
}

static void test_borrower_closed(enum dialect d)
{
	struct pair p = pair_open_mapped(d);

	pair_add_second(&p, p.lender, 0, 3);
	CHECK_EQ(pair_map(&p, SECOND, VM_PAGE(6)), 0);
	vm_close(p.borrower);
	p.borrower = NULL;
	guest_store(p.lender, LENT, 4);
	CHECK_EQ(guest_load(p.lender, LENT), 4);
	pair_set_second(&p, p.lender, 0, false);
	pair_close(&p);
}

/* It ends a little after the connection. */
static void await_value(struct vm *vm, u64 at, u64 value)
{
	for (unsigned ms = 0; guest_load(vm, at) != value; ms++) {
		CHECK(ms < wait_ms());
		usleep(1000);
	}
}

static void test_session(enum dialect d)
{
	struct pair p = pair_open_mapped(d);

	pair_give_token(&p, TOKEN);
	tool_close(p.t);
	await_value(p.borrower, OWN, OWN_VALUE);
	CHECK_EQ(pair_unmap(&p, OWN), -KVM_ENOENT);
	CHECK_EQ(pair_map_with(&p, TOKEN, LENT, OWN), -KVM_ENOENT);
	p.t = tool_open(p.lender, d);
	CHECK_EQ(pair_map_with(&p, TOKEN, LENT, OWN), -KVM_ENOENT); /* it was another session's */
	CHECK_EQ(pair_map(&p, LENT, OWN), 0);
	CHECK_EQ(guest_load(p.borrower, OWN), LENT_VALUE);
	pair_close(&p);
}

/* ---- all at once ---- */

struct race {
	struct pair *p;
	bool over;
};

/* The lender's slot comes and goes; what was its memory is taken away before it comes again. */
static void *change_slots(void *opaque)
{
	struct race *r = opaque;

	while (!__atomic_load_n(&r->over, __ATOMIC_ACQUIRE)) {
		pair_set_second(r->p, r->p->lender, 0, false);
		CHECK_EQ(mprotect(r->p->second, 4096, PROT_NONE), 0);
		usleep(200);
		CHECK_EQ(mprotect(r->p->second, 4096, PROT_READ | PROT_WRITE), 0);
		pair_set_second(r->p, r->p->lender, 0, true);
		usleep(200);
	}
	return NULL;
}

static void test_race(enum dialect d)
{
	struct pair p = pair_open(d);
	struct race race = {.p = &p};
	unsigned mapped = 0;
	pthread_t thread;

	pair_add_second(&p, p.lender, 0, 3);
	CHECK_EQ(pthread_create(&thread, NULL, change_slots, &race), 0);
	for (unsigned n = 0; n < 1000 || !mapped; n++) {
		const s64 r = pair_map(&p, SECOND, OWN);
		u64 found;

		CHECK(!r || r == -KVM_EFAULT);
		mapped += !r;
		found = guest_load(p.borrower, OWN);
		CHECK(found == OWN_VALUE || (found == 3 && !r));
		pair_unmap(&p, OWN);
	}
	__atomic_store_n(&race.over, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	CHECK_EQ(guest_load(p.borrower, OWN), OWN_VALUE);
	pair_close(&p);
}

const struct test maps_end_tests[] = {
	TEST(test_lender_slot, BOTH),
	TEST(test_borrower_slot, BOTH),
	TEST(test_lender_closed, BOTH),
	TEST(test_borrower_closed, BOTH),
	TEST(test_session, BOTH),
	TEST(test_race, BOTH),
	{0},
};
