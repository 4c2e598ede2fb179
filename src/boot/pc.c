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

void pc_end(struct pc *pc, enum end_reason reason, int detail)
{
	static const enum end_reason taken = (enum end_reason) - 1;
	enum end_reason none = END_NONE;
	u64 one = 1;

	/* Two steps, so that whoever sees a reason sees its detail. */
	if (!atomic_compare_exchange_strong(&pc->reason, &none, taken))
		return;
	pc->detail = detail;
	atomic_store(&pc->reason, reason);
	while (write(pc->ended, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* ---- Exits ------------------------------------------------------------------------------------------ */

/* 1: the vCPU need not go on. */
static int take_event(struct pc *pc, enum bus_event event)
{
	switch (event) {
	case BUS_POWER_OFF: pc_end(pc, END_POWER_OFF, 0); return 1;
	case BUS_RESET: pc_end(pc, END_RESET, 0); return 1;
	default: return 0;
	}
}

static int on_inb(void *opaque, uint16_t addr, uint8_t *data)
{
	struct pc *pc = opaque;

	*data = (u8)bus_read(&pc->bus, BUS_PORTS, addr, 1);
	return 0;
}

static int on_inw(void *opaque, uint16_t addr, uint16_t *data)
{
	struct pc *pc = opaque;

	*data = (u16)bus_read(&pc->bus, BUS_PORTS, addr, 2);
	return 0;
}

static int on_inl(void *opaque, uint16_t addr, uint32_t *data)
{
	struct pc *pc = opaque;

	*data = (u32)bus_read(&pc->bus, BUS_PORTS, addr, 4);
	return 0;
}

static int port_out(struct pc *pc, u16 port, unsigned size, u32 value)
{
	return take_event(pc, bus_write(&pc->bus, BUS_PORTS, port, size, value));
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

static int on_mmio_read(void *opaque, uint64_t addr, uint8_t *data, int len)
{
	struct pc *pc = opaque;
	const u64 value = bus_read(&pc->bus, BUS_MMIO, addr, (unsigned)len);

	memcpy(data, &value, (size_t)len);
	return 0;
}

static int on_mmio_write(void *opaque, uint64_t addr, uint8_t *data, int len)
{
	struct pc *pc = opaque;
	u64 value = 0;

	memcpy(&value, data, (size_t)len);
	return take_event(pc, bus_write(&pc->bus, BUS_MMIO, addr, (unsigned)len, value));
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
	struct pc *pc = opaque;

	return atomic_load(&pc->stopping);
}

static const struct kvm_callbacks pc_callbacks = {
	.inb = on_inb,
	.inw = on_inw,
	.inl = on_inl,
	.outb = on_outb,
	.outw = on_outw,
	.outl = on_outl,
	.mmio_read = on_mmio_read,
	.mmio_write = on_mmio_write,
	.halt = on_halt,
	.shutdown = on_shutdown,
	.io_window = on_signal,
};

static void on_engine_text(void *opaque, enum uv_kvm_log_kind kind, const char *line)
{
	struct pc *pc = opaque;

	if (kind == UV_KVM_LOG_ERROR && !pc->engine_error[0])
		snprintf(pc->engine_error, sizeof(pc->engine_error), "%s", line);
}

static void set_irq(void *opaque, unsigned irq, bool level)
{
	struct pc *pc = opaque;

	kvm_set_irq_level(pc->kvm, (int)irq, level);
}

/* ---- Console ---------------------------------------------------------------------------------------- */

static void console_quit(void *opaque)
{
	pc_end(opaque, END_QUIT, 0);
}

static void console_lost(void *opaque, int error)
{
	pc_end(opaque, END_CONSOLE_LOST, error);
}

static const struct console_ops console_callbacks = {
	.quit = console_quit,
	.lost = console_lost,
};

/* ---- Making ----------------------------------------------------------------------------------------- */

/* All signals that would end or stop the program come through one descriptor; every thread from here on,
 * the engine's included, inherits the mask. */
static int block_signals(struct pc *pc)
{
	static const int taken[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		sigaddset(&set, taken[i]);
	pc->signals = signalfd(-1, &set, SFD_CLOEXEC);
	sigaddset(&set, KICK_SIGNAL);
	sigaddset(&set, SIGPIPE); /* a closed output is an error of write(2) */
	sigaddset(&set, SIGTTOU);
	sigaddset(&set, SIGTTIN); /* as a background job: no input */
	pthread_sigmask(SIG_BLOCK, &set, &pc->before);
	return pc->signals;
}

static int cannot_open(const char *engine, int error, struct failure *f)
{
	const char *device = !strcmp(engine, "kernel") ? "/dev/kvm" : "/dev/mshv";

	if (!strcmp(engine, "soft") || !strcmp(engine, "mshv"))
		return failure_set(f, "the soft engine cannot start (%s): run `uservisor doctor`",
			strerror(error));
	return failure_set(f,
		"%s cannot be used (%s): run `uservisor doctor`, or give --engine soft", device,
		strerror(error));
}

static int create_failed(int error, u64 memory, struct failure *f)
{
	if (error == -ENOMEM)
		return failure_set(f,
			"this machine cannot give the guest %lluM of memory: give a smaller "
			"--memory",
			(unsigned long long)(memory >> 20));
	return failure_set(f, "the virtual machine cannot be created (%s): run `uservisor doctor`",
		strerror(-error));
}

int pc_create(struct pc *pc, const char *engine, u64 memory, struct failure *f)
{
	void *base;
	int r;

	memset(pc, 0, sizeof(*pc));
	pc->callbacks = pc_callbacks;
	terminal_restore_on_crash(); /* before the engine's own handlers, which pass on what is not theirs */
	pc->ended = eventfd(0, EFD_CLOEXEC);
	if (block_signals(pc) < 0 || pc->ended < 0)
		return failure_set(f, "there is no file descriptor left: raise `ulimit -n`");
	pc->kvm = uv_kvm_init(&pc->callbacks, pc, engine, on_engine_text, pc);
	if (!pc->kvm)
		return cannot_open(engine, errno, f);
	r = kvm_create(pc->kvm, memory, &base);
	if (r < 0)
		return create_failed(r, memory, f);
	if (!kvm_irqchip_in_kernel(pc->kvm))
		return failure_set(
			f, "this engine has no interrupt controllers: give the other --engine");
	pc->ram = (struct ram){.base = base, .size = memory};
	bus_init(&pc->bus, set_irq, pc);
	return devices_attach(&pc->devices, &pc->bus, f);
}

void pc_destroy(struct pc *pc)
{
	kvm_finalize(pc->kvm);
	if (pc->ended >= 0)
		close(pc->ended);
	if (pc->signals >= 0)
		close(pc->signals);
	free(pc->threads);
	pthread_sigmask(SIG_SETMASK, &pc->before, NULL);
}

/* ---- Running ---------------------------------------------------------------------------------------- */

static void *vcpu_main(void *opaque)
{
	struct vcpu_thread *t = opaque;
	struct pc *pc = t->pc;
	int r = kvm_run(pc->kvm, t->cpu, t);

	if (r < 0)
		pc_end(pc, END_ENGINE, -r);
	return NULL;
}

/* Only the kick comes through while the guest runs; faults are never blocked, engines may need them. */
static int let_kick_through(struct pc *pc)
{
	sigset_t mask;
	int r = 0;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	sigdelset(&mask, KICK_SIGNAL);
	for (unsigned i = 0; i < pc->cpus && r == 0; i++)
		r = kvm_set_signal_mask(pc->kvm, (int)i, &mask);
	return r;
}

static int start_vcpus(struct pc *pc, struct failure *f)
{
	int r = let_kick_through(pc);

	if (r < 0)
		return failure_set(f,
			"the engine does not accept a signal mask (%s): give the other --engine",
			strerror(-r));
	pc->threads = calloc(pc->cpus, sizeof(*pc->threads));
	if (!pc->threads)
		return failure_set(
			f, "there is no memory left on this machine: end other programs");
	for (unsigned i = 0; i < pc->cpus; i++) {
		struct vcpu_thread *t = &pc->threads[i];

		*t = (struct vcpu_thread){.pc = pc, .cpu = (int)i};
		if (pthread_create(&t->thread, NULL, vcpu_main, t))
			return failure_set(f, "no thread can be created: give fewer --cpus");
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
static bool stop_vcpus(struct pc *pc)
{
	bool all = true;

	atomic_store(&pc->stopping, true);
	for (unsigned i = 0; pc->threads && i < pc->cpus; i++)
		if (pc->threads[i].started)
			pthread_kill(pc->threads[i].thread, KICK_SIGNAL);
	for (unsigned i = 0; pc->threads && i < pc->cpus; i++) {
		struct vcpu_thread *t = &pc->threads[i];

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

static void take_signal(struct pc *pc)
{
	struct signalfd_siginfo info;

	if (read(pc->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGTSTP)
		stop_and_continue();
	else
		pc_end(pc, END_SIGNAL, (int)info.ssi_signo);
}

static void wait_for_end(struct pc *pc)
{
	struct pollfd fds[] = {
		{.fd = pc->ended, .events = POLLIN}, {.fd = pc->signals, .events = POLLIN}};

	while (!(fds[0].revents & POLLIN)) {
		if (poll(fds, ARRAY_SIZE(fds), -1) <= 0)
			continue;
		if (fds[1].revents)
			take_signal(pc);
	}
}

static bool guest_chose(enum end_reason reason)
{
	return reason == END_POWER_OFF || reason == END_RESET || reason == END_TRIPLE_FAULT;
}

static int run_threads(struct pc *pc, struct failure *f)
{
	bool stopped;
	int r = start_vcpus(pc, f);

	if (r == 0)
		wait_for_end(pc);
	console_abandon(pc->console);
	stopped = stop_vcpus(pc);
	terminal_leave();
	pthread_sigmask(SIG_SETMASK, &pc->before, NULL); /* from here on Ctrl-C ends us as usual */
	pc->panicked = console_panicked(pc->console);
	if (console_stop(pc->console, guest_chose(pc->reason)))
		terminal_drop_answers();
	terminal_restore();
	if (!stopped) {
		fprintf(stderr, "uservisor boot: a virtual processor does not stop: this is a bug; "
				"please report it\n");
		_exit(5);
	}
	return r;
}

int pc_run(struct pc *pc, unsigned cpus, struct failure *f)
{
	pc->cpus = cpus;
	if (console_start(&pc->console, &pc->bus, &console_callbacks, pc, f) < 0)
		return -1;
	terminal_raw();
	return run_threads(pc, f);
}
