/* SPDX-License-Identifier: MIT */
/*
 * A decoded x86 instruction and what the engine must know about it.
 *
 * The decoder answers only the questions a same-ISA engine asks: how long is it, which operands
 * name general registers, which operand is memory and how it is accessed, which flags matter, and
 * whether the host may execute it (OP_NATIVE) or the engine must (every other op). What an
 * unprivileged instruction computes is never described here; the host CPU knows.
 *
 * Knowledge lives in two tables: insn_table*.c, one struct insn_desc for each form, and insn_ops.def, one row for
 * each kind, with all that the engine does about it.
 */
#ifndef X86_INSN_H
#define X86_INSN_H

#include "base/types.h"

/* clang-format off */

#define INSN_MAX 15

/* Who executes it. OP_NATIVE: the host, with memory and register operands replaced; all others: the engine. */
enum insn_op {
#define INSN_OP(op, handler, generator, needs, class, intercept) OP_##op,
#include "x86/insn_ops.def"
#undef INSN_OP
	OP_COUNT
};

/* insn_op_info.class */
#define OC_ENDS        BIT(0) /* ends a block: rip is not simply advanced, or state that keys blocks changes */
#define OC_ENDS64      BIT(1) /* ends a block of 64-bit code */
#define OC_NEAR        BIT(2) /* near branch */
#define OC_INDIRECT    BIT(3) /* near branch to an address that is in a register or in memory */
#define OC_PUSHES      BIT(4) /* pushes one word and accesses nothing else */
#define OC_POPS        BIT(5) /* pops one word, likewise */
#define OC_FAR_POINTER BIT(6) /* its memory operand is a far pointer */
#define OC_STRING      BIT(7)
#define OC_SOFT_INT    BIT(8) /* INT n and its kin: clear TF and drop a trap that was due */
#define OC_LOADS_TF    BIT(9) /* a trap after it is due by the TF that it has loaded */
#define OC_ANYWHERE    BIT(10) /* does the same at any address, but for rip-relative operands */

/*
 * What a hypervisor can ask to be told of before the instruction takes effect (SDM 3: 26.1; APM 2: 15.9, table 15-7).
 * Intel's and AMD's controls are united here. Which control register, MSR or port it is, the operands say.
 */
enum insn_intercept {
	INTERCEPT_NONE,
	INTERCEPT_CR_READ, INTERCEPT_CR_WRITE, INTERCEPT_DR_READ, INTERCEPT_DR_WRITE,
	INTERCEPT_GDTR_READ, INTERCEPT_GDTR_WRITE, INTERCEPT_IDTR_READ, INTERCEPT_IDTR_WRITE,
	INTERCEPT_LDTR_READ, INTERCEPT_LDTR_WRITE, INTERCEPT_TR_READ, INTERCEPT_TR_WRITE,
	INTERCEPT_MSR_READ, INTERCEPT_MSR_WRITE, INTERCEPT_XSETBV, INTERCEPT_IO,
	INTERCEPT_EXCEPTION /* the one that it raises: #BP #OF #DB */, INTERCEPT_SOFT_INT, INTERCEPT_IRET,
	INTERCEPT_PUSHF, INTERCEPT_POPF, INTERCEPT_HLT, INTERCEPT_MONITOR, INTERCEPT_MWAIT, INTERCEPT_CPUID,
	INTERCEPT_RDTSC, INTERCEPT_RDTSCP, INTERCEPT_RDPMC, INTERCEPT_INVLPG, INTERCEPT_INVPCID,
	INTERCEPT_INVD, INTERCEPT_WBINVD, INTERCEPT_HYPERCALL, INTERCEPT_RSM,
	INTERCEPT_XSAVES, INTERCEPT_XRSTORS,
};

struct insn_op_info {
	u16 class; /* OC_* */
	u8 intercept; /* enum insn_intercept */
};

/* By enum insn_op: insn_ops.def. */
extern const struct insn_op_info insn_op_info[OP_COUNT];

/* How the r/m operand, when it is memory, is accessed. */
enum insn_mem { MEM_NONE, MEM_READ, MEM_WRITE, MEM_RW, MEM_ADDR /* lea: address only */ };

/* Size of that access; insn.mem_size is the resolved number of bytes. */
enum insn_msize {
	MS_NONE, MS_1, MS_2, MS_4, MS_8, MS_10, MS_16, MS_32, MS_64,
	MS_OP, /* operand size 2, 4, 8 */
	MS_OP48, /* 4, or 8 with REX.W / VEX.W (movd/movq, cvtsi2sd, BMI, crc32's destination...) */
	MS_OP2X, /* twice that: cmpxchg8b/16b */
	MS_OPFAR, /* operand size + 2: far pointers */
	MS_VL, /* vector length 16, 32 or 64 (or 8 for MMX forms without 66) */
	MS_VL2, /* half of it */
	MS_VL4, /* a quarter */
	MS_VL8, /* an eighth */
	MS_DT, /* descriptor table: 2 + 4 or 2 + 8 */
	MS_STATE, /* see op */
};

