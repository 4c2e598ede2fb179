/* SPDX-License-Identifier: MIT */
/*
 * Rewriting a call site, and what its slot consists of. See site.h.
 *
 * A slot begins with the program's instruction before the call (FORM_BEFORE), asks gs whether it is
 * ours, and goes on to inject_site; where it is not, it makes the system call itself, which comes to us by SIGSYS as
 * ever. No flag changes, and no register but rcx and r11, which every system call changes.
 *
 * Other threads may execute what is written. So the first byte becomes one that traps, then, after all
 * processors have seen it (membarrier(2)), the others, and the jump's own byte last: SDM 3:10.1.3,
 * cross-modifying code.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/sys.h"
#include "shim/inject/private.h"
#include "shim/inject/site.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#define MEMBARRIER_SYNC_CORE          BIT(5) /* MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE */
#define MEMBARRIER_REGISTER_SYNC_CORE BIT(6)

#define LOWEST        0x100000ull
#define HIGHEST       0x7ffff0000000ull
#define MAP_TRIES_MAX 32

/* ---- the slot ---- */

static u8 *put(u8 *at, const void *bytes, size_t n)
{
	memcpy(at, bytes, n);
	return at + n;
}

static u8 *put32(u8 *at, u32 value)
{
	return put(at, &value, sizeof(value));
}

/* The rest of an instruction that ends in a displacement from its own end. */
static u8 *put_to(u8 *at, const void *target)
{
	return put32(at, (u32)((const u8 *)target - (at + 4)));
}

/* jmp [rip + distance] */
static u8 *put_jump(u8 *at, const u64 *target)
{
	return put_to(put(at, "\xff\x25", 2), target);
}

static void slot_write(const struct sites *s, struct site *site, u8 *slot)
{
	struct slot_data *data = (struct slot_data *)(slot + SLOT_BYTES);
	const u8 *old = (const u8 *)site->at;
	u8 *at = put(slot, old, site->plan.before);

	at = put32(put(at, "\x65\x4c\x8b\x1c\x25", 5), T_MAGIC); /* mov r11, gs:[T_MAGIC] */
	at = put32(put(at, "\x49\x8d\x8b", 3), (u32)-s->magic);  /* lea rcx, [r11 - magic] */
	at = put(at, "\xe3\x02\x0f\x05", 4);                     /* jrcxz 1f; syscall; 1: */
	at = put_to(put(at, "\x4c\x8d\x1d", 3), data);           /* lea r11, [rip + data] */
	at = put_jump(at, &data->site);
	data->resume = site->shown;
	data->shown = site->shown;
	data->site = (u64)inject_site;
	data->back = site->shown + site->plan.after;
	if (site->plan.after) {
		data->resume = (u64)at;
		at = put(at, old + SYSCALL_INSN_LEN, site->plan.after);
		put_jump(at, &data->back);
	}
	site->resume = data->resume;
}

