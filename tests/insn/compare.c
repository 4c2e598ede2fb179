/* SPDX-License-Identifier: MIT */
/*
 * Do two legs of a case agree? All of memory, registers and vector state, and how it ended. The exceptions:
 *
 * - FOP and FDP on AMD's hosts, and what is stored of FOP, FIP and FDP with segments (see check_pointers()).
 * - RF in a fault's image, which processors and their hypervisors handle differently.
 * - Flags at a fault or an exit, if the sequence would have overwritten them unread (translated code may have lost them).
 * - Flags that an instruction leaves undefined, and all that comes of reading them: where the processor keeps
 *   their old value, translated code may not have it any more.
 * - Flags that were dead until the case changed its own code (see flags_lost()).
 * - The word that a CALL stores before it faults because of its target: translated code does, where the target is
 *   not canonical, and Intel's processors, where it is beyond the limit. Those also try the stack first.
 * - What is reported of a fault in the middle of an instruction with several accesses (see known_fault()).
 * - What only processors of Intel do (intel.h).
 * - For level 0 against the host's level 3, the U bit of page fault error codes; and the P bit for addresses
 *   that belong to a kernel: Linux tells no more, and ours is not there.
 */
#include <string.h>

#include "engine/core/xsave.h"
#include "insn/forms.h"
#include "insn/intel.h"

#define FLAGS (FL_STATUS | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_AC | FL_ID)

struct report {
	const struct insn_case *c;
	enum leg leg[2];
	FILE *out;
	enum difference found;
	const u8 *code; /* of the case, as it is at the end */
	bool code_changed;
	u16 undefined;              /* flags */
	bool bases_moved;           /* of fs or gs */
	bool odd;                   /* ended with an exit */
	const struct insn *faulted; /* the instruction that both agree upon, or NULL */
};

static void say(struct report *r, enum difference what, const char *name, u64 a, u64 b)
{
	r->found = MAX(r->found, what);
	if (r->out && what == DIFF_FOUND)
		fprintf(r->out, "  %-14s %-10s %016llx  %-10s %016llx\n", name, leg_name[r->leg[0]],
			(unsigned long long)a, leg_name[r->leg[1]], (unsigned long long)b);
}

static void check(struct report *r, const char *name, u64 a, u64 b)
{
	if (a != b)
		say(r, DIFF_FOUND, name, a, b);
}

/* ---- how it ended ---- */

static u32 error_mask(const struct report *r, const struct outcome *o)
{
	u32 mask = ~0u;

	if (o->vector != X86_PF || r->leg[1] != LEG_HOST)
		return mask;
	if (r->c->cpl == 0)
		mask &= ~PF_U;
	if (o->cr2 >= 0x7ffffffff000 || o->cr2 - L_SYSTEM < 0x10000)
		mask &= ~PF_P;
	return mask;
}

/* Our leg and the host have faulted at the same instruction. */
static bool on_host(const struct report *r)
{
	return r->leg[1] == LEG_HOST && r->faulted;
}

/*
 * Processors differ in which of two accesses of an instruction they make first, and in what they have done before
 * the second one faults.
 */
static bool known_fault(const struct report *r, unsigned op)
{
	return on_host(r) && r->faulted->desc->op == op;
}

/* Images that cross a page: which of their bytes is accessed first is up to the processor. */
static bool known_image_fault(const struct report *r)
{
	return known_fault(r, OP_FNSAVE) || known_fault(r, OP_FRSTOR) ||
	       known_fault(r, OP_FNSTENV) || known_fault(r, OP_FLDENV) ||
	       known_fault(r, OP_FXSAVE) || known_fault(r, OP_FXRSTOR);
}

/* AMD's processors want an offset from fs or gs to be canonical, too. */
static bool known_offset_fault(
	const struct report *r, const struct outcome *a, const struct outcome *b)
{
	return on_host(r) && r->faulted->seg >= SEG_FS && a->vector == X86_PF &&
	       b->vector == X86_GP;
}

