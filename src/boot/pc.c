/* SPDX-License-Identifier: MIT */
/* Making the VM, serving its exits, running and stopping its threads. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "boot/pc.h"
#include "boot/terminal.h"

/* Blocked everywhere but in the guest (kvm_set_signal_mask): stays pending, so no stop is lost on the way in. */
#define KICK_SIGNAL SIGRTMIN

#define STOP_ROUND_MS 100
#define STOP_ROUNDS   100

void pc_end(struct machine *m, enum end_reason reason, int detail)
{
	static const enum end_reason taken = (enum end_reason) - 1;
	enum end_reason none = END_NONE;
	u64 one = 1;

	/* Two steps, so that whoever sees a reason sees its detail. */
	if (!atomic_compare_exchange_strong(&m->reason, &none, taken))
		return;
	m->detail = detail;
	atomic_store(&m->reason, reason);
	while (write(m->ended, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* ---- Exits ------------------------------------------------------------------------------------------ */

static int port_out(struct machine *m, u16 port, unsigned size, u32 value)
{
	switch (devices_out(&m->devices, port, size, value)) {
	case DEVICE_POWER_OFF: pc_end(m, END_POWER_OFF, 0); return 1;
	case DEVICE_RESET: pc_end(m, END_RESET, 0); return 1;
	default: return 0;
	}
}

static int on_inb(void *opaque, uint16_t addr, uint8_t *data)
{
	*data = (u8)devices_in(&((struct machine *)opaque)->devices, addr, 1);
	return 0;
}

static int on_inw(void *opaque, uint16_t addr, uint16_t *data)
{
	*data = (u16)devices_in(&((struct machine *)opaque)->devices, addr, 2);
	return 0;
}

static int on_inl(void *opaque, uint16_t addr, uint32_t *data)
{
	*data = devices_in(&((struct machine *)opaque)->devices, addr, 4);
	return 0;
}

static int on_outb(void *opaque, uint16_t addr, uint8_t data)
{
	return port_out(opaque, addr, 1, data);
}

static int on_outw(void *opaque, uint16_t addr, uint16_t data)
{
	return port_out(opaque, addr, 2, data);
}

static int on_outl(void *opaque, uint16_t addr, uint32_t data)
{
	return port_out(opaque, addr, 4, data);
}

static int on_shutdown(void *opaque, void *env)
{
	pc_end(opaque, END_TRIPLE_FAULT, 0);
	return 1;
}

/* Not reached with the irqchip in the engine; without one the guest could never be woken. */
static int on_halt(void *opaque, int vcpu)
{
	pc_end(opaque, END_ENGINE, ENOSYS);
	return 1;
}

static int on_signal(void *opaque)
{
	struct machine *m = opaque;

	return atomic_load(&m->stopping);
}

static const struct kvm_callbacks machine_callbacks = {
	.inb = on_inb,
	.inw = on_inw,
	.inl = on_inl,
	.outb = on_outb,
	.outw = on_outw,
	.outl = on_outl,
	.halt = on_halt,
	.shutdown = on_shutdown,
	.io_window = on_signal,
};

static void on_engine_text(void *opaque, enum uv_kvm_log_kind kind, const char *line)
{
	struct machine *m = opaque;

	if (kind == UV_KVM_LOG_ERROR && !m->engine_error[0])
		snprintf(m->engine_error, sizeof(m->engine_error), "%s", line);
}

/* ---- Console ---------------------------------------------------------------------------------------- */

static void console_irq(void *opaque, bool level)
{
	kvm_set_irq_level(((struct machine *)opaque)->kvm, IRQ_COM1, level);
}

static void console_quit(void *opaque)
{
	pc_end(opaque, END_QUIT, 0);
}

static void console_lost(void *opaque, int error)
{
	pc_end(opaque, END_CONSOLE_LOST, error);
}

static const struct console_ops console_callbacks = {
	.set_irq = console_irq,
	.quit = console_quit,
	.lost = console_lost,
};

/* ---- Making ----------------------------------------------------------------------------------------- */

/* All signals that would end or stop the program come through one descriptor; every thread from here on,
 * the engine's included, inherits the mask. */
static int block_signals(struct machine *m)
{
	static const int taken[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		sigaddset(&set, taken[i]);
	m->signals = signalfd(-1, &set, SFD_CLOEXEC);
	sigaddset(&set, KICK_SIGNAL);
	sigaddset(&set, SIGPIPE); /* a closed output is an error of write(2) */
	sigaddset(&set, SIGTTOU);
	sigaddset(&set, SIGTTIN); /* as a background job: no input */
	pthread_sigmask(SIG_BLOCK, &set, &m->before);
	return m->signals;
}

static int cannot_open(const char *engine, int error, struct failure *f)
{
	if (!strcmp(engine, "soft"))
		return failure_set(f, "the soft engine cannot start (%s): run `uservisor doctor`",
			strerror(error));
	return failure_set(f,
		"/dev/kvm cannot be used (%s): run `uservisor doctor`, or give --engine soft",
		strerror(error));
}

static int create_failed(int error, u64 memory, struct failure *f)
{
	if (error == -ENOMEM)
		return failure_set(f,
			"this machine cannot give the guest %lluM of memory: give a smaller "
			"--memory",
			(unsigned long long)(memory >> 20));
	return failure_set(f, "the virtual machine cannot be made (%s): run `uservisor doctor`",
		strerror(-error));
}

int pc_create(struct machine *m, const char *engine, u64 memory, struct failure *f)
{
	void *base;
	int r;

	memset(m, 0, sizeof(*m));
	m->callbacks = machine_callbacks;
	terminal_restore_on_crash(); /* before the engine's own handlers, which pass on what is not theirs */
	m->ended = eventfd(0, EFD_CLOEXEC);
	if (block_signals(m) < 0 || m->ended < 0)
		return failure_set(f, "no descriptor left: raise `ulimit -n`");
	m->kvm = uv_kvm_init(&m->callbacks, m, engine, on_engine_text, m);
	if (!m->kvm)
		return cannot_open(engine, errno, f);
	r = kvm_create(m->kvm, memory, &base);
	if (r < 0)
		return create_failed(r, memory, f);
	if (!kvm_irqchip_in_kernel(m->kvm))
		return failure_set(
			f, "this engine has no interrupt controllers: give the other --engine");
	m->ram = (struct ram){.base = base, .size = memory};
	return 0;
}

void pc_destroy(struct machine *m)
{
	kvm_finalize(m->kvm);
	if (m->ended >= 0)
		close(m->ended);
	if (m->signals >= 0)
		close(m->signals);
	free(m->threads);
	pthread_sigmask(SIG_SETMASK, &m->before, NULL);
}

/* ---- Running ---------------------------------------------------------------------------------------- */

static void *vcpu_main(void *opaque)
{
	struct vcpu_thread *t = opaque;
	struct machine *m = t->machine;
	int r = kvm_run(m->kvm, t->cpu, t);

	if (r < 0)
		pc_end(m, END_ENGINE, -r);
	return NULL;
}

/* Only the kick comes through while the guest runs; faults are never blocked, engines may need them. */
static int let_kick_through(struct machine *m)
{
	sigset_t mask;
	int r = 0;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	sigdelset(&mask, KICK_SIGNAL);
	for (unsigned i = 0; i < m->cpus && r == 0; i++)
		r = kvm_set_signal_mask(m->kvm, (int)i, &mask);
	return r;
}

static int start_vcpus(struct machine *m, struct failure *f)
{
	int r = let_kick_through(m);

	if (r < 0)
		return failure_set(f,
			"the engine takes no signal mask (%s): give the other --engine",
			strerror(-r));
	m->threads = calloc(m->cpus, sizeof(*m->threads));
	if (!m->threads)
		return failure_set(f, "no memory left on this machine: close something");
	for (unsigned i = 0; i < m->cpus; i++) {
		struct vcpu_thread *t = &m->threads[i];

		*t = (struct vcpu_thread){.machine = m, .cpu = (int)i};
		if (pthread_create(&t->thread, NULL, vcpu_main, t))
			return failure_set(f, "no thread can be started: give fewer --cpus");
		t->started = true;
	}
	return 0;
}

static bool join_soon(pthread_t thread)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += STOP_ROUND_MS * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	return pthread_timedjoin_np(thread, NULL, &until) == 0;
}

/* False when a vCPU does not come back; then nothing that it uses may be freed. */
static bool stop_vcpus(struct machine *m)
{
	bool all = true;

	atomic_store(&m->stopping, true);
	for (unsigned i = 0; m->threads && i < m->cpus; i++)
		if (m->threads[i].started)
			pthread_kill(m->threads[i].thread, KICK_SIGNAL);
	for (unsigned i = 0; m->threads && i < m->cpus; i++) {
		struct vcpu_thread *t = &m->threads[i];

		for (int round = 0; t->started && round < STOP_ROUNDS; round++) {
			t->started = !join_soon(t->thread);
			if (t->started)
				pthread_kill(t->thread, KICK_SIGNAL);
		}
		all &= !t->started;
	}
	return all;
}

/* The job-control stop must not leave the shell with a raw terminal. */
static void stop_and_continue(void)
{
	terminal_restore();
	raise(SIGSTOP);
	terminal_raw();
}

static void take_signal(struct machine *m)
{
	struct signalfd_siginfo info;

	if (read(m->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGTSTP)
		stop_and_continue();
	else
		pc_end(m, END_SIGNAL, (int)info.ssi_signo);
}

static void wait_for_end(struct machine *m)
{
	struct pollfd fds[] = {
		{.fd = m->ended, .events = POLLIN}, {.fd = m->signals, .events = POLLIN}};

	while (!(fds[0].revents & POLLIN)) {
		if (poll(fds, ARRAY_SIZE(fds), -1) <= 0)
			continue;
		if (fds[1].revents)
			take_signal(m);
	}
}

static bool guest_chose(enum end_reason reason)
{
	return reason == END_POWER_OFF || reason == END_RESET || reason == END_TRIPLE_FAULT;
}

static int run_threads(struct machine *m, struct failure *f)
{
	struct console *console = m->devices.console;
	bool stopped;
	int r = start_vcpus(m, f);

	if (r == 0)
		wait_for_end(m);
	console_abandon(console);
	stopped = stop_vcpus(m);
	terminal_leave();
	pthread_sigmask(SIG_SETMASK, &m->before, NULL); /* from here on Ctrl-C ends us as usual */
	m->panicked = console_panicked(console);
	if (console_stop(console, guest_chose(m->reason)))
		terminal_drop_answers();
	terminal_restore();
	if (!stopped) {
		fprintf(stderr, "uservisor boot: a virtual processor does not stop: this is a bug, "
				"please report it\n");
		_exit(5);
	}
	return r;
}

int pc_run(struct machine *m, unsigned cpus, struct failure *f)
{
	struct console *console;

	m->cpus = cpus;
	if (console_start(&console, &console_callbacks, m, f) < 0)
		return -1;
	devices_init(&m->devices, console);
	terminal_raw();
	return run_threads(m, f);
}