/* What a register field names. Only RK_GPR* can hit a register that the engine keeps elsewhere. */
enum insn_regkind { RK_NONE, RK_GPR8, RK_GPR, RK_VEC, RK_MMX, RK_X87, RK_MASK, RK_SEG, RK_CR, RK_DR };

/* insn_desc.attr */
#define IA_MODRM    BIT(0)
#define IA_NO64     BIT(1) /* #UD in 64-bit mode */
#define IA_ONLY64   BIT(2) /* #UD outside 64-bit mode */
#define IA_DEF64    BIT(3) /* operand size 64 by default in 64-bit mode (push, pop, near branches) */
#define IA_FORCE64  BIT(4) /* operand size always 64 in 64-bit mode (near branches, mov cr) */
#define IA_BYTE     BIT(5) /* operand size 1 */
#define IA_CPL0     BIT(6) /* #GP(0) unless CPL is 0 */
#define IA_LOCK     BIT(7) /* lock prefix allowed when the destination is memory */
#define IA_X87      BIT(8) /* #NM if CR0.EM or TS; FPU state */
#define IA_WAIT     BIT(9) /* fwait: #NM if MP and TS */
#define IA_MMX      BIT(10) /* as SSE but no OSFXSR check */
#define IA_SSE      BIT(11) /* #UD if EM or !OSFXSR, #NM if TS */
#define IA_AVX      BIT(12) /* VEX: #UD if !OSXSAVE or XCR0[2:1] != 3, #NM if TS */
#define IA_ALIGN    BIT(13) /* memory operand must be aligned to its size or #GP(0) (legacy SSE) */
#define IA_REALUD   BIT(14) /* #UD in real and virtual-8086 mode (lldt, arpl, VEX...) */
#define IA_RM_REG   BIT(15) /* #UD if r/m is memory */
#define IA_RM_MEM   BIT(16) /* #UD if r/m is a register */
#define IA_FAULTS   BIT(17) /* native execution itself may fault: #DE, #XM, #MF, #GP on alignment */
#define IA_RSP      BIT(18) /* implicitly uses rsp */
#define IA_IMPL     BIT(19) /* has implicit general register operands beyond rsp (see impl_regs) */
#define IA_VEXW_NOGPR BIT(20) /* VEX.W or REX.W does not change general register width */
#define IA_OP48     BIT(21) /* operand size 4, or 8 by W or FORCE64 in 64-bit mode; 66 has no say */
#define IA_MAX32    BIT(22) /* operand size is 4 even with REX.W (port I/O) */
#define IA_ALIGN_INTEL BIT(23) /* as IA_ALIGN, but AMD's processors do not care */
#define IA_AVX512   BIT(24) /* with IA_AVX: #UD unless XCR0[7:5] = 7, too */

/* insn_desc.imm */
enum insn_imm {
	IMM_NONE, IMM_8 /* zero-extended */, IMM_16, IMM_Z /* 16/32 by operand size */,
	IMM_V /* 16/32/64 (mov) */, IMM_FAR, IMM_ENTER, IMM_MOFFS, IMM_REL8, IMM_RELZ,
	IMM_8S, /* sign-extended to the operand size */
};

/* insn_desc.check: what the decoder itself verifies or adjusts; of no interest to others */
#define CK_L0    BIT(0) /* #UD unless VEX.L is 0 */
#define CK_L1    BIT(1) /* #UD unless VEX.L is 1 */
#define CK_W0    BIT(2) /* #UD unless VEX.W is 0 */
#define CK_W1    BIT(3) /* #UD unless VEX.W is 1 */
#define CK_COUNT BIT(4) /* shift by imm8: the next row is the one for a count that is not zero */
#define CK_NOCS  BIT(5) /* segment register cannot be cs */
#define CK_L2    BIT(6) /* #UD unless the vector length is 64; EVEX: CK_L1 permits that, too */

/* insn_desc.evex: what the fields of an EVEX prefix may say (SDM 2:2.7) */
#define EV_BROADCAST BIT(0) /* b: one element in memory stands for all */
#define EV_ROUND     BIT(1) /* b, with registers: L'L is the rounding mode, the vector length is 64 */
#define EV_SAE       BIT(2) /* b, with registers: no exceptions, the vector length is 64 */
#define EV_MASK      BIT(3) /* an opmask */
#define EV_ZERO      BIT(4) /* z: what it masks out becomes zero */
#define EV_NEEDS     BIT(5) /* no opmask is #UD */
#define EV_SCALAR    BIT(6) /* one element, whatever the vector length */
#define EV_WHOLE     BIT(7) /* all of the memory operand is accessed, whatever the opmask */

