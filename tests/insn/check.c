/* SPDX-License-Identifier: MIT */
/* A case from end to end: its legs, their comparison, and for a finding the least that still shows it. */
#include <string.h>

#ifdef HAVE_ZYDIS
#include <Zydis/Zydis.h>
#endif

#include "insn/diff.h"

static enum difference worse(enum difference a, enum difference b)
{
	return a > b ? a : b;
}

static const char *const end_name[] = {"done", "fault", "stuck", "odd exit"};

/* Of the last case. */
static struct outcome o[LEGS];

/* The address sanitizer's own memory lies where interesting values point to. */
static bool with_host(const struct insn_case *c)
{
#ifdef __SANITIZE_ADDRESS__
	return false;
#else
	return c->with_host;
#endif
}

static enum difference compare_legs(const struct insn_case *c, FILE *out)
{
	enum difference found = DIFF_NONE;

	found = worse(
		found, compare(c, LEG_STEP, &o[LEG_STEP], LEG_TRANSLATE, &o[LEG_TRANSLATE], out));
	found = worse(
		found, compare(c, LEG_TRANSLATE, &o[LEG_TRANSLATE], LEG_AGAIN, &o[LEG_AGAIN], out));
	if (with_host(c))
		found = worse(
			found, compare(c, LEG_STEP, &o[LEG_STEP], LEG_HOST, &o[LEG_HOST], out));
	return found;
}

void print_differences(const struct insn_case *c, FILE *out)
{
	for (unsigned leg = 0; leg < (with_host(c) ? LEGS : LEG_HOST); leg++)
		fprintf(out, "  %-15s %s, vector %u, rip %llx, cr2 %llx\n", leg_name[leg],
			end_name[o[leg].end], o[leg].vector, (unsigned long long)o[leg].regs.rip,
			(unsigned long long)o[leg].cr2);
	compare_legs(c, out);
}

/* Does the host say the same again? Not if the case depends on memory that it has changed and that is not put back. */
static bool repeatable(struct diff *d, const struct insn_case *c)
{
	static struct outcome again;

	if (!with_host(c))
		return true;
	diff_run(d, c, LEG_HOST, &again);
	return compare(c, LEG_HOST, &o[LEG_HOST], LEG_HOST, &again, NULL) != DIFF_FOUND;
}

enum difference check_case(struct diff *d, struct insn_case *c, struct tally *t, FILE *out)
{
	enum difference found;

	diff_load(d, c);
	for (unsigned leg = 0; leg < (with_host(c) ? LEGS : LEG_HOST); leg++)
		diff_run(d, c, leg, &o[leg]);
	found = compare_legs(c, out);
	if (found == DIFF_FOUND && !repeatable(d, c))
		found = DIFF_EXCUSED;
	t->cases++;
	t->insns += c->count;
	t->faults += o[LEG_STEP].end == END_FAULT;
	t->stuck += o[LEG_STEP].end == END_STUCK;
	t->excused += found == DIFF_EXCUSED;
	return found;
}

/* ---- making it small ---- */

static bool still_differs(struct diff *d, struct insn_case *c)
{
	struct tally unused = {0};

	return check_case(d, c, &unused, NULL) == DIFF_FOUND;
}

static void try_without(struct diff *d, struct insn_case *c, unsigned i)
{
	struct insn_case less = *c;

	memset(less.code + c->at[i], 0x90, c->at[i + 1] - c->at[i]);
	if (still_differs(d, &less))
		*c = less;
}

void minimise(struct diff *d, struct insn_case *c)
{
	struct insn_case less = *c;

	for (unsigned i = c->count; i-- > 0;)
		try_without(d, c, i);
	for (unsigned i = c->patches; i-- > 0;) {
		less = *c;
		less.patch[i] = less.patch[--less.patches];
		if (still_differs(d, &less))
			*c = less;
	}
	for (unsigned i = 0; i < GPR_COUNT; i++) {
		less = *c;
		less.start.gpr[i] = 0;
		if (c->start.gpr[i] && still_differs(d, &less))
			*c = less;
	}
}

/* ---- showing it ---- */

static void print_insn(const struct insn_case *c, unsigned from, unsigned to, FILE *out)
{
	char text[96] = "";
	u64 rip = c->start.rip + from;
	int n = 0;

#ifdef HAVE_ZYDIS
	ZydisDisassembledInstruction z;
	ZydisMachineMode mode = c->mode == 8   ? ZYDIS_MACHINE_MODE_LONG_64
				: c->mode == 4 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32
					       : ZYDIS_MACHINE_MODE_LONG_COMPAT_16;

	if (ZYAN_SUCCESS(ZydisDisassembleIntel(mode, rip, c->code + from, to - from, &z)))
		snprintf(text, sizeof(text), "%s", z.text);
#else
	struct insn in;

	if (insn_decode(&in, c->code + from, MIN(to - from, 15u), c->mode) == INSN_OK)
		snprintf(text, sizeof(text), "%s", insn_name(&in));
#endif
	n = fprintf(out, "  %llx ", (unsigned long long)rip);
	for (unsigned i = from; i < to; i++)
		n += fprintf(out, " %02x", c->code[i]);
	fprintf(out, "%*s%s\n", MAX(2, 52 - n), "", text);
}

static bool is_nops(const struct insn_case *c, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		if (c->code[i] != 0x90)
			return false;
	return true;
}

void print_case(const struct insn_case *c, FILE *out)
{
	static const char *const kinds[] = {"", ", real mode", ", virtual-8086 mode", ", segments"};

	fprintf(out, " %u-bit code, CPL %u%s%s\n", c->mode * 8, c->cpl, kinds[c->kind],
		c->cold ? ", cold TLB" : "");
	for (unsigned i = 0; c->kind != KIND_FLAT && i < 6; i++)
		fprintf(out, "  %cs %04x base %x limit %x attr %x\n", "ecsdfg"[i],
			c -> seg[i].selector, c->seg[i].base, c->seg[i].limit, c->seg[i].attr);
	for (unsigned i = 0; i < c->count; i++)
		if (!is_nops(c, c->at[i], c->at[i + 1]))
			print_insn(c, c->at[i], c->at[i + 1], out);
	for (unsigned i = 0; i < GPR_COUNT; i++)
		fprintf(out, "%s r%-2u %016llx", i % 4 ? "" : "\n ", i,
			(unsigned long long)c->start.gpr[i]);
	fprintf(out, "\n  flags %llx  fs %llx  gs %llx  mxcsr %x  fcw %x  fsw %x\n",
		(unsigned long long)c->start.rflags, (unsigned long long)c->start.fs_base,
		(unsigned long long)c->start.gs_base, *(const u32 *)(c->start.xsave + 24),
		*(const u16 *)c->start.xsave, *(const u16 *)(c->start.xsave + 2));
	for (unsigned i = 0; i < c->patches; i++)
		fprintf(out, "  [%llx] = %016llx\n", (unsigned long long)c->patch[i].addr,
			(unsigned long long)c->patch[i].value);
}
