/* SPDX-License-Identifier: MIT */
/*
 * Watching guests: a subscriber is asked before a guest's processor does certain things, and its answer decides what happens.
 *
 * A question is asked on the vcpu's own thread, outside of guest code, with the state exact: rip is on the instruction, and
 * nothing that it does has happened. So the subscriber may read and change the vcpu by all of engine.h, and may block;
 * other vcpus run on meanwhile. It must not call vcpu_run(), vcpu_destroy() or machine_set_tap(). In event() it must not
 * take a lock that another thread holds while it calls a function of this file.
 *
 * If rip is set to another address while a question is open, every answer except TAP_STOP counts as TAP_RETRY.
 *
 * Calls return 0 or -errno, may come from any thread at any time, and hold for all that a vcpu does after they have
 * returned. One instruction or delivery that has already begun may still follow the old settings.
 */
#ifndef ENGINE_TAP_H
#define ENGINE_TAP_H

#include "engine/engine.h"

/* What is asked; tap_kinds() tells which answers each takes, and docs/design.md where it is asked. */
enum tap_kind {
	TAP_CR, /* a write to CR0, CR3, CR4 or CR8 that would succeed, the value unchanged or not */
	TAP_XCR0,      /* the same for XSETBV */
	TAP_MSR_READ,  /* RDMSR, with what it would give */
	TAP_MSR_WRITE, /* WRMSR, before it is checked */
	TAP_TABLE,     /* LGDT LIDT LLDT LTR SGDT SIDT SLDT STR, before they look at memory */
	TAP_EXCEPTION, /* is about to be delivered */
	TAP_SOFT_INT,  /* INT n, INT3, INTO, ICEBP: no TAP_EXCEPTION */
	TAP_HYPERCALL, /* VMCALL, VMMCALL at any privilege level */
	TAP_CPUID,
	TAP_STEP, /* an instruction, or an iteration of a string instruction, is over and the next one begins */
	TAP_PAGE,  /* an access that the rights of its page do not allow */
	TAP_BIRTH, /* always asked, once: before a vcpu first runs after a subscriber is set; not while it waits for INIT */
	TAP_PAUSE, /* always asked: see vcpu_tap_pause() */
	TAP_END,   /* always told, by the thread that destroys it: the answer does not matter */
	TAP_KINDS
};

enum tap_verdict {
	TAP_GO_ON, /* with what the event says now: its fields named "may be changed" */
	TAP_RETRY, /* the instruction is executed again from its beginning, and asks again */
	TAP_SKIP, /* it does nothing and is over. TAP_EXCEPTION: none is delivered, and the instruction is executed again */
	TAP_REFUSE, /* #GP(0) */
	TAP_STOP, /* vcpu_run() returns EXIT_TAP; when it runs again it asks again, but for birth and pause */
};

enum tap_table { TAP_GDTR, TAP_IDTR, TAP_LDTR, TAP_TR };
enum tap_insn { TAP_INT_N, TAP_INT3, TAP_INTO, TAP_ICEBP };
#define TAP_DATA_MAX    256
#define TAP_DATA_PLACES 4
/* Kinds of access; BIT() of each is the right to it. */
enum tap_access { TAP_READ, TAP_WRITE, TAP_FETCH, TAP_WALK_READ, TAP_WALK_WRITE };

/* How an instruction writes its operand: a register, or the parts of an address. */
struct tap_operand {
	bool is_mem;
	u8 reg;
	u8 seg, addr_size, op_size; /* op_size: of the instruction, in memory or not */
	u8 base, index, scale;      /* TAP_NO_REG: none; 1, 2, 4, 8 */
	u64 disp;                   /* of an address relative to rip: the address */
};
#define TAP_NO_REG 0xff

struct tap_event {
	u32 kind;    /* enum tap_kind */
	u8 insn_len; /* where the instruction is known, else 0 */
	union {
		struct {
			u8 cr;
			u64 old,
				value; /* value may be changed; the new one is checked as the guest's is */
		} cr, xcr;
		struct {
			u32 index;
			u64 value; /* may be changed */
		} msr;
		struct {
			u8 table; /* enum tap_table */
			bool store;
			struct tap_operand operand;
		} table;
		struct { /* all but injected may be changed */
			u8 vector;
			bool has_error;
			bool injected; /* by the VMM or another caller of vcpu_set() */
			u32 error;
			u64 payload; /* #PF: CR2; #DB: bits of DR6 */
		} exception;
		struct {
			u8 vector; /* may be changed */
			u8 insn;   /* enum tap_insn */
		} soft_int;
		struct {
			u32 leaf, index;
		} cpuid;
		struct {
			/* What is over is an iteration and not the last one. Elsewhere than rip tells: it was interrupted. */
			bool unfinished;
		} step;
		struct {
			u64 gpa,
				gva; /* of the access, in this page; gva of a walk: what is looked up */
			u8 access; /* enum tap_access */
			/*
			 * May be set for TAP_READ: what the instruction is to find at gpa and the following addresses
			 * in the place of what is there, for the rest of it. Is copied. At most TAP_DATA_MAX bytes,
			 * and for at most TAP_DATA_PLACES accesses of one instruction; more are cut off.
			 */
			u16 data_len;
			const void *data;
		} page;
	};
};

