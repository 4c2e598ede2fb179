/* SPDX-License-Identifier: MIT */
/* Integer and control flow: arithmetic, branches, calls, indirect calls and jumps, tables, hashing. */
#include <string.h>

#include "ubench.h"

static u64 run_alu(u64 n)
{
	u64 a = 1, b = 2, c = 3, d = 4;

	for (u64 i = 0; i < n * 1000; i++) {
		a += b ^ (c << 3);
		b = (b >> 1) + d;
		c ^= a;
		d = d * 5 + i;
		OPAQUE(a);
	}
	return a ^ b ^ c ^ d;
}

static u64 run_branchy(u64 n)
{
	u64 state = 42, a = 0, b = 0, c = 0;

	for (u64 i = 0; i < n * 1000; i++) {
		u64 r = next_random(&state);
		if (r & 1 << 20)
			a += i;
		else
			b ^= i;
		OPAQUE(a);
		OPAQUE(b);
		if (r & 1 << 21)
			c += a;
		OPAQUE(c);
		if (r & 1 << 22)
			b += 3;
		OPAQUE(b);
	}
	return a ^ b ^ c;
}

#define SORT_COUNT 16384

static void quicksort(u32 *a, long lo, long hi)
{
	while (lo < hi) {
		u32 pivot = a[(lo + hi) / 2];
		long i = lo, j = hi;
		while (i <= j) {
			while (a[i] < pivot)
				i++;
			while (a[j] > pivot)
				j--;
			if (i <= j) {
				u32 t = a[i];
				a[i++] = a[j];
				a[j--] = t;
			}
		}
		quicksort(a, lo, j);
		lo = i;
	}
}

static u64 run_sort(u64 n)
{
	static u32 a[SORT_COUNT];
	u64 state = 7, sum = 0;

	while (n--) {
		for (unsigned i = 0; i < SORT_COUNT; i++)
			a[i] = (u32)next_random(&state);
		quicksort(a, 0, SORT_COUNT - 1);
		sum = mix(sum, a[0] ^ a[SORT_COUNT / 2] ^ a[SORT_COUNT - 1]);
	}
	return sum;
}

static u32 crc_table[256];
static u8 block64k[65536];

static void fill_block(void)
{
	u64 state = 99;

	for (unsigned i = 0; i < sizeof(block64k); i++)
		block64k[i] = (u8)next_random(&state);
}

static void prepare_crc(void)
{
	fill_block();
	for (u32 i = 0; i < 256; i++) {
		u32 c = i;
		for (int k = 0; k < 8; k++)
			c = c & 1 ? c >> 1 ^ 0xedb88320 : c >> 1;
		crc_table[i] = c;
	}
}

static u64 run_crc32(u64 n)
{
	u32 crc = ~0u;

	while (n--)
		for (unsigned i = 0; i < sizeof(block64k); i++)
			crc = crc_table[(crc ^ block64k[i]) & 255] ^ crc >> 8;
	return crc;
}

/* FIPS 180-4: constants are the fraction bits of cube roots of primes, computed in integers here. */
static u32 sha_k[64];

static void prepare_sha(void)
{
	unsigned found = 0;

	fill_block();
	for (u64 p = 2; found < 64; p++) {
		bool prime = true;
		for (u64 d = 2; d * d <= p; d++)
			prime &= p % d != 0;
		if (!prime)
			continue;
		/* largest r with r^3 <= p * 2^96: 2^32 times the cube root of p, rounded down */
		u64 r = 0;
		for (int bit = 34; bit >= 0; bit--) {
			u64 t = r | 1ull << bit;
			unsigned __int128 square = (unsigned __int128)t * t;
			/* t^3 <= p << 96, without overflow: compare square * t high part */
			unsigned __int128 high = (square >> 32) * t >> 64;
			if (high < p)
				r = t;
		}
		sha_k[found++] = (u32)r;
	}
}

#define ROR(x, n) ((x) >> (n) | (x) << (32 - (n)))