/* Operands that are accessed in two parts may fault at the first before the second is past the limit, or not canonical. */
static bool known_wrap(const struct report *r)
{
	return on_host(r) && (r->faulted->mem_size == 10 || r->faulted->desc->op == OP_BOUND ||
				     r->faulted->desc->op == OP_MASKMOV ||
				     r->faulted->desc->op == OP_COMPRESS || r->faulted->opmask);
}

/* With TF set a trap may come between two elements, the first being done (SDM 2: VPGATHERDD, VPSCATTERDD). */
static bool trapped_between(const struct report *r, const struct outcome *b)
{
	return (known_fault(r, OP_GATHER) || known_fault(r, OP_SCATTER)) && b->vector == X86_DB;
}

/* Near calls to beyond the limit: the target is looked at before the stack is written, as AMD's processors do; Intel's write first. */
static bool known_call_fault(const struct report *r)
{
	return !host_is_amd() && r->c->kind != KIND_FLAT && known_fault(r, OP_CALL_REL);
}

static void check_end(struct report *r, const struct outcome *a, const struct outcome *b)
{
	u32 mask = error_mask(r, a);

	check(r, "end", a->end, b->end);
	if (known_fault(r, OP_CMPS) || known_fault(r, OP_PUSHA) || known_fault(r, OP_POPA) ||
		known_fault(r, OP_MOVS) || known_fault(r, OP_CALL_RM) || known_fault(r, OP_ENTER) ||
		known_fault(r, OP_MASKMOVDQU) || known_image_fault(r))
		return;
	if (known_offset_fault(r, a, b) || known_wrap(r) || known_call_fault(r) ||
		trapped_between(r, b))
		return;
	if (on_host(r) && intel_other_vector(r->faulted, a, b))
		return;
	check(r, "vector", a->vector, b->vector);
	if (a->end != b->end || a->end != END_FAULT || a->vector != b->vector)
		return;
	check(r, "error", a->error & mask, b->error & mask);
	if (a->vector == X86_PF)
		check(r, "cr2", a->cr2, b->cr2);
}

/* ---- registers ---- */

static void check_gpr(struct report *r, const struct regs *a, const struct regs *b)
{
	static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
		"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
	bool wide = r->c->mode == 8;

	for (unsigned i = 0; i < (wide ? 16 : 8); i++)
		check(r, names[i], wide ? a->gpr[i] : (u32)a->gpr[i],
			wide ? b->gpr[i] : (u32)b->gpr[i]);
	if (!wide)
		return;
	check(r, "fs base", a->fs_base, b->fs_base);
	check(r, "gs base", a->gs_base, b->gs_base);
}

/* From the code as it is at the end: it may have changed itself. */
static bool decode_at(const struct report *r, unsigned at, struct insn *in)
{
	const struct insn_case *c = r->c;
	u8 code[INSN_MAX];

	if (at >= c->bytes)
		return false;
	memset(code, 0xcc, sizeof(code));
	memcpy(code, r->code + at, MIN(c->bytes - at, (unsigned)INSN_MAX));
	return insn_decode(in, code, INSN_MAX, c->mode) == INSN_OK;
}

/*
 * Flags that may be undefined at the end, or all (*ret_read) if one was read before. Instructions that a branch
 * may have skipped, or that follow a fault or an exit, do not count as having defined any.
 */
static u16 undefined_flags(const struct report *r, bool cut, bool *ret_read)
{
	u16 undefined = 0;
	bool branched = cut;
	struct insn in;

	*ret_read = false;
	for (unsigned i = 0; i < r->c->count && decode_at(r, r->c->at[i], &in); i++) {
		if (in.desc->flags_read & undefined)
			*ret_read = true;
		if (!branched)
			undefined &= ~in.desc->flags_always;
		undefined |= in.desc->flags_undefined;
		branched |= (insn_class(&in) & OC_ENDS) != 0;
	}
	return undefined;
}

