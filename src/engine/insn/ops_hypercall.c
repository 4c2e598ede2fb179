/* SPDX-License-Identifier: MIT */
/*
 * VMCALL and VMMCALL: hypercalls of KVM's interface, Hyper-V's or Xen's. The instruction leaves with the arguments
 * and is restarted with the answer; outer code (engine/pv/kvm/hypercall.c, engine/hv) or the VMM does the work.
 */
#include "engine/core/answer.h"
#include "engine/core/machine.h"
#include "engine/insn/operand.h"
#include "engine/insn/ops.h"
#include "engine/mem/mem.h"
#include "engine/tap/ask.h"
#include "engine/pv/hyperv/hv.h"
#include "engine/pv/xen/xen.h"
#include "x86/kvm_guest.h"

/* ---- KVM (Linux: Documentation/virt/kvm/x86/hypercalls.rst) ---- */

static int hypercall_ask(struct cpu *cpu, u64 nr, unsigned size)
{
	static const u8 args[] = {RBX, RCX, RDX, RSI};
	struct exit *x = &cpu->exit;

	cpu_exit_begin(cpu, EXIT_HYPERCALL);
	x->hypercall.nr = nr;
	x->hypercall.ret = 0;
	x->hypercall.long_mode = size == 8;
	for (unsigned i = 0; i < ARRAY_SIZE(x->hypercall.args); i++)
		x->hypercall.args[i] =
			i < ARRAY_SIZE(args) ? reg_read(cpu, args[i], size, true) : 0;
	return ask_outside(cpu);
}

/* Programs may call who watches the guest, too. If nobody has taken that it is a number that does not exist. */
static unsigned refused(u64 nr)
{
	return nr == KVM_HC_XEN_HVM_OP ? KVM_HC_ENOSYS : KVM_HC_EPERM;
}

static int kvm_hypercall(struct cpu *cpu, const struct insn *in)
{
	unsigned size = in->mode == 8 ? 8 : 4;
	u64 nr = reg_read(cpu, RAX, size, true);
	const struct answer *a = NULL;

	if (cpu->cpl == 0) {
		a = answer_to(cpu, EXIT_HYPERCALL, nr, 8);
		if (!a)
			return hypercall_ask(cpu, nr, size);
	}
	reg_write(cpu, RAX, size, true, a ? a->value : -(u64)refused(nr));
	return CPU_OK;
}

/* ---- Hyper-V (pv/hyperv/hypercall.c) and Xen (public/arch-x86/xen-x86_64.h) ---- */

static bool is_hyperv(const struct cpu *cpu)
{
	return cpu->hv.enabled &&
	       atomic_load_explicit(&cpu->machine->hv->guest_os_id, memory_order_relaxed) &&
	       (!xen_enabled(cpu->machine) || (cpu->gpr[RAX] & XEN_HYPERV_CALL));
}

static bool is_xen(const struct cpu *cpu)
{
	return xen_enabled(cpu->machine) && !is_hyperv(cpu);
}

static u64 register_pair(const struct cpu *cpu, unsigned high, unsigned low)
{
	return cpu->gpr[high] << 32 | (u32)cpu->gpr[low];
}

/* TLFS 3.7: registers of both forms. Only at level 0 of protected mode (TLFS 3.3). */
static int hyperv_call(struct cpu *cpu, const struct insn *in)
{
	const struct answer *a;
	bool wide = in->mode == 8;
	u64 arg[3];

	if (cpu->cpl || !cpu_protected(cpu))
		return cpu_raise(cpu, X86_UD);
	arg[0] = wide ? cpu->gpr[RCX] : register_pair(cpu, RDX, RAX);
	arg[1] = wide ? cpu->gpr[RDX] : register_pair(cpu, RBX, RCX);
	arg[2] = wide ? cpu->gpr[R8] : register_pair(cpu, RDI, RSI);
	a = answer_to(cpu, EXIT_HYPERV, arg[0], 8);
	if (!a) {
		cpu_exit_in_front(cpu, EXIT_HYPERV);
		cpu->exit.hyperv = (typeof(cpu->exit.hyperv)){
			.kind = HYPERV_CALL, .arg = {arg[0], arg[1], arg[2]}};
		return ask_outside(cpu);
	}
	if (a->error)
		return cpu_raise(cpu, X86_UD);
	cpu->gpr[RAX] = wide ? a->value : (u32)a->value;
	if (!wide)
		cpu->gpr[RDX] = a->value >> 32;
	return CPU_OK;
}

static int xen_call(struct cpu *cpu, const struct insn *in)
{
	static const u8 regs[2][6] = {{RBX, RCX, RDX, RSI, RDI, RBP}, {RDI, RSI, RDX, R10, R8, R9}};
	unsigned size = in->mode == 8 ? 8 : 4;
	u64 nr = reg_read(cpu, RAX, size, true);
	const struct answer *a = answer_to(cpu, EXIT_XEN, nr, 8);

	if (a) {
		reg_write(cpu, RAX, size, true, a->value);
		return CPU_OK;
	}
	cpu->exit = (struct exit){
		.reason = EXIT_XEN, .xen = {.nr = nr, .cpl = cpu->cpl, .long_mode = size == 8}};
	for (unsigned i = 0; i < ARRAY_SIZE(regs[0]); i++)
		cpu->exit.xen.args[i] = reg_read(cpu, regs[size == 8][i], size, true);
	return ask_outside(cpu);
}

static int hypercall(struct cpu *cpu, const struct insn *in)
{
	int r;

	if (tap_hypercall(cpu, &r))
		return r;
	if (is_xen(cpu))
		return xen_call(cpu, in);
	if (is_hyperv(cpu))
		return hyperv_call(cpu, in);
	/* A partition has no other, and that not before the guest has said what it is (TLFS 3.13). */
	return machine_intercepts(cpu->machine) ? cpu_raise(cpu, X86_UD) : kvm_hypercall(cpu, in);
}

/*
 * The other vendor's instruction: written over in guest memory and started again, as KVM does it. Where it cannot be
 * written (KVM: #PF) it is simply done, so that a guest image moves between hosts.
 */
static int foreign_hypercall(struct cpu *cpu, const struct insn *in)
{
	u8 insn[3];
	u64 lin = cpu->rip;
	int r;

	if (!machine_quirk(cpu->machine, QUIRK_FIX_HYPERCALL_INSN) ||
		machine_intercepts(cpu->machine))
		return cpu_raise(cpu, X86_UD);
	if (cpu->code_size != 8)
		lin = (u32)(cpu->seg[SEG_CS].base + lin);
	r = mem_probe_write(cpu, lin, 3, 0);
	if (r)
		return r == CPU_FAULT ? hypercall(cpu, in) : r;
	machine_hypercall_insn(cpu->machine, insn);
	cpu->next_rip = cpu->rip;
	return mem_write(cpu, lin, insn, sizeof(insn), 0);
}

int op_vmcall(struct cpu *cpu, const struct insn *in)
{
	bool foreign = cpu->machine->vmmcall;

	return foreign ? foreign_hypercall(cpu, in) : hypercall(cpu, in);
}

int op_vmmcall(struct cpu *cpu, const struct insn *in)
{
	bool foreign = !cpu->machine->vmmcall;

	return foreign ? foreign_hypercall(cpu, in) : hypercall(cpu, in);
}
