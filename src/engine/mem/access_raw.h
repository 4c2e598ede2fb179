/* SPDX-License-Identifier: MIT */
/*
 * The only places where the engine's C code touches guest RAM.
 *
 * Guest RAM is the caller's memory: other threads change it at any time, and the caller may have
 * unmapped or protected it. Each function returns 0, or -1 if the host refused the access.
 * Naturally aligned accesses of 1, 2, 4 and 8 bytes are single, as on a processor (SDM 3:8.1.1).
 */
#ifndef ENGINE_MEM_ACCESS_RAW_H
#define ENGINE_MEM_ACCESS_RAW_H

#include "base/types.h"

/* Unaligned pointers are fine: the host is x86 as well. */
typedef u16 __attribute__((may_alias, aligned(1))) raw16;
typedef u32 __attribute__((may_alias, aligned(1))) raw32;
typedef u64 __attribute__((may_alias, aligned(1))) raw64;

static inline void raw_move(u8 *dst, const u8 *src, size_t len)
{
	switch (len) {
	case 1: *(volatile u8 *)dst = *(const volatile u8 *)src; return;
	case 2: *(volatile raw16 *)dst = *(const volatile raw16 *)src; return;
	case 4: *(volatile raw32 *)dst = *(const volatile raw32 *)src; return;
	case 8: *(volatile raw64 *)dst = *(const volatile raw64 *)src; return;
	}
	for (; len >= 8 && len < 128; len -= 8, dst += 8, src += 8)
		*(volatile raw64 *)dst = *(const volatile raw64 *)src;
	asm volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(len) : : "memory");
}

static inline int guest_load(void *dst, const u8 *host, size_t len)
{
	raw_move(dst, host, len);
	return 0;
}

static inline int guest_store(u8 *host, const void *src, size_t len)
{
	raw_move(host, src, len);
	return 0;
}

/* A paging-structure entry, read once. size is 4 or 8. */
static inline int guest_load_pte(u64 *ret, const u8 *host, unsigned size)
{
	if (size == 8)
		*ret = __atomic_load_n((const u64 *)host, __ATOMIC_RELAXED);
	else
		*ret = __atomic_load_n((const u32 *)host, __ATOMIC_RELAXED);
	return 0;
}

/* Locked compare and exchange: 1 done, 0 the entry was not old, -1. */
static inline int guest_cmpxchg_pte(u8 *host, u64 old, u64 new, unsigned size)
{
	u32 old32 = old;

	if (size == 8)
		return __atomic_compare_exchange_n(
			(u64 *)host, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return __atomic_compare_exchange_n(
		(u32 *)host, &old32, (u32) new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

#endif
