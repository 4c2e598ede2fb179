/* SPDX-License-Identifier: MIT */
/* See views.h and engine/tap.h. Outer code. */
#include "engine/mem/views.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/mem/mem.h"
#include "engine/mem/mem_priv.h"
#include "engine/mem/memory.h"
#include "engine/request/post.h"

static void view_init(struct mem_view *view)
{
	view->remaps.seq.item = sizeof(struct remap);
}

static void view_free(struct mem_view *view)
{
	rights_free(&view->rights);
	free(view->remaps.seq.storage);
}

void views_create(struct memory *mem)
{
	view_init(&mem->first);
	mem->views[0] = &mem->first;
}

void views_free(struct memory *mem)
{
	for (unsigned i = 1; i < VIEWS_MAX; i++) {
		if (!mem->views[i])
			continue;
		view_free(mem->views[i]);
		free(mem->views[i]);
		mem->views[i] = NULL;
	}
	view_free(&mem->first);
	mem->first = (struct mem_view){0};
	view_init(&mem->first);
}

/* The lock is held. */
static struct mem_view *view_find(const struct memory *mem, unsigned view)
{
	return view < VIEWS_MAX ? mem->views[view] : NULL;
}

/* ---- which view a vcpu is in ---- */

/* The question of TAP_STEP is asked before the instruction is looked at. */
static bool has_begun(const struct cpu *cpu)
{
	const struct answers *r = &cpu->answers;

	for (unsigned i = 0; i < r->filled; i++)
		if (r->answer[i].reason != EXIT_TAP || r->answer[i].len != TAP_STEP)
			return true;
	return false;
}

/*
 * An instruction that has been answered is finished in the view in which it began (vcpu_tap_late()): in another one it may be
 * another instruction. The request ends first: who changes something from now on makes a new one.
 */
void cpu_take_view(struct cpu *cpu)
{
	const struct mem_view *view;
	u32 wanted;

	__atomic_fetch_and(&cpu->exit_request, ~REQ_VIEW, __ATOMIC_SEQ_CST);
	wanted = atomic_load(&cpu->vcpu->tap.view);
	if (wanted != cpu->mem_view && cpu->mem_view != VIEW_GONE && has_begun(cpu))
		cpu->view_late = cpu->run_one = true;
	else
		cpu->mem_view = wanted;
	view = cpu->machine->mem->views[cpu->mem_view];
	cpu->denies = view->rights.room ? &view->rights : NULL;
	cpu->remaps = view->remaps.count ? &view->remaps : NULL;
	tlb_flush_all(cpu);
}

/* All cpus are paused and the lock is held. Who is on the way to another view has a request already. */
static void view_changed(struct machine *m, unsigned view)
{
	struct vcpu *v;

	for_each_vcpu(vcpus_paused(m), v)
	{
		if (v->cpu.mem_view == view)
			cpu_request(&v->cpu, REQ_VIEW);
	}
}

void vcpu_enter_view(struct vcpu *v)
{
	struct memory *mem = v->machine->mem;

	pthread_rwlock_rdlock(&mem->lock);
	if (mem->first.rights.room || mem->first.remaps.count)
		cpu_request(&v->cpu, REQ_VIEW);
	pthread_rwlock_unlock(&mem->lock);
}

static int choose(struct vcpu *v, unsigned view, bool *ret_changed)
{
	struct memory *mem = v->machine->mem;
	bool exists;

	pthread_rwlock_rdlock(&mem->lock);
	exists = view_find(mem, view);
	if (exists)
		*ret_changed = atomic_exchange(&v->tap.view, view) != view;
	pthread_rwlock_unlock(&mem->lock);
	return exists ? 0 : -ENOENT;
}

int vcpu_set_view(struct vcpu *v, unsigned view)
{
	bool changed;

	if (choose(v, view, &changed))
		return -ENOENT;
	if (changed)
		vcpu_request(v, REQ_VIEW, false);
	vcpu_await_acted(v, REQ_VIEW);
	return 0;
}

unsigned vcpu_view(const struct vcpu *v)
{
	return atomic_load(&v->tap.view);
}

/* ---- which views there are ---- */

int machine_create_view(struct machine *m, unsigned *ret_view)
{
	struct mem_view *view = calloc(1, sizeof(*view));
	struct memory *mem = m->mem;
	unsigned n = 1;

	if (!view)
		return -ENOMEM;
	view_init(view);
	pthread_rwlock_wrlock(&mem->lock);
	while (n < VIEWS_MAX && mem->views[n])
		n++;
	if (n < VIEWS_MAX)
		mem->views[n] = view;
	pthread_rwlock_unlock(&mem->lock);
	if (n == VIEWS_MAX) {
		free(view);
		return -ENOSPC;
	}
	*ret_view = n;
	return 0;
}

