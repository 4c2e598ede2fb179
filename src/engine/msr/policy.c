/* SPDX-License-Identifier: MIT */
/* See policy.h. A new policy is built aside and put in place while all vcpus stand still. */
#include "engine/msr/policy.h"
#include "engine/request/pause.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void ranges_free(struct msr_policy *p)
{
	for (unsigned i = 0; i < p->count; i++)
		free((void *)p->ranges[i].bitmap);
	p->count = 0;
}

void msr_policy_free(struct msr_policy *p)
{
	if (p)
		ranges_free(p);
	free(p);
}

static int ranges_copy(struct msr_policy *p, const struct msr_filter_range *ranges, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		size_t bytes = ((size_t)ranges[i].count + 7) / 8;
		u8 *bitmap = malloc(bytes ? bytes : 1);

		if (!bitmap)
			return -ENOMEM;
		memcpy(bitmap, ranges[i].bitmap, bytes);
		p->ranges[p->count] = ranges[i];
		p->ranges[p->count++].bitmap = bitmap;
	}
	return 0;
}

/* All of a policy but the exits. */
static void filter_copy(struct msr_policy *to, const struct msr_policy *from)
{
	to->default_deny = from->default_deny;
	to->count = from->count;
	memcpy(to->ranges, from->ranges, sizeof(to->ranges));
}

/* The machine's policy, made if there is none. NULL: no memory. */
static struct msr_policy *policy_of(struct machine *m)
{
	if (!m->msr_policy)
		m->msr_policy = calloc(1, sizeof(*m->msr_policy));
	return m->msr_policy;
}

int machine_set_msr_exits(struct machine *m, u32 why)
{
	struct msr_policy *p;

	machine_pause(m);
	p = policy_of(m);
	if (p)
		p->exits = why;
	machine_resume(m);
	return p ? 0 : -ENOMEM;
}

int machine_set_msr_filter(
	struct machine *m, bool default_deny, const struct msr_filter_range *ranges, unsigned n)
{
	struct msr_policy next = {.default_deny = default_deny}, old = {0};
	struct msr_policy *p = NULL;
	int r = n > MSR_FILTER_RANGES_MAX ? -EINVAL : ranges_copy(&next, ranges, n);

	if (!r) {
		machine_pause(m);
		p = policy_of(m);
		if (p) {
			filter_copy(&old, p);
			filter_copy(p, &next);
		}
		machine_resume(m);
		r = p ? 0 : -ENOMEM;
	}
	ranges_free(r ? &next : &old);
	return r;
}
