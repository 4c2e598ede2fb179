/* SPDX-License-Identifier: MIT */
/*
 * The probe guest, made and started exactly as a real one, in a child process: a hypervisor that hangs or kills its
 * user must not take us along. Child and parent share one page, so what was reached is known in every case.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "boot/load/vcpus.h"
#include "boot/probe.h"
#include "boot/probe_guest.h"
#include "boot/load/startinfo.h"

#define PROBE_MEMORY  (4ull << 20)
#define TIME_LIMIT_MS 2000

/* Hardware takes 1 to 2 us for an exit and 1 to 5 ms for all steps, nested on other hardware up to ten times that.
 * Beyond this our own engine is the faster one. */
#define SLOW_EXIT_US 100.0
#define SLOW_MS      400.0

struct report {
	int error; /* errno value of what could not be set up */
	int step;
	int ended;                     /* kvm_run came back or the guest was done */
	double begin, step_time, last; /* ms */
	double exits_ms;
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* ---- The child -------------------------------------------------------------------------------------- */

/* Steps come in order; anything else is the guest's way to say that it failed. */
static int on_outb(void *opaque, uint16_t port, uint8_t value)
{
	volatile struct report *r = opaque;

	if (port != PROBE_PORT_STEP)
		return 0;
	r->last = now_ms();
	if (value != r->step + 1)
		return 1;
	if (value == PROBE_STEP_EXITS)
		r->exits_ms = r->last - r->step_time;
	r->step_time = r->last;
	r->step = value;
	return value == PROBE_STEP_DONE;
}

static int prepare_guest(kvm_context_t kvm)
{
	const struct start_state start = {.mode = START_LINUX64, .entry = PROBE_CODE};
	const size_t size = (size_t)(probe_guest_end - probe_guest_start);
	struct ram ram = {.size = PROBE_MEMORY};
	struct failure ignored;
	void *base;
	int r = kvm_create(kvm, PROBE_MEMORY, &base);

	if (r < 0)
		return r;
	ram.base = base;
	memcpy(ram.base + PROBE_CODE, probe_guest_start, size);
	startinfo_long_mode(&ram);
	errno = EIO;
	if (cpus_create(kvm, 1, &ignored) < 0 || cpu_set_start(kvm, &start, &ignored) < 0)
		return -errno;
	return 0;
}

/* The verdict says it. */
static void ignore_text(void *opaque, enum uv_kvm_log_kind kind, const char *line)
{
}

static void run_guest(const char *engine, struct report *report)
{
	struct kvm_callbacks callbacks = {.outb = on_outb};
	kvm_context_t kvm = uv_kvm_init(&callbacks, report, engine, ignore_text, NULL);
	int r = kvm ? prepare_guest(kvm) : -errno;

	report->error = -r;
	if (r < 0)
		return;
	report->begin = report->step_time = report->last = now_ms();
	kvm_run(kvm, 0, NULL);
	report->ended = 1;
}

/* ---- The parent ------------------------------------------------------------------------------------- */

/* The pipe's other end closes when the child ends, however it does. */
static void run_child(const char *engine, struct report *report)
{
	struct pollfd end = {.events = POLLIN};
	int pipe_fds[2];
	pid_t child;

	report->error = EAGAIN;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return;
	child = fork();
	if (child == 0) {
		run_guest(engine, report);
		_exit(0);
	}
	close(pipe_fds[1]);
	end.fd = pipe_fds[0];
	if (child > 0) {
		poll(&end, 1, TIME_LIMIT_MS);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	close(pipe_fds[0]);
}

static const char *const step_names[] = {
	[0] = "its first instruction",
	[PROBE_STEP_CPUID] = "reading and writing MSRs",
	[PROBE_STEP_MSR] = "changing control registers",
	[PROBE_STEP_CONTROL] = "a breakpoint exception",
	[PROBE_STEP_EXCEPTION] = "a page fault",
	[PROBE_STEP_FAULT] = "a system call from user mode",
	[PROBE_STEP_USER] = "a timer interrupt",
	[PROBE_STEP_TIMER] = "changing page tables",
	[PROBE_STEP_TABLES] = "port writes",
	[PROBE_STEP_EXITS] = "its end",
};

static void judge_run(const char *name, const struct report *report, struct probe_result *result)
{
	result->ms = report->last - report->begin;
	result->exit_us = report->exits_ms * 1e3 / PROBE_EXITS;
	if (report->step != PROBE_STEP_DONE) {
		result->verdict = PROBE_NOT_A_PC;
		snprintf(result->text, sizeof(result->text),
			"%s works but cannot run ordinary guests: a test guest %s at %s", name,
			report->ended ? "failed" : "hung", step_names[report->step]);
		return;
	}
	result->verdict =
		result->ms > SLOW_MS || result->exit_us > SLOW_EXIT_US ? PROBE_SLOW : PROBE_WORKS;
	snprintf(result->text, sizeof(result->text),
		"%s runs guests%s: a test guest took %.1f ms, an exit %.1f us", name,
		result->verdict == PROBE_SLOW ? " too slowly" : "", result->ms, result->exit_us);
}

static void judge(const char *name, const struct report *report, struct probe_result *result)
{
	result->error = report->error;
	if (!report->error) {
		judge_run(name, report, result);
		return;
	}
	result->verdict = PROBE_UNUSABLE;
	snprintf(result->text, sizeof(result->text), "%s cannot create a virtual machine (%s)",
		name, strerror(report->error));
}

static bool can_open(struct probe_result *result)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		close(fd);
		return true;
	}
	result->error = errno;
	result->verdict = PROBE_UNUSABLE;
	if (errno == ENOENT)
		result->verdict = PROBE_MISSING;
	else if (errno == EACCES || errno == EPERM)
		result->verdict = PROBE_DENIED;
	if (result->verdict == PROBE_MISSING)
		snprintf(result->text, sizeof(result->text), "there is no /dev/kvm");
	else
		snprintf(result->text, sizeof(result->text), "/dev/kvm cannot be opened (%s)",
			strerror(errno));
	return false;
}

static void probe(const char *engine, const char *name, struct probe_result *result)
{
	struct report *report = mmap(
		NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (report == MAP_FAILED) {
		result->verdict = PROBE_UNUSABLE;
		snprintf(result->text, sizeof(result->text), "there is no memory left to probe %s",
			name);
		return;
	}
	run_child(engine, report);
	judge(name, report, result);
	munmap(report, sizeof(*report));
}

void probe_kernel_kvm(struct probe_result *result)
{
	memset(result, 0, sizeof(*result));
	if (can_open(result))
		probe("kernel", "/dev/kvm", result);
}

void probe_soft(struct probe_result *result)
{
	memset(result, 0, sizeof(*result));
	probe("soft", "it", result);
}
