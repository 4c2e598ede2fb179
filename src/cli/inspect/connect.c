/* SPDX-License-Identifier: MIT */
/*
 * The session of `uservisor inspect`: waiting for the VM, and the end. Signals that end the command are blocked and
 * read from a descriptor, so that whatever is being done is finished and undone first.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/inspect/inspect.h"

#define COOKIE_MAX 4096

int inspect_usage(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	cli_say("inspect", "%s", text);
	return EXIT_USAGE;
}

/* What to do about it; NULL: the reason says it. */
static const char *advice(int error)
{
	switch (-error) {
	case ENOTCONN:
		return "the VM has gone, or has closed the connection: start the command again "
		       "while it runs";
	case ETIMEDOUT:
		return "the VM does not answer: if it is only slow, give a longer --timeout";
	case EPROTO: return "the VM has sent what is not in the protocol: try the other --dialect";
	case EPERM:
	case EACCES: return "the VM does not permit this: allow it where the VM is started";
	case ENOSYS:
	case EOPNOTSUPP:
		return "the VM or this dialect does not have it: see `info`, or try the other "
		       "--dialect";
	case EAGAIN: return "the guest has not started this vCPU yet";
	default: return NULL;
	}
}

int inspect_failed(const struct inspect *in, const char *what, int error)
{
	const char *text = advice(error);

	if (text)
		cli_say("inspect", "%s: %s", what, text);
	else
		cli_say("inspect", "%s: %s", what, strerror(-error));
	return 1;
}

static int listen_failed(const struct inspect *in, int error)
{
	switch (-error) {
	case EINVAL:
		return inspect_usage("'%s' is not an address: give unix:PATH, a path that begins "
				     "with / or ., or "
				     "vsock:PORT",
			in->address);
	case EADDRINUSE:
		cli_say("inspect",
			"another tool listens at %s: end it, or use another address for both sides",
			in->address);
		return 1;
	case EEXIST:
		cli_say("inspect", "%s exists and is not a socket: choose another path",
			in->address);
		return 1;
	case ENAMETOOLONG:
		cli_say("inspect", "the path %s is too long for a socket: at most 107 characters",
			in->address);
		return 1;
	case EACCES:
	case EPERM:
		cli_say("inspect",
			"no socket can be made at %s (%s): choose a folder that you may write to, "
			"or remove the old "
			"socket",
			in->address, strerror(-error));
		return 1;
	case EAFNOSUPPORT:
		cli_say("inspect", "this kernel has no vsock: load the module vhost_vsock or "
				   "vsock_loopback, or "
				   "use a path");
		return 1;
	default: cli_say("inspect", "%s: %s", in->address, strerror(-error)); return 1;
	}
}

/* The VM's side takes no bare path. */
static const char *prefix_of(const char *address)
{
	return *address == '/' || *address == '.' ? "unix:" : "";
}

static int accept_failed(const struct inspect *in, int error)
{
	switch (-error) {
	case EINTR: return 128 + SIGINT;
	case ETIMEDOUT:
		cli_say("inspect",
			"no VM has connected to %s within %u seconds: start one with `uservisor "
			"boot --introspect %s%s`, or wait longer with --wait",
			in->address, in->wait_s, prefix_of(in->address), in->address);
		return 1;
	case ENOSYS:
		cli_say("inspect", "the VM does not speak dialect %s: try --dialect %s",
			in->dialect == UVMI_V5 ? "v5" : "v6", in->dialect == UVMI_V5 ? "v6" : "v5");
		return 1;
	case EACCES:
		cli_say("inspect",
			in->cookie_file
				? "the VM has hung up on the cookie of %s: give --cookie-file the "
				  "file that `cookie=` of the VM's --introspect names"
				: "the VM that connects to %s has hung up, as it does on tools "
				  "without its cookie: give --cookie-file the file that `cookie=` "
				  "of the VM's --introspect names",
			in->cookie_file ? in->cookie_file : in->address);
		return 1;
	default: return inspect_failed(in, "the session cannot begin", error);
	}
}

static int catch_signals(struct inspect *in)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE,
		SIG_IGN); /* who reads has gone: the write fails, and what was changed is undone */
	in->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return in->signals < 0 ? -errno : 0;
}

bool inspect_ended(const struct inspect *in)
{
	struct pollfd p = {.fd = in->signals, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

/* 0: fd is readable; -EINTR; -ETIMEDOUT */
static int wait_readable(const struct inspect *in, int fd, int timeout_ms)
{
	struct pollfd p[2] = {{.fd = in->signals, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
	const int n = poll(p, 2, timeout_ms);

	if (n < 0 || p[0].revents)
		return -EINTR;
	return n ? 0 : -ETIMEDOUT;
}

static int read_cookie(const struct inspect *in, char cookie[COOKIE_MAX], struct uvmi_options *o)
{
	FILE *f;

	if (!in->cookie_file)
		return 0;
	f = fopen(in->cookie_file, "re");
	if (!f)
		return inspect_usage("the cookie's file %s cannot be read: %s", in->cookie_file,
			strerror(errno));
	o->cookie = cookie;
	o->cookie_size = fread(cookie, 1, COOKIE_MAX, f);
	fclose(f);
	return 0;
}

/* A peer that is no VM does not count, unless it is the last. */
static int accept_vm(struct inspect *in, const struct uvmi_options *o)
{
	const time_t end = time(NULL) + in->wait_s;
	int last = -ETIMEDOUT, r;

	for (;;) {
		const time_t left = end - time(NULL);

		r = wait_readable(
			in, uvmi_listener_fd(in->listener), left > 0 ? (int)left * 1000 : 0);
		if (!r)
			r = uvmi_accept(in->listener, o, 0, &in->s);
		if (!r || r == -EINTR || r == -ENOSYS || r == -EACCES)
			return r;
		if (r != -ETIMEDOUT)
			last = r;
		if (time(NULL) >= end)
			return last;
	}
}

int inspect_connect(struct inspect *in)
{
	struct uvmi_options o = {.dialect = in->dialect, .timeout_ms = (int)in->timeout_s * 1000};
	char cookie[COOKIE_MAX];
	int r = read_cookie(in, cookie, &o);

	if (r)
		return r;
	r = uvmi_listen(in->address, &in->listener);
	if (r)
		return listen_failed(in, r);
	r = catch_signals(in);
	if (!r)
		r = accept_vm(in, &o);
	if (r)
		return accept_failed(in, r);
	r = uvmi_get_guest_info(in->s, &in->vcpus);
	if (r)
		return inspect_failed(in, "the number of vCPUs is not known", r);
	if (in->vcpu != ALL_VCPUS && in->vcpu >= in->vcpus)
		return inspect_usage("there is no vCPU %u: the guest has %u, counted from 0",
			in->vcpu, in->vcpus);
	return 0;
}

void inspect_disconnect(struct inspect *in)
{
	uvmi_close(in->s);
	uvmi_listener_close(in->listener);
	if (in->signals >= 0)
		close(in->signals);
}

int inspect_next(struct inspect *in, struct uvmi_event *ret, int timeout_ms)
{
	int r;

	if (inspect_ended(in))
		return -EINTR;
	r = uvmi_next_event(in->s, ret, 0);
	while (r == -ETIMEDOUT) {
		r = wait_readable(in, uvmi_fd(in->s), timeout_ms);
		if (r)
			return r;
		r = uvmi_next_event(in->s, ret, 0);
	}
	return r;
}
