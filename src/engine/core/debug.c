/* SPDX-License-Identifier: MIT */
/* See debug.h. */
#include "engine/core/debug.h"

#include "engine/core/block_key.h"

/* R/W field of DR7, SDM 3:17.2.4 */
enum { BP_EXEC, BP_WRITE, BP_IO, BP_ACCESS };

#define BREAKPOINTS 4

struct breakpoint {
	unsigned kind;
	u64 addr;
	u64 size;
};

static const u64 *registers(const struct cpu *cpu)
{
	return cpu->debug_flags & DBG_HW_BP ? cpu->debug_dr : cpu->dr;
}

/* False if it is not enabled. The low bits of an address that the length does not allow are ignored. */
static bool breakpoint(const struct cpu *cpu, unsigned i, struct breakpoint *ret)
{
	static const u8 sizes[] = {1, 2, 8, 4};
	const u64 *dr = registers(cpu);
	unsigned control = dr[7] >> (16 + 4 * i) & 15;

	if (!(dr[7] >> 2 * i & 3))
		return false;
	ret->kind = control & 3;
	ret->size = sizes[control >> 2];
	ret->addr = dr[i] & ~(ret->size - 1);
	/* Other lengths are undefined for instructions; Linux's KVM takes them for no breakpoint. */
	return ret->kind != BP_EXEC || ret->size == 1;
}

/* DR6 bits of those breakpoints of these kinds (a set) that len bytes at addr touch. */
static u8 matching(const struct cpu *cpu, unsigned kinds, u64 addr, unsigned len)
{
	struct breakpoint b;
	u8 hits = 0;

	for (unsigned i = 0; i < BREAKPOINTS; i++) {
		if (!breakpoint(cpu, i, &b) || !(kinds & BIT(b.kind)))
			continue;
		if (addr - b.addr < b.size || b.addr - addr < len)
			hits |= BIT(i);
	}
	return hits;
}

bool debug_watches_data(const struct cpu *cpu)
{
	struct breakpoint b;

	for (unsigned i = 0; i < BREAKPOINTS; i++)
		if (breakpoint(cpu, i, &b) && (b.kind == BP_WRITE || b.kind == BP_ACCESS))
			return true;
	return false;
}

/* MOV SS and POP SS put off what has been hit, and hide the next instruction (SDM 3:6.8.3). */
int debug_before(struct cpu *cpu)
{
	u64 lin = cpu->code_size == 8 ? cpu->rip : (u32)(cpu->seg[SEG_CS].base + cpu->rip);
	u8 hits;

	if (cpu->shadow & SHADOW_MOVSS)
		return CPU_OK;
	cpu->debug_hits = 0;
	if (cpu->rflags & FL_RF)
		return CPU_OK;
	hits = matching(cpu, BIT(BP_EXEC), lin, 1);
	if (likely(!hits))
		return CPU_OK;
	cpu->exc = (struct exception){.vector = X86_DB, .dr6 = hits};
	return CPU_FAULT;
}

void debug_note_access(struct cpu *cpu, u64 lin, unsigned len, bool write)
{
	cpu->debug_hits |= matching(cpu, BIT(BP_ACCESS) | (write ? BIT(BP_WRITE) : 0), lin, len);
}

void debug_note_port(struct cpu *cpu, u16 port, unsigned size)
{
	if ((cpu->block_key & BK_STEPPING) && (cpu->cr4 & CR4_DE))
		cpu->debug_hits |= matching(cpu, BIT(BP_IO), port, size);
}