struct tap {
	enum tap_verdict (*event)(void *opaque, struct vcpu *v, struct tap_event *e);
	/*
	 * There is this vcpu: said of all when the subscriber is set, and of each that is made later before it can be run. index
	 * counts from 0 in the order in which they were made; that of one that was destroyed is used again. NULL: not told.
	 * The machine is locked: it must not call the engine, nor take a lock that another thread holds while it does.
	 */
	void (*exists)(void *opaque, struct vcpu *v, unsigned index);
	/*
	 * This memory of the process is the machine's no more: a slot was deleted. Said by the thread that has deleted it, before
	 * its call returns, so that whoever has lent the memory on takes it back while it is still what it was. NULL: not told. As in event(), it
	 * must not take a lock that another thread holds while it calls a function of this file.
	 */
	void (*memory_gone)(void *opaque, void *hva, u64 size);
};

struct tap_kind_desc {
	const char *name;
	u32 verdicts; /* BIT(enum tap_verdict) of those it takes; another one is TAP_GO_ON */
};
const struct tap_kind_desc *tap_kinds(void);

/*
 * The subscriber; NULL: none. -EBUSY: there is another one, or it is just leaving. NULL resets masks, selections
 * and views, and waits until no thread is in event(): first wake a subscriber that blocks there.
 */
int machine_set_tap(struct machine *m, const struct tap *ops, void *opaque);

/* What is asked of a vcpu: bits of enum tap_kind. Nothing at first. -EINVAL. */
int vcpu_tap_events(struct vcpu *v, u32 events);
/* TAP_CR and TAP_MSR_* are asked only for selected registers. At first none is selected. -EINVAL: there is no such selection. */
int vcpu_tap_cr(struct vcpu *v, unsigned cr, bool on);
int vcpu_tap_msr(struct vcpu *v, u32 index, bool write, bool on);
/*
 * Ask the vcpu TAP_PAUSE, as often as this has been called, before it executes another instruction, halted or not. When
 * this returns it executes none.
 */
void vcpu_tap_pause(struct vcpu *v);
/* Any time. False: the vcpu waits for INIT and SIPI, so it will not answer a pause soon. */
bool vcpu_started(const struct vcpu *v);
/* After EXIT_TAP: what was asked. */
const struct tap_event *vcpu_tap_event(const struct vcpu *v);

/*
 * Views of guest-physical memory: what a vcpu may do with the pages that it names, and which pages it reaches. A vcpu is
 * in one view at a time. All are in view 0 at first, which exists always. A new view allows everything and changes no
 * address. Without a subscriber, and when it leaves, there is view 0 alone, as at first.
 *
 * -ENOENT: there is no such view. Creation: -ENOSPC: there are VIEWS_MAX; -ENOMEM. Destruction: -EBUSY: a vcpu is in it;
 * -EINVAL: it is view 0.
 */
#define VIEWS_MAX 512
int machine_create_view(struct machine *m, unsigned *ret_view);
int machine_destroy_view(struct machine *m, unsigned view);
/* The vcpu's next instruction is executed in this view; so is one that is tried again (TAP_RETRY). -ENOENT. */
int vcpu_set_view(struct vcpu *v, unsigned view);
unsigned vcpu_view(const struct vcpu *v);

/*
 * Rights to a guest-physical page, RIGHTS_ALL at first. They belong to the address, in both address spaces, whether there is
 * memory or not, and whatever becomes of the slots there. They apply to accesses of the guest by vcpus in that view
 * that are asked TAP_PAGE. They do not apply to the VMM, to machine_read() and machine_write(), nor to what the engine itself writes for the guest (clocks, the state
 * save of system management mode). A byte a page is kept for each 2 MiB in which a right has ever been taken away.
 * -EINVAL, -ENOENT, -ENOMEM: none has been changed.
 */
#define RIGHTS_ALL (BIT(TAP_WALK_WRITE + 1) - 1)
struct page_rights {
	u64 gpa;
	u32 rights; /* BIT(enum tap_access) */
};
int machine_set_page_rights(
	struct machine *m, unsigned view, const struct page_rights *p, unsigned n);
int machine_page_rights(struct machine *m, unsigned view, u64 gpa, u32 *ret_rights);

/*
 * In this view, who names page gfn reaches page to; gfn itself: as at first. It holds for all that processors do: fetches, loads,
 * stores, walks, the state save of system management mode. Rights, and questions about them, are those of the page that is
 * named; devices, the dirty log and all exits see the one that is reached. It is not followed further. It does not hold for
 * the VMM. -EINVAL: there can be no such page. -ENOENT, -ENOMEM.
 */
int machine_view_remap(struct machine *m, unsigned view, u64 gfn, u64 to);

#endif
