/* SPDX-License-Identifier: MIT */
/*
 * Differences between our decoder and Zydis that are meant, each with its reason. A rule excuses some
 * fields of some instructions; whatever no rule covers is a bug of ours.
 */
#include "oracle.h"

#include "x86/regs.h"
#include "x86/insn.h"

/* Extensions that no guest is offered: #UD, so we reject what Zydis accepts. */
static const ZydisISASet not_offered[] = {
	ZYDIS_ISA_SET_AMD3DNOW,
	ZYDIS_ISA_SET_AMD_INVLPGB,
	ZYDIS_ISA_SET_AMX_BF16,
	ZYDIS_ISA_SET_AMX_INT8,
	ZYDIS_ISA_SET_AMX_TILE,
	ZYDIS_ISA_SET_AVX512ER_512,
	ZYDIS_ISA_SET_AVX512ER_SCALAR,
	ZYDIS_ISA_SET_AVX512PF_512,
	ZYDIS_ISA_SET_AVX512_4FMAPS_512,
	ZYDIS_ISA_SET_AVX512_4FMAPS_SCALAR,
	ZYDIS_ISA_SET_AVX512_4VNNIW_512,
	ZYDIS_ISA_SET_AVX512_FP16_128,
	ZYDIS_ISA_SET_AVX512_FP16_128N,
	ZYDIS_ISA_SET_AVX512_FP16_256,
	ZYDIS_ISA_SET_AVX512_FP16_512,
	ZYDIS_ISA_SET_AVX512_FP16_SCALAR,
	ZYDIS_ISA_SET_AVX512_VP2INTERSECT_128,
	ZYDIS_ISA_SET_AVX512_VP2INTERSECT_256,
	ZYDIS_ISA_SET_AVX512_VP2INTERSECT_512,
	ZYDIS_ISA_SET_AVX_VNNI,
	ZYDIS_ISA_SET_CET,
	ZYDIS_ISA_SET_CLZERO,
	ZYDIS_ISA_SET_ENQCMD,
	ZYDIS_ISA_SET_FMA4,
	ZYDIS_ISA_SET_HRESET,
	ZYDIS_ISA_SET_KEYLOCKER,
	ZYDIS_ISA_SET_KEYLOCKER_WIDE,
	ZYDIS_ISA_SET_LWP,
	ZYDIS_ISA_SET_MCOMMIT,
	ZYDIS_ISA_SET_MONITORX,
	ZYDIS_ISA_SET_MOVDIR,
	ZYDIS_ISA_SET_PADLOCK_ACE,
	ZYDIS_ISA_SET_PADLOCK_PHE,
	ZYDIS_ISA_SET_PADLOCK_PMM,
	ZYDIS_ISA_SET_PADLOCK_RNG,
	ZYDIS_ISA_SET_PCONFIG,
	ZYDIS_ISA_SET_PKU,
	ZYDIS_ISA_SET_PT,
	ZYDIS_ISA_SET_RDPRU,
	ZYDIS_ISA_SET_RTM,
	ZYDIS_ISA_SET_SERIALIZE,
	ZYDIS_ISA_SET_SGX,
	ZYDIS_ISA_SET_SGX_ENCLV,
	ZYDIS_ISA_SET_SMX,
	ZYDIS_ISA_SET_SNP,
	ZYDIS_ISA_SET_SSE4A,
	ZYDIS_ISA_SET_SVM,
	ZYDIS_ISA_SET_TBM,
	ZYDIS_ISA_SET_TDX,
	ZYDIS_ISA_SET_TSX_LDTRK,
	ZYDIS_ISA_SET_UINTR,
	ZYDIS_ISA_SET_VMFUNC,
	ZYDIS_ISA_SET_VTX,
	ZYDIS_ISA_SET_WAITPKG,
	ZYDIS_ISA_SET_XOP,
	/* Xeon Phi's coprocessor ancestor */
	ZYDIS_ISA_SET_KNCE,
	ZYDIS_ISA_SET_KNCJKBR,
	ZYDIS_ISA_SET_KNCSTREAM,
	ZYDIS_ISA_SET_KNCV,
	ZYDIS_ISA_SET_KNC_MISC,
	ZYDIS_ISA_SET_KNC_PF_HINT,
};

