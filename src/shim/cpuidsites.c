/* SPDX-License-Identifier: MIT */
/* See sites.h. Allocates nothing; what it reads is mapped as the program headers say. */
#include <string.h>

#include "shim/cpuidsites.h"
#include "shim/unwind.h"
#include "x86/insn.h"

#define FUNCTION_MAX 0x10000 /* bytes; longer ones are not swept */

bool object_maps(const struct object *o, u64 at, u64 n)
{
	for (unsigned i = 0; i < o->count; i++) {
		const Elf64_Phdr *p = &o->phdrs[i];
		u64 start = o->base + p->p_vaddr;

		if (p->p_type == PT_LOAD && at >= start && n <= p->p_filesz &&
			at - start <= p->p_filesz - n)
			return true;
	}
	return false;
}

/* ---- the two bytes ---- */

static u64 find_in(u64 from, u64 end)
{
	const u8 *at = (const u8 *)from + 1;

	while ((u64)at < end) {
		at = memchr(at, 0xa2, end - (u64)at);
		if (!at)
			break;
		if (at[-1] == 0x0f)
			return (u64)at - 1;
		at++;
	}
	return 0;
}

static bool is_code(const Elf64_Phdr *p)
{
	return p->p_type == PT_LOAD && (p->p_flags & PF_X) && (p->p_flags & PF_R);
}

u64 cpuid_site_next(const struct object *o, u64 from)
{
	u64 first = 0;

	for (unsigned i = 0; i < o->count; i++) {
		const Elf64_Phdr *p = &o->phdrs[i];
		u64 start = o->base + p->p_vaddr, end = start + p->p_filesz, at;

		if (!is_code(p) || end <= from)
			continue;
		at = find_in(MAX(start, from), end);
		if (at && (!first || at < first))
			first = at;
	}
	return first;
}

/* ---- the sweep ---- */

struct sweep {
	struct function range;
	u64 begins[FUNCTION_MAX / 64]; /* a bit for each byte: an instruction begins here */
};

static bool begins(const struct sweep *s, u64 at)
{
	u64 i = at - s->range.start;

	return s->begins[i / 64] & BIT64(i % 64);
}

/* The length of the instruction at `at`, 0: unknown. UD2 is one that compilers make on purpose. */
static unsigned decode(struct insn *in, u64 at, u64 end)
{
	const u8 *bytes = (const u8 *)at;

	if (end - at >= 2 && bytes[0] == 0x0f && bytes[1] == 0x0b) {
		in->desc = NULL;
		return 2;
	}
	if (insn_decode(in, bytes, (unsigned)MIN(end - at, (u64)INSN_MAX), 8) != INSN_OK)
		return 0;
	return in->len;
}

static bool sweep_begins(struct sweep *s)
{
	struct insn in;
	u64 at = s->range.start;

	memset(s->begins, 0, sizeof(s->begins));
	while (at < s->range.end) {
		unsigned n = decode(&in, at, s->range.end);

		if (!n)
			return false;
		s->begins[(at - s->range.start) / 64] |= BIT64((at - s->range.start) % 64);
		at += n;
	}
	return at == s->range.end;
}

static bool branches_agree(const struct sweep *s)
{
	struct insn in;
	unsigned n;

	for (u64 at = s->range.start; at < s->range.end; at += n) {
		u64 to;

		n = decode(&in, at, s->range.end);
		if (!in.desc || (in.desc->imm != IMM_REL8 && in.desc->imm != IMM_RELZ))
			continue;
		to = at + n + in.imm;
		if (to >= s->range.start && to < s->range.end && !begins(s, to))
			return false;
	}
	return true;
}

/* With a prefix these bytes are not where the instruction begins: compilers make none, and it is left alone. */
enum cpuid_site cpuid_site_judge(const struct object *o, u64 at)
{
	struct sweep s;

	if (!unwind_function(o, at, &s.range) || s.range.end - s.range.start > FUNCTION_MAX)
		return CPUID_SITE_UNKNOWN;
	if (!sweep_begins(&s) || !branches_agree(&s))
		return CPUID_SITE_UNKNOWN;
	return begins(&s, at) ? CPUID_SITE_CERTAIN : CPUID_SITE_NONE;
}
