/* SPDX-License-Identifier: MIT */
/*
 * Vector and opmask registers in the XSAVE image: after fpu_live_to_area(), and before fpu_area_to_live() if any is
 * written. Writing one writes all of it, as instructions with a VEX or EVEX prefix do (SDM 2:2.3.10.1).
 */
#ifndef ENGINE_INSN_VECTOR_H
#define ENGINE_INSN_VECTOR_H

#include "engine/core/xsave.h"
#include "x86/insn.h"

#define VECTOR_MAX 64

union vector {
	u8 bytes[VECTOR_MAX];
	u16 w[VECTOR_MAX / 2];
	u32 d[VECTOR_MAX / 4];
	u64 q[VECTOR_MAX / 8];
};

union vector vector_read(struct cpu *cpu, unsigned n);
void vector_write(struct cpu *cpu, unsigned n, const union vector *v);

static inline u64 element(const union vector *v, unsigned i, unsigned size)
{
	switch (size) {
	case 1: return v->bytes[i];
	case 2: return v->w[i];
	case 4: return v->d[i];
	default: return v->q[i];
	}
}

static inline void set_element(union vector *v, unsigned i, unsigned size, u64 value)
{
	switch (size) {
	case 1: v->bytes[i] = (u8)value; break;
	case 2: v->w[i] = (u16)value; break;
	case 4: v->d[i] = (u32)value; break;
	default: v->q[i] = value; break;
	}
}

/* ops_evexmem.c */
int gather_evex(struct cpu *cpu, const struct insn *in);

#endif
