/* SPDX-License-Identifier: MIT */
/* SHA-1, after FIPS 180-4: section 5.1.1 pads, 6.1.2 computes. */
#include "base/sha1.h"

#include <string.h>

#define BLOCK 64

static u32 rotate(u32 value, int n)
{
	return value << n | value >> (32 - n);
}

static u32 mix(int round, u32 b, u32 c, u32 d)
{
	switch (round / 20) {
	case 0: return ((b & c) ^ (~b & d)) + 0x5a827999;
	case 1: return (b ^ c ^ d) + 0x6ed9eba1;
	case 2: return ((b & c) ^ (b & d) ^ (c & d)) + 0x8f1bbcdc;
	default: return (b ^ c ^ d) + 0xca62c1d6;
	}
}

static void expand(const u8 block[BLOCK], u32 w[80])
{
	for (int i = 0; i < 16; i++)
		w[i] = (u32)block[4 * i] << 24 | (u32)block[4 * i + 1] << 16 |
		       (u32)block[4 * i + 2] << 8 | block[4 * i + 3];
	for (int i = 16; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
}

static void add_block(u32 hash[5], const u8 block[BLOCK])
{
	u32 a = hash[0], b = hash[1], c = hash[2], d = hash[3], e = hash[4], w[80], next;

	expand(block, w);
	for (int i = 0; i < 80; i++) {
		next = rotate(a, 5) + mix(i, b, c, d) + e + w[i];
		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = next;
	}
	hash[0] += a;
	hash[1] += b;
	hash[2] += c;
	hash[3] += d;
	hash[4] += e;
}

/* The last bytes, a one bit, zeros, and the length in bits: one block or two. */
static void add_end(u32 hash[5], const u8 *rest, size_t n, u64 size)
{
	u8 end[2 * BLOCK] = {0};
	const size_t whole = n + 9 <= BLOCK ? BLOCK : 2 * BLOCK;

	memcpy(end, rest, n);
	end[n] = 0x80;
	for (int i = 0; i < 8; i++)
		end[whole - 1 - (size_t)i] = (u8)(size << 3 >> 8 * i);
	add_block(hash, end);
	if (whole > BLOCK)
		add_block(hash, end + BLOCK);
}

void sha1(const void *data, size_t size, u8 ret_hash[SHA1_SIZE])
{
	u32 hash[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	const size_t whole = size & ~(size_t)(BLOCK - 1);

	for (size_t at = 0; at < whole; at += BLOCK)
		add_block(hash, (const u8 *)data + at);
	add_end(hash, size ? (const u8 *)data + whole : (const u8 *)"", size - whole, size);
	for (int i = 0; i < SHA1_SIZE; i++)
		ret_hash[i] = (u8)(hash[i / 4] >> (24 - 8 * (i % 4)));
}
