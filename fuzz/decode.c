/* SPDX-License-Identifier: MIT */
/*
 * Fuzzer of insn_decode(): invariants that must hold for any bytes. The input lies at the end of a page that
 * an inaccessible one follows, so that reading past n faults.
 *
 * Built with -fsanitize=fuzzer it is a libFuzzer target; otherwise main() feeds it seeds and random
 * bytes: `decode [--seconds N] [--seed S]`, or the files named, to replay findings.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "x86/insn.h"

#define CHECK(expr) ((expr) ? (void)0 : failed(#expr, code, n, mode))

static void failed(const char *what, const u8 *code, unsigned n, unsigned mode)
{
	fprintf(stderr, "decode: %s is false in mode %u for", what, mode * 8);
	for (unsigned i = 0; i < n; i++)
		fprintf(stderr, " %02x", code[i]);
	fprintf(stderr, "\n");
	abort();
}

/* A part of the instruction is absent (offset 0) or lies within it. */
static bool part_ok(const struct insn *in, unsigned off, unsigned len)
{
	return len ? off && off + len <= in->len : !off;
}

static void check_insn(const struct insn *in, const u8 *code, unsigned n, unsigned mode)
{
	const struct insn_desc *d = in->desc;

	CHECK(in->len >= 1 && in->len <= n && n <= INSN_MAX);
	CHECK(d && d->name && d->op != OP_UD && d->op < OP_COUNT);
	CHECK(!memcmp(in->bytes, code, in->len));
	CHECK(in->mode == mode && in->opcode_off < in->len && code[in->opcode_off] == in->opcode);
	CHECK(part_ok(in, in->modrm_off, in->has_modrm));
	CHECK(part_ok(in, in->disp_off, in->disp_len));
	CHECK(part_ok(in, in->imm_off, in->imm_len));
	CHECK(!in->imm_len || in->imm_off + in->imm_len == in->len);
	CHECK(in->op_size == 1 || in->op_size == 2 || in->op_size == 4 || in->op_size == 8);
	CHECK(in->addr_size == 2 || in->addr_size == 4 || in->addr_size == 8);
	unsigned registers = in->enc == ENC_EVEX ? 32 : 16;
	CHECK(in->reg < registers && in->rm < registers && in->vvvv < registers);
	CHECK(in->opmask < 8 && (in->vl <= 64 || d->evex & EV_SCALAR));
	CHECK(in->base < 16 || in->base == REG_NONE || in->base == BASE_RIP);
	CHECK(in->index < registers || in->index == REG_NONE);
	CHECK(mode == 8 || (in->reg | in->rm | in->vvvv) < 8);
	CHECK(in->seg < 6);
	CHECK(in->mem_size <= 64 && (in->is_mem || !in->mem_size));
	CHECK(!(in->pfx & PFX_LOCK) || (d->attr & IA_LOCK && in->is_mem));
	CHECK(!(d->attr & (mode == 8 ? IA_NO64 : IA_ONLY64)));
}

/* The result may not depend on bytes after the instruction, and less than all of it is too short. */
static void check_lengths(const struct insn *in, const u8 *code, unsigned n, unsigned mode)
{
	struct insn exact, less;

	CHECK(insn_decode(&exact, code, in->len, mode) == INSN_OK);
	CHECK(exact.len == in->len && exact.desc == in->desc && exact.imm == in->imm &&
		exact.disp == in->disp);
	if (in->len > 1)
		CHECK(insn_decode(&less, code, in->len - 1, mode) == INSN_SHORT);
}

static void check_mode(const u8 *code, unsigned n, unsigned mode)
{
	struct insn in;

	switch (insn_decode(&in, code, n, mode)) {
	case INSN_OK:
		check_insn(&in, code, n, mode);
		check_lengths(&in, code, n, mode);
		break;
	case INSN_INVALID: CHECK(in.len >= 1 && in.len <= n); break;
	case INSN_SHORT: CHECK(n < INSN_MAX); break;
	case INSN_TOO_LONG: CHECK(n == INSN_MAX); break;
	}
	insn_name(&in);
}

/* A readable page before one that is not. */
static u8 *guarded_end(void)
{
	u8 *p = mmap(
		NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || mprotect(p + PAGE_SIZE, PAGE_SIZE, PROT_NONE))
		abort();
	return p + PAGE_SIZE;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static u8 *end; /* libFuzzer has no argument to keep it in */
	unsigned n = MIN(size, INSN_MAX);

	if (!n)
		return 0;
	end = end ?: guarded_end();
	memcpy(end - n, data, n);
	check_mode(end - n, n, 8);
	check_mode(end - n, n, 4);
	check_mode(end - n, n, 2);
	return 0;
}

#ifndef USE_LIBFUZZER
static u64 next_random(u64 *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* Random bytes behind one of the byte strings that lead to the deep tables. */
static void one_input(u64 *rnd)
{
	static const char *const seed[] = {"", "\x0f", "\x0f\x38", "\x0f\x3a", "\xc5", "\xc4\xe1",
		"\xc4\xe2", "\xc4\xe3", "\x66\x0f", "\xf2\x0f", "\xf3\x0f", "\x66\x0f\x38", "\x48",
		"\x67", "\xf0", "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66", "\x62", "\xd9",
		"\x62\xf1", "\x62\xf2", "\x62\xf3"};
	const char *s = seed[next_random(rnd) % ARRAY_SIZE(seed)];
	u64 words[4] = {next_random(rnd), next_random(rnd)};
	u8 data[32];

	memcpy(data, words, sizeof(words));
	memcpy(data, s, strlen(s));
	LLVMFuzzerTestOneInput(data, 1 + next_random(rnd) % INSN_MAX);
}

static int replay(const char *path)
{
	FILE *f = fopen(path, "rb");
	u8 data[INSN_MAX];

	if (!f) {
		perror(path);
		return 1;
	}
	LLVMFuzzerTestOneInput(data, fread(data, 1, sizeof(data), f));
	fclose(f);
	return 0;
}

int main(int argc, char **argv)
{
	u64 seconds = 1, rnd = 1, inputs = 0;
	int i = 1;
	time_t end;

	for (; i + 1 < argc && !strncmp(argv[i], "--", 2); i += 2) {
		if (!strcmp(argv[i], "--seconds"))
			seconds = strtoull(argv[i + 1], NULL, 0);
		else if (!strcmp(argv[i], "--seed"))
			rnd = strtoull(argv[i + 1], NULL, 0) ?: 1;
	}
	for (int failed = 0; i < argc; i++) {
		failed |= replay(argv[i]);
		if (i + 1 == argc)
			return failed;
	}
	rnd *= 0x9e3779b97f4a7c15ull;
	for (end = time(NULL) + seconds; time(NULL) < end;) {
		for (unsigned j = 0; j < 1000; j++, inputs++)
			one_input(&rnd);
	}
	printf("decode: %llu inputs\n", (unsigned long long)inputs);
	return 0;
}
#endif
