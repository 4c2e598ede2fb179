/* SPDX-License-Identifier: MIT */
/* CPUID: what can be offered, and what a vcpu shows its guest. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/kvm/state.h"

_Static_assert(KVM_CPUID_FLAG_SIGNIFCANT_INDEX == CPUID_INDEXED, "flags pass through");

#define ENTRIES_AT(arg) ((arg) + offsetof(struct kvm_cpuid2, entries))

static struct kvm_cpuid_entry2 entry_out(const struct cpuid_entry *e)
{
	return (struct kvm_cpuid_entry2){
		.function = e->function,
		.index = e->index,
		.flags = e->flags,
		.eax = e->eax,
		.ebx = e->ebx,
		.ecx = e->ecx,
		.edx = e->edx,
	};
}

static struct cpuid_entry entry_in(const struct kvm_cpuid_entry2 *k)
{
	return (struct cpuid_entry){
		k->function, k->index, k->flags, k->eax, k->ebx, k->ecx, k->edx};
}

long entries_out(struct call *c, const struct cpuid_entry *e, unsigned n)
{
	struct kvm_cpuid_entry2 *out;
	u32 head[2]; /* nent, padding */
	unsigned i;
	long ret;

	if (copy_in(c->dev, head, c->arg, sizeof(head)))
		return -EFAULT;
	if (!head[0] || head[0] < n)
		return refuse(c->why, -E2BIG,
			"nent %lu: the result has %lu entries; make room for them", (u64)head[0],
			(u64)n);
	out = calloc(n + 1, sizeof(*out));
	if (!out)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		out[i] = entry_out(&e[i]);
	head[0] = n;
	ret = copy_out(c->dev, ENTRIES_AT(c->arg), out, n * sizeof(*out));
	ret = ret ? ret : copy_out(c->dev, c->arg, head, sizeof(head));
	free(out);
	return ret;
}

long system_supported_cpuid(struct call *c)
{
	struct cpuid_entry e[CPUID_MAX];
	unsigned n = engine_supported_cpuid(e, CPUID_MAX);

	return entries_out(c, e, MIN(n, (unsigned)CPUID_MAX));
}

/* Features that need no support by the host's processor; ours all come from it. The shape is Linux's. */
static const struct cpuid_entry emulated[] = {
	{.function = 0, .eax = 7},
	{.function = 1},
	{.function = 7, .flags = CPUID_INDEXED},
};

/* Here, unlike KVM_GET_SUPPORTED_CPUID, the padding of every entry offered must be zero. */
static long check_padding(struct call *c, u32 nent)
{
	struct kvm_cpuid_entry2 *e;
	unsigned i;
	long ret;

	nent = MIN(nent, (u32)CPUID_MAX);
	ret = copy_in_array(c->dev, (void **)&e, ENTRIES_AT(c->arg), nent, sizeof(*e));
	if (ret)
		return ret;
	for (i = 0; i < nent && !ret; i++)
		if (e[i].padding[0] | e[i].padding[1] | e[i].padding[2])
			ret = refuse(c->why, -EINVAL, "entries[%lu]: padding must be 0", (u64)i);
	free(e);
	return ret;
}

long system_emulated_cpuid(struct call *c)
{
	u32 nent;
	long ret;

	if (copy_in(c->dev, &nent, c->arg, sizeof(nent)))
		return -EFAULT;
	ret = check_padding(c, nent);
	return ret ? ret : entries_out(c, emulated, ARRAY_SIZE(emulated));
}

/* ---- a vcpu's ---- */

static bool same_entries(const struct cpuid_entry *a, const struct cpuid_entry *b, unsigned n)
{
	return !memcmp(a, b, n * sizeof(*a));
}

/* After the first KVM_RUN only what is there already may be set: as it was set, or as it reads. */
static bool same_as_now(struct kvm_vcpu *v, const struct cpuid_entry *e, unsigned n)
{
	struct cpuid_entry now[CPUID_MAX];

	if (n == v->cpuid_count && (!n || same_entries(e, v->cpuid, n)))
		return true;
	return vcpu_get_cpuid(v->cpu, now, CPUID_MAX) == n && same_entries(e, now, n);
}

/* Takes over e. */
static long set_cpuid(struct call *c, struct cpuid_entry *e, unsigned n)
{
	struct kvm_vcpu *v = vcpu_of(c);
	long ret = 0;

	if (!v->has_run)
		ret = vcpu_answered(c, vcpu_set_cpuid(v->cpu, e, n));
	else if (!same_as_now(v, e, n))
		ret = refuse(c->why, -EINVAL,
			"the vCPU has run: its CPUID can change only before the first KVM_RUN");
	if (ret || v->has_run) {
		free(e);
		return ret;
	}
	free(v->cpuid);
	v->cpuid = e;
	v->cpuid_count = n;
	return 0;
}

static long read_head(struct call *c, u32 *ret_nent)
{
	if (copy_in(c->dev, ret_nent, c->arg, sizeof(*ret_nent)))
		return -EFAULT;
	if (*ret_nent <= CPUID_MAX)
		return 0;
	return refuse(c->why, -E2BIG, "nent %lu: at most %lu entries are allowed", (u64)*ret_nent,
		(u64)CPUID_MAX);
}

long vcpu_set_cpuid2(struct call *c)
{
	struct kvm_cpuid_entry2 *in;
	struct cpuid_entry *e;
	u32 i, n;
	long ret = read_head(c, &n);

	if (ret)
		return ret;
	ret = copy_in_array(c->dev, (void **)&in, ENTRIES_AT(c->arg), n, sizeof(*in));
	if (ret)
		return ret;
	e = calloc(n + 1, sizeof(*e));
	for (i = 0; e && i < n; i++)
		e[i] = entry_in(&in[i]);
	free(in);
	return e ? set_cpuid(c, e, n) : -ENOMEM;
}

/* The first form has no subleaves. */
long vcpu_set_cpuid1(struct call *c)
{
	struct kvm_cpuid_entry *in;
	struct cpuid_entry *e;
	u32 i, n;
	long ret = read_head(c, &n);

	if (ret)
		return ret;
	ret = copy_in_array(
		c->dev, (void **)&in, c->arg + offsetof(struct kvm_cpuid, entries), n, sizeof(*in));
	if (ret)
		return ret;
	e = calloc(n + 1, sizeof(*e));
	for (i = 0; e && i < n; i++)
		e[i] = (struct cpuid_entry){
			in[i].function, 0, 0, in[i].eax, in[i].ebx, in[i].ecx, in[i].edx};
	free(in);
	return e ? set_cpuid(c, e, n) : -ENOMEM;
}

/* Room for nothing is enough for a vcpu that has been given nothing. */
long vcpu_get_cpuid2(struct call *c)
{
	struct cpuid_entry e[CPUID_MAX];
	unsigned n = vcpu_get_cpuid(vcpu_of(c)->cpu, e, CPUID_MAX);
	u32 head[2];

	if (n)
		return entries_out(c, e, n);
	if (copy_in(c->dev, head, c->arg, sizeof(head)))
		return -EFAULT;
	head[0] = 0;
	return copy_out(c->dev, c->arg, head, sizeof(head));
}