/* Nobody knows what comes after it, or step() does it and sees all flags. */
static bool is_end(const struct report *r, const struct insn *in)
{
	unsigned ends = r->c->kind == KIND_FLAT ? OC_ENDS | OC_ENDS64 : OC_ENDS;

	return (insn_class(in) & ends) || in->desc->op == OP_STI;
}

/* Which status flags are read, or not written, from there on? */
static u16 live_flags(const struct report *r, unsigned at)
{
	u16 undecided = FL_STATUS, live = 0;
	struct insn in;

	while (undecided && decode_at(r, at, &in)) {
		bool jump = in.desc->op == OP_JCC || in.desc->op == OP_JMP_REL;

		live |= in.desc->flags_read & undecided;
		undecided &= ~(in.desc->flags_read | in.desc->flags_always);
		at += in.len;
		if (in.desc->op == OP_JCC)
			live |= live_flags(r, at) & undecided;
		if (jump && (s64)in.imm >= 0)
			at += in.imm;
		else if (is_end(r, &in))
			break;
	}
	return live | undecided;
}

static void check_flags(struct report *r, const struct outcome *a, const struct outcome *b)
{
	u64 diff = (a->regs.rflags ^ b->regs.rflags) & FLAGS, excused;

	if (!diff)
		return;
	excused = r->undefined;
	if (a->end == END_FAULT || a->end == END_ODD)
		excused |= FL_STATUS & ~live_flags(r, a->regs.rip - r->c->start.rip);
	if (a->end != END_DONE && a->regs.rip - r->c->start.rip >= r->c->bytes)
		excused |= FL_STATUS; /* nobody knows what code that was */
	say(r, diff & ~excused ? DIFF_FOUND : DIFF_EXCUSED, "rflags", a->regs.rflags,
		b->regs.rflags);
}

/* ---- vectors ---- */

static u64 at(const u8 *p, unsigned offset, unsigned n)
{
	u64 v = 0;

	memcpy(&v, p + offset, n);
	return v;
}

/* A component in its initial state need not have been written. */
static void normalise(u8 *to, const u8 *from)
{
	u64 bv = at(from, 512, 8);

	memcpy(to, from, R_XSAVE_BYTES);
	if (!(bv & 1)) {
		memset(to, 0, 24);
		memset(to + 32, 0, 128);
		to[0] = 0x7f;
		to[1] = 3;
	}
	if (!(bv & 2))
		memset(to + 160, 0, 256);
	for (unsigned i = XS_AVX; i < XS_COUNT; i++)
		if (!(bv & BIT64(i)))
			memset(to + host_xstate()->offset[i], 0, xstate_size(i));
}

static void check_indexed(struct report *r, const char *name, unsigned i, u64 a, u64 b)
{
	char full[24];

	if (a == b)
		return;
	snprintf(full, sizeof(full), "%s%u", name, i);
	say(r, DIFF_FOUND, full, a, b);
}

/*
 * How much is kept of an address that is not canonical is the processor's. Segments have other bases on the host, and
 * processors without FDP_EXCPTN_ONLY have more to say than guests see. An exception that is cleared unreported leaves the
 * guest's FOP and FDP as they were.
 */
static void check_pointers(struct report *r, const u8 *a, const u8 *b)
{
	bool host = r->leg[1] == LEG_HOST;
	unsigned bytes = host ? 6 : 8;

	/* AMD's processors lose them when they are saved while no exception is pending. */
	if (host_is_amd() && (!at(a, 8, bytes) || !at(b, 8, bytes)))
		return;
	check(r, "fip", at(a, 8, bytes), at(b, 8, bytes));
	if (host && (host_is_amd() || !(at(a, 2, 2) & FSW_ES)))
		return;
	/* Translated code loses those of an exception that is cleared unreported (Known gaps). */
	if (!host && !(at(a, 2, 2) & FSW_ES) && (!at(a, 6, 2) || !at(b, 6, 2)))
		return;
	check(r, "fop", at(a, 6, 2), at(b, 6, 2));
	/* It is looked up in the TLB, where a page that may not be read is not (Known gaps). */
	if (diff_tap_pages() && (!at(a, 16, bytes) || !at(b, 16, bytes)))
		return;
	/* On AMD's processors it may be that of an earlier instruction: lost since, or in a segment that is not known. */
	if (host_is_amd() && (r->c->start.fs_base || r->c->start.gs_base || !at(a, 16, bytes) ||
				     !at(b, 16, bytes)))
		return;
	if (r->c->kind == KIND_FLAT &&
		!r->bases_moved) /* else the segment is another when it is asked for */
		check(r, "fdp", at(a, 16, bytes), at(b, 16, bytes));
}

