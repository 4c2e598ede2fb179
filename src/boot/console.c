/* SPDX-License-Identifier: MIT */
/* The user's end of the serial line: input and output thread, and the search for a panic's first words. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "boot/clock.h"
#include "boot/console.h"
#include "boot/dev/serial.h"
#include "boot/query.h"
#include "boot/terminal.h"

#define OUT_SIZE  (64u << 10)
#define ESCAPE    1 /* Ctrl-A */
#define LEAVE_MS  1000
#define ANSWER_MS 2000 /* a question that was written longer ago has its answer */
#define END       4    /* Ctrl-D */

/* A guest that is silent for so long asks for more: in the middle of a line, and at the beginning of one. */
#define PROMPT_MS 1000
#define SILENT_MS 10000

struct console {
	const struct console_ops *ops;
	void *opaque;
	bool tty;
	atomic_bool abandoned, closing;

	struct serial *serial;
	bool escaped; /* the reader's, as are these: */
	bool had_input, input_ended;

	pthread_mutex_t out_lock;
	pthread_cond_t out_more, out_room;
	u8 out[OUT_SIZE];
	unsigned out_count;
	bool out_broken;
	unsigned panic_matched; /* characters of the panic's text seen in a row */
	atomic_bool panicked;
	struct query query;  /* the writer's */
	atomic_ullong asked; /* when the terminal was last asked something, in ms; 0: never */
	atomic_ullong busy;  /* when the guest last wrote something or took input, in ms */
	atomic_bool prompts; /* what it wrote does not end with a line feed */

	int wake; /* eventfd: room among the typed, or closing */
	pthread_t reader, writer;
};

/* ---- Output ----------------------------------------------------------------------------------------- */

/* Its first letter comes only once in it, so after a mismatch the search begins anew. */
static void watch_for_panic(struct console *c, u8 byte)
{
	static const char text[] = "Kernel panic - not syncing";

	if (byte != (u8)text[c->panic_matched])
		c->panic_matched = 0;
	if (byte == (u8)text[c->panic_matched])
		c->panic_matched++;
	if (!text[c->panic_matched]) {
		atomic_store(&c->panicked, true);
		c->panic_matched = 0;
	}
}

static void transmit(void *opaque, u8 byte)
{
	struct console *c = opaque;

	pthread_mutex_lock(&c->out_lock);
	watch_for_panic(c, byte);
	while (c->out_count == OUT_SIZE && !c->out_broken && !atomic_load(&c->abandoned))
		pthread_cond_wait(&c->out_room, &c->out_lock);
	if (c->out_count < OUT_SIZE)
		c->out[c->out_count++] = byte;
	if (c->out_count == 1)
		pthread_cond_signal(&c->out_more);
	pthread_mutex_unlock(&c->out_lock);
}

/* Takes what is there; 0 when the console closes and all was written. */
static unsigned take_output(struct console *c, u8 *to)
{
	unsigned n;

	pthread_mutex_lock(&c->out_lock);
	while (!c->out_count && !atomic_load(&c->closing))
		pthread_cond_wait(&c->out_more, &c->out_lock);
	n = c->out_count;
	memcpy(to, c->out, n);
	c->out_count = 0;
	pthread_cond_broadcast(&c->out_room);
	pthread_mutex_unlock(&c->out_lock);
	return n;
}

static int write_all(const u8 *from, unsigned n)
{
	struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};

	while (n) {
		ssize_t done = write(STDOUT_FILENO, from, n);

		if (done > 0) {
			from += done;
			n -= (unsigned)done;
		} else if (errno == EAGAIN) {
			poll(&out, 1, -1); /* someone else made the descriptor non-blocking */
		} else if (errno != EINTR) {
			return errno;
		}
	}
	return 0;
}

static void output_broke(struct console *c, int error)
{
	pthread_mutex_lock(&c->out_lock);
	c->out_broken = true;
	pthread_cond_broadcast(&c->out_room);
	pthread_mutex_unlock(&c->out_lock);
	c->ops->lost(c->opaque, error);
}

static void watch_for_questions(struct console *c, const u8 *text, unsigned n)
{
	bool asks = false;

	for (unsigned i = 0; c->tty && i < n; i++)
		asks |= query_byte(&c->query, text[i]);
	if (asks)
		atomic_store(&c->asked, now_ms());
}

static void *write_thread(void *opaque)
{
	struct console *c = opaque;
	u8 *buffer = malloc(OUT_SIZE);
	unsigned n;
	int error = buffer ? 0 : ENOMEM;

	while (!error && (n = take_output(c, buffer)) > 0) {
		error = write_all(buffer, n);
		atomic_store(&c->prompts, buffer[n - 1] != '\n');
		atomic_store(&c->busy, now_ms());
		watch_for_questions(c, buffer, n);
	}
	if (error)
		output_broke(c, error);
	free(buffer);
	return NULL;
}

/* ---- Input ------------------------------------------------------------------------------------------ */

