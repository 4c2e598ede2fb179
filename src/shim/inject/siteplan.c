/* SPDX-License-Identifier: MIT */
/*
 * Which call sites can be rewritten, from the bytes around them. See site.h.
 *
 * That `syscall` is an instruction is certain: it has raised SIGSYS. What follows it is therefore
 * one, too. What precedes it has to be proved: of fifteen neighbouring addresses in code one is the
 * start of an instruction, as none is longer; if all fifteen lead, read from there on, to the same
 * last instruction before `syscall`, that is the one.
 */
#include <string.h>

#include "shim/inject/site.h"
#include "x86/insn.h"

#define SYSCALL_LEN 2
#define BACK_MIN    (INSN_MAX + 9) /* how far before the call the proof starts */
#define BACK_STEP   8

/* SDM 2, appendix A: invalid in 64-bit mode, and not reused as a prefix. */
bool site_is_trap(u8 byte)
{
	static const u8 traps[] = {0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37, 0x3f,
		0x60, 0x61, 0x82, 0x9a, 0xce, 0xd4, 0xd6, 0xea};

	return memchr(traps, byte, sizeof(traps));
}

static enum insn_result read_insn(const struct site_code *c, unsigned at, struct insn *ret)
{
	return insn_decode(ret, c->bytes + at, MIN(c->n - at, INSN_MAX), 8);
}

/* Does the same anywhere. */
static bool can_move(const struct insn *in)
{
	return (insn_class(in) & OC_ANYWHERE) && in->base != BASE_RIP;
}

/* The last instruction before the call, read from first on: false if that does not end there. */
static bool last_before(const struct site_code *c, unsigned first, unsigned *ret)
{
	unsigned at, last = 0;
	struct insn in;

	for (at = first; at < c->call; at += in.len) {
		if (read_insn(c, at, &in) != INSN_OK)
			return false;
		last = at;
	}
	*ret = last;
	return at == c->call;
}

/* All of fifteen neighbours agree; those where no instruction can be have no say. */
static unsigned agreed_before(const struct site_code *c, unsigned first)
{
	unsigned common = 0, last;

	for (unsigned i = first; i < first + INSN_MAX; i++) {
		if (site_is_trap(c->bytes[i]))
			continue;
		if (!last_before(c, i, &last) || (common && last != common))
			return 0;
		common = last;
	}
	return common;
}

/* The start of the instruction before the call, or 0 if that is not certain. */
static unsigned insn_before(const struct site_code *c)
{
	for (unsigned back = BACK_MIN; back <= c->call; back += BACK_STEP) {
		unsigned at = agreed_before(c, c->call - back);

		if (at)
			return at;
	}
	return 0;
}

bool site_begins(const struct site_code *c)
{
	return insn_before(c);
}

static bool plan_before(const struct site_code *c, struct site_plan *ret)
{
	unsigned at = insn_before(c);
	struct insn in;

	if (!at || c->call - at < SITE_JUMP || read_insn(c, at, &in) != INSN_OK || !can_move(&in))
		return false;
	*ret = (struct site_plan){.at = at, .before = in.len};
	return true;
}

/* The jump ends in the first instruction after it, so that only its start is where others may come to. */
static bool plan_after(const struct site_code *c, struct site_plan *ret)
{
	struct insn in;

	if (read_insn(c, c->call + SYSCALL_LEN, &in) != INSN_OK || !can_move(&in) ||
		in.len < SITE_JUMP - SYSCALL_LEN)
		return false;
	*ret = (struct site_plan){.at = c->call, .after = in.len};
	return true;
}

bool site_plan(const struct site_code *c, struct site_plan *ret)
{
	static const u8 insn[SYSCALL_LEN] = {0x0f, 0x05};

	if (c->n < c->call + SYSCALL_LEN || memcmp(c->bytes + c->call, insn, SYSCALL_LEN))
		return false;
	return plan_before(c, ret) || plan_after(c, ret);
}
