/* SPDX-License-Identifier: MIT */
/*
 * The rules of valid.h (SDM 3:2.5, 3:4.1, 3:9.8.5; 1:13.3).
 *
 * What KVM lets the VMM do and the guest may not do, and so we:
 * - It sets whole states. What may not change at once (LME under PG, PG in 64-bit code, PCIDE with a PCID in CR3) is no
 *   matter then, nor are the PDPTEs: memory may come later. RSM sets a whole state, too.
 * - EFER may have bits that this vCPU's CPUID does not offer: VMMs set registers before CPUID. They are in the image of
 *   an SMI then, so RSM takes them back. (Bits that no processor of ours has are refused; KVM_SET_SREGS of KVM takes any.)
 * - CR4.PCIDE may be set outside of long mode: KVM does not look.
 * - Reserved bits of CR0, DR6, DR7 and RFLAGS stay as it has set them; instructions and RSM drop them.
 * - XCR0 may be 1 whatever CPUID says: that is its value after RESET, which VMMs restore.
 * - CR3_NOFLUSH is taken and dropped, also without PCIDE. That is our own: KVM refuses it in long mode.
 * And what the guest may do and the VMM not: CS may have the L bit outside of long mode, where it means nothing. KVM refuses
 * that state.
 */
#include "engine/cpu/valid.h"

#include <errno.h>

#include "engine/cpuid/cpuid.h"
#include "engine/host/raw.h"
#include "engine/mem/mem.h"

/* ---- each by itself ---- */

static int check_cr0(struct refusal *why, u64 cr0)
{
	if (cr0 >> 32)
		return refuse(why, -EINVAL, "cr0 0x%lx: bits 63 to 32 are reserved", cr0);
	if ((cr0 & CR0_PG) && !(cr0 & CR0_PE))
		return refuse(why, -EINVAL, "cr0 0x%lx: PG needs PE", cr0);
	if ((cr0 & CR0_NW) && !(cr0 & CR0_CD))
		return refuse(why, -EINVAL, "cr0 0x%lx: NW needs CD", cr0);
	return 0;
}

static int check_cr3(const struct cpu *cpu, struct refusal *why, u64 cr3)
{
	if (cr3 & cpu_phys_reserved(cpu))
		return refuse(why, -EINVAL, "cr3 0x%lx: physical addresses have only %lu bits", cr3,
			(u64)cpu_phys_bits(cpu));
	return 0;
}

static int check_cr4_bits(const struct cpu *cpu, struct refusal *why, u64 cr4)
{
	u64 unknown = cr4 & ~cpu->cr4_allowed;

	if (unknown)
		return refuse(why, -EINVAL, "cr4 0x%lx: CPUID does not offer the bits 0x%lx", cr4,
			unknown);
	return 0;
}

/* Bits of EFER that the guest's CPUID does not offer. */
static u64 efer_lacking(const struct cpu *cpu)
{
	return (cpu->lacks & LACKS_NX ? EFER_NX : 0) |
	       (cpu->lacks & LACKS_LONG_MODE ? EFER_LME | EFER_LMA : 0) |
	       (cpu->lacks & LACKS_AUTO_IBRS ? EFER_AIBRSE : 0);
}

u64 efer_refused_bits(const struct cpu *cpu, u64 efer, enum valid_by by)
{
	return efer & (~EFER_OFFERED | (by == BY_GUEST ? efer_lacking(cpu) : 0));
}

static int check_efer_bits(const struct cpu *cpu, struct refusal *why, u64 efer, enum valid_by by)
{
	u64 unknown = efer_refused_bits(cpu, efer, by);

	if (unknown)
		return refuse(
			why, -EINVAL, "efer 0x%lx: the bits 0x%lx are not offered", efer, unknown);
	return 0;
}

int valid_xcr0(const struct cpu *cpu, struct refusal *why, u64 xcr0, enum valid_by by)
{
	u64 always = by == BY_VMM ? XCR0_RESET : 0;

	return xstate_check_xcr0(why, xcr0, cpu->xcr0_allowed | always, cpu->xstate.features);
}

/* ---- how they go together, SDM 3:4.1.1 ---- */

static int check_cr4_in_mode(struct refusal *why, u64 cr4, bool long_mode, enum valid_by by)
{
	if (long_mode && !(cr4 & CR4_PAE))
		return refuse(why, -EINVAL, "cr4 0x%lx: long mode needs PAE", cr4);
	if (!long_mode && (cr4 & CR4_PCIDE) && by != BY_VMM)
		return refuse(why, -EINVAL, "cr4 0x%lx: PCIDE needs long mode", cr4);
	return 0;
}

static int check_lma(struct refusal *why, const struct control *c, bool long_mode, enum valid_by by)
{
	bool lma = c->efer & EFER_LMA;

	if (lma && !long_mode)
		return refuse(why, -EINVAL, "efer 0x%lx: LMA needs LME, and PG in cr0", c->efer);
	if (!lma && long_mode)
		return refuse(why, -EINVAL,
			"efer 0x%lx: LMA must be set, because LME and PG in cr0 are", c->efer);
	if (c->cs_l && !long_mode && by == BY_VMM)
		return refuse(
			why, -EINVAL, "cs.l: 64-bit code needs LME and LMA in efer, and PG in cr0");
	return 0;
}

