/* SPDX-License-Identifier: MIT */
/*
 * Instructions that handlers run on guest RAM at its host address (hostmem.S). The caller may have
 * protected or unmapped that memory: the process's signal handler then calls host_mem_fixup(), and
 * the function returns -1 with its progress recorded.
 */
#ifndef ENGINE_HOST_HOSTMEM_H
#define ENGINE_HOST_HOSTMEM_H

#include "engine/core/cpu.h"

/* Offsets are known to hostmem.S. */
struct host_string {
	void *dst;
	const void *src;
	u64 count; /* in: elements, at least 1; out: those that are left */
	u64 value; /* stos, scas */
	u32 flags; /* out: as `lahf; seto al` leaves them in ax */
	u32 down;  /* DF */
};
_Static_assert(offsetof(struct host_string, flags) == 32, "hostmem.S");
_Static_assert(offsetof(struct host_string, down) == 36, "hostmem.S");

/* 0, or -1 after a host fault. */
typedef int (*host_string_fn)(struct host_string *h);
/* By log2 of the element size; the comparing ones first by repe (0) or repne (1). */
extern const host_string_fn host_movs[4], host_stos[4], host_cmps[2][4], host_scas[2][4];

/* Locked read-modify-write of a byte: the old value, or -1. */
int host_lock_or(u8 *p, u8 mask);
int host_lock_andnot(u8 *p, u8 mask);
int host_lock_xor(u8 *p, u8 mask);

extern const u8 host_mem_begin[], host_mem_mid[], host_mem_end[];
extern const u8 host_string_fault[], host_lock_fault[];

/* For a handler of SIGSEGV and SIGBUS; async-signal-safe. */
static inline bool host_mem_fixup(u64 *pc)
{
	if (*pc < (u64)host_mem_begin || *pc >= (u64)host_mem_end)
		return false;
	*pc = *pc < (u64)host_mem_mid ? (u64)host_string_fault : (u64)host_lock_fault;
	return true;
}

/* For an access at pc: is it one to guest RAM, and not to struct host_string in r8? */
static inline bool host_mem_at_access(u64 pc)
{
	const u8 *insn = (const u8 *)pc;

	if (pc < (u64)host_mem_begin || pc >= (u64)host_mem_end)
		return false;
	return pc >= (u64)host_mem_mid || insn[0] == 0xf3 || insn[0] == 0xf2 || insn[0] == 0x66;
}

/* The exit for it. Which page it was is not known here. */
static inline int host_refused(struct cpu *cpu)
{
	return cpu_memory_fault(cpu, 0, 0, false);
}

#endif
