/* SPDX-License-Identifier: MIT */
#include "hvguest.h"

#include "engine/core/machine.h"

void hv_give_cpuid(struct vcpu *v)
{
	struct cpuid_entry e[256];
	unsigned n = engine_supported_cpuid(e, 200), kept = 0;

	for (unsigned i = 0; i < n; i++)
		if (e[i].function >> 8 != 0x400000)
			e[kept++] = e[i];
	kept += engine_hv_cpuid(v, "Linux KVM Hv", e + kept, 256 - kept);
	assert_int_equal(vcpu_set_cpuid(v, e, kept), 0);
}

void hv_open(struct world *w, bool synic)
{
	world_open(w, IRQCHIP_FULL);
	hv_give_cpuid(w->v);
	if (synic)
		assert_int_equal(vcpu_enable_synic(w->v, false), 0);
}

void hv_open_partition(struct world *w)
{
	world_open_partition(w);
	hv_give_cpuid(w->v);
	enable_interrupts(w);
	wrmsr(w, SIMP, PAGE_AT | 1);
	wrmsr(w, SINT2, VECTOR);
	wrmsr(w, SCONTROL, 1);
}

/* ---- one instruction of the guest at a time ---- */

void hv_set_state(struct vcpu *v, u64 rip, u64 rcx, u64 value)
{
	struct vcpu_state s;

	vcpu_get(v, ST_REGS, &s);
	s.rip = rip;
	s.gpr[RCX] = rcx;
	s.gpr[RAX] = (u32)value;
	s.gpr[RDX] = value >> 32;
	assert_int_equal(vcpu_set(v, ST_REGS, &s), 0);
}

void begin_wrmsr(struct world *w, u32 index, u64 value)
{
	WORLD_CODE(w, 0x0f, 0x30, 0xe6, 0x10);
	WORLD_PUT(w, 0x4000, 0xe6, 0x66);
	world_vector(w, 13, 0x4000);
	hv_set_state(w->v, CODE, index, value);
}

bool rdmsr_works(struct world *w, u32 index)
{
	begin_wrmsr(w, index, 0);
	w->ram[CODE + 1] = 0x32;
	return run_to(w->v, EXIT_IO_OUT)->io.port == 0x10;
}

bool wrmsr_works(struct world *w, u32 index, u64 value)
{
	begin_wrmsr(w, index, value);
	return run_to(w->v, EXIT_IO_OUT)->io.port == 0x10;
}

void wrmsr(struct world *w, u32 index, u64 value)
{
	assert_true(wrmsr_works(w, index, value));
}

u64 msr_of(struct world *w, u32 index)
{
	u64 value = 0;

	assert_int_equal(vcpu_get_msr(w->v, index, &value, true), 0);
	return value;
}

void enable_interrupts(struct world *w)
{
	u8 page[1024];
	u32 svr = 0x1ff;

	assert_int_equal(vcpu_get_lapic(w->v, page), 0);
	memcpy(page + 0xf0, &svr, 4);
	assert_int_equal(vcpu_set_lapic(w->v, page), 0);
	WORLD_PUT(w, 0x5000, 0xe6, 0x72, 0xcf);
	world_vector(w, VECTOR, 0x5000);
}

void begin_halt(struct world *w)
{
	WORLD_CODE(w, 0xfb, 0xf4, 0xe6, 0x10);
}

void wait_for_interrupt(struct world *w)
{
	begin_halt(w);
	assert_int_equal(run_to(w->v, EXIT_IO_OUT)->io.port, 0x72);
}

void hv_eoi(struct world *w)
{
	wrmsr(w, 0x40000070, 0);
}

u64 reference_time(struct world *w)
{
	return msr_of(w, TIME_REF_COUNT);
}

static struct exit *flat_call_out(struct world *w, u64 control, u64 input, u64 output)
{
	u8 code[] = {0, 0, 0, 0xe6, 0x10}; /* vmcall; out 10h */
	struct vcpu_state s;

	machine_hypercall_insn(w->m, code);
	world_put(w, CODE, code, sizeof(code));
	world_start(w->v, CODE);
	vcpu_get(w->v, ST_REGS | ST_SREGS, &s);
	s.cr0 |= CR0_PE;
	for (unsigned i = 0; i <= SEG_GS; i++)
		s.seg[i] = (struct segment){.limit = 0xffffffff,
			.attr = i == SEG_CS ? 0xc09b : 0xc093,
			.selector = (u16)(i == SEG_CS ? 8 : 16)};
	s.gpr[RDX] = control >> 32;
	s.gpr[RAX] = (u32)control;
	s.gpr[RBX] = input >> 32;
	s.gpr[RCX] = (u32)input;
	s.gpr[RDI] = output >> 32;
	s.gpr[RSI] = (u32)output;
	assert_int_equal(vcpu_set(w->v, ST_REGS | ST_SREGS, &s), 0);
	assert_int_equal(vcpu_run(w->v, 0), 0);
	return vcpu_exit(w->v);
}

struct exit *flat_call(struct world *w, u64 control, u64 input)
{
	return flat_call_out(w, control, input, 0);
}

u64 call_with_output(struct world *w, u64 control, u64 input, u64 output)
{
	struct exit *x = flat_call_out(w, control, input, output);

	assert_int_equal(x->reason, EXIT_IO_OUT);
	return gpr_of(w->v, RDX) << 32 | (u32)gpr_of(w->v, RAX);
}

u64 call_result(struct world *w, u64 control, u64 input)
{
	return call_with_output(w, control, input, 0);
}
