/* SPDX-License-Identifier: MIT */
/* Two machines of one process, of which one is lent pages of the other one. */
#ifndef TESTS_KVMI_PAIR_H
#define TESTS_KVMI_PAIR_H

#include "tests/kvmi/world.h"

#define TOKEN  VM_PAGE(1) /* in the borrower */
#define OWN    VM_PAGE(4) /* a page of the borrower's */
#define LENT   VM_PAGE(5) /* one of the lender's */
#define SECOND VM_BYTES   /* a slot of one page, of either */

#define OWN_VALUE  0x1111111111111111
#define LENT_VALUE 0x2222222222222222

struct pair {
	enum dialect d;
	struct dev *dev;
	struct vm *lender, *borrower;
	struct tool *t; /* looks into the lender */
	void *second;   /* the memory of the slot at SECOND */
};

/* Both guests run, and wait to be told something. With a tool, and with LENT mapped at OWN. */
struct pair pair_open_without_tool(enum dialect d, enum mode of_borrower);
struct pair pair_open(enum dialect d);
struct pair pair_open_mapped(enum dialect d);
/* What has not been closed, and is NULL, yet. */
void pair_close(struct pair *p);

/* ---- what guests are told; the values are RAX afterwards ---- */

u64 guest_load(struct vm *vm, u64 at);
void guest_store(struct vm *vm, u64 at, u64 value);
u64 guest_call(struct vm *vm, u64 at);
u64 guest_hypercall(struct vm *vm, u64 nr, u64 rbx, u64 rcx, u64 rdx);

/* ---- and the borrower ---- */

/* The tool asks for a token, and puts it there. */
void pair_give_token(struct pair *p, u64 at);
s64 pair_map_with(struct pair *p, u64 token, u64 lent, u64 own);
/* With a new one */
s64 pair_map(struct pair *p, u64 lent, u64 own);
s64 pair_unmap(struct pair *p, u64 own);

/* ---- a second slot, of p->second ---- */

void pair_add_second(struct pair *p, struct vm *vm, u32 flags, u64 value);
void pair_set_second(struct pair *p, struct vm *vm, u32 flags, bool there);
void pair_set_second_at(struct pair *p, struct vm *vm, u64 at, u32 flags, bool there);

#endif
