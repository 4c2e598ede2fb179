/* SPDX-License-Identifier: MIT */
/*
 * XGETBV in a program's code. It cannot be made to fault as CPUID can, and says more than the engine offers to
 * guests (AMX, protection keys). Who gives it to his guest's XSETBV, as gVisor does, which runs its own code in
 * the guest, has a guest that dies of #GP. So where it certainly is an instruction, in a program that names a node of ours,
 * it becomes one that traps, and is answered here.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "shim/inject/inject.h"
#include "shim/inject/private.h"
#include "shim/inject/site.h"
#include "shim/nodes.h"
#include "shim/processor.h"

#define XGETBV_LEN 3
#define BEFORE     128
#define OFFERED    0xe7 /* x87, SSE, AVX, AVX-512: engine/cpuid/xstate.c */

static const u8 xgetbv[XGETBV_LEN] = {0x0f, 0x01, 0xd0};

static u64 read_xcr(u32 index)
{
	u32 low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
	return low | (u64)high << 32;
}

/* The names of other nodes begin with that of their interface's first one. */
static bool names_node(const struct image *image)
{
	const char *name;

	for (unsigned n = 0; (name = interface_node(n, 0)); n++)
		for (unsigned i = 0; i < image->reads; i++) {
			const u64 *r = image->read[i];

			if (memmem((const void *)r[0], r[1] - r[0], name, strlen(name)))
				return true;
		}
	return false;
}

static bool begins_there(const struct site_text *text, u64 at)
{
	u64 start = MAX(text->start, at - MIN(at, (u64)BEFORE));
	const struct site_code code = {
		(const u8 *)start, (unsigned)(at + XGETBV_LEN - start), (unsigned)(at - start)};

	return site_begins(&code);
}

static void replace_in(struct sites *s, const struct site_text *text)
{
	u64 at = text->start;
	const void *found;

	while (s->xgetbvs < SITE_XGETBV_MAX &&
		(found = memmem((const void *)at, text->end - at, xgetbv, XGETBV_LEN))) {
		at = (u64)found;
		if (begins_there(text, at) && site_text_protect(at, PROT_WRITE)) {
			memset((void *)at, SITE_TRAP, XGETBV_LEN);
			site_text_protect(at, 0);
			s->xgetbv[s->xgetbvs++] = at;
		}
		at += XGETBV_LEN;
	}
}

void xstate_hide(struct sites *s, const struct image *program)
{
	if (!s->on || getenv(PROCESSOR_HOST_ENV) || !(read_xcr(0) & ~(u64)OFFERED) ||
		!names_node(program))
		return;
	for (unsigned i = 0; i < s->texts; i++)
		replace_in(s, &s->text[i]);
}

bool xstate_answer(const struct sites *s, struct context *c)
{
	u64 value;

	for (unsigned i = 0; i < s->xgetbvs; i++)
		if (c->rip == s->xgetbv[i] && (u32)c->rcx <= 1) {
			value = read_xcr((u32)c->rcx) & OFFERED;
			c->rax = (u32)value;
			c->rdx = value >> 32;
			c->rip += XGETBV_LEN;
			return true;
		}
	return false;
}