struct insn_desc {
	union {
		const char *name;
		const struct insn_desc *sub; /* the decoder's inner nodes only, see insn_table.h */
	};
	u8 op; /* enum insn_op */
	u8 mem; /* enum insn_mem */
	u8 msize; /* enum insn_msize */
	u8 reg; /* enum insn_regkind of modrm.reg (or of the low opcode bits: push, bswap, xchg, mov imm) */
	u8 rm; /* kind of modrm.rm in register form */
	u8 vvvv; /* kind of VEX.vvvv */
	u8 imm; /* enum insn_imm */
	u8 check; /* CK_* */
	u16 flags_read; /* status flags (low 12 bits of RFLAGS) */
	u16 flags_written; /* all that it may change, undefined ones included */
	u16 flags_always; /* those it writes (or leaves undefined) whatever the operands: these kill liveness */
	u16 flags_undefined; /* for tests */
	u16 impl_regs; /* bitmap of general registers used implicitly (read or written), rsp excluded */
	u8 evex; /* EV_* */
	u8 element; /* EVEX: bytes of an element of the memory operand */
	u32 attr;
};

enum insn_enc { ENC_LEGACY, ENC_VEX, ENC_EVEX };

/*
 * Prefix bits found. 66/F2/F3 that are part of the opcode (SSE) are still shown here. Of F2 and F3 only
 * the last one is shown, and REX only if it is the last prefix: the others have no effect.
 */
#define PFX_66   BIT(0)
#define PFX_67   BIT(1)
#define PFX_LOCK BIT(2)
#define PFX_REP  BIT(3) /* F3 */
#define PFX_REPNE BIT(4) /* F2 */
#define PFX_SEG  BIT(5)
#define PFX_REX  BIT(6) /* a REX byte is present (matters for spl/bpl/sil/dil) */

#define REG_NONE 0xff
#define BASE_RIP  0xfe /* base: rip-relative */

struct insn {
	const struct insn_desc *desc;
	u8 bytes[INSN_MAX + 1];
	u8 len;
	u8 mode; /* 2, 4 or 8: 16-bit, 32-bit, 64-bit code segment */
	u8 enc; /* enum insn_enc */
	u8 map; /* 0 one-byte, 1 0F, 2 0F38, 3 0F3A */
	u8 opcode;
	u8 pfx;
	u8 rex; /* W R X B in bits 3..0, normalised from REX, VEX or EVEX */
	u8 seg; /* effective segment of the memory operand, override and default applied */
	u8 op_size; /* 1, 2, 4, 8; crc32: of the source; SSE and AVX: of general register operands */
	u8 addr_size; /* 2, 4, 8 */
	u8 vl; /* 0, 16, 32, 64 */
	u8 vvvv; /* register number, valid when desc->vvvv != RK_NONE */

	bool has_modrm;
	bool is_mem; /* r/m is memory; also set for mov moffs, whose address is in disp and imm */
	u8 modrm;
	u8 reg; /* extended with REX.R; for opcode-embedded registers extended with REX.B; push/pop seg: SEG_* */
	u8 rm; /* register form: extended */
	u8 base, index, scale; /* REG_NONE if absent; scale 1, 2, 4, 8; index of a gather: vector register */
	u8 mem_size; /* bytes, 0 if none or state dependent */
	u8 opmask; /* EVEX: register that masks elements; 0: none */
	bool broadcast; /* EVEX: the memory operand is one element, mem_size bytes, for all */
	s64 disp;

	u64 imm; /* extended as the instruction uses it, then cut to op_size; rel: signed displacement */
	u16 imm2; /* selector of a far pointer, nesting level of enter */

	/* where things are in bytes[]; 0 when absent (offset 0 is always prefix or opcode) */
	u8 opcode_off, modrm_off, disp_off, disp_len, imm_off, imm_len;
};

enum insn_result {
	INSN_OK,
	INSN_SHORT, /* more bytes are needed than given */
	INSN_INVALID, /* #UD, ud2 included (so op is never OP_UD); len is set to what was looked at */
	INSN_TOO_LONG, /* more than 15 bytes: #GP(0) */
};

/*
 * Decode one instruction. code has n readable bytes (1..15). mode is 2, 4 or 8. out is filled on
 * INSN_OK only (and out->len on INSN_INVALID). Lock prefix rules and reg/mem form rules are
 * applied here; rules that depend on processor state (CPL, CR0, CR4, XCR0) are not.
 * Uses general registers only, no memory but its arguments and constant tables.
 */
enum insn_result insn_decode(struct insn *out, const u8 *code, unsigned n, unsigned mode);

static inline unsigned insn_class(const struct insn *in)
{
	return insn_op_info[in->desc->op].class;
}

/* Name for messages: the mnemonic of the table row. */
const char *insn_name(const struct insn *in);

#endif
