/* SPDX-License-Identifier: MIT */
/*
 * Facts of the architecture: register numbers and the bits in them.
 * Source: Intel SDM volume 3A chapter 2 and 4, volume 4; AMD APM volume 2.
 */
#ifndef X86_REGS_H
#define X86_REGS_H

#include "base/types.h"

/* General registers in encoding order. */
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, GPR_COUNT };

/* Segment registers in encoding order, then the two system ones. */
enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_TR, SEG_LDTR, SEG_COUNT };

/* RFLAGS, SDM 1:3.4.3 */
#define FL_CF     BIT64(0)
#define FL_FIXED  BIT64(1)
#define FL_PF     BIT64(2)
#define FL_AF     BIT64(4)
#define FL_ZF     BIT64(6)
#define FL_SF     BIT64(7)
#define FL_TF     BIT64(8)
#define FL_IF     BIT64(9)
#define FL_DF     BIT64(10)
#define FL_OF     BIT64(11)
#define FL_IOPL   (3ull << 12)
#define FL_NT     BIT64(14)
#define FL_RF     BIT64(16)
#define FL_VM     BIT64(17)
#define FL_AC     BIT64(18)
#define FL_VIF    BIT64(19)
#define FL_VIP    BIT64(20)
#define FL_ID     BIT64(21)
#define FL_STATUS (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)
#define FL_DEFINED                                                                                 \
	(FL_STATUS | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_VM | FL_AC | FL_VIF |    \
		FL_VIP | FL_ID)

/* Of Jcc, SETcc and CMOVcc; cc: the low four bits of the opcode. */
static inline bool condition_holds(u64 f, unsigned cc)
{
	bool holds = false;

	switch ((cc >> 1) & 7) {
	case 0: holds = f & FL_OF; break;
	case 1: holds = f & FL_CF; break;
	case 2: holds = f & FL_ZF; break;
	case 3: holds = f & (FL_CF | FL_ZF); break;
	case 4: holds = f & FL_SF; break;
	case 5: holds = f & FL_PF; break;
	case 6: holds = !(f & FL_SF) != !(f & FL_OF); break;
	case 7: holds = (f & FL_ZF) || !(f & FL_SF) != !(f & FL_OF); break;
	}
	return holds != (bool)(cc & 1); /* odd codes negate (SDM 1:B.1) */
}

/* Control registers, SDM 3:2.5 */
#define CR0_PE BIT64(0)
#define CR0_MP BIT64(1)
#define CR0_EM BIT64(2)
#define CR0_TS BIT64(3)
#define CR0_ET BIT64(4)
#define CR0_NE BIT64(5)
#define CR0_WP BIT64(16)
#define CR0_AM BIT64(18)
#define CR0_NW BIT64(29)
#define CR0_CD BIT64(30)
#define CR0_PG BIT64(31)
#define CR0_DEFINED                                                                                \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
		CR0_PG)

#define CR3_PCID_MASK 0xfffull
#define CR3_NOFLUSH   BIT64(63)

#define CR4_VME        BIT64(0)
#define CR4_PVI        BIT64(1)
#define CR4_TSD        BIT64(2)
#define CR4_DE         BIT64(3)
#define CR4_PSE        BIT64(4)
#define CR4_PAE        BIT64(5)
#define CR4_MCE        BIT64(6)
#define CR4_PGE        BIT64(7)
#define CR4_PCE        BIT64(8)
#define CR4_OSFXSR     BIT64(9)
#define CR4_OSXMMEXCPT BIT64(10)
#define CR4_UMIP       BIT64(11)
#define CR4_LA57       BIT64(12)
#define CR4_FSGSBASE   BIT64(16)
#define CR4_PCIDE      BIT64(17)
#define CR4_OSXSAVE    BIT64(18)
#define CR4_SMEP       BIT64(20)
#define CR4_SMAP       BIT64(21)

#define XCR0_RESET 1 /* x87, which cannot be off; SDM 1:13.3 */

/* IA32_APIC_BASE, SDM 3:10.4.4 */
#define APIC_BASE_RESET  0xfee00000ull
#define APIC_BASE_BSP    BIT64(8)
#define APIC_BASE_X2APIC BIT64(10)
#define APIC_BASE_ENABLE BIT64(11)

#define EFER_SCE    BIT64(0)
#define EFER_LME    BIT64(8)
#define EFER_LMA    BIT64(10)
#define EFER_NX     BIT64(11)
#define EFER_FFXSR  BIT64(14)
#define EFER_AIBRSE BIT64(21) /* automatic IBRS, APM 2:3.1.7 */

/* Page table entries, SDM 3:4 */
#define PTE_P  BIT64(0)
#define PTE_W  BIT64(1)
#define PTE_U  BIT64(2)
#define PTE_A  BIT64(5)
#define PTE_D  BIT64(6)
#define PTE_PS BIT64(7)
#define PTE_G  BIT64(8)
#define PTE_NX BIT64(63)

/* Page fault error code, SDM 3:4.7 */
#define PF_P    BIT(0)
#define PF_W    BIT(1)
#define PF_U    BIT(2)
#define PF_RSVD BIT(3)
#define PF_I    BIT(4)

/* Exception vectors, SDM 3:6.3.1 */
/* clang-format off */
enum {
	X86_DE, X86_DB, X86_NMI, X86_BP, X86_OF, X86_BR, X86_UD, X86_NM, X86_DF, X86_TS = 10, X86_NP,
	X86_SS, X86_GP, X86_PF, X86_MF = 16, X86_AC, X86_MC, X86_XM,
};
/* clang-format on */

/* Debug registers, SDM 3:17.2 */
#define DR6_BS      BIT64(14)
#define DR6_BT      BIT64(15)
#define DR6_BD      BIT64(13)
#define DR6_DEFINED 0xe00full
#define DR6_FIXED   0xffff0ff0ull
#define DR7_DEFINED 0xffff23ffull
#define DR7_FIXED   0x400ull
#define DR7_GD      BIT64(13)

/*
 * Segment attributes in the layout that VMX calls access rights (SDM 3:24.4.1): the descriptor's
 * bits 40-47 and 52-55, and one bit of our own for a register that holds a null selector.
 */
#define SEG_TYPE(a)  ((a)&15)
#define SEG_S        BIT(4)
#define SEG_DPL(a)   (((a) >> 5) & 3)
#define SEG_P        BIT(7)
#define SEG_AVL      BIT(12)
#define SEG_L        BIT(13)
#define SEG_DB       BIT(14)
#define SEG_G        BIT(15)
#define SEG_UNUSABLE BIT(16)

/* A segment register with its hidden part. limit is in bytes (granularity already applied). */
struct segment {
	u64 base;
	u32 limit;
	u32 attr;
	u16 selector;
};

/* GDTR and IDTR. */
struct dtable {
	u64 base;
	u16 limit;
};

/* IA32_MCi_CTL2, SDM 3:15.3.2.5 */
#define MC_CTL2_CMCI_ENABLE BIT64(30)

#endif
