/* SPDX-License-Identifier: MIT */
/* See trace.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "abi/dev.h"
#include "base/fd.h"
#include "base/sys.h"
#include "shim/decode/decode.h"
#include "shim/trace.h"

static struct {
	int fd; /* where lines go */
	bool json;
	u64 start_ns;
} trace = {.fd = STDERR_FILENO};

static u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}

static void open_file(const char *path)
{
	int fd = path ? sys_open_mode(
				path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644)
		      : -1;

	if (fd >= 0)
		trace.fd = fd_keep(fd);
	fd_keep_in_children(trace.fd);
}

enum shim_mode trace_start(void)
{
	const char *format = getenv(TRACE_FORMAT_ENV);

	if (!format)
		return SHIM_ENGINE;
	trace.json = !strcmp(format, "json");
	trace.start_ns = now_ns();
	open_file(getenv(TRACE_FILE_ENV));
	return getenv(TRACE_KERNEL_ENV) ? SHIM_KERNEL : SHIM_TRACE;
}

/* ---- one line ---- */

static void start_line(struct line *l, u64 begin_ns)
{
	u64 t = begin_ns - trace.start_ns;

	l->json = trace.json;
	l->n = 0;
	l->first = true;
	if (l->json)
		l->n = (size_t)snprintf(l->text, sizeof(l->text), "{\"time\":%llu.%09u",
			(unsigned long long)(t / 1000000000), (unsigned)(t % 1000000000));
	else
		l->n = (size_t)snprintf(l->text, sizeof(l->text), "%4llu.%06u %d ",
			(unsigned long long)(t / 1000000000), (unsigned)(t % 1000000000 / 1000),
			sys_gettid());
	l->first = !l->json;
	if (l->json)
		line_number(l, "tid", (u64)sys_gettid(), LINE_DEC);
}

static void write_line(struct line *l)
{
	if (l->n > sizeof(l->text) - 3)
		l->n = sizeof(l->text) - 3;
	if (l->json)
		l->text[l->n++] = '}';
	l->text[l->n++] = '\n';
	(void)!sys_write(trace.fd, l->text, l->n);
}

/* Sentences have neither quotes nor backslashes. */
static void add_reason(struct line *l, const struct refusal *why)
{
	char text[256];

	if (!why->why)
		return;
	line_text(l, " (");
	line_word(l, l->json ? "why" : NULL, refusal_text(why, text, sizeof(text)));
	line_text(l, ")");
}

static void add_result(struct line *l, long result, const struct refusal *why, u64 ns)
{
	const char *error = result < 0 ? decode_errno(result) : NULL;

	line_text(l, " = ");
	line_number(l, l->json ? "result" : NULL, (u64)result, LINE_SIGNED);
	if (error)
		line_word(l, l->json ? "error" : NULL, error);
	add_reason(l, why);
	if (l->json)
		line_number(l, "ns", ns, LINE_DEC);
}

void trace_open(const char *path, long result)
{
	u64 now = now_ns();
	const struct refusal unsaid = {.why = NULL};
	struct line l;

	start_line(&l, now);
	line_text(&l, "open ");
	if (l.json)
		line_word(&l, "call", "open");
	line_word(&l, l.json ? "path" : NULL, path);
	add_result(&l, result, &unsaid, 0);
	write_line(&l);
}

/* ---- descriptors ---- */

