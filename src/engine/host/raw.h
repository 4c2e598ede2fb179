/* SPDX-License-Identifier: MIT */
/*
 * The only places where the engine's C code touches guest RAM (raw.S).
 *
 * Guest RAM is the caller's memory: other threads change it at any time, and the caller may have
 * unmapped or protected it. Each function returns -1 if the host refused the access, provided that the
 * process's signal handler calls guest_raw_fixup(). Accesses of 1, 2, 4 and 8 bytes are single
 * instructions, hence as atomic as the processor makes them (SDM 3:8.1.1).
 */
#ifndef ENGINE_HOST_RAW_H
#define ENGINE_HOST_RAW_H

#include "base/types.h"

/* 0 or -1. One of the two sides is guest RAM; parts may have been copied before a fault. */
int guest_copy(void *dst, const void *src, size_t len);
/* For outer code: it uses vector registers. len is a multiple of 64, and not 0. */
int guest_copy_wide(void *dst, const void *src, size_t len);
/* Is the page there? It is waited for, if userfaultfd holds it back. */
static inline int guest_touch(const u8 *page)
{
	u8 byte;

	return guest_copy(&byte, page, 1);
}
/* 0 the same, 1 not, -1. */
int guest_compare(const void *a, const void *b, size_t len);
/* A paging-structure entry, read once. size is 4 or 8. 0 or -1. */
int guest_load_pte(u64 *ret, const u8 *host, unsigned size);
/* Locked compare and exchange: 1 done, 0 the entry was not old, -1. */
int guest_cmpxchg_pte(u8 *host, u64 old, u64 new, unsigned size);

extern const u8 guest_raw_begin[], guest_raw_end[], guest_raw_fault[];

/*
 * For a handler of SIGSEGV and SIGBUS: was *pc one of the accesses above? Then *pc becomes the place to go on
 * from, where the function returns -1. Async-signal-safe.
 */
static inline bool guest_raw_fixup(u64 *pc)
{
	if (*pc < (u64)guest_raw_begin || *pc >= (u64)guest_raw_end)
		return false;
	*pc = (u64)guest_raw_fault;
	return true;
}

extern const u8 guest_copy_long[], guest_copy_end[];

/* For an access of raw.S at pc: has its function not copied anything yet? A loop has counted rcx down from rdx then. */
static inline bool guest_raw_at_start(u64 pc, u64 rcx, u64 rdx)
{
	if (pc < (u64)guest_raw_begin || pc >= (u64)guest_raw_end)
		return false;
	return pc < (u64)guest_copy_long || pc >= (u64)guest_copy_end || rcx == rdx;
}

#endif
