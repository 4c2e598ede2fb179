/* SPDX-License-Identifier: MIT */
/*
 * Memory aliases: a second place in the guest's address space where memory is seen. Kernels had them until 2010; now
 * they are second slots of the same host memory (view.c). An alias names guest-physical memory, not host memory: what
 * is registered at the target later is what the alias shows then.
 */
#include "libkvm/context.h"

static bool target_valid(u64 target, u64 len)
{
	return !(target & ~PAGE_MASK) && target + len > target;
}

/* Under lock: removes the one that begins at gpa, which is what *old says then; its length is 0 if there is none. */
static void take_out(kvm_context_t kvm, u64 gpa, struct alias *old)
{
	struct ranges *aliases = &kvm->memory.aliases;
	const struct alias *found = ranges_containing(aliases, gpa, 1);

	*old = (struct alias){.range = {gpa, 0}};
	if (!found || found->range.gpa != gpa)
		return;
	*old = *found;
	ranges_remove(aliases, found);
}

static int put_in(kvm_context_t kvm, const struct alias *new)
{
	return new->range.len ? ranges_insert(&kvm->memory.aliases, new) : 0;
}

static int replace(kvm_context_t kvm, const struct alias *new)
{
	struct alias old, ignored;
	struct gpa_range both;
	int r;

	take_out(kvm, new->range.gpa, &old);
	both = (struct gpa_range){new->range.gpa, MAX(new->range.len, old.range.len)};
	r = table_grown(kvm, put_in(kvm, new));
	if (r >= 0 && both.len)
		r = view_update(kvm, &both);
	if (r >= 0)
		return 0;
	take_out(kvm, new->range.gpa, &ignored);
	put_in(kvm, &old);
	if (both.len)
		view_update(kvm, &both);
	return r;
}

/* The one that begins at the same address is no obstacle: it is replaced. */
static const struct alias *obstacle(const struct ranges *aliases, const struct gpa_range *range)
{
	const struct alias *a;

	for (int i = ranges_from(aliases, range->gpa);
		(a = ranges_at(aliases, i)) && a->range.gpa < range_end(range); i++)
		if (a->range.gpa != range->gpa)
			return a;
	return NULL;
}

static int alias_set(kvm_context_t kvm, const struct alias *new)
{
	const struct alias *other = obstacle(&kvm->memory.aliases, &new->range);

	if (new->range.len && other)
		return fail(kvm, -EEXIST,
			"the alias at 0x%lx+0x%lx overlaps the alias at 0x%lx+0x%lx: destroy that "
			"one first",
			new->range.gpa, new->range.len, other->range.gpa, other->range.len);
	return replace(kvm, new);
}

int kvm_create_memory_alias(
	kvm_context_t kvm, uint64_t phys_start, uint64_t len, uint64_t target_phys)
{
	const struct alias alias = {{phys_start, len}, target_phys};
	int r;

	if (len && (!range_valid(phys_start, len) || !target_valid(target_phys, len)))
		return fail(kvm, -EINVAL,
			"the alias at 0x%lx+0x%lx of 0x%lx: all three numbers must be whole pages, "
			"and both ends below 2^64",
			alias.range.gpa, alias.range.len, alias.target);
	if (kvm->vm_fd < 0)
		return fail(
			kvm, -EBADF, "there is no VM for the alias: create one with kvm_create()");
	pthread_mutex_lock(&kvm->lock);
	r = alias_set(kvm, &alias);
	pthread_mutex_unlock(&kvm->lock);
	return result(r);
}

int kvm_destroy_memory_alias(kvm_context_t kvm, uint64_t phys_start)
{
	return kvm_create_memory_alias(kvm, phys_start, 0, 0);
}