static bool rejected_on_purpose(const struct oracle_case *c)
{
	ZydisMnemonic m = c->z.mnemonic;

	if (!c->theirs)
		return false;
	if (c->z.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
		c->z.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX &&
		c->z.encoding != ZYDIS_INSTRUCTION_ENCODING_EVEX)
		return true;
	/* Instructions that are defined to be undefined. */
	if (m == ZYDIS_MNEMONIC_UD0 || m == ZYDIS_MNEMONIC_UD1 || m == ZYDIS_MNEMONIC_UD2)
		return true;
	for (unsigned i = 0; i < ARRAY_SIZE(not_offered); i++) {
		if (c->z.meta.isa_set == not_offered[i])
			return true;
	}
	return false;
}

/* ---- rules by op and mnemonic ---- */

#define M(name)  ZYDIS_MNEMONIC_##name
#define MEM_BITS (BIT(O_MEM_SIZE) | BIT(O_MEM_ACTION))

static const struct op_rule {
	u8 op;
	u32 fields;
} op_rules[] = {
	/* Hints: their operands are not touched, so we do not describe them. */
	{OP_NOP, MEM_BITS | BIT(O_REG) | BIT(O_RM) | BIT(O_MEM_SEG) | BIT(O_OP_SIZE)},
	/* Only the address matters. */
	{OP_INVLPG, MEM_BITS | BIT(O_OP_SIZE)},
	{OP_CLFLUSH, MEM_BITS | BIT(O_OP_SIZE)},
	/* Data of a fixed size: operand size, as Zydis gives it, has no meaning. */
	{OP_BCD, BIT(O_OP_SIZE)},
	{OP_SALC, BIT(O_OP_SIZE)},
	{OP_XLAT, BIT(O_OP_SIZE)},
	{OP_ARPL, BIT(O_OP_SIZE)},
	{OP_LLDT, BIT(O_OP_SIZE)},
	{OP_LTR, BIT(O_OP_SIZE)},
	{OP_VERR, BIT(O_OP_SIZE)},
	{OP_VERW, BIT(O_OP_SIZE)},
	{OP_LMSW, BIT(O_OP_SIZE)},
	{OP_SGDT, BIT(O_OP_SIZE)},
	{OP_SIDT, BIT(O_OP_SIZE)},
	{OP_LGDT, BIT(O_OP_SIZE)},
	{OP_LIDT, BIT(O_OP_SIZE)},
	{OP_SYSCALL, BIT(O_OP_SIZE)},
	{OP_MOV_TO_SEG, BIT(O_OP_SIZE)},
	/* The header of the area is read as well; the size depends on XCR0. */
	{OP_XSAVE, BIT(O_MEM_ACTION)},
	{OP_XSAVEOPT, BIT(O_MEM_ACTION)},
	{OP_XSAVEC, BIT(O_MEM_ACTION)},
	{OP_XSAVES, BIT(O_MEM_ACTION)},
	/* rcx is listed with and without rep; that repe reads ZF is no dependence on the ZF before. */
	{OP_MOVS, BIT(O_IMPLICIT)},
	{OP_STOS, BIT(O_IMPLICIT)},
	{OP_LODS, BIT(O_IMPLICIT)},
	/* Ports are at most 4 bytes wide, REX.W or not. */
	{OP_INS, BIT(O_IMPLICIT) | BIT(O_OP_SIZE)},
	{OP_OUTS, BIT(O_IMPLICIT) | BIT(O_OP_SIZE)},
	{OP_CMPS, BIT(O_IMPLICIT) | BIT(O_FLAGS_READ)},
	{OP_SCAS, BIT(O_IMPLICIT) | BIT(O_FLAGS_READ)},
	/* These save RFLAGS, which Zydis does not count as reading it. */
	{OP_INT3, BIT(O_FLAGS_READ)},
	{OP_INT1, BIT(O_FLAGS_READ)},
	{OP_INTO, BIT(O_FLAGS_READ)},
	{OP_INT_IMM, BIT(O_FLAGS_READ)},
	{OP_SYSCALL, BIT(O_FLAGS_READ)},
	/* Zydis does not say so of these two; SDM 2: #GP if CPL is not 0. */
	{OP_LGDT, BIT(O_PRIVILEGE)},
	{OP_LIDT, BIT(O_PRIVILEGE)},
	/* #UD, not #GP, outside CPL 0: a check of their handlers. */
	{OP_CLAC, BIT(O_PRIVILEGE)},
	{OP_STAC, BIT(O_PRIVILEGE)},
	{OP_MONITOR, BIT(O_PRIVILEGE)},
	{OP_MWAIT, BIT(O_PRIVILEGE)},
	{OP_VMCALL, BIT(O_FLAGS_WRITTEN)},
	{OP_RSM, BIT(O_PRIVILEGE)},
};

