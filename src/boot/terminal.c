/* SPDX-License-Identifier: MIT */
/* Raw mode of the terminal, and the way back. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/types.h"
#include "boot/clock.h"
#include "boot/terminal.h"

#define DROP_MS    1000 /* a terminal at the far end of a slow line */
#define SILENCE_MS 50

/* Read by a signal handler that has no other way to find it. */
static struct {
	struct termios saved;
	atomic_bool raw;
} terminal;

bool terminal_present(void)
{
	return isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
}

void terminal_raw(void)
{
	struct termios raw;

	if (atomic_load(&terminal.raw) || !terminal_present() ||
		tcgetattr(STDIN_FILENO, &terminal.saved) < 0)
		return;
	raw = terminal.saved;
	cfmakeraw(&raw);
	atomic_store(&terminal.raw, true);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

void terminal_restore(void)
{
	if (atomic_exchange(&terminal.raw, false))
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal.saved);
}

/* tcsetattr is async-signal-safe. The second delivery, with the default action, ends the process. */
static void crashed(int signal_number)
{
	const int error = errno;

	if (atomic_exchange(&terminal.raw, false))
		tcsetattr(STDIN_FILENO, TCSANOW, &terminal.saved);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
	errno = error;
}

static void restore_on(const int *signals, size_t n)
{
	struct sigaction action = {.sa_handler = crashed};

	for (size_t i = 0; i < n; i++)
		sigaction(signals[i], &action, NULL);
}

void terminal_restore_on_crash(void)
{
	static const int signals[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};

	restore_on(signals, ARRAY_SIZE(signals));
}

void terminal_leave(void)
{
	static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
	struct termios quiet;

	if (!atomic_load(&terminal.raw))
		return;
	restore_on(signals, ARRAY_SIZE(signals));
	quiet = terminal.saved;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON);
	quiet.c_cc[VMIN] = 1;
	quiet.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &quiet);
}

/* Reads what comes in time; false when nothing more comes. */
static bool dropped(int ms, bool *ret_answered)
{
	static const char answer[] = "\033[0n";
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	char text[256];
	ssize_t n;

	if (poll(&in, 1, ms) <= 0)
		return false;
	n = read(STDIN_FILENO, text, sizeof(text));
	if (n > 0 && memmem(text, (size_t)n, answer, sizeof(answer) - 1))
		*ret_answered = true;
	return n > 0;
}

/*
 * Terminals answer in the order of the questions. So one more is asked, for the terminal's status (ECMA-48 8.3.35), and
 * when its answer is there all others are. A terminal that does not know it has said nothing for a while by then.
 */
void terminal_drop_answers(void)
{
	static const char question[] = "\033[5n";
	const u64 end = now_ms() + DROP_MS;
	bool answered = false;

	if (!atomic_load(&terminal.raw) || !isatty(STDOUT_FILENO) ||
		write(STDOUT_FILENO, question, sizeof(question) - 1) < 0)
		return;
	for (u64 now = now_ms(); now < end; now = now_ms())
		if (!dropped(answered ? SILENCE_MS : (int)(end - now), &answered))
			return;
}