int valid_control(
	const struct cpu *cpu, struct refusal *why, const struct control *c, enum valid_by by)
{
	bool long_mode = efer_with_lma(c->efer, c->cr0) & EFER_LMA;

	if (check_cr0(why, c->cr0) || check_cr4_bits(cpu, why, c->cr4) ||
		check_efer_bits(cpu, why, c->efer, by) ||
		check_cr4_in_mode(why, c->cr4, long_mode, by) || check_lma(why, c, long_mode, by))
		return -EINVAL;
	return long_mode ? check_cr3(cpu, why, c->cr3) : 0;
}

/* ---- by an instruction ---- */

/* Which changes let the processor load the four PDPTEs of PAE paging again (SDM 3:4.4.1). */
#define CR0_PDPTES (CR0_PG | CR0_CD | CR0_NW)
#define CR4_PDPTES (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP)

static bool uses_pdptes(const struct control *c)
{
	return (c->cr0 & CR0_PG) && (c->cr4 & CR4_PAE) && !(c->efer & EFER_LMA);
}

static int check_pdptes(struct cpu *cpu, u64 cr3)
{
	u64 gpa = cr3 & 0xffffffe0ull, reserved = cpu_phys_reserved(cpu) | 0x1e6;
	u32 flags;
	const u8 *page =
		slot_page(cpu->machine, mem_reached(cpu, cpu_gpa(cpu, gpa & PAGE_MASK)), &flags);

	if (!page)
		return -EINVAL;
	for (unsigned i = 0; i < 4; i++) {
		u64 e;

		if (guest_load_pte(&e, page + (gpa & ~PAGE_MASK) + i * sizeof(e), sizeof(e)))
			return -EINVAL;
		if ((e & PTE_P) && (e & reserved))
			return -EINVAL;
	}
	return 0;
}

static struct control control_now(const struct cpu *cpu)
{
	return (struct control){.cr0 = cpu->cr0,
		.cr3 = cpu->cr3,
		.cr4 = cpu->cr4,
		.efer = cpu->efer,
		.cs_l = cpu->seg[SEG_CS].attr & SEG_L};
}

/* PG turns IA-32e mode on or off if LME is set, but not under 64-bit code, nor into it (SDM 3:9.8.5). */
static int check_paging_change(const struct cpu *cpu, const struct control *next)
{
	bool long_mode = next->efer & EFER_LMA;

	if (long_mode ? next->cs_l : cpu->code_size == 8)
		return -EINVAL;
	return check_cr4_in_mode(NULL, next->cr4, long_mode, BY_GUEST);
}

int valid_cr0_write(struct cpu *cpu, u64 cr0)
{
	struct control next = control_now(cpu);
	u64 changed = cr0 ^ cpu->cr0;

	next.cr0 = cr0;
	next.efer = efer_with_lma(cpu->efer, cr0);
	if (check_cr0(NULL, cr0) || ((changed & CR0_PG) && check_paging_change(cpu, &next)))
		return -EINVAL;
	return (changed & CR0_PDPTES) && uses_pdptes(&next) ? check_pdptes(cpu, cpu->cr3) : 0;
}

int valid_cr3_write(struct cpu *cpu, u64 cr3)
{
	struct control now = control_now(cpu);

	if (cpu_long_mode(cpu))
		return check_cr3(cpu, NULL, cr3);
	return uses_pdptes(&now) ? check_pdptes(cpu, cr3) : 0;
}

int valid_cr4_write(struct cpu *cpu, u64 cr4)
{
	struct control next = control_now(cpu);
	u64 changed = cr4 ^ cpu->cr4;

	next.cr4 = cr4;
	if (check_cr4_bits(cpu, NULL, cr4) ||
		check_cr4_in_mode(NULL, cr4, cpu_long_mode(cpu), BY_GUEST))
		return -EINVAL;
	if ((changed & CR4_LA57) && cpu_long_mode(cpu))
		return -EINVAL;
	if ((changed & cr4 & CR4_PCIDE) && (cpu->cr3 & CR3_PCID_MASK))
		return -EINVAL;
	return (changed & CR4_PDPTES) && uses_pdptes(&next) ? check_pdptes(cpu, cpu->cr3) : 0;
}

bool valid_lme(const struct cpu *cpu, u64 efer)
{
	return !((efer ^ cpu->efer) & EFER_LME) || !(cpu->cr0 & CR0_PG);
}

/* ---- events ---- */

int valid_exception(struct refusal *why, const struct vcpu_events *e)
{
	if (e->exception.injected && e->exception.pending)
		return refuse(why, -EINVAL, "exception: injected and pending cannot both be set");
	if ((e->exception.injected || e->exception.pending) &&
		(e->exception.vector > 31 || e->exception.vector == X86_NMI))
		return refuse(why, -EINVAL, "exception.nr %lu: must be 0 to 31, but not 2 (NMI)",
			(u64)e->exception.vector);
	return 0;
}