static void check_avx512(struct report *r, const u8 *a, const u8 *b)
{
	static const char *const names[] = {
		[XS_OPMASK] = "opmask ", [XS_ZMM_HI] = "zmm high ", [XS_HI16] = "upper zmm "};

	for (unsigned i = XS_OPMASK; i < XS_COUNT; i++) {
		unsigned offset = host_xstate()->offset[i], words = xstate_size(i) / 8;

		/* A register number and a part of it: opmasks are one word each, the others four or eight. */
		for (unsigned k = 0; offset && k < words; k++)
			check_indexed(
				r, names[i], k, at(a, offset + k * 8, 8), at(b, offset + k * 8, 8));
	}
}

static void check_vectors(struct report *r, const u8 *from_a, const u8 *from_b)
{
	u8 a[R_XSAVE_BYTES], b[R_XSAVE_BYTES];

	normalise(a, from_a);
	normalise(b, from_b);
	if (on_host(r))
		intel_restore_top(r->faulted, a, b);
	check(r, "fcw", at(a, 0, 2), at(b, 0, 2));
	check(r, "fsw", at(a, 2, 2), at(b, 2, 2));
	check(r, "ftw", a[4], b[4]);
	check_pointers(r, a, b);
	if (!on_host(r) || !intel_has_more_flags(r->faulted, at(a, 24, 4), at(b, 24, 4)))
		check(r, "mxcsr", at(a, 24, 4), at(b, 24, 4));
	for (unsigned i = 0; i < 8; i++) {
		check_indexed(r, "st low ", i, at(a, 32 + i * 16, 8), at(b, 32 + i * 16, 8));
		check_indexed(r, "st high ", i, at(a, 40 + i * 16, 2), at(b, 40 + i * 16, 2));
	}
	check_avx512(r, a, b);
	if (!memcmp(a + 160, b + 160, 256) && !memcmp(a + 576, b + 576, 256))
		return;
	for (unsigned i = 0; i < 32; i++) {
		check_indexed(r, i & 1 ? "xmm high " : "xmm low ", i / 2, at(a, 160 + i * 8, 8),
			at(b, 160 + i * 8, 8));
		check_indexed(r, i & 1 ? "ymm top " : "ymm third ", i / 2, at(a, 576 + i * 8, 8),
			at(b, 576 + i * 8, 8));
	}
}

/* ---- memory ---- */

/* FOP, FIP and FDP occupy no more than that in any image. */
#define POINTER_BYTES 20

static void check_memory(struct report *r, const char *name, const u8 *a, const u8 *b, unsigned n)
{
	unsigned differ = 0, shown = 0;

	if (!memcmp(a, b, n))
		return;
	for (unsigned i = 0; i < n; i++)
		differ += a[i] != b[i];
	if (r->c->image && r->leg[1] == LEG_HOST && differ <= POINTER_BYTES &&
		(r->c->kind != KIND_FLAT || host_is_amd()))
		return;
	if (known_call_fault(r) && differ <= r->faulted->op_size)
		return;
	if (on_host(r) && differ <= intel_half_written(r->faulted))
		return;
	/* Flags in frames that were not pushed to the end, real mode's double faults. */
	if (r->c->kind == KIND_REAL && r->odd && differ <= 6)
		return;
	for (unsigned i = 0; i < n; i += 8) {
		char full[24];

		if (!memcmp(a + i, b + i, 8) || shown++ == 4)
			continue;
		snprintf(full, sizeof(full), "%s+%x", name, i);
		say(r, DIFF_FOUND, full, at(a, i, 8), at(b, i, 8));
	}
}

