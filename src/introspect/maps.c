/* SPDX-License-Identifier: MIT */
/*
 * See maps.h. One lock protects everything, and it is held while the engine is called, so that each mapping is made and undone as
 * a whole. It may be, since nobody who waits for it keeps the engine from going on: vcpus take it outside of guest
 * code, and no function of tap.h is called with it held.
 */
#include "introspect/maps.h"

#include <errno.h>
#include <stdlib.h>

#include "introspect/session.h"

struct loan {
	struct loan *next;
	struct introspection *lender;
	struct machine *borrower;
	u64 gpa;   /* of the borrower */
	void *hva; /* of the lender */
};

struct maps {
	pthread_mutex_t lock;
	struct introspection *lenders; /* those with a session, by next_lender */
	struct loan *first;
	bool used; /* there is, or was, a session */
};

_Static_assert(MAPS_HYPERCALLS == (BIT64(KVM_HC_MEM_MAP) | BIT64(KVM_HC_MEM_UNMAP)), "");

struct maps *maps_create(void)
{
	struct maps *all = calloc(1, sizeof(*all));

	if (all)
		pthread_mutex_init(&all->lock, NULL);
	return all;
}

void maps_destroy(struct maps *all)
{
	if (!all)
		return;
	pthread_mutex_destroy(&all->lock);
	free(all);
}

/* The mappings themselves are left: another thread may just have changed the list. */
void maps_forget(struct maps *all)
{
	*all = (struct maps){0};
	pthread_mutex_init(&all->lock, NULL);
}

/* ---- what ends; the lock is held ---- */

struct which {
	const struct introspection *lender;
	const struct machine *borrower;
	u64 gpa;   /* of the borrower */
	void *hva; /* and size, of the lender */
	u64 size;
};

static bool is_lent_by(const struct loan *p, const struct which *w)
{
	return p->lender == w->lender;
}

static bool is_in_memory(const struct loan *p, const struct which *w)
{
	return p->lender == w->lender && (u64)p->hva - (u64)w->hva < w->size;
}

static bool is_borrowed_by(const struct loan *p, const struct which *w)
{
	return p->borrower == w->borrower;
}

static bool is_at(const struct loan *p, const struct which *w)
{
	return p->borrower == w->borrower && p->gpa == w->gpa;
}

/* The engine has taken it away with its slot. */
static bool is_lost(const struct loan *p, const struct which *w)
{
	struct ram_page now;

	return p->borrower == w->borrower &&
	       (machine_page_at(p->borrower, p->gpa, &now) || now.own || now.hva != p->hva);
}

static void undo(struct loan *p)
{
	machine_remove_overlay(p->borrower, p->gpa);
	machine_share_memory(p->lender->machine, p->hva, false);
	free(p);
}

/* How many there were. */
static unsigned end_those(struct maps *all,
	bool (*is_one)(const struct loan *p, const struct which *w), const struct which *w)
{
	unsigned count = 0;

	for (struct loan **at = &all->first; *at;) {
		struct loan *p = *at;

		if (!is_one(p, w)) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		undo(p);
		count++;
	}
	return count;
}

/* ---- a page is lent; the lock is held ---- */

static bool is_mappable(struct machine *m, u64 gpa, struct ram_page *ret)
{
	return !(gpa & ~PAGE_MASK) && !machine_page_at(m, gpa, ret) && ret->own && !ret->readonly;
}

static int show(struct machine *lender, struct machine *borrower, u64 gpa, void *hva)
{
	int r = machine_share_memory(lender, hva, true);

	if (r)
		return r;
	r = machine_overlay_page(borrower, gpa, hva);
	if (r)
		machine_share_memory(lender, hva, false);
	return r;
}

static int lend(struct maps *all, struct introspection *i, u64 lent, struct machine *m, u64 gpa)
{
	struct ram_page page, own;
	struct loan *p;
	int r;

	if (!is_mappable(i->machine, lent, &page) || !is_mappable(m, gpa, &own))
		return -EFAULT;
	/* One that is lost, and of which we have not been told yet. */
	end_those(all, is_at, &(struct which){.borrower = m, .gpa = gpa});
	p = malloc(sizeof(*p));
	r = p ? show(i->machine, m, gpa, page.hva) : -ENOMEM;
	if (r) {
		free(p);
		return r;
	}
	*p = (struct loan){all->first, i, m, gpa, page.hva};
	all->first = p;
	return 0;
}