/* All cpus are paused and the lock is held. */
static bool view_used(struct machine *m, unsigned view)
{
	struct vcpu *v;

	for_each_vcpu(vcpus_paused(m), v)
	{
		if (atomic_load(&v->tap.view) == view)
			return true;
	}
	return false;
}

/* Who has been in it, and has not gone in since, does not finish anything there. */
static void view_leave(struct machine *m, unsigned view)
{
	struct vcpu *v;

	for_each_vcpu(vcpus_paused(m), v)
	{
		if (v->cpu.mem_view != view)
			continue;
		v->cpu.mem_view = VIEW_GONE;
		cpu_request(&v->cpu, REQ_VIEW);
	}
}

static int destroy(struct machine *m, unsigned view)
{
	struct memory *mem = m->mem;
	struct mem_view *old = view_find(mem, view);

	if (!old)
		return -ENOENT;
	if (view_used(m, view))
		return -EBUSY;
	view_leave(m, view);
	mem->views[view] = NULL;
	view_free(old);
	free(old);
	return 0;
}

int machine_destroy_view(struct machine *m, unsigned view)
{
	int r;

	if (!view)
		return -EINVAL;
	memory_begin_change(m);
	r = destroy(m, view);
	memory_end_change(m);
	return r;
}

void machine_drop_views(struct machine *m)
{
	struct vcpu *v;

	memory_begin_change(m);
	for_each_vcpu(vcpus_paused(m), v)
	{
		atomic_store(&v->tap.view, 0);
		v->cpu.mem_view = VIEW_GONE;
		cpu_request(&v->cpu, REQ_VIEW);
	}
	views_free(m->mem);
	memory_end_change(m);
}

/* ---- pages that are found elsewhere ---- */

static void remaps_changed(struct remaps *r)
{
	r->page = seq_begin(&r->seq);
	r->count = r->seq.count;
}

static int remap(struct remaps *r, u64 gfn, u64 to)
{
	u32 at = remap_search(r, gfn);
	bool there = at < r->count && r->page[at].gfn == gfn;

	if (there && gfn != to)
		r->page[at].to = to;
	else if (there)
		seq_close(&r->seq, at);
	else if (gfn != to && seq_reserve(&r->seq))
		return -ENOMEM;
	else if (gfn != to)
		*(struct remap *)seq_open(&r->seq, at) = (struct remap){gfn, to};
	remaps_changed(r);
	return 0;
}

static int remap_in(struct machine *m, unsigned view, u64 gfn, u64 to)
{
	struct mem_view *found = view_find(m->mem, view);
	int r = found ? remap(&found->remaps, gfn, to) : -ENOENT;

	if (!r)
		view_changed(m, view);
	return r;
}

int machine_view_remap(struct machine *m, unsigned view, u64 gfn, u64 to)
{
	const u64 all = GPA_SMM >> PAGE_SHIFT;
	int r;

	if (gfn >= all || to >= all)
		return -EINVAL;
	memory_begin_change(m);
	r = remap_in(m, view, gfn, to);
	memory_end_change(m);
	return r;
}

/* ---- rights ---- */

static bool rights_valid(const struct page_rights *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!gpa_outside(p[i].gpa, 1) || (p[i].rights & ~RIGHTS_ALL))
			return false;
	return true;
}

/* Nobody in the view holds an entry of a kind that is denied now: all are outside, and drop what they have on the way in. */
static int set_rights(struct machine *m, unsigned view, const struct page_rights *p, unsigned n)
{
	struct mem_view *found = view_find(m->mem, view);
	bool denies = false;
	int r = found ? rights_set(&found->rights, p, n, &denies) : -ENOENT;

	if (denies)
		view_changed(m, view);
	return r;
}

int machine_set_page_rights(
	struct machine *m, unsigned view, const struct page_rights *p, unsigned n)
{
	int r;

	if (!rights_valid(p, n))
		return -EINVAL;
	memory_begin_change(m);
	r = set_rights(m, view, p, n);
	memory_end_change(m);
	return r;
}

int machine_page_rights(struct machine *m, unsigned view, u64 gpa, u32 *ret_rights)
{
	const struct mem_view *found;
	u32 denied = 0;

	pthread_rwlock_rdlock(&m->mem->lock);
	found = view_find(m->mem, view);
	if (found && found->rights.room && gpa_outside(gpa, 1))
		denied = rights_denied(&found->rights, gpa);
	pthread_rwlock_unlock(&m->mem->lock);
	if (!found)
		return -ENOENT;
	*ret_rights = RIGHTS_ALL & ~denied;
	return 0;
}
