/* SPDX-License-Identifier: MIT */
/* The table of interrupt routes. */
#include <errno.h>
#include <stdlib.h>

#include "tests/mshv/ioctls/groups.h"
#include "tests/mshv/machine.h"

#define ROUTES_MAX 4096u

struct table {
	struct mshv_user_irq_table head;
	struct mshv_user_irq_entry entries[ROUTES_MAX + 1];
};

/* With as many entries, gsi after gsi. */
static struct table *new_table(u32 nr)
{
	struct table *t = calloc(1, sizeof(*t));

	CHECK(t);
	t->head.nr = nr;
	for (u32 i = 0; i < nr; i++)
		t->entries[i] = (struct mshv_user_irq_entry){
			.gsi = i, .address_lo = 0xfee00000, .data = 0x30};
	return t;
}

static long set(struct machine *m, const struct table *t)
{
	return port_ioctl(m->partition, MSHV_SET_MSI_ROUTING, t);
}

static void sizes(void)
{
	static const u32 counts[] = {0, 1, 24, 100, ROUTES_MAX, 0};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		struct table *t = new_table(counts[i]);

		CHECK_OK(set(&m, t));
		free(t);
	}
	machine_unmake(&m);
}

static void refusals(void)
{
	static const struct {
		const char *what;
		u32 nr, rsvd;
		struct mshv_user_irq_entry last; /* the last of them */
		int want;
	} cases[] = {
		{"as it should be", 3, 0, {.gsi = 7, .address_lo = 0xfee00000, .data = 0x30}, 0},
		{"rsvd", 3, 1, {.gsi = 7, .address_lo = 0xfee00000}, -EINVAL},
		{"gsi", 3, 0, {.gsi = ROUTES_MAX, .address_lo = 0xfee00000}, -EINVAL},
		{"high address", 3, 0, {.gsi = 7, .address_lo = 0xfee00000, .address_hi = 1},
			-EINVAL},
		{"twice", 3, 0, {.gsi = 1, .address_lo = 0xfee00000}, -EINVAL},
		{"too many", ROUTES_MAX + 1, 0, {.gsi = 0}, -EINVAL},
		{"no limit", ~0u, 0, {.gsi = 0}, -EINVAL},
	};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct table *t = new_table(MIN(cases[i].nr, ROUTES_MAX));
		long r;

		t->head.nr = cases[i].nr;
		t->head.rsvd = cases[i].rsvd;
		if (cases[i].nr <= ROUTES_MAX)
			t->entries[cases[i].nr - 1] = cases[i].last;
		r = set(&m, t);
		free(t);
		if (r != cases[i].want)
			test_note("%s: ", cases[i].what);
		CHECK_EQ(r, cases[i].want);
	}
	CHECK_EQ(port_ioctl(m.partition, MSHV_SET_MSI_ROUTING, (void *)0xdead000000000000ul),
		-EFAULT);
	machine_unmake(&m);
}

const struct test routing_tests[] = {
	{"sizes", sizes},
	{"refusals", refusals},
	{0},
};
