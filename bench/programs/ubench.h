/* SPDX-License-Identifier: MIT */
/*
 * The programs of the bench: one binary, statically linked, that runs natively and in guests.
 *
 * A workload does n operations and returns a checksum that depends only on the operations, so that
 * equal work can be proved equal wherever it ran. Nothing is timed here but in main.c.
 */
#ifndef UBENCH_H
#define UBENCH_H

#include <stdint.h>
#include <stdbool.h>
#include <stddef.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

struct workload {
	const char *name;
	const char
		*group; /* int, mem, fp: user mode; os: kernel-entering; code; jobs: shell-level */
	const char *operation; /* what one operation is */
	u64 (*run)(u64 n);
	void (*prepare)(void); /* outside the measured time; may be NULL */
	unsigned divide;       /* do so many times less work: slow for emulators; 0 and 1 mean no */
	const char *needs;     /* "avx2" or NULL */
};

extern const struct workload int_workloads[], mem_workloads[], fp_workloads[], os_workloads[],
	code_workloads[], job_workloads[]; /* each ends with a NULL name */

/* xorshift64*: the same numbers everywhere. */
static inline u64 next_random(u64 *state)
{
	u64 x = *state;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dull;
}

static inline u64 mix(u64 hash, u64 value)
{
	return (hash ^ value) * 0x100000001b3ull;
}

/* The compiler must not know what v is, nor drop it. */
#define OPAQUE(v) __asm__ volatile("" : "+r"(v))
#define MEMORY()  __asm__ volatile("" ::: "memory")

/* Memory for a workload, touched once; ends the program when there is none. */
void *must_map(size_t size, int prot);
void must(bool ok, const char *what);

#endif
