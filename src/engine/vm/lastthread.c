/* SPDX-License-Identifier: MIT */
/*
 * The end of a program's last thread is the end of its process. Threads of ours would keep it for ever, with all signals
 * blocked, so they notice and end it as the kernel and the C library would have.
 *
 * Ten times a second one machine's helper thread asks whether the process's first thread is still alive: as long as it is,
 * there is nothing to do, and the question is one futex call, which no sandbox forbids. (A lock with priority
 * inheritance whose owner is dead cannot be had: ESRCH. See futex(2), FUTEX_TRYLOCK_PI.) When it is not, what
 * threads there are /proc says.
 *
 * The status is that of the first thread, as wait(2) has it. Was that killed by a seccomp filter (SECCOMP_RET_KILL_THREAD), the
 * process dies of the same signal; where it has ended by itself the C library calls exit(0) in the last one to go.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/sys.h"
#include "base/thread.h"
#include "engine/vm/last.h"

#define STAT_EXIT_CODE 52 /* proc(5), /proc/PID/stat */
#define STAT_STATE     3

bool last_first_is_gone(void)
{
	u32 lock = (u32)sys_getpid();

	return sys_raw(SYS_futex, (long)&lock, FUTEX_TRYLOCK_PI | FUTEX_PRIVATE_FLAG, 0, 0, 0,
		       (long)sys_key) == -ESRCH;
}

/* ---- /proc ---- */

enum whose { NOBODY, FIRST, OURS, OTHER };

struct others {
	int pid;
	enum whose worst; /* OURS and nothing worse, or else */
};

static int add_thread(int tid, void *arg)
{
	struct others *o = arg;
	enum whose whose = thread_is_own(tid) ? OURS : OTHER;

	o->worst = MAX(o->worst, tid == o->pid ? FIRST : whose);
	return 0;
}

/* Are there none but the first and ours? False as well if that cannot be found out: gVisor then shows none at all. */
static bool none_is_left(int pid)
{
	struct others o = {.pid = pid, .worst = NOBODY};

	return !proc_numbers("/proc/self/task", add_thread, &o) && o.worst == OURS;
}

/* As wait(2) has it; -1: not known, or it is alive. */
static int status_of_first(int pid)
{
	char path[48], text[1024], *at;
	int fd, field = STAT_STATE;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", pid);
	fd = sys_open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : sys_read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		sys_close(fd);
	text[n < 0 ? 0 : n] = 0;
	at = strrchr(text, ')'); /* the name may have anything in it */
	if (!at || (strncmp(at, ") Z", 3) && strncmp(at, ") X", 3)))
		return -1;
	for (at += 2; at && field < STAT_EXIT_CODE; field++)
		at = strchr(at + 1, ' ');
	return at ? atoi(at) : -1;
}

/* ---- the end ---- */

static void die(int signo)
{
	const struct sys_sigaction dfl = {0};
	const u64 none = 0;

	sys_sigaction(signo, &dfl, NULL);
	sys_sigprocmask(SIG_SETMASK, &none, NULL);
	sys_tgkill(sys_getpid(), sys_gettid(), signo);
}

void last_check(void)
{
	const int pid = sys_getpid();
	int status;

	if (!none_is_left(pid))
		return;
	status = status_of_first(pid);
	if (status < 0)
		return;
	if (status & 0x7f)
		die(status & 0x7f);
	else if (status)
		SYS_CALL1(SYS_exit_group, status >> 8);
	else
		exit(0);
}
