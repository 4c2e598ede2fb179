/* SPDX-License-Identifier: MIT */
/*
 * cpu.block_key: the mode bits that change what the bytes of a code page mean.
 *
 * Translated blocks are cached by guest-physical address and this key, so a bit must be here if
 * translated code, or the checks that the translator makes once instead of at each execution,
 * depend on it. cpu_update_mode() computes the key; nobody else writes it. Whoever changes one of the
 * inputs named below calls cpu_update_mode() afterwards.
 */
#ifndef ENGINE_CORE_BLOCK_KEY_H
#define ENGINE_CORE_BLOCK_KEY_H

#include "base/types.h"

enum block_key {
	BK_CODE32 = BIT(0),  /* CS.D, outside 64-bit mode */
	BK_CODE64 = BIT(1),  /* EFER.LMA and CS.L; BK_CODE32 is clear then */
	BK_STACK32 = BIT(2), /* SS.B, outside 64-bit mode */
	BK_CPL_SHIFT = 3,    /* two bits */
	BK_CPL_MASK = 3 << BK_CPL_SHIFT,
	BK_VIEW_AC = BIT(5), /* explicit accesses use TLB_KERNEL_AC */
	BK_FLAT = BIT(6),    /* cs ds es ss need no base, limit or type check */
	BK_REAL = BIT(7),    /* CR0.PE clear */
	BK_V86 = BIT(8),     /* RFLAGS.VM; IOPL-sensitive instructions go through step */
	/* CR0.TS or CR0.EM: x87, MMX, SSE and AVX instructions may fault */
	BK_NO_FPU = BIT(9),
	BK_OSFXSR = BIT(10),   /* CR4.OSFXSR: SSE enabled */
	BK_AVX = BIT(11),      /* CR4.OSXSAVE and XCR0[2:1] = 3 */
	BK_TSD = BIT(12),      /* CR4.TSD: rdtsc faults at CPL > 0 */
	BK_FSGSBASE = BIT(13), /* CR4.FSGSBASE */
	BK_UMIP = BIT(14),     /* CR4.UMIP */
	BK_PAGING = BIT(15),   /* CR0.PG */
	BK_SMAP = BIT(17),     /* CR4.SMAP: stac and clac change the view */
	/* The limit of cs, where it is not 4 GiB: 64 KiB, or something that generated code looks up. */
	BK_LIMIT64K = BIT(18),
	BK_LIMIT_ODD = BIT(19),
	/*
	 * Any offset of 16 bits may be accessed in cs, ds, es and ss; in real and virtual-8086 mode in fs and gs too, and
	 * loading a segment register then changes no more than its selector and base.
	 */
	BK_WIDE = BIT(20),
	BK_NO_RDTSCP = BIT(21),  /* CPUID does not offer it */
	BK_TSC_SCALED = BIT(22), /* the guest's TSC has another rate than the host's */
	BK_TAP_INT = BIT(23),    /* TAP_SOFT_INT is asked for: INT n goes through step */
	BK_TAP_TABLE = BIT(24),  /* TAP_TABLE is asked for: SGDT and its like go through step */
	BK_SYSCALL = BIT(25),    /* EFER.SCE */
	BK_AVX512 = BIT(26),     /* BK_AVX and XCR0[7:5] = 7 */
	BK_STEPPING = BIT(
		16), /* RFLAGS.TF, #AC checks, a debugger, DR7 breakpoint or tap, a cs without tag: one by one */
};

#endif