/* One page for a slot at that distance, or NULL. */
static u8 *slot_try(u64 at, u32 distance, unsigned *tries)
{
	/* Aligned by its lowest byte, which may be any. */
	u64 slot = ALIGN_UP(at + SITE_JUMP + (u64)(s64)(s32)distance, SLOT_BYTES);
	u64 page = slot & PAGE_MASK;

	if (slot - page > PAGE_SIZE - 2 * SLOT_BYTES || page < LOWEST || page > HIGHEST)
		return NULL;
	++*tries;
	return mmap((void *)page, PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == (void *)page
		       ? (u8 *)slot
		       : NULL;
}

/* All but the lowest byte of the distance may be where somebody comes to: see site.h. */
static u8 *slot_map(u64 at)
{
	unsigned tries = 0;

	for (u32 d = 0; d < 1u << 24 && tries < MAP_TRIES_MAX; d++) {
		u8 *slot;

		if (!site_is_trap((u8)(d >> 16))) {
			d |= 0xffff;
			continue;
		}
		if (!site_is_trap((u8)(d >> 8))) {
			d |= 0xff;
			continue;
		}
		slot = site_is_trap((u8)d) ? slot_try(at, d << 8, &tries) : NULL;
		if (slot)
			return slot;
	}
	return NULL;
}

/* ---- the jump ---- */

/* After it, no processor executes what it has fetched before. False: this kernel cannot do that. */
static bool seen_by_all(bool alone)
{
	return alone || (!SYS_CALL2(SYS_membarrier, MEMBARRIER_REGISTER_SYNC_CORE, 0) &&
				!SYS_CALL2(SYS_membarrier, MEMBARRIER_SYNC_CORE, 0));
}

static void jump_write(const struct site *site, bool alone)
{
	volatile u8 *at = (volatile u8 *)site->at;
	u32 distance = (u32)(site->slot - (site->at + SITE_JUMP));
	const u8 *d = (const u8 *)&distance;

	/* Where an instruction begins, and others may come to. */
	at[0] = SITE_TRAP;
	if (site->plan.after)
		at[SYSCALL_INSN_LEN] = d[SYSCALL_INSN_LEN - 1];
	seen_by_all(alone);
	for (unsigned i = 1; i < SITE_JUMP; i++)
		at[i] = d[i - 1];
	seen_by_all(alone);
	at[0] = SITE_JMP;
}

bool site_text_protect(u64 at, int prot)
{
	u64 start = at & PAGE_MASK, end = ALIGN_UP(at + SITE_JUMP, PAGE_SIZE);

	return !mprotect((void *)start, end - start, prot | PROT_READ | PROT_EXEC);
}

/* False: a kernel or a policy that does not let code be changed. */
static bool install(struct sites *s, struct site *site, bool alone)
{
	u8 *slot = slot_map(site->at);

	if (!slot)
		return true; /* another site may have room */
	site->slot = (u64)slot;
	memcpy(site->old, (const void *)site->at, SITE_JUMP);
	slot_write(s, site, slot);
	if (mprotect((void *)(site->slot & PAGE_MASK), PAGE_SIZE, PROT_READ | PROT_EXEC) ||
		!site_text_protect(site->at, PROT_WRITE)) {
		munmap((void *)(site->slot & PAGE_MASK), PAGE_SIZE);
		return false;
	}
	atomic_fetch_add(&s->count, 1); /* from here on traps are understood */
	jump_write(site, alone);
	site_text_protect(site->at, 0);
	return true;
}

/* ---- the program's code, as it was ---- */

#define BEFORE 128
#define AFTER  32

static const struct site_text *text_of(const struct sites *s, u64 shown)
{
	for (unsigned i = 0; i < s->texts; i++)
		if (shown > s->text[i].start && shown <= s->text[i].end)
			return &s->text[i];
	return NULL;
}

static void code_undo(const struct site *site, u64 start, u8 *bytes, u64 n)
{
	for (u64 i = 0; i < SITE_JUMP; i++)
		if (site->at + i - start < n)
			bytes[site->at + i - start] = site->old[i];
}

/* Jumps overlap. */
static bool is_taken(const struct sites *s, u64 at)
{
	for (unsigned i = 0; i < s->count; i++)
		if (at + SITE_JUMP > s->of[i].at && at < s->of[i].at + SITE_JUMP)
			return true;
	return false;
}

/* Who may write his code may do it yet: it is left to him. By one byte, as there may be no /proc. */
static bool is_writable(u64 at)
{
	u8 byte;

	return !get_bytes(&byte, at, 1) && !put_bytes(at, &byte, 1);
}

/* With the lock. What the program has unmapped is not read. */
static bool find(struct sites *s, const struct site_text *text, u64 shown, struct site *ret)
{
	u64 call = shown - SYSCALL_INSN_LEN, start = MAX(text->start, call - BEFORE);
	u64 n = MIN(text->end, shown + AFTER) - start;
	u8 bytes[BEFORE + SYSCALL_INSN_LEN + AFTER];
	const struct site_code code = {bytes, (unsigned)n, (unsigned)(call - start)};

	if (get_bytes(bytes, start, n))
		return false;
	for (unsigned i = 0; i < s->count; i++)
		code_undo(&s->of[i], start, bytes, n);
	*ret = (struct site){.shown = shown};
	if (!site_plan(&code, &ret->plan))
		return false;
	ret->at = start + ret->plan.at;
	return !is_taken(s, ret->at) && !is_writable(ret->at) &&
	       !is_writable(ret->at + SITE_JUMP - 1);
}

void site_rewrite(struct sites *s, u64 shown, bool alone)
{
	const struct site_text *text = s ? text_of(s, shown) : NULL;

	if (!text || !seen_by_all(alone))
		return;
	pthread_mutex_lock(&s->lock);
	if (s->on && s->count < SITES_MAX && find(s, text, shown, &s->of[s->count]))
		s->on = install(s, &s->of[s->count], alone);
	pthread_mutex_unlock(&s->lock);
}
