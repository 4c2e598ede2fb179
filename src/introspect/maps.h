/* SPDX-License-Identifier: MIT */
/*
 * Guests that map each other's memory. A tool in one guest (the borrower) has asked for a token on its connection to another
 * one (the lender), and gives it to its own hypervisor by KVM_HC_MEM_MAP: from then on a page of its own is one of the lender's,
 * and both read and write it at once. KVM_HC_MEM_UNMAP ends that.
 *
 * A token is used up by the first call that names it, whether a page can be mapped or not. What is lent is memory: it stays lent
 * if the lender's slot is moved, or shows something else there.
 *
 * A mapping ends with the borrower's slot and machine, with the lender's slot and machine, and with the session that gave
 * its token: without a session nobody would be told that the memory goes (tap.h).
 *
 * Functions may be called from any thread.
 */
#ifndef INTROSPECT_MAPS_H
#define INTROSPECT_MAPS_H

#include "base/types.h"

struct introspection;
struct machine;
struct maps; /* between the machines that may find each other */
struct vcpu;

/* NULL: there is no memory. Until maps_destroy(), with no machine left, which takes NULL. */
struct maps *maps_create(void);
void maps_destroy(struct maps *all);
/* In a forked child: what there was is the parent's. */
void maps_forget(struct maps *all);

/* ---- for interfaces: the borrower ---- */

/* Hypercalls that are served here; a machine is to exit with them (OPT_HYPERCALL_EXITS). */
#define MAPS_HYPERCALLS 0x300000000ull
/* v is just out of vcpu_run() with EXIT_HYPERCALL. True: it is answered, and v is to run on. */
bool maps_hypercall(struct maps *all, struct vcpu *v);
/* Slots of this machine may have gone. */
void maps_slots_changed(struct maps *all, struct machine *m);
/* Before machine_destroy(). */
void maps_machine_ends(struct maps *all, struct machine *m);

/* ---- for introspection: the lender ---- */

/* A session begins, and its machine is watched; and ends, before that. Its tokens go, too. */
void maps_lend(struct maps *all, struct introspection *i);
void maps_take_back(struct maps *all, struct introspection *i);
/* As memory_gone() of tap.h */
void maps_memory_gone(struct maps *all, struct introspection *i, void *hva, u64 size);

#endif
