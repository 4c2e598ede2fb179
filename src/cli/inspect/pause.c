/* SPDX-License-Identifier: MIT */
/*
 * inspect pause, inspect resume. A pause lasts as long as its session, so `pause` stays, and `resume` asks it to end: it is
 * the process that listens at the socket.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/inspect/inspect.h"

static void put_state(struct inspect *in, const char *type)
{
	record_begin(in, type);
	record_number(in, "vcpus", in->vcpus);
	record_end(in);
}

int inspect_pause(struct inspect *in)
{
	const int timeout = in->seconds ? (int)in->seconds * 1000 : UVMI_FOREVER;
	struct uvmi_event e;
	int r = uvmi_pause(in->s);

	if (r)
		return inspect_failed(in, "the guest cannot be paused", r);
	put_state(in, "paused");
	/* No event is on, so what comes can only be an end. */
	do
		r = inspect_next(in, &e, timeout);
	while (!r);
	if (r != -EINTR && r != -ETIMEDOUT)
		return inspect_failed(in, "the pause has ended", r);
	r = uvmi_resume(in->s);
	if (r)
		return inspect_failed(in, "the guest cannot be resumed", r);
	put_state(in, "resumed");
	return 0;
}

/* Who listens at the path: 0 if nobody does. */
static pid_t listener_of(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred who = {.pid = 0};
	socklen_t size = sizeof(who);

	if (fd < 0)
		return 0;
	strncpy(a.sun_path, path, sizeof(a.sun_path) - 1);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) ||
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size))
		who.pid = 0;
	close(fd);
	return who.pid;
}

/* Whether it is this program, doing what we think: the arguments have "inspect" and "pause". */
static bool is_pause(pid_t pid)
{
	char path[64], ours[4096], theirs[4096], args[4096];
	ssize_t a = readlink("/proc/self/exe", ours, sizeof(ours)), b;
	bool inspect = false, pause = false;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	b = readlink(path, theirs, sizeof(theirs));
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	f = a > 0 && a == b && !memcmp(ours, theirs, (size_t)a) ? fopen(path, "re") : NULL;
	if (!f)
		return false;
	n = fread(args, 1, sizeof(args) - 1, f);
	fclose(f);
	args[n] = 0;
	for (size_t at = 0; at < n; at += strlen(args + at) + 1) {
		inspect |= !strcmp(args + at, "inspect");
		pause |= !strcmp(args + at, "pause");
	}
	return inspect && pause;
}

int inspect_resume(struct inspect *in)
{
	const char *path = !strncmp(in->address, "unix:", 5) ? in->address + 5 : in->address;
	pid_t pid;

	if (!strncmp(in->address, "vsock:", 6))
		return inspect_usage(
			"resume finds a `pause` by its path only: end the one at %s with Ctrl-C",
			in->address);
	pid = listener_of(path);
	if (!pid || !is_pause(pid)) {
		cli_say("inspect",
			"no `uservisor inspect %s pause` is running: a guest is paused only as "
			"long as one does",
			in->address);
		return 1;
	}
	if (kill(pid, SIGTERM)) {
		cli_say("inspect", "the process %d that has paused the guest cannot be ended: %s",
			(int)pid, strerror(errno));
		return 1;
	}
	record_begin(in, "resumed");
	record_number(in, "pid", (u64)pid);
	record_end(in);
	return 0;
}
