/* SPDX-License-Identifier: MIT */
/* Raw mode of the terminal, and the way back. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <termios.h>
#include <unistd.h>

#include "boot/terminal.h"

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
		tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal.saved);
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

void terminal_restore_on_crash(void)
{
	static const int signals[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
	struct sigaction action = {.sa_handler = crashed};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
}