/* The kernel names its own in /proc. */
static const struct fd_ops *kind_by_link(int fd)
{
	char path[32], link[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = sys_readlink(path, link, sizeof(link) - 1);
	link[n > 0 ? n : 0] = 0;
	return dev_ops_of_link(link);
}

static const struct fd_ops *kind_of(struct dev *d, int fd)
{
	if (!d)
		return kind_by_link(fd);
	return dev_knows(d, fd) || dev_owns(d, fd) ? dev_ops(d, fd) : NULL;
}

void trace_closed(int fd)
{
	decoders_closed(fd);
}

/* ---- requests ---- */

static const char *direction(u32 request)
{
	static const char *const names[] = {[_IOC_NONE] = "_IO",
		[_IOC_READ] = "_IOR",
		[_IOC_WRITE] = "_IOW",
		[_IOC_READ | _IOC_WRITE] = "_IOWR"};

	return names[_IOC_DIR(request)];
}

/* What a line tells of. */
struct request_line {
	const struct fd_ops *kind;
	const struct decoder *decoder; /* or NULL, */
	const struct layout *layout;   /* as this */
	int fd;
	u32 number;
	unsigned long arg;
};

/* A known request in another form: a header of another version, a structure packed by another compiler. */
static bool add_relative(struct line *l, const struct fd_ops *kind, u32 request)
{
	unsigned long right;
	const char *name = dev_request_like(kind, request, &right);

	if (!name)
		return false;
	line_text(l, "%s", name);
	if (_IOC_SIZE(request) != _IOC_SIZE(right))
		line_text(l, ", size %u, not %u", _IOC_SIZE(request), (unsigned)_IOC_SIZE(right));
	if (_IOC_DIR(request) != _IOC_DIR(right))
		line_text(l, ", %s, not %s", direction(request), direction((u32)right));
	if (!l->json)
		return true;
	line_word(l, "like", name);
	line_number(l, "size", _IOC_SIZE(request), LINE_DEC);
	line_number(l, "right_size", _IOC_SIZE(right), LINE_DEC);
	line_word(l, "direction", direction(request));
	line_word(l, "right_direction", direction((u32)right));
	return true;
}

static void add_name(struct line *l, const struct fd_ops *kind, u32 request)
{
	const char *name = dev_request_name(kind, request);
	char number[16];

	snprintf(number, sizeof(number), "0x%08x", request);
	if (name || l->json)
		line_word(l, l->json ? "call" : NULL, name ? name : number);
	if (!name && !add_relative(l, kind, request) && !l->json)
		line_word(l, NULL, number);
}

static void add_call(struct line *l, const struct request_line *q)
{
	const char *label = dev_label(q->kind);

	line_text(l, "%s %d ", label, q->fd);
	if (l->json) {
		line_word(l, "kind", label);
		line_number(l, "fd", (u64)q->fd, LINE_DEC);
	}
	add_name(l, q->kind, q->number);
	line_text(l, " ");
	/* A pointer to what is decoded tells readers nothing. */
	if (l->json || !q->layout)
		line_number(l, l->json ? "arg" : NULL, q->arg, LINE_HEX);
}

/* What the program has given, as it is before the call: some of it will be written over. */
static void begin_call(struct line *l, const struct request_line *q, u64 begin)
{
	start_line(l, begin);
	add_call(l, q);
	decode_in(q->layout, l, q->arg);
	if (q->decoder && q->decoder->before)
		q->decoder->before(l, q->fd, q->number, q->arg);
}

static void end_call(
	struct line *l, const struct request_line *q, long r, const struct refusal *why, u64 ns)
{
	decode_out(q->layout, l, q->arg, r);
	add_result(l, r, why, ns);
	if (q->decoder && q->decoder->after)
		q->decoder->after(l, q->fd, q->number, q->arg, r);
	write_line(l);
}

/* The kernel gives no reasons. */
static long call(struct dev *d, int fd, unsigned long request, unsigned long arg,
	const struct dev_signals *how, struct refusal *ret_why)
{
	long r;

	if (d)
		return dev_ioctl_why(d, fd, request, arg, how, ret_why);
	ret_why->why = NULL;
	r = sys_ioctl(fd, request, arg);
	return r < 0 ? -errno : r;
}

long trace_ioctl(struct dev *d, int fd, unsigned long request, unsigned long arg,
	const struct dev_signals *how)
{
	struct request_line q = {
		.kind = kind_of(d, fd), .fd = fd, .number = (u32)request, .arg = arg};
	struct refusal why;
	struct line l;
	u64 begin;
	long r;

	if (!q.kind)
		return NOT_OURS;
	q.decoder = decoder_of(dev_interface_of(q.kind));
	q.layout = layout_of(q.decoder, dev_label(q.kind), q.number);
	begin = now_ns();
	begin_call(&l, &q, begin);
	r = call(d, fd, request, arg, how, &why);
	end_call(&l, &q, r, &why, now_ns() - begin);
	return r;
}