static const struct mnemonic_rule {
	ZydisMnemonic m;
	u32 fields;
} mnemonic_rules[] = {
	/* The result for a count of 1 is defined (SDM 2: RCL/RCR/ROL/ROR, SAL/SAR/SHL/SHR). */
	{M(RCL), BIT(O_FLAGS_UNDEFINED)},
	{M(RCR), BIT(O_FLAGS_UNDEFINED)},
	{M(ROL), BIT(O_FLAGS_UNDEFINED)},
	{M(ROR), BIT(O_FLAGS_UNDEFINED)},
	{M(SHL), BIT(O_FLAGS_UNDEFINED)},
	{M(SHR), BIT(O_FLAGS_UNDEFINED)},
	{M(SAR), BIT(O_FLAGS_UNDEFINED)},
	/* SDM 2: sbb sets AF by the result; bextr clears CF and OF; vptest, vtest clear the other four. */
	{M(SBB), BIT(O_FLAGS_UNDEFINED)},
	{M(BEXTR), BIT(O_FLAGS_UNDEFINED)},
	{M(VPTEST), BIT(O_FLAGS_WRITTEN)},
	{M(VTESTPS), BIT(O_FLAGS_WRITTEN)},
	{M(VTESTPD), BIT(O_FLAGS_WRITTEN)},
	/* Exceptions to their class that the instruction pages make. */
	{M(MOVUPS), BIT(O_ALIGN)},
	{M(MOVUPD), BIT(O_ALIGN)},
	{M(MOVDQU), BIT(O_ALIGN)},
	{M(LDDQU), BIT(O_ALIGN)},
	{M(PCMPESTRI), BIT(O_ALIGN)},
	{M(SHA1NEXTE), BIT(O_ALIGN) | BIT(O_FAULTS)},
	{M(SHA1MSG1), BIT(O_ALIGN) | BIT(O_FAULTS)},
	{M(SHA1MSG2), BIT(O_ALIGN) | BIT(O_FAULTS)},
	{M(SHA256RNDS2), BIT(O_ALIGN) | BIT(O_FAULTS)},
	{M(SHA256MSG1), BIT(O_ALIGN) | BIT(O_FAULTS)},
	{M(SHA256MSG2), BIT(O_ALIGN) | BIT(O_FAULTS)},
	{M(SHA1RNDS4), BIT(O_ALIGN) | BIT(O_FAULTS)},
	{M(PCMPESTRM), BIT(O_ALIGN)},
	{M(PCMPISTRI), BIT(O_ALIGN)},
	{M(PCMPISTRM), BIT(O_ALIGN)},
	/* #GP for reserved bits. */
	{M(LDMXCSR), BIT(O_FAULTS)},
	{M(VLDMXCSR), BIT(O_FAULTS)},
	/* SDM 2: class E4NF, seen on Zen 4; and E4NF.nb for the shifts, which there are not. */
	{M(VGF2P8AFFINEQB), BIT(O_WHOLE)},
	{M(VGF2P8AFFINEINVQB), BIT(O_WHOLE)},
	{M(VCVTNE2PS2BF16), BIT(O_WHOLE)},
	{M(VDBPSADBW), BIT(O_WHOLE)},
	{M(VPSRLW), BIT(O_WHOLE)},
	{M(VPSRAW), BIT(O_WHOLE)},
	{M(VPSLLW), BIT(O_WHOLE)},
	/* SDM 2: of an integer of 32 bits the result is exact. */
	{M(VCVTSI2SD), BIT(O_FAULTS)},
	{M(VCVTUSI2SD), BIT(O_FAULTS)},
	/* Ours is the size of the source, Zydis means the destination. */
	{M(CRC32), BIT(O_OP_SIZE)},
	/* The fourth register is a register operand for Zydis and an immediate for us. */
	{M(VBLENDVPS), BIT(O_IMM)},
	{M(VBLENDVPD), BIT(O_IMM)},
	{M(VPBLENDVB), BIT(O_IMM)},
};

