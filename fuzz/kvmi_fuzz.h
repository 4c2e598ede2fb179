/* SPDX-License-Identifier: MIT */
/*
 * fuzz-kvmi: kvmi.c makes a case: a machine that runs, tools that hook it one after the other, and what becomes of both. kvmi_tool.c is
 * a tool: what it sends and what must hold of what it gets. kvmi_guest.c is what the vcpus run.
 *
 * In a gentle case the tools may do anything that a guest survives, so the guest must still run when they have gone.
 */
#ifndef FUZZ_KVMI_FUZZ_H
#define FUZZ_KVMI_FUZZ_H

#include "fuzz/box.h"
#include "uapi/kvmi_v6.h"

/* What --without leaves out. */
enum { GARBAGE, REPLIES, DEATHS, UNHOOKS, CLOSING, HARM, VIEWS };

#define KVMI_VCPUS   2
#define SHARED_PAGES 8
#define AT_COUNTS    0x7f000 /* 64 bytes for each vcpu */
#define AT_FUNCTION  0x88000 /* a page of RET */
#define AT_GARBAGE   0x90000 /* pages that only a harmful tool touches */

struct play {
	struct random r;
	struct box box;
	bool gentle, irqchip;
	pthread_t thread[KVMI_VCPUS];
	_Atomic bool stop, over[KVMI_VCPUS];
	bool closing; /* the machine is closed under the tool, which makes no requests then */
	_Atomic bool hooked;
};

static inline bool chance(struct play *p, unsigned percent)
{
	return rnd_chance(&p->r, percent);
}

static inline u64 below(struct play *p, u64 n)
{
	return rnd_below(&p->r, n);
}

/* ---- kvmi_guest.c ---- */

/* Code for all vcpus, and registers. */
void guest_make(struct play *p);
u64 guest_count(struct play *p, unsigned vcpu);

/* ---- kvmi_tool.c ---- */

/* A whole session on a machine that runs: until the tool dies, or the server has closed. */
void tool_session(struct play *p);
/* Hooks, and asks for the rights of all pages: none may be restricted. */
void tool_check_rights(struct play *p);

#endif
