/* SPDX-License-Identifier: MIT */
/* See scan.h. */
#include "engine/direct/scan.h"

#include <string.h>

#include "engine/host/raw.h"
#include "x86/insn.h"

/* What would do something else than in the guest, without a fault: it shows the host, or leaves 64-bit user code. */
static const bool strange[OP_COUNT] = {
	/* CPUID and time */
	[OP_CPUID] = true,
	[OP_RDTSC] = true,
	[OP_RDTSCP] = true,
	[OP_RDPID] = true,
	/* Tables, and what is in them. The kernel makes the first ones up where UMIP forbids them. */
	[OP_SGDT] = true,
	[OP_SIDT] = true,
	[OP_SLDT] = true,
	[OP_STR] = true,
	[OP_SMSW] = true,
	[OP_LAR] = true,
	[OP_LSL] = true,
	[OP_VERR] = true,
	[OP_VERW] = true,
	/* Other segments */
	[OP_MOV_TO_SEG] = true,
	[OP_POP_SEG] = true,
	[OP_LOAD_FAR] = true,
	[OP_JMP_FAR_M] = true,
	[OP_CALL_FAR_M] = true,
	[OP_RET_FAR] = true,
	[OP_IRET] = true,
	/* The host's kernel and hypervisor may answer. */
	[OP_INT_IMM] = true,
	[OP_INT1] = true,
	[OP_SYSENTER] = true,
	[OP_VMCALL] = true,
	[OP_VMMCALL] = true,
};

/* Where the host has more vector state than guests may have: it is told of, and saved where the guest has no room for it. */
static const bool beyond[OP_COUNT] = {
	[OP_XGETBV] = true,
	[OP_XSAVE] = true,
	[OP_XSAVEOPT] = true,
	[OP_XSAVEC] = true,
	[OP_XRSTOR] = true,
};

/* A page with some of what stands before and behind it, and which of that is known. */
#define BEFORE 64u
#define NEXT   32u
struct text {
	u8 byte[BEFORE + PAGE_SIZE + NEXT];
	u32 from, to;
};
#define BEGIN BEFORE
#define END   (BEFORE + PAGE_SIZE)

/* Compilers put it where nothing goes on, and the decoder tells no length of it. */
static bool is_ud2(const struct text *t, u32 at)
{
	return at + 1 < t->to && t->byte[at] == 0x0f && t->byte[at + 1] == 0x0b;
}

/* Bytes of what stands there; 1 of what is no instruction. */
static u32 step_over(const struct text *t, u32 at, struct insn *in)
{
	if (insn_decode(in, t->byte + at, MIN(INSN_MAX, t->to - at), 8) == INSN_OK)
		return in->len;
	in->desc = NULL;
	return is_ud2(t, at) ? 2 : 1;
}

static bool leads_to(const struct text *t, u32 from, u32 to)
{
	struct insn in;

	while (from < to)
		from += step_over(t, from, &in);
	return from == to;
}

/*
 * Whoever reads code from a wrong byte on is soon at the right ones. So of some starts before an instruction most lead to it, and few
 * into its middle, or to one that is none. (Who jumps there gets what he asks for.)
 */
#define STARTS 6u

static bool is_likely(const struct text *t, u32 at)
{
	const u32 first = MAX(at, t->from + 3u * INSN_MAX) - 3u * INSN_MAX;
	u32 led = 0, tried = 0;

	for (; tried < STARTS && first + tried <= at; tried++)
		led += leads_to(t, first + tried, at);
	return 2 * led > tried;
}

static bool is_strange(const struct verdicts *v, const struct insn *in)
{
	return in->desc && (strange[in->desc->op] || (v->beyond && beyond[in->desc->op]));
}

/* One that begins in the page before cannot be told. */
static void note(struct verdict *of, u32 at)
{
	if (at < BEGIN || of->count >= STRANGE_MAX)
		of->count = STRANGE_MANY;
	else
		of->at[of->count++] = (u16)(at - BEGIN);
}

static void look_through(const struct verdicts *v, const struct text *t, struct verdict *of)
{
	struct insn in;
	u32 length;

	for (u32 at = t->from; at < END; at += length) {
		length = step_over(t, at, &in);
		if (at + length > BEGIN && is_strange(v, &in) && is_likely(t, at))
			note(of, at);
	}
}

/* ---- sums ---- */

static u64 sum_of(const u8 *bytes, u32 n)
{
	u64 sum[4] = {1, 2, 3, 4};

	for (u32 at = 0; at < n; at += sizeof(sum))
		for (unsigned i = 0; i < 4; i++) {
			u64 word;

			memcpy(&word, bytes + at + 8 * i, 8);
			sum[i] = (sum[i] ^ word) * 0x9e3779b97f4a7c15ull;
			sum[i] ^= sum[i] >> 32;
		}
	return (sum[0] + 3 * sum[1] + 5 * sum[2] + 7 * sum[3]) | 1;
}

/* What stands around the page, which others may take away at any moment: then it is not known. */
static void copy_around(struct text *t, const u8 *before, const u8 *next)
{
	const bool begins = !before || guest_copy(t->byte, before + PAGE_SIZE - BEFORE, BEFORE),
		   ends = !next || guest_copy(t->byte + END, next, NEXT);

	t->from = begins ? BEGIN : 0;
	t->to = ends ? END : END + NEXT;
}

/* What was seen with a neighbour holds without it as well. */
static bool is_known(u64 now, u64 then)
{
	return !now || now == then;
}

const struct verdict *scan_page(
	struct verdicts *v, const u8 *before, const u8 *page, const u8 *next)
{
	struct verdict *of = &v->of[((u64)page >> PAGE_SHIFT) % VERDICTS], now = {.page = page};
	struct text t;

	if (guest_copy(t.byte + BEGIN, page, PAGE_SIZE))
		return NULL;
	copy_around(&t, before, next);
	now.sum = sum_of(t.byte + BEGIN, PAGE_SIZE);
	now.before = t.from < BEGIN ? sum_of(t.byte, BEFORE) : 0;
	now.next = t.to > END ? sum_of(t.byte + END, NEXT) : 0;
	if (of->page == page && of->sum == now.sum && is_known(now.before, of->before) &&
		is_known(now.next, of->next))
		return of;
	look_through(v, &t, &now);
	*of = now;
	return of;
}
