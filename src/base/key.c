/* SPDX-License-Identifier: MIT */
/* The secret of this process by which its filters know the engine's system calls: see sys.h. */
#include <cpuid.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/sys.h"

#define TRIES 10 /* SDM 1:7.3.17.1: it may be out of numbers for a moment */

u64 sys_key;
static bool has_rdrand;

/* The finalizer of a 64-bit hash: each bit of the result depends on all of x. */
static u64 mix(u64 x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static bool rdrand(u64 *ret)
{
	u8 ok = 0;

	for (int i = 0; has_rdrand && !ok && i < TRIES; i++)
		__asm__ volatile("rdrand %0; setc %1" : "=r"(*ret), "=qm"(ok) : : "cc");
	return ok;
}

static void set(u64 random)
{
	sys_key = random | BIT64(63); /* not 0 */
}

/*
 * The C library takes its own secrets from these bytes (the stack's canary among them), so what is made of them here must
 * not tell what they are. Two threads that do it at once make the same.
 */
bool sys_key_make(void)
{
	const void *random = (const void *)getauxval(AT_RANDOM);
	u32 a, b, c, d;
	u64 halves[2];

	if (sys_key || !random)
		return sys_key;
	has_rdrand = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_RDRND);
	memcpy(halves, random, sizeof(halves));
	set(mix(mix(halves[0]) + halves[1]));
	return true;
}

void sys_key_renew(void)
{
	u64 random;

	if (rdrand(&random))
		set(mix(sys_key + random));
}
