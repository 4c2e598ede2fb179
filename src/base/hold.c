/* SPDX-License-Identifier: MIT */
/* See hold.h. All of it may run in signal handlers. */
#include <errno.h>
#include <string.h>

#include "base/hold.h"
#include "base/sys.h"

#define TOKEN        (-0x7573) /* an si_code below zero that nobody else uses */
#define FIRST_QUEUED 32        /* of signals below there is never more than one */

/* ---- sending ---- */

enum queued { QUEUED, QUEUED_POOR, QUEUED_BY_KILL };

/* Filters that are older than this program may know tgkill(2) alone. */
static enum queued queue(int signo, const siginfo_t *info)
{
	const int pid = sys_getpid(), thread = sys_gettid();
	siginfo_t poor;

	if (!sys_tgsigqueueinfo(pid, thread, signo, info))
		return QUEUED;
	if (errno != EAGAIN) {
		sys_tgkill(pid, thread, signo);
		return QUEUED_BY_KILL;
	}
	poor = *info;
	poor.si_code =
		SI_USER; /* of those alone the kernel keeps the signal when it has no room for the rest */
	sys_tgsigqueueinfo(pid, thread, signo, &poor);
	return QUEUED_POOR;
}

bool hold_queue(int signo, const siginfo_t *info)
{
	return queue(signo, info) != QUEUED_POOR;
}

static bool send_token(struct hold *h, int signo)
{
	enum queued q;
	siginfo_t token;

	memset(&token, 0, sizeof(token));
	token.si_signo = signo;
	token.si_code = TOKEN;
	q = queue(signo, &token);
	if (q == QUEUED_BY_KILL)
		h->by_kill = true;
	return q != QUEUED_POOR;
}

/* What became of one that the kernel had no room for comes from nobody. */
static bool is_token(const struct hold *h, const siginfo_t *info)
{
	return info->si_code == TOKEN || (info->si_code == SI_USER && !info->si_pid) ||
	       (h->by_kill && info->si_code == SI_TKILL);
}

/* ---- what is noted ---- */

static void forget_parents(struct hold *h)
{
	if (likely(!h->count) || h->thread == sys_gettid())
		return;
	h->count = 0;
	h->poor = false;
}

static int find(const struct hold *h, int signo)
{
	for (unsigned i = 0; i < h->count; i++)
		if (h->noted[i].si_signo == signo)
			return (int)i;
	return -1;
}

static void note(struct hold *h, int signo, const siginfo_t *info)
{
	siginfo_t *at = &h->noted[h->count++];

	*at = *info;
	at->si_signo = signo;
}

static siginfo_t take(struct hold *h, int at)
{
	const siginfo_t info = h->noted[at];

	h->count--;
	h->taken++;
	for (unsigned i = (unsigned)at; i < h->count; i++)
		h->noted[i] = h->noted[i + 1];
	return info;
}

/* ---- a request ends ---- */

/* Where signals are not blocked a handler may run at each, take what is noted, and not come back. */
static void send_tokens(struct hold *h)
{
	const unsigned n = h->count;
	int signo[HOLD_MAX];

	for (unsigned i = 0; i < n; i++)
		signo[i] = h->noted[i].si_signo;
	h->poor = false;
	for (unsigned i = 0; i < n; i++)
		if (!send_token(h, signo[i]))
			h->poor = true;
}

void hold_let_go(struct hold *h)
{
	const u64 mask = h->mask;
	const bool blocked = h->blocked;
	unsigned taken;

	forget_parents(h);
	send_tokens(h);
	atomic_store_explicit(&h->waiting, false, memory_order_relaxed);
	h->blocked = false;
	if (blocked)
		sys_sigprocmask(SIG_SETMASK, &mask, NULL);
	/* Lost tokens, until what is left is what the program has blocked. */
	for (taken = h->taken - 1; h->poor && h->taken != taken;) {
		taken = h->taken;
		send_tokens(h);
	}
}

u64 hold_block(struct hold *h)
{
	const u64 all = SIG_ASYNC;
	u64 mask;

	if (h->blocked)
		return h->mask;
	sys_sigprocmask(SIG_SETMASK, &all, &mask);
	if (!h->blocked) /* no signal came in between */
		h->mask = mask;
	h->blocked = true;
	return h->mask;
}

u64 hold_noted(const struct hold *h)
{
	u64 set = 0;

	if (!atomic_load_explicit(&h->waiting, memory_order_relaxed))
		return 0;
	for (unsigned i = 0; i < h->count; i++)
		set |= SIG_BIT(h->noted[i].si_signo);
	return set;
}

/* ---- a signal comes ---- */

/* A token that comes during the next request is sent again after it; one of two that are no queue is nothing. */
static bool is_noted(const struct hold *h, int signo, const siginfo_t *info)
{
	if (info->si_code == TOKEN)
		return true;
	return find(h, signo) >= 0 && (signo < FIRST_QUEUED || is_token(h, info));
}

static void keep_for_later(struct hold *h, int signo, const siginfo_t *info, u64 *mask)
{
	const u64 all = SIG_ASYNC;

	sys_sigprocmask(SIG_SETMASK, &all, NULL);
	forget_parents(h);
	h->thread = sys_gettid();
	if (h->count == HOLD_MAX)
		hold_queue(signo, info);
	else if (!is_noted(h, signo, info))
		note(h, signo, info);
	/* A handler that has interrupted another one before this line has noted that one's mask: the outermost is last. */
	h->mask = *mask;
	h->blocked = true;
	*mask = all;
	atomic_store_explicit(&h->waiting, true, memory_order_release);
	if (h->stop)
		h->stop(h->opaque);
}

/* Its place is taken by the oldest one that is noted, and it is noted itself if it is more than a token. */
static bool exchange(struct hold *h, int signo, siginfo_t *info)
{
	const siginfo_t now = *info;
	int at;

	forget_parents(h);
	at = find(h, signo);
	if (at < 0)
		return now.si_code !=
		       TOKEN; /* a forked child's parent's, or merged with the real one */
	*info = take(h, at);
	if (signo >= FIRST_QUEUED && !is_token(h, &now))
		note(h, signo, &now);
	return true;
}

bool hold_signal(struct hold *h, int signo, siginfo_t *info, u64 *mask)
{
	const int saved = errno;
	bool waits = h->depth;

	if (unlikely(waits))
		keep_for_later(h, signo, info, mask);
	else if (unlikely(h->count || info->si_code == TOKEN))
		waits = !exchange(h, signo, info);
	errno = saved;
	return waits;
}
