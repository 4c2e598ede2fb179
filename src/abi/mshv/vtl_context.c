/* SPDX-License-Identifier: MIT */
/*
 * The registers that VTL0 and VTL2 share: on the way from one to the other they stay in the processor, and the driver keeps
 * them in the run page while VTL2 executes. All others are the levels' own (TLFS, section on private state).
 */
#include <string.h>

#include "abi/mshv/register.h"
#include "abi/mshv/vtl.h"
#include "x86/fxsave.h"

/* The program may write to it meanwhile: what is looked at is a copy. */
static void copy_context(const struct mshv_vp *v, struct mshv_vtl_cpu_context *ret)
{
	memcpy(ret, (const void *)&vtl_run_page(v)->cpu_context, sizeof(*ret));
}

static void load_general(struct mshv_vp *v, const struct mshv_vtl_cpu_context *c)
{
	struct vcpu_state s;

	vcpu_get(v->cpu, ST_REGS, &s);
	for (unsigned i = 0; i < GPR_COUNT; i++)
		if (i != RSP)
			s.gpr[i] = c->gp_regs[i];
	vcpu_set(v->cpu, ST_REGS, &s);
}

/* Setting control registers has its price, and nearly always it is the same. */
static void load_cr2(struct mshv_vp *v, u64 cr2)
{
	struct vcpu_state s;

	sregs_load(v, &s);
	if (s.cr2 == cr2)
		return;
	s.cr2 = cr2;
	sregs_store(v, &s);
}

static void load_vector(struct mshv_vp *v, const struct mshv_vtl_cpu_context *c)
{
	struct fxsave own, wanted;

	memcpy(&wanted, c->fx_state, sizeof(wanted));
	vp_fxsave_get(v, &own);
	if (memcmp(&own, &wanted, sizeof(own)))
		vp_fxsave_set(v, &wanted);
}

void vtl_context_load(struct mshv_vp *v)
{
	struct mshv_vtl_cpu_context c;

	copy_context(v, &c);
	load_general(v, &c);
	load_cr2(v, c.gp_regs[MSHV_VTL_CONTEXT_CR2]);
	load_vector(v, &c);
}

void vtl_context_save(struct mshv_vp *v)
{
	struct mshv_vtl_cpu_context *c = (void *)&vtl_run_page(v)->cpu_context;
	struct vcpu_state s;
	struct fxsave f;

	vcpu_get(v->cpu, ST_REGS, &s);
	sregs_load(v, &s);
	s.gpr[MSHV_VTL_CONTEXT_CR2] = s.cr2;
	memcpy(c->gp_regs, s.gpr, sizeof(c->gp_regs));
	vp_fxsave_get(v, &f);
	memcpy(c->fx_state, &f, sizeof(f));
}
_Static_assert(MSHV_VTL_CONTEXT_CR2 == RSP, "the slot that RSP does not need");
