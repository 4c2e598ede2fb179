/* SPDX-License-Identifier: MIT */
/* See runsignals.h. */
#include "abi/runsignals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>

#include "base/fd.h"
#include "base/sys.h"

#define DEFAULT_IGNORES (SIG_BIT(SIGCHLD) | SIG_BIT(SIGCONT) | SIG_BIT(SIGURG) | SIG_BIT(SIGWINCH))

/*
 * The kernel drops an ignored signal when it is sent, unless it is blocked; blocked by us, it
 * must not look like one that interrupts.
 */
static bool signal_ignored(int sig)
{
	struct sys_sigaction a;

	if (sys_sigaction(sig, NULL, &a))
		return false;
	return a.handler == SIG_IGN || (a.handler == SIG_DFL && (DEFAULT_IGNORES & SIG_BIT(sig)));
}

/* What the kernel would have dropped, had we not blocked it; left pending it would end every sleep. */
static void signal_drop(int sig)
{
	const struct timespec now = {0};

	sys_sigtimedwait(SIG_BIT(sig), NULL, &now);
}

static u64 blocked_signals(const struct run_signals *s)
{
	return s->has_mask ? s->mask : s->caller_mask;
}

bool run_signals_pending(const struct run_signals *s)
{
	u64 pending = 0;

	sys_sigpending(&pending);
	pending |= s->noted;
	for (pending &= ~blocked_signals(s); pending; pending &= pending - 1) {
		int sig = __builtin_ctzll(pending) + 1;

		if (!signal_ignored(sig))
			return true;
		signal_drop(sig);
	}
	return false;
}

bool run_signals_poll(void *run_signals)
{
	return run_signals_wait(run_signals);
}

bool run_signals_waiting(const struct call *c)
{
	const struct run_signals s = {.hold = c->hold, .caller_mask = c->caller_mask};

	return run_signals_wait(&s);
}

/* A line of /proc/.../status, in hexadecimal; all signals if it is not there: waking for nothing is the lesser evil. */
static u64 status_signals(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	return line ? strtoull(line + strlen(name), NULL, 16) : ~0ull;
}

/* What sigpending(2) says in that thread. */
static u64 pending_in(int thread)
{
	char path[64], text[4096];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", thread);
	fd = sys_open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = sys_read(fd, text, sizeof(text) - 1);
		sys_close(fd);
	}
	text[MAX(n, 0)] = 0;
	return status_signals(text, "\nSigPnd:") | status_signals(text, "\nShdPnd:");
}

/* The engine has seen to it that the vcpu's thread stays in its request. */
static bool asked_for(void *run_signals, int thread)
{
	const struct run_signals *s = run_signals;

	if (s->hold)
		return atomic_load_explicit(&s->hold->waiting, memory_order_acquire);
	return pending_in(thread) & ~blocked_signals(s) & ~SIG_IN_SYNC;
}

/*
 * A signalfd tells that a signal is pending without taking it; poll(2) with a mask would run its handler. A run does
 * not fail where the process has no descriptor left for it.
 */
static void look_for(struct run_signals *s, u64 set)
{
	int fd;

	if (s->fd >= 0 && s->fd_set == set)
		return;
	fd = sys_signalfd(s->fd, set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0) {
		vcpu_set_wait_fd(s->cpu, WAIT_BY_POLLING);
		return;
	}
	s->fd = s->fd < 0 ? fd_keep(fd) : fd;
	s->fd_set = set;
	vcpu_set_wait_fd(s->cpu, s->fd);
}

static void stop_vcpu(void *run_signals)
{
	const struct run_signals *s = run_signals;

	vcpu_poll_soon(s->cpu);
}

void run_signals_begin(struct run_signals *s, const struct call *c)
{
	s->hold = s->has_mask ? NULL : c->hold;
	if (likely(s->hold)) {
		vcpu_set_wait_fd(s->cpu, -1);
		hold_stops(s->hold, stop_vcpu, s);
		return;
	}
	s->caller_mask = c->hold ? hold_block(c->hold) : c->caller_mask;
	s->noted = c->hold ? hold_noted(c->hold) : 0;
	look_for(s, ~blocked_signals(s) & ~SIG_IN_SYNC);
}

void run_signals_end(struct run_signals *s)
{
	if (s->hold)
		hold_stops(s->hold, NULL, NULL);
}

void run_signals_init(struct run_signals *s, struct vcpu *cpu, bool (*poll)(void *run_signals))
{
	*s = (struct run_signals){.cpu = cpu, .fd = -1};
	vcpu_set_poll(cpu, poll, s);
	vcpu_set_asked_for(cpu, asked_for);
}

void run_signals_free(struct run_signals *s)
{
	if (s->fd >= 0)
		fd_drop(s->fd);
}

void run_signals_mask(struct run_signals *s, const u64 *mask)
{
	s->has_mask = mask;
	if (mask)
		s->mask = *mask & ~(SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP));
}