/* ---- hypercalls ---- */

/* A structure at a linear address may lie in two pages. */
static int read_linear(struct vcpu *v, u64 gva, void *ret, size_t n)
{
	for (size_t done = 0; done < n;) {
		const size_t part = MIN(n - done, PAGE_SIZE - ((gva + done) & (PAGE_SIZE - 1)));
		struct translation t;

		if (vcpu_translate(v, gva + done, &t) ||
			machine_read(vcpu_machine(v), t.gpa, (u8 *)ret + done, part))
			return -EFAULT;
		done += part;
	}
	return 0;
}

static struct introspection *take_token(struct maps *all, const struct kvmi_map_mem_token *token)
{
	struct introspection *i = all->lenders;

	while (i && !tokens_take(&i->tokens, token))
		i = i->next_lender;
	return i;
}

/* args: where the token is, the lender's page, the borrower's. */
static s64 map(struct maps *all, struct vcpu *v, const u64 *args)
{
	struct kvmi_map_mem_token token;
	struct introspection *i;

	if (read_linear(v, args[0], &token, sizeof(token)))
		return -KVM_EFAULT;
	i = take_token(all, &token);
	if (!i)
		return -KVM_ENOENT;
	return lend(all, i, args[1], vcpu_machine(v), args[2]) ? -KVM_EFAULT : 0;
}

static s64 unmap(struct maps *all, struct vcpu *v, const u64 *args)
{
	const struct which w = {.borrower = vcpu_machine(v), .gpa = args[0]};

	return end_those(all, is_at, &w) ? 0 : -KVM_ENOENT;
}

/* As long as nobody introspects, guests find what they find under a KVM that has no introspection. */
static s64 serve(struct maps *all, struct vcpu *v, const struct exit *x)
{
	s64 r = -KVM_ENOSYS;

	pthread_mutex_lock(&all->lock);
	if (all->used)
		r = (x->hypercall.nr == KVM_HC_MEM_MAP ? map : unmap)(all, v, x->hypercall.args);
	pthread_mutex_unlock(&all->lock);
	return r;
}

bool maps_hypercall(struct maps *all, struct vcpu *v)
{
	struct exit *x = vcpu_exit(v);

	if (x->hypercall.nr >= 64 || !(MAPS_HYPERCALLS >> x->hypercall.nr & 1))
		return false;
	x->hypercall.ret = (u64)serve(all, v, x);
	return true;
}

/* ---- what others tell ---- */

static void end_locked(struct maps *all,
	bool (*is_one)(const struct loan *p, const struct which *w), const struct which *w)
{
	pthread_mutex_lock(&all->lock);
	end_those(all, is_one, w);
	pthread_mutex_unlock(&all->lock);
}

void maps_slots_changed(struct maps *all, struct machine *m)
{
	end_locked(all, is_lost, &(struct which){.borrower = m});
}

void maps_machine_ends(struct maps *all, struct machine *m)
{
	end_locked(all, is_borrowed_by, &(struct which){.borrower = m});
}

void maps_memory_gone(struct maps *all, struct introspection *i, void *hva, u64 size)
{
	end_locked(all, is_in_memory, &(struct which){.lender = i, .hva = hva, .size = size});
}

void maps_lend(struct maps *all, struct introspection *i)
{
	pthread_mutex_lock(&all->lock);
	i->next_lender = all->lenders;
	all->lenders = i;
	all->used = true;
	pthread_mutex_unlock(&all->lock);
}

void maps_take_back(struct maps *all, struct introspection *i)
{
	struct introspection **at = &all->lenders;

	pthread_mutex_lock(&all->lock);
	while (*at && *at != i)
		at = &(*at)->next_lender;
	if (*at)
		*at = i->next_lender;
	tokens_drop_all(&i->tokens);
	end_those(all, is_lent_by, &(struct which){.lender = i});
	pthread_mutex_unlock(&all->lock);
}
