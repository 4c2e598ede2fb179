/* SPDX-License-Identifier: MIT */
/*
 * insn_decode() against Zydis 4 over real code and random bytes. Exit code 77 if there is nothing to compare
 * on. `decode_test MILLIONS SEED` compares that many million random sequences more.
 */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

#include "oracle.h"
#include "x86/insn.h"

#define TEXT_MAX 500000 /* instructions of one file: half a second */

static u64 random_state;

/* xorshift64 */
static u64 random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* ---- real code ---- */

static const Elf64_Shdr *find_text(const u8 *file, u64 size)
{
	const Elf64_Ehdr *e = (const void *)file;
	const Elf64_Shdr *s = (const void *)(file + e->e_shoff);

	if (size < sizeof(*e) || memcmp(e->e_ident, ELFMAG, SELFMAG) || e->e_machine != EM_X86_64)
		return NULL;
	if (!e->e_shoff || e->e_shoff + e->e_shnum * sizeof(*s) > size)
		return NULL;
	for (unsigned i = 0; i < e->e_shnum; i++) {
		u64 name = s[e->e_shstrndx].sh_offset + s[i].sh_name;

		if (name + 6 <= size && !memcmp(file + name, ".text", 6))
			return s[i].sh_offset + s[i].sh_size <= size ? &s[i] : NULL;
	}
	return NULL;
}

/* At a byte that is not an instruction (data in text) both go on with the next one. */
static void check_text(struct oracle_stats *st, const u8 *text, u64 size)
{
	u64 pos = 0;

	for (unsigned i = 0; i < TEXT_MAX && pos < size; i++)
		pos += oracle_check(st, 8, text + pos, MIN(size - pos, INSN_MAX)) ?: 1;
}

static bool check_file(struct oracle_stats *st, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const Elf64_Shdr *text;
	struct stat sb;
	u8 *file;

	if (fd < 0)
		return false;
	file = fstat(fd, &sb) ? MAP_FAILED : mmap(NULL, sb.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (file == MAP_FAILED)
		return false;
	text = find_text(file, sb.st_size);
	if (text)
		check_text(st, file + text->sh_offset, text->sh_size);
	munmap(file, sb.st_size);
	return text;
}

/* ---- random bytes ---- */

enum shape { ANY, PREFIXED, TWO_BYTE, VEX3, VEX2, EVEX, SHAPES };

static unsigned random_prefixes(u8 *p, unsigned max)
{
	static const u8 prefix[] = {
		0x66, 0xf2, 0xf3, 0xf0, 0x67, 0x2e, 0x64, 0x65, 0x36, 0x41, 0x48, 0x4f};
	unsigned count = random64() % (max + 1);

	for (unsigned i = 0; i < count; i++)
		p[i] = prefix[random64() % sizeof(prefix)];
	return count;
}

/* vvvv, V', z, aaa and R' are as they must be for most rows half of the time each. */
static void random_evex(u8 *code, unsigned mode)
{
	u64 r = random64();

	code[0] = 0x62;
	code[1] = (code[1] & 0xf0) | (1 + r % 3) | (mode == 8 ? 0 : 0xc0) | (r & 4 ? 0x10 : 0);
	code[2] |= 4 | (r & 8 ? 0x78 : 0);
	code[3] |= r & 0x18 ? 8 : 0;
	if (r & 0x20)
		code[3] &= 0x7f;
	if (r & 0x40)
		code[3] &= 0xef;
	if (r & 0x80)
		code[3] &= 0xf8;
}

/* Unbiased bytes rarely reach the deep rows; shapes put the bytes that select them in place. */
static void random_insn(u8 code[16], enum shape shape, unsigned mode)
{
	u64 words[2] = {random64(), random64()};
	unsigned n;

	memcpy(code, words, 16);
	n = shape == ANY        ? 0
	    : shape == PREFIXED ? random_prefixes(code, 4)
	    : random64() % 8    ? 0
				: random_prefixes(code, 1);
	switch (shape) {
	case TWO_BYTE:
		n = random_prefixes(code, 2);
		code[n++] = 0x0f;
		if (random64() & 1)
			code[n] = random64() & 1 ? 0x38 : 0x3a;
		break;
	case VEX3:
		code[n] = 0xc4;
		code[n + 1] = (code[n + 1] & 0xe0) | (1 + random64() % 3) | (mode == 8 ? 0 : 0xc0);
		code[n + 2] |= random64() & 3 ? 0x78 : 0;
		break;
	case VEX2:
		code[n] = 0xc5;
		code[n + 1] |= (random64() & 1 ? 0x78 : 0) | (mode == 8 ? 0 : 0xc0);
		break;
	case EVEX: random_evex(code + n, mode); break;
	default: break;
	}
}

static void check_random(struct oracle_stats *st, u64 count)
{
	static const u8 modes[] = {8, 4, 2, 8};
	u8 code[16];

	for (u64 i = 0; i < count; i++) {
		unsigned mode = modes[i & 3], shape = i / 4 % SHAPES;

		random_insn(code, shape, mode);
		/* sometimes cut short: both must then want more, or both not */
		oracle_check(st, mode, code, i % 16 ? INSN_MAX : 1 + random64() % 6);
	}
}

/* ---- report ---- */

static u64 report(const struct oracle_stats *st, const char *what)
{
	u64 bad = 0, excused = 0;

	for (unsigned i = 0; i < O_FIELDS; i++) {
		bad += st->mismatch[i];
		excused += st->excused[i];
		if (st->mismatch[i])
			printf("%s: %llu differ in %s\n", what, (unsigned long long)st->mismatch[i],
				oracle_field_name[i]);
	}
	printf("%s: %llu decoded, %llu accepted, %llu fields differ, %llu as documented\n", what,
		(unsigned long long)st->decoded, (unsigned long long)st->accepted,
		(unsigned long long)bad, (unsigned long long)excused);
	return bad;
}

int main(int argc, char **argv)
{
	static const char *const files[] = {"/bin/busybox", "/lib/x86_64-linux-gnu/libc.so.6",
		"/usr/bin/qemu-system-x86_64", "/boot/vmlinux", "/usr/lib/debug/boot/vmlinux"};
	u64 count = argc > 1 ? strtoull(argv[1], NULL, 0) * 1000000 : 400000, bad = 0;
	struct oracle_stats random = {0};

	random_state = argc > 2 ? strtoull(argv[2], NULL, 0) : 88172645463325252ull;
	for (unsigned i = 0; i < ARRAY_SIZE(files); i++) {
		struct oracle_stats st = {0};

		if (check_file(&st, files[i]))
			bad += report(&st, files[i]);
	}
	check_random(&random, count);
	bad += report(&random, "random bytes");
	return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
