/* SPDX-License-Identifier: MIT */
/*
 * What a rewritten call site is to the rest of us: where a thread is while it is in a slot or in
 * inject_site, in terms of the program's own code. See site.h.
 */
#include <asm/prctl.h>
#include <cpuid.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>

#include "base/hostcpu.h"
#include "shim/inject/inject.h"
#include "shim/inject/private.h"
#include "shim/inject/site.h"

#define XSTATE_OURS  0xe7 /* x87, SSE, AVX, AVX-512: SDM 1:13.1 */
#define XSAVEC_BIT   BIT(1)
#define GS_LOAD      0 /* in a slot, after the program's own instruction: slot_write() */
#define SLOT_SYSCALL 18

/* ---- beginning ---- */

static u32 xcr0(void)
{
	u32 low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return low;
}

/* What site.S is made of. */
static bool host_can(struct sites *s)
{
	struct host_cpu cpu;
	u32 a, b, c, d;

	host_cpu_look(&cpu);
	if (!cpu.bmi2 || !cpu.avx || !__get_cpuid_count(13, 1, &a, &b, &c, &d))
		return false;
	s->has_xsavec = a & XSAVEC_BIT;
	s->xmask = xcr0() & XSTATE_OURS;
	return true;
}

struct sites *sites_create(void)
{
	const char *wish = getenv(INJECT_REWRITE_ENV);
	struct sites *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	s->on = (!wish || strcmp(wish, "never")) && host_can(s) &&
		getrandom(&s->magic, sizeof(s->magic), 0) == sizeof(s->magic);
	s->magic |= 1; /* neither 0, which gs may show, nor the number that has no negative */
	s->hot = wish && !strcmp(wish, "early") ? 1 : SITE_HOT; /* for tests */
	return s;
}

void sites_add_text(struct sites *s, const struct image *image)
{
	for (unsigned i = 0; i < image->texts && s->texts < SITE_TEXTS_MAX; i++)
		s->text[s->texts++] = (struct site_text){image->text[i][0], image->text[i][1]};
}

int site_thread_arm(struct thread *t)
{
	struct sites *s = t->program->sites;

	t->magic = s->magic;
	t->xmask = s->xmask;
	t->has_xsavec = s->has_xsavec;
	t->site_stack = (u64)t + SITE_CONTEXT;
	t->pass = (u64)t + GADGETS + GADGET_PASS;
	if (s->on && RAW(SYS_arch_prctl, ARCH_SET_GS, t->program_gs ? t->program_gs : (u64)t))
		s->on = false; /* calls come by signals only */
	return 0;
}

/* ---- where is it? ---- */

u64 site_shown(const struct thread *t, u64 ret)
{
	const struct site *site = site_of(t->program->sites, ret);

	return site && ret == site->resume ? site->shown : ret;
}

/* In a slot: the program's own instructions have their own places, all else is its `syscall`. */
static u64 slot_shown(const struct site *site, u64 rip)
{
	if (rip == site->slot && site->plan.before)
		return site->at;
	if (site->plan.after && rip >= site->resume)
		return site->shown + MIN(rip - site->resume, (u64)site->plan.after);
	return site->shown - SYSCALL_INSN_LEN;
}

static bool in(u64 at, const u8 *from, const u8 *to)
{
	return at >= (u64)from && at < (u64)to;
}

/* In site.S; only its beginning does not know the site yet. */
static u64 code_shown(const struct thread *t, const struct context *c)
{
	const struct slot_data *data =
		c->rip == (u64)inject_site ? (const struct slot_data *)c->r11 : t->site;
	bool leaves = c->rip == (u64)inject_site_jump || c->rip >= (u64)inject_site_done_end;
	bool done = in(c->rip, inject_site_done, inject_site_done_end) ||
		    (leaves && t->cpuid_site_next == (u64)inject_site_done);

	return done ? data->shown : data->shown - SYSCALL_INSN_LEN;
}

void site_normalise(struct thread *t, struct context *c)
{
	const struct site *site;

	if (in(c->rip, inject_site, inject_site_end)) {
		c->rip = code_shown(t, c);
		return;
	}
	site = site_of(t->program->sites, c->rip);
	if (site && c->rip - site->slot < SLOT_BYTES)
		c->rip = slot_shown(site, c->rip);
}

/* ---- what comes by a signal all the same ---- */

/* Signals were held while it was served: they come now. */
static void release(struct thread *t, struct context *c)
{
	if (t->held)
		c->mask = t->held_mask;
	t->held = false;
	c->rip = t->site->shown;
	if (t->cpuid_site_next != (u64)inject_site_done)
		c->rip -= SYSCALL_INSN_LEN; /* it is made once more, with its number still in rax */
}

bool site_called(struct thread *t, struct context *c)
{
	const struct site *site;

	if (c->rip == (u64)inject_site_held) {
		release(t, c);
		return true;
	}
	if (c->rip == (u64)inject_site_slow) {
		c->rip = t->site->shown;
		return false;
	}
	site = site_of(t->program->sites, c->rip);
	if (site && c->rip - site->slot < SLOT_BYTES)
		c->rip = site->shown;
	return false;
}

/* Not any more if the program has mapped something else there. */
static bool is_in_place(const struct site *site)
{
	u8 first;

	return !get_bytes(&first, site->at, 1) && (first == SITE_JMP || first == SITE_TRAP);
}

bool site_trap(struct thread *t, struct context *c)
{
	const struct site *site = site_of(t->program->sites, c->rip);

	if (!site)
		return xstate_answer(t->program->sites, c);
	if (c->rip == site->slot + site->plan.before + GS_LOAD) {
		c->rip += SLOT_SYSCALL; /* gs is the program's own */
		return true;
	}
	if (!is_in_place(site))
		return false;
	if (c->rip == site->at)
		c->rip = site->slot;
	else if (c->rip == site->shown && site->plan.after)
		c->rip = site->resume;
	else
		return false;
	return true;
}