/* ---- all of it ---- */

/*
 * Has the case changed code before which flags were dead? Then translated code had lost them already when the change
 * made them matter, which cannot be helped.
 */
static bool flags_lost(const struct report *r)
{
	struct report before = {.c = r->c, .code = r->c->code};

	if (!r->code_changed || r->leg[1] == LEG_HOST)
		return false;
	for (unsigned i = 0; i < r->c->count; i++)
		if (live_flags(&before, r->c->at[i]) != FL_STATUS)
			return true;
	return false;
}

static void check_segments(struct report *r, const struct outcome *a, const struct outcome *b)
{
	static const char *const names[] = {"es", "cs", "ss", "ds", "fs", "gs"};

	for (unsigned i = 0; i < 6; i++) {
		char name[24];

		check(r, names[i], a->seg[i].selector, b->seg[i].selector);
		snprintf(name, sizeof(name), "%s base", names[i]);
		check(r, name, a->seg[i].base, b->seg[i].base);
		snprintf(name, sizeof(name), "%s limit", names[i]);
		check(r, name, (u64)a->seg[i].attr << 32 | a->seg[i].limit,
			(u64)b->seg[i].attr << 32 | b->seg[i].limit);
	}
}

static void check_all(struct report *r, const struct outcome *a, const struct outcome *b)
{
	r->bases_moved =
		a->regs.fs_base != r->c->start.fs_base || a->regs.gs_base != r->c->start.gs_base;
	check_end(r, a, b);
	if (r->leg[1] != LEG_HOST)
		check_segments(r, a, b);
	if (r->leg[1] != LEG_HOST)
		check(r, "exit reason", a->exit_reason, b->exit_reason);
	check(r, "rip", a->regs.rip, b->regs.rip);
	check_flags(r, a, b);
	if (!known_fault(r, OP_POPA))
		check_gpr(r, &a->regs, &b->regs);
	if (!known_fault(r, OP_MASKMOVDQU) && !known_fault(r, OP_GATHER))
		check_vectors(r, a->regs.xsave, b->regs.xsave);
	if (known_fault(r, OP_ENTER) || known_fault(r, OP_PUSHA) ||
		(r->faulted && r->faulted->desc->op == OP_CALL_RM))
		return;
	check_memory(r, "data", a->data, b->data, sizeof(a->data));
	check_memory(r, "code", a->code, b->code, sizeof(a->code));
}

/* The instruction at which a leg faulted. */
static bool find_fault(const struct report *r, const struct outcome *o, struct insn *in)
{
	return o->end == END_FAULT && decode_at(r, o->regs.rip - r->c->start.rip, in);
}

/* The host was asked to do something that it, its kernel or its hypervisor does in its own way. */
static bool strange_fault(const struct report *r, const struct outcome *o)
{
	struct insn in;

	return find_fault(r, o, &in) &&
	       !(form_allowed(in.desc) & (r->c->cpl == 0 ? OK_KERNEL : OK_HOST));
}

/* Without an active byte MASKMOVDQU may fault or not (SDM 2). */
static bool vague_fault(const struct report *r, const struct outcome *o)
{
	struct insn in;

	return find_fault(r, o, &in) && in.desc->op == OP_MASKMOVDQU;
}

/* Came by accident to the landing page, which is different in the guest and on the host. */
static bool landed_beside(const struct report *r, const struct outcome *o)
{
	u64 land = case_end(r->c);

	return o->regs.rip - L_LAND < PAGE_SIZE && (o->end != END_DONE || o->regs.rip != land);
}

