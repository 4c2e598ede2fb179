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

/* A page with some of what stands before and behind it. */
#define BEFORE 64u
#define CODE   (BEFORE + PAGE_SIZE + INSN_MAX)

/* Bytes of what stands there; 1 of what is no instruction. */
static u32 step_over(const u8 *code, u32 at, struct insn *in)
{
	if (insn_decode(in, code + at, INSN_MAX, 8) != INSN_OK) {
		in->desc = NULL;
		return 1;
	}
	return in->len;
}

static bool leads_to(const u8 *code, u32 from, u32 to)
{
	struct insn in;

	while (from < to)
		from += step_over(code, from, &in);
	return from == to;
}

/*
 * Whoever reads code from a wrong byte on is soon at the right ones. So of some starts before an instruction most lead to it, and few
 * into its middle, or to one that is none. (Who jumps there gets what he asks for.)
 */
#define STARTS 6

static bool is_likely(const u8 *code, u32 at)
{
	u32 led = 0;

	for (u32 i = 0; i < STARTS; i++)
		led += leads_to(code, at - 3u * INSN_MAX + i, at);
	return 2 * led > STARTS;
}

static bool is_strange(const struct verdicts *v, const struct insn *in)
{
	return in->desc && (strange[in->desc->op] || (v->beyond && beyond[in->desc->op]));
}

static bool is_plain(const struct verdicts *v, const u8 *code)
{
	struct insn in;
	u32 length;

	for (u32 at = 0; at < BEFORE + PAGE_SIZE; at += length) {
		length = step_over(code, at, &in);
		if (at + length > BEFORE && is_strange(v, &in) &&
			is_likely(code, MAX(at, 3u * INSN_MAX)))
			return false;
	}
	return true;
}

static u64 sum_of(const u8 *page)
{
	u64 sum[4] = {1, 2, 3, 4};

	for (u32 at = 0; at < PAGE_SIZE; at += sizeof(sum))
		for (unsigned i = 0; i < 4; i++) {
			u64 word;

			memcpy(&word, page + at + 8 * i, 8);
			sum[i] = (sum[i] ^ word) * 0x9e3779b97f4a7c15ull;
			sum[i] ^= sum[i] >> 32;
		}
	return sum[0] + 3 * sum[1] + 5 * sum[2] + 7 * sum[3];
}

/* What stands around the page, which others may take away at any moment: then it is none. */
static void copy_around(u8 *code, const u8 *before, const u8 *next)
{
	if (!before || guest_copy(code, before + PAGE_SIZE - BEFORE, BEFORE))
		memset(code, 0, BEFORE);
	if (!next || guest_copy(code + BEFORE + PAGE_SIZE, next, INSN_MAX))
		memset(code + BEFORE + PAGE_SIZE, 0, INSN_MAX);
}

bool scan_is_plain(struct verdicts *v, const u8 *before, const u8 *page, const u8 *next)
{
	struct verdict *of = &v->of[((u64)page >> PAGE_SHIFT) % VERDICTS];
	u8 code[CODE];
	u64 sum;

	if (guest_copy(code + BEFORE, page, PAGE_SIZE))
		return false;
	sum = sum_of(code + BEFORE);
	if (of->page == page && of->sum == sum)
		return of->plain;
	copy_around(code, before, next);
	*of = (struct verdict){page, sum, is_plain(v, code)};
	return of->plain;
}