static void sha_block(u32 hash[8], const u8 *p)
{
	u32 w[64], s[8];

	for (int i = 0; i < 16; i++) {
		u32 v;
		memcpy(&v, p + 4 * i, 4);
		w[i] = __builtin_bswap32(v);
	}
	for (int i = 16; i < 64; i++) {
		u32 x = w[i - 15], y = w[i - 2];
		w[i] = w[i - 16] + (ROR(x, 7) ^ ROR(x, 18) ^ x >> 3) + w[i - 7] +
		       (ROR(y, 17) ^ ROR(y, 19) ^ y >> 10);
	}
	memcpy(s, hash, sizeof(s));
	u32 a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
	for (int i = 0; i < 64; i++) {
		u32 t1 = h + (ROR(e, 6) ^ ROR(e, 11) ^ ROR(e, 25)) + ((e & f) ^ (~e & g)) +
			 sha_k[i] + w[i];
		u32 t2 = (ROR(a, 2) ^ ROR(a, 13) ^ ROR(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
		h = g;
		g = f;
		f = e;
		e = d + t1;
		d = c;
		c = b;
		b = a;
		a = t1 + t2;
	}
	const u32 out[8] = {a, b, c, d, e, f, g, h};
	for (int i = 0; i < 8; i++)
		hash[i] += out[i];
}

static u64 run_sha256(u64 n)
{
	u32 h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
		0x1f83d9ab, 0x5be0cd19};

	while (n--)
		for (unsigned i = 0; i < sizeof(block64k); i += 64)
			sha_block(h, block64k + i);
	return (u64)h[0] << 32 | h[7];
}

static u64 run_sieve(u64 n)
{
	static u8 composite[65536];
	u64 primes = 0;

	while (n--) {
		memset(composite, 0, sizeof(composite));
		for (unsigned i = 2; i < sizeof(composite); i++) {
			if (composite[i])
				continue;
			primes++;
			for (unsigned j = 2 * i; j < sizeof(composite); j += i)
				composite[j] = 1;
		}
		MEMORY();
	}
	return primes;
}

#define HASH_SLOTS 65536

static u64 run_hash(u64 n)
{
	static u64 keys[HASH_SLOTS];
	u64 state = 5, probes = 0;

	while (n--) {
		memset(keys, 0, sizeof(keys));
		for (unsigned i = 0; i < 40000; i++) {
			u64 key = next_random(&state) | 1;
			u64 slot = key * 0x9e3779b97f4a7c15ull >> 48;
			while (keys[slot] && keys[slot] != key) {
				slot = (slot + 1) % HASH_SLOTS;
				probes++;
			}
			keys[slot] = key;
		}
	}
	return probes;
}

/* Both results opaque: no call may become a loop. */
__attribute__((noinline)) static u64 fib(u64 n)
{
	u64 a, b;

	OPAQUE(n);
	if (n < 2)
		return n;
	a = fib(n - 1);
	OPAQUE(a);
	b = fib(n - 2);
	OPAQUE(b);
	return a + b;
}

static u64 run_fib(u64 n)
{
	u64 sum = 0;

	while (n--)
		sum += fib(20);
	return sum;
}

typedef u64 (*method)(u64);
#define METHOD(k)                                                                                  \
	__attribute__((noinline)) static u64 method##k(u64 x)                                      \
	{                                                                                          \
		return x * (2 * k + 1) + k;                                                        \
	}
METHOD(0)
METHOD(1)
METHOD(2)
METHOD(3)
METHOD(4)
METHOD(5)
METHOD(6)
METHOD(7)
static const method methods[8] = {
	method0, method1, method2, method3, method4, method5, method6, method7};
static u8 order[4096];

static void prepare_vcall(void)
{
	u64 state = 3;

	for (unsigned i = 0; i < sizeof(order); i++)
		order[i] = next_random(&state) >> 40 & 7;
}

static u64 run_vcall1(u64 n)
{
	u64 x = 1;
	method m = methods[3];

	while (n--)
		for (unsigned i = 0; i < 4096; i++) {
			OPAQUE(m);
			x = m(x);
		}
	return x;
}

static u64 run_vcall8(u64 n)
{
	u64 x = 1;

	while (n--)
		for (unsigned i = 0; i < 4096; i++)
			x = methods[order[i]](x);
	return x;
}

/* A byte-code interpreter with a dispatch jump per operation, as real ones have. */
static u8 program[4096];

static void prepare_interp(void)
{
	u64 state = 11;

	for (unsigned i = 0; i < sizeof(program); i++)
		program[i] = next_random(&state) >> 33 & 7;
}

static u64 run_interp(u64 n)
{
	static const void *const labels[8] = {
		&&add, &&sub, &&xor, &&rot, &&push, &&pop, &&swap, &&mul};
	u64 stack[16] = {0}, a = 1, b = 2, sp = 0, left = n * 10000, pc = 0;
#define DISPATCH()                                                                                 \
	do {                                                                                       \
		if (left-- == 0)                                                                   \
			return a ^ b ^ stack[3];                                                   \
		goto *labels[program[pc++ % sizeof(program)]];                                     \
	} while (0)
	DISPATCH();
add:
	a += b;
	DISPATCH();
sub:
	b -= a + 1;
	DISPATCH();
	xor : a ^= b;
	DISPATCH();
rot:
	a = a << 7 | a >> 57;
	DISPATCH();
push:
	stack[sp++ & 15] = a;
	DISPATCH();
pop:
	b += stack[--sp & 15];
	DISPATCH();
swap:
	a ^= b;
	b ^= a;
	a ^= b;
	DISPATCH();
mul:
	b = b * 31 + 7;
	DISPATCH();
}

const struct workload int_workloads[] = {
	{"alu", "int", "1000 iterations in registers", run_alu},
	{"branchy", "int", "1000 iterations with 3 unpredictable branches", run_branchy},
	{"sort", "int", "quicksort of 16384 numbers", run_sort},
	{"crc32", "int", "64 KiB by table", run_crc32, prepare_crc},
	{"sha256", "int", "64 KiB, scalar", run_sha256, prepare_sha},
	{"sieve", "int", "primes below 65536", run_sieve},
	{"hash", "int", "40000 open-addressing inserts", run_hash},
	{"fib", "int", "fib(20): 21891 calls", run_fib},
	{"vcall1", "int", "4096 indirect calls, one target", run_vcall1},
	{"vcall8", "int", "4096 indirect calls, 8 random targets", run_vcall8, prepare_vcall},
	{"interp", "int", "10000 byte codes", run_interp, prepare_interp},
	{0},
};