/* F3 with REX.B: Zydis says pause, processors execute xchg r8, rax (seen on Zen 4). */
static bool is_f3_xchg_r8(const struct oracle_case *c)
{
	return c->z.mnemonic == ZYDIS_MNEMONIC_PAUSE && c->in.rex & 1;
}

/* SDM 2: table 2-5: REX.B does not make a base of "no base"; Zydis 4.0 forgets that with 32-bit addresses. */
static bool is_absent_base(const struct oracle_case *c)
{
	return c->mode == 8 && c->in.addr_size == 4 && c->in.base == REG_NONE && c->in.rex & 1;
}

/*
 * Zydis does not look at the bit of EVEX that is always one, and outside 64-bit mode it wants V' to be one, which processors
 * ignore there (seen on Zen 4).
 */
static bool is_loose_evex(const struct oracle_case *c)
{
	const u8 *b = c->code;
	unsigned at = 0;

	while (at < c->n && b[at] != 0x62)
		at++;
	if (at + 4 > c->n)
		return false;
	return c->ours == INSN_OK ? c->in.enc == ENC_EVEX && c->mode != 8 && !(b[at + 3] & 8)
				  : !(b[at + 2] & 4);
}

/* Rounding of an integer of 32 bits, which W cannot widen outside 64-bit mode: processors take it, Zydis does not. */
static bool is_rounded_integer(const struct oracle_case *c)
{
	return c->mode != 8 && c->in.enc == ENC_EVEX && c->in.map == 1 &&
	       (c->in.opcode == 0x2a || c->in.opcode == 0x7b);
}

u32 oracle_excused(const struct oracle_case *c)
{
	u32 fields = 0;

	if (c->ours != INSN_OK)
		return rejected_on_purpose(c) ||
				       (c->z.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX &&
					       is_loose_evex(c))
			       ? BIT(O_VALID)
			       : 0;
	if (!c->theirs)
		return is_loose_evex(c) || is_rounded_integer(c) ? BIT(O_VALID) : 0;
	for (unsigned i = 0; i < ARRAY_SIZE(op_rules); i++) {
		if (c->in.desc->op == op_rules[i].op)
			fields |= op_rules[i].fields;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(mnemonic_rules); i++) {
		if (c->z.mnemonic == mnemonic_rules[i].m)
			fields |= mnemonic_rules[i].fields;
	}
	if (is_absent_base(c))
		fields |= BIT(O_MEM_BASE) | BIT(O_MEM_DISP) | BIT(O_MEM_SEG);
	if (is_f3_xchg_r8(c))
		fields |= BIT(O_REG) | BIT(O_IMPLICIT);
	return fields;
}