static void wake_reader(struct console *c)
{
	u64 one = 1;

	while (write(c->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* Ctrl-A x quits, Ctrl-A Ctrl-A is one Ctrl-A, before anything else Ctrl-A is dropped. Leaves what is typed, and says
 * how much it is. */
static size_t take_escapes(struct console *c, u8 *text, size_t n, bool *quit)
{
	size_t kept = 0;

	for (size_t i = 0; i < n && !*quit; i++) {
		const bool escaped = c->escaped;

		*quit = escaped && (text[i] == 'x' || text[i] == 'X');
		c->escaped = *quit || (!escaped && text[i] == ESCAPE);
		if (!c->escaped)
			text[kept++] = text[i];
	}
	return kept;
}

/* A terminal is always read, so that Ctrl-A x is seen; anything else waits until there is room. */
static size_t input_wanted(struct console *c)
{
	const size_t room = serial_room(c->serial);

	return c->tty ? 256 : MIN(room, 256);
}

/* True: quit. */
static bool take_input(struct console *c, u8 *text, size_t n)
{
	bool quit = false;

	if (c->tty)
		n = take_escapes(c, text, n, &quit);
	serial_type(c->serial, text, n);
	return quit;
}

/* False: there will be no more input. */
static bool read_input(struct console *c, size_t wanted)
{
	u8 buffer[256];
	ssize_t n = read(STDIN_FILENO, buffer, wanted);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	c->had_input |= n > 0;
	if (n <= 0)
		return false;
	if (take_input(c, buffer, (size_t)n))
		c->ops->quit(c->opaque);
	return true;
}

static bool wants_more(struct console *c)
{
	const u64 silent = now_ms() - atomic_load(&c->busy);

	return serial_idle(c->serial) &&
	       silent >= (atomic_load(&c->prompts) ? PROMPT_MS : SILENT_MS);
}

/*
 * The end of a file or pipe is typed as a user would: when the guest waits for more. Before, the line discipline of a
 * shell that is at work would take it, and the shell's own editor see a zero. An input that had nothing has no end.
 */
static void pass_end(struct console *c)
{
	const u8 end = END;

	if (!wants_more(c))
		return;
	serial_type(c->serial, &end, 1);
	c->input_ended = false;
}

static void *read_thread(void *opaque)
{
	struct console *c = opaque;
	bool open = true;

	while (!atomic_load(&c->closing)) {
		const size_t wanted = open ? input_wanted(c) : 0;
		struct pollfd fds[] = {
			{.fd = c->wake, .events = POLLIN},
			{.fd = wanted ? STDIN_FILENO : -1, .events = POLLIN},
		};
		u64 count;

		if (poll(fds, ARRAY_SIZE(fds), c->input_ended ? PROMPT_MS / 4 : -1) < 0)
			continue;
		if (fds[0].revents && read(c->wake, &count, sizeof(count)) < 0)
			continue;
		if (fds[1].revents) {
			open = read_input(c, wanted);
			c->input_ended = !open && c->had_input && !c->tty;
		}
		if (c->input_ended)
			pass_end(c);
	}
	return NULL;
}

/* ---- The serial port -------------------------------------------------------------------------------- */

static void port_taken(void *opaque)
{
	struct console *c = opaque;

	atomic_store(&c->busy, now_ms());
}

static void port_room(void *opaque)
{
	wake_reader(opaque);
}

static const struct serial_ops port_ops = {
	.transmit = transmit, .taken = port_taken, .room = port_room};

bool console_panicked(struct console *c)
{
	return atomic_load(&c->panicked);
}

/* ---- Life ------------------------------------------------------------------------------------------- */

static int start_threads(struct console *c, struct failure *f)
{
	if (pthread_create(&c->writer, NULL, write_thread, c) == 0) {
		if (pthread_create(&c->reader, NULL, read_thread, c) == 0)
			return 0;
		atomic_store(&c->closing, true);
		pthread_cond_signal(&c->out_more);
		pthread_join(c->writer, NULL);
	}
	return failure_set(f, "no thread can be created: end other programs, or raise `ulimit -u`");
}

static void console_free(struct console *c)
{
	if (c->serial)
		serial_destroy(c->serial);
	if (c->wake >= 0)
		close(c->wake);
	free(c);
}

int console_start(struct console **ret, struct bus *bus, const struct console_ops *ops,
	void *opaque, struct failure *f)
{
	struct console *c = calloc(1, sizeof(*c));
	int r = -1;

	if (!c)
		return failure_set(
			f, "there is no memory left on this machine: end other programs");
	c->ops = ops;
	c->opaque = opaque;
	c->tty = terminal_present();
	pthread_mutex_init(&c->out_lock, NULL);
	pthread_cond_init(&c->out_more, NULL);
	pthread_cond_init(&c->out_room, NULL);
	c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->wake < 0)
		failure_set(f, "there is no file descriptor left: raise `ulimit -n`");
	else
		r = serial_create(&c->serial, bus, &port_ops, c, !c->tty, f);
	if (r == 0)
		r = start_threads(c, f);
	if (r < 0) {
		console_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

static bool join_within(pthread_t thread, unsigned ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	return pthread_timedjoin_np(thread, NULL, &until) == 0;
}

void console_abandon(struct console *c)
{
	pthread_mutex_lock(&c->out_lock);
	atomic_store(&c->abandoned, true);
	pthread_cond_broadcast(&c->out_room);
	pthread_mutex_unlock(&c->out_lock);
}

bool console_stop(struct console *c, bool drain)
{
	bool ended, asked;

	pthread_mutex_lock(&c->out_lock);
	atomic_store(&c->closing, true);
	pthread_cond_broadcast(&c->out_more);
	pthread_mutex_unlock(&c->out_lock);
	wake_reader(c);
	pthread_join(c->reader, NULL);
	ended = drain ? pthread_join(c->writer, NULL) == 0 : join_within(c->writer, LEAVE_MS);
	if (!ended)
		return false; /* it hangs in write(2) and still uses the memory; the process is about to end */
	asked = atomic_load(&c->asked) && now_ms() - atomic_load(&c->asked) < ANSWER_MS;
	console_free(c);
	return asked;
}
