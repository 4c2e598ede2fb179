/* SPDX-License-Identifier: MIT */
/*
 * Lists of vector instructions that exist in a legacy and in a VEX form and differ only by the
 * rule of their encoding: X(opcode, mnemonic) once for each. Private to the instruction tables.
 */
/* clang-format off */
#ifndef X86_INSN_VECTOR_H
#define X86_INSN_VECTOR_H

/* 0F: MMX without prefix, vector with 66. */
#define LIST_INT(X) \
	X(0x63, "packsswb") X(0x64, "pcmpgtb") X(0x65, "pcmpgtw") X(0x66, "pcmpgtd") \
	X(0x67, "packuswb") X(0x68, "punpckhbw") X(0x69, "punpckhwd") X(0x6a, "punpckhdq") \
	X(0x6b, "packssdw") X(0x74, "pcmpeqb") X(0x75, "pcmpeqw") X(0x76, "pcmpeqd") \
	X(0xd4, "paddq") X(0xd5, "pmullw") X(0xd8, "psubusb") X(0xd9, "psubusw") \
	X(0xda, "pminub") X(0xdb, "pand") X(0xdc, "paddusb") X(0xdd, "paddusw") \
	X(0xde, "pmaxub") X(0xdf, "pandn") X(0xe0, "pavgb") X(0xe3, "pavgw") \
	X(0xe4, "pmulhuw") X(0xe5, "pmulhw") X(0xe8, "psubsb") X(0xe9, "psubsw") \
	X(0xea, "pminsw") X(0xeb, "por") X(0xec, "paddsb") X(0xed, "paddsw") \
	X(0xee, "pmaxsw") X(0xef, "pxor") X(0xf4, "pmuludq") X(0xf5, "pmaddwd") \
	X(0xf6, "psadbw") X(0xf8, "psubb") X(0xf9, "psubw") X(0xfa, "psubd") \
	X(0xfb, "psubq") X(0xfc, "paddb") X(0xfd, "paddw") X(0xfe, "paddd")

/* As above, but the second operand is a count and stays 16 bytes with VEX.256. */
#define LIST_SHIFT(X) \
	X(0xd1, "psrlw") X(0xd2, "psrld") X(0xd3, "psrlq") X(0xe1, "psraw") \
	X(0xe2, "psrad") X(0xf1, "psllw") X(0xf2, "pslld") X(0xf3, "psllq")

/* MMX reads only 4 bytes. */
#define LIST_UNPACK_LOW(X) X(0x60, "punpcklbw") X(0x61, "punpcklwd") X(0x62, "punpckldq")

/* Arithmetic with ps, pd, ss and sd forms. */
#define LIST_FP(X) \
	X(0x58, "add") X(0x59, "mul") X(0x5c, "sub") X(0x5d, "min") X(0x5e, "div") X(0x5f, "max")

/* ps and pd, without floating-point exceptions. */
#define LIST_FP_BITS(X) \
	X(0x14, "unpckl") X(0x15, "unpckh") X(0x54, "and") X(0x55, "andn") X(0x56, "or") X(0x57, "xor")

/* 0F38: MMX and vector. */
#define LIST_SSSE3(X) \
	X(0x00, "pshufb") X(0x01, "phaddw") X(0x02, "phaddd") X(0x03, "phaddsw") \
	X(0x04, "pmaddubsw") X(0x05, "phsubw") X(0x06, "phsubd") X(0x07, "phsubsw") \
	X(0x08, "psignb") X(0x09, "psignw") X(0x0a, "psignd") X(0x0b, "pmulhrsw")
#define LIST_PABS(X) X(0x1c, "pabsb") X(0x1d, "pabsw") X(0x1e, "pabsd")

/* 0F38 with 66. */
#define LIST_SSE41(X) \
	X(0x28, "pmuldq") X(0x29, "pcmpeqq") X(0x2b, "packusdw") X(0x37, "pcmpgtq") \
	X(0x38, "pminsb") X(0x39, "pminsd") X(0x3a, "pminuw") X(0x3b, "pminud") \
	X(0x3c, "pmaxsb") X(0x3d, "pmaxsd") X(0x3e, "pmaxuw") X(0x3f, "pmaxud") \
	X(0x40, "pmulld") \
	X(0xdc, "aesenc") X(0xdd, "aesenclast") X(0xde, "aesdec") X(0xdf, "aesdeclast")

/* 0F38 with 66: X(opcode, mnemonic, bytes read, as a fraction of the vector length) */
#define LIST_EXTEND(X, o, n) \
	X((o) + 0, n "bw", 8, VL2) X((o) + 1, n "bd", 4, VL4) X((o) + 2, n "bq", 2, VL8) \
	X((o) + 3, n "wd", 8, VL2) X((o) + 4, n "wq", 4, VL4) X((o) + 5, n "dq", 8, VL2)

/* 0F3A with 66 and imm8, destination, first source, second source. */
#define LIST_IMM(X) \
	X(0x0c, "blendps") X(0x0d, "blendpd") X(0x0e, "pblendw") X(0x42, "mpsadbw") \
	X(0x44, "pclmulqdq")

#endif
