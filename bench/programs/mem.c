/* SPDX-License-Identifier: MIT */
/* Memory: streams, dependent loads over four footprints, copies, strings, atomics. */
#include <emmintrin.h>
#include <string.h>
#include <sys/mman.h>

#include "ubench.h"

#define COPY_BYTES (16u << 20)

static u64 *words;
static u8 *from, *to;

static void prepare_words(void)
{
	words = must_map(4096 * 8, PROT_READ | PROT_WRITE);
	for (u64 i = 0; i < 4096; i++)
		words[i] = i * i;
}

static u64 run_sum(u64 n)
{
	u64 sum = 0;

	while (n--)
		for (unsigned i = 0; i < 4096; i++) {
			sum += words[i];
			OPAQUE(sum);
		}
	return sum;
}

static u64 run_stream(u64 n)
{
	u64 add = n;

	while (n--)
		for (unsigned i = 0; i < 4096; i++) {
			words[i] += add;
			MEMORY();
		}
	return words[17] ^ words[4095];
}

/* A random cycle through lines of size bytes: each load's address is the one before's value. */
static void **chain;

static void make_chain(size_t size)
{
	size_t lines = size / 64;
	u8 *base = must_map(size, PROT_READ | PROT_WRITE);
	u32 *at = must_map(lines * 4, PROT_READ | PROT_WRITE);
	u64 state = 1;

	for (u32 i = 0; i < lines; i++)
		at[i] = i;
	for (size_t i = lines - 1; i > 0; i--) { /* Sattolo's: one cycle */
		size_t j = next_random(&state) % i;
		u32 t = at[i];
		at[i] = at[j];
		at[j] = t;
	}
	for (size_t i = 0; i < lines; i++)
		*(void **)(base + i * 64) = base + (size_t)at[i] * 64;
	munmap(at, lines * 4);
	chain = (void **)base;
}

static void prepare_16k(void)
{
	make_chain(16u << 10);
}
static void prepare_256k(void)
{
	make_chain(256u << 10);
}
static void prepare_4m(void)
{
	make_chain(4u << 20);
}
static void prepare_64m(void)
{
	make_chain(64u << 20);
}

static u64 run_chase(u64 n)
{
	static void **p;
	u64 left = n * 1000;

	if (!p)
		p = chain;
	while (left--)
		p = *p;
	return (u64)((u8 *)p - (u8 *)chain);
}

static void prepare_copy(void)
{
	from = must_map(COPY_BYTES, PROT_READ | PROT_WRITE);
	to = must_map(COPY_BYTES, PROT_READ | PROT_WRITE);
	for (unsigned i = 0; i < COPY_BYTES; i += 64)
		from[i] = (u8)(i >> 6);
}

static u64 run_copy_movsb(u64 n)
{
	while (n--) {
		void *d = to;
		const void *s = from;
		size_t c = COPY_BYTES;
		__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(c)::"memory");
	}
	return to[64] + to[COPY_BYTES - 64];
}

static u64 run_copy_sse(u64 n)
{
	while (n--) {
		for (unsigned i = 0; i < COPY_BYTES; i += 16)
			_mm_storeu_si128((void *)(to + i), _mm_loadu_si128((void *)(from + i)));
		MEMORY();
	}
	return to[64] + to[COPY_BYTES - 64];
}

static u64 run_copy_libc(u64 n)
{
	while (n--) {
		memcpy(to, from, COPY_BYTES);
		MEMORY();
	}
	return to[64] + to[COPY_BYTES - 64];
}

static char text[8193], text2[8193];

static void prepare_text(void)
{
	u64 state = 8;

	for (unsigned i = 0; i < 8192; i++)
		text[i] = text2[i] = 'a' + (char)(next_random(&state) % 20);
}

static u64 run_strbyte(u64 n)
{
	u64 sum = 0;

	while (n--) {
		const char *s = text, *t = text2;
		u64 length = 0, spaces = 0;
		while (s[length]) {
			length++;
			OPAQUE(length);
		}
		for (const char *p = s; *p; p++) {
			spaces += *p == 'e';
			OPAQUE(spaces);
		}
		while (*s && *s == *t) {
			s++;
			t++;
			OPAQUE(s);
		}
		for (u64 i = 0; i < 8192; i++) {
			text2[i] = text[i];
			MEMORY();
		}
		sum += length + spaces + (u64)(s - text);
	}
	return sum;
}

static u64 run_strlibc(u64 n)
{
	u64 sum = 0;

	while (n--) {
		sum += strlen(text);
		sum += (u64)strcmp(text, text2);
		sum += memchr(text, 'z', 8192) != NULL;
		MEMORY();
	}
	return sum;
}

static u64 run_atomics(u64 n)
{
	static u64 counter;

	for (u64 i = 0; i < n * 1000; i++)
		__atomic_fetch_add(&counter, i, __ATOMIC_SEQ_CST);
	return counter;
}

const struct workload mem_workloads[] = {
	{"chase16k", "mem", "1000 dependent loads in 16 KiB", run_chase, prepare_16k},
	{"chase256k", "mem", "1000 dependent loads in 256 KiB", run_chase, prepare_256k},
	{"chase4m", "mem", "1000 dependent loads in 4 MiB", run_chase, prepare_4m},
	{"chase64m", "mem", "1000 dependent loads in 64 MiB", run_chase, prepare_64m},
	{"sum", "mem", "4096 loads", run_sum, prepare_words},
	{"stream", "mem", "4096 loads and stores", run_stream, prepare_words},
	{"copy_movsb", "mem", "16 MiB by rep movsb", run_copy_movsb, prepare_copy, 16},
	{"copy_sse", "mem", "16 MiB by 16-byte moves", run_copy_sse, prepare_copy, 2},
	{"copy_libc", "mem", "16 MiB by memcpy", run_copy_libc, prepare_copy},
	{"strbyte", "mem", "4 byte loops over 8 KiB", run_strbyte, prepare_text},
	{"strlibc", "mem", "strlen, strcmp, memchr of 8 KiB", run_strlibc, prepare_text, 4},
	{"atomics", "mem", "1000 lock xadd", run_atomics},
	{0},
};
