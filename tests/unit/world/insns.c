/* SPDX-License-Identifier: MIT */
#include "insns.h"
#include "engine/core/xsave.h"
#include "engine/exit.h"
#include "engine/insn/step.h"
#include "engine/cpu/mode.h"
#include "x86/insn.h"
#include "x86/regs.h"

void answer(u8 reason, u64 addr, unsigned len, u64 value)
{
	struct answers *rp = &w.cpu->answers;

	rp->answer[rp->filled].reason = reason;
	rp->answer[rp->filled].addr = addr;
	rp->answer[rp->filled].len = (u8)len;
	rp->answer[rp->filled].value = value;
	rp->answer[rp->filled].error = false;
	rp->filled++;
}

/* ---- start states ---- */

static void start(void)
{
	processor_new();
	w.cpu->rip = 0x1000;
	w.cpu->gpr[RDX] = 0;
	w.cpu->gpr[RSP] = STACK;
}

static void flat_segments(unsigned cpl, u32 code, u32 data)
{
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		w.cpu->seg[i] = (struct segment){
			.limit = ~0u, .attr = data | cpl << 5, .selector = (u16)(0x10 | cpl)};
	w.cpu->seg[SEG_CS].attr = code | cpl << 5;
	w.cpu->seg[SEG_TR] = (struct segment){.base = TSS, .limit = 0x67, .attr = 0x8b};
	cpu_update_mode(w.cpu);
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(w.cpu->cpl, cpl);
}

void start_long(unsigned cpl)
{
	start();
	w.cpu->cr0 = CR0_PE | CR0_ET;
	w.cpu->cr4 = CR4_OSFXSR | CR4_OSXSAVE;
	w.cpu->xcr0 = w.cpu->xstate.features;
	w.cpu->efer = EFER_LME;
	processor_paging();
	flat_segments(cpl, 0x9b | SEG_L | SEG_G, 0x93 | SEG_DB | SEG_G);
	assert_int_equal(w.cpu->code_size, 8);
}

void start_protected(unsigned cpl)
{
	start();
	w.cpu->cr0 = CR0_PE | CR0_ET;
	flat_segments(cpl, 0x9b | SEG_DB | SEG_G, 0x93 | SEG_DB | SEG_G);
	assert_int_equal(w.cpu->code_size, 4);
}

void start_paged(unsigned cpl)
{
	start_protected(cpl);
	processor_paging();
	cpu_update_mode(w.cpu);
}

void start_real(void)
{
	start();
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		w.cpu->seg[i] = (struct segment){.limit = 0xffff, .attr = 0x93};
	w.cpu->gpr[RSP] = 0x8000;
	cpu_update_mode(w.cpu);
	memset(&seen, 0, sizeof(seen));
}

int exec_bytes(const u8 *bytes, unsigned n)
{
	struct insn in;

	assert_int_equal(insn_decode(&in, bytes, n, w.cpu->code_size), INSN_OK);
	assert_int_equal(in.len, n);
	w.cpu->answers.next = 0;
	return step_insn(w.cpu, &in);
}