/* A repeated instruction: whether it is fetched anew in the middle is up to the processor. */
static bool overwrites_itself(const struct report *r)
{
	const struct insn_case *c = r->c;
	struct insn in;

	for (unsigned i = 0; r->code_changed && i < c->count; i++) {
		const u8 *was = c->code + c->at[i];

		if (insn_decode(&in, was, INSN_MAX, c->mode) != INSN_OK)
			break;
		if ((insn_class(&in) & OC_STRING) && (in.pfx & (PFX_REP | PFX_REPNE)) &&
			memcmp(r->code + c->at[i], was, in.len))
			return true;
	}
	return false;
}

/* Has the case made of its own code something that would not have been generated? */
static bool strange_code(const struct report *r)
{
	struct insn in;

	if (!r->code_changed)
		return false;
	if (r->c->kind != KIND_FLAT && r->code[r->c->at[r->c->count]] != 0xcc)
		return true; /* no end any more */
	for (unsigned at = 0; at < r->c->bytes; at += in.len)
		if (!decode_at(r, at, &in) || !(form_allowed(in.desc) & OK_HOST) ||
			((in.desc->attr & IA_FORCE64) && (in.pfx & PFX_66)) ||
			(in.desc->op == OP_LOOP && (in.pfx & (PFX_REP | PFX_REPNE))))
			return true;
	return r->c->image;
}

/* Mapped on the host, but not in the guest of flat cases. */
static bool host_only(u64 lin)
{
	return lin - L_CONTEXT < PAGE_SIZE || lin - LOW_DATA < L_DATA_PAGES * PAGE_SIZE ||
	       lin - LOW_CODE < 2 * PAGE_SIZE;
}

static bool not_comparable(const struct report *r, const struct outcome *a, const struct outcome *b)
{
	struct insn in;

	if (find_fault(r, a, &in) && intel_skips_store(&in, a, b))
		return true;
	if (overwrites_itself(r) || strange_code(r) || (r->code_changed && a->end == END_ODD))
		return true;
	if (a->end == END_FAULT && a->vector == X86_PF && host_only(a->cr2))
		return true;
	if (r->c->kind != KIND_FLAT &&
		(a->end == END_ODD || (b->end == END_FAULT && b->vector == X86_PF)))
		return true; /* MMIO, where the host has nothing */
	if ((b->regs.rip & PAGE_MASK) == L_VSYSCALL)
		return true; /* Linux does not say what the fault was */
	if (landed_beside(r, a) || landed_beside(r, b) || strange_fault(r, a) ||
		strange_fault(r, b))
		return true;
	return a->regs.rip != b->regs.rip && (vague_fault(r, a) || vague_fault(r, b));
}

enum difference compare(const struct insn_case *c, enum leg la, const struct outcome *a,
	enum leg lb, const struct outcome *b, FILE *out)
{
	const u64 rw = c->kind == KIND_FLAT ? L_CODE + L_CODE_RW * PAGE_SIZE
					    : LOW_CODE - c->seg[SEG_CS].base;
	struct report r = {.c = c, .leg = {la, lb}, .out = out, .code = c->code};
	struct insn in;
	bool read;

	r.odd = a->end == END_ODD;
	if (a->end == END_STUCK || b->end == END_STUCK)
		return a->end == b->end ? DIFF_NONE : DIFF_EXCUSED;
	if (c->start.rip - rw < sizeof(a->code))
		r.code = a->code + (c->start.rip - rw);
	r.code_changed = memcmp(r.code, c->code, c->bytes);
	r.undefined = undefined_flags(&r, a->end != END_DONE, &read);
	if (lb == LEG_HOST && not_comparable(&r, a, b))
		return DIFF_EXCUSED;
	if (b->end == END_FAULT && a->regs.rip == b->regs.rip && find_fault(&r, a, &in))
		r.faulted = &in;
	if (r.code_changed)
		r.undefined = FL_STATUS; /* by what is there now */
	check_all(&r, a, b);
	return r.found == DIFF_FOUND && (read || flags_lost(&r)) ? DIFF_EXCUSED : r.found;
}
