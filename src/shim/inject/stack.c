/* SPDX-License-Identifier: MIT */
/* Builds the initial stack. The auxiliary vector is this process's, but for what it says of the program. */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "shim/inject/stack.h"

#define STACK_GUARD 0x100000ull /* as the kernel keeps below a stack */
#define STACK_LEAST 0x800000ull
#define STACK_MOST  0x40000000ull

static unsigned count(char **list)
{
	unsigned n = 0;

	while (list[n])
		n++;
	return n;
}

static u64 stack_bytes(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_STACK, &r))
		return STACK_LEAST;
	return ALIGN_UP(MIN(MAX((u64)r.rlim_cur, STACK_LEAST), STACK_MOST), PAGE_SIZE);
}

/* The end of new memory for the stack. */
static u64 stack_map(bool executable)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
	int prot = PROT_READ | PROT_WRITE | (executable ? PROT_EXEC : 0);
	u64 bytes = stack_bytes();
	u8 *at = mmap(NULL, STACK_GUARD + bytes, PROT_NONE, flags, -1, 0);

	if (at == MAP_FAILED || mprotect(at + STACK_GUARD, bytes, prot))
		return 0;
	return (u64)at + STACK_GUARD + bytes;
}

static u64 string_bytes(char **list)
{
	u64 n = 0;

	for (; *list; list++)
		n += strlen(*list) + 1;
	return n;
}

/* Upwards from *at. */
static u64 put_string(u64 *at, const char *s)
{
	u64 start = *at;

	memcpy((void *)start, s, strlen(s) + 1);
	*at += strlen(s) + 1;
	return start;
}

static u64 *put_list(u64 *slot, u64 *at, char **list)
{
	for (; *list; list++)
		*slot++ = put_string(at, *list);
	*slot++ = 0;
	return slot;
}

/* What the program is told as the kernel told us; the areas for rseq are registered by our libc. */
static const u8 aux_kept[] = {AT_SYSINFO_EHDR, AT_HWCAP, AT_PAGESZ, AT_CLKTCK, AT_FLAGS, AT_UID,
	AT_EUID, AT_GID, AT_EGID, AT_SECURE, AT_HWCAP2, AT_MINSIGSTKSZ};

static u64 *put_aux(u64 *slot, u64 type, u64 value)
{
	*slot++ = type;
	*slot++ = value;
	return slot;
}

static u64 *put_auxv(u64 *slot, const struct start *s, u64 name, u64 platform, u64 random)
{
	for (unsigned i = 0; i < ARRAY_SIZE(aux_kept); i++) {
		u64 value;

		errno = 0;
		value = getauxval(aux_kept[i]);
		/* Its fs is known from its calls where these instructions are not there. */
		if (aux_kept[i] == AT_HWCAP2 && !s->fsgsbase)
			value &= ~(u64)HWCAP2_FSGSBASE;
		if (!errno)
			slot = put_aux(slot, aux_kept[i], value);
	}
	slot = put_aux(slot, AT_PHDR, s->program->phdrs);
	slot = put_aux(slot, AT_PHENT, s->program->phdr_size);
	slot = put_aux(slot, AT_PHNUM, s->program->phdr_count);
	slot = put_aux(slot, AT_BASE, s->interpreter_base);
	slot = put_aux(slot, AT_ENTRY, s->program->entry);
	slot = put_aux(slot, AT_EXECFN, name);
	slot = put_aux(slot, AT_PLATFORM, platform);
	slot = put_aux(slot, AT_RANDOM, random);
	return put_aux(slot, AT_NULL, 0);
}

#define RANDOM_BYTES 16
#define AUX_SLOTS    (2 * (ARRAY_SIZE(aux_kept) + 9))

u64 stack_create(const struct start *s)
{
	static const char platform[] = "x86_64";
	u64 top = stack_map(s->program->exec_stack), at, random, name, platform_at;
	u64 strings = string_bytes(s->argv) + string_bytes(s->envp) + strlen(s->name) + 1 +
		      sizeof(platform) + RANDOM_BYTES;
	u64 slots = 1 + count(s->argv) + 1 + count(s->envp) + 1 + AUX_SLOTS;
	u64 *slot, sp;

	if (!top || strings + slots * sizeof(u64) > stack_bytes() / 4 * 3)
		return 0;
	at = ALIGN_DOWN(top - strings, 16);
	sp = ALIGN_DOWN(at - slots * sizeof(u64), 16);
	random = at;
	if (getrandom((void *)random, RANDOM_BYTES, 0) != RANDOM_BYTES)
		memset((void *)random, 0, RANDOM_BYTES);
	at += RANDOM_BYTES;
	platform_at = put_string(&at, platform);
	slot = (u64 *)sp;
	*slot++ = count(s->argv);
	slot = put_list(slot, &at, s->argv);
	slot = put_list(slot, &at, s->envp);
	name = put_string(&at, s->name);
	put_auxv(slot, s, name, platform_at, random);
	return sp;
}
