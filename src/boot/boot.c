/* SPDX-License-Identifier: MIT */
/* From the options to the exit status: choose, make, load, run, tell. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "boot/boot.h"
#include "boot/load/vcpus.h"
#include "boot/choice.h"
#include "boot/load/file.h"
#include "boot/pc.h"

/* What every guest needs to be heard, and to end instead of hanging after a panic; the user's own options follow and
 * win. */
#define CMDLINE_DEFAULTS "console=ttyS0 panic=-1"

static int check_size(const struct boot_config *c, struct failure *f)
{
	const u64 host = (u64)sysconf(_SC_PHYS_PAGES) * PAGE_SIZE;

	if (c->memory < MEMORY_MIN)
		return failure_set(f,
			"--memory is too small for any kernel: give at least 16M; 512M is usual");
	if (c->memory > host)
		return failure_set(f,
			"--memory is more than the %lluM that this machine has: give less",
			(unsigned long long)(host >> 20));
	if (c->cpus < 1 || c->cpus > CPUS_MAX)
		return failure_set(f, "--cpus %u is out of range: give 1 to %d", c->cpus, CPUS_MAX);
	return 0;
}

/* Before anything else is made or said. */
static int check_files(const struct boot_config *c, struct failure *f)
{
	struct file file;

	if (file_open(&file, "--kernel", c->kernel, f) < 0)
		return -1;
	file_close(&file);
	if (!c->initrd)
		return 0;
	if (file_open(&file, "--initrd", c->initrd, f) < 0)
		return -1;
	file_close(&file);
	return 0;
}

static int usage(const struct boot_config *c, const struct failure *f)
{
	c->say(f->text);
	return BOOT_USAGE;
}

/* 0, the exit status for files that do not fit, or -1. */
static int prepare(
	struct pc *pc, const struct boot_config *c, const char *cmdline, struct failure *f)
{
	const struct load_request request = {
		.kernel = c->kernel, .initrd = c->initrd, .cmdline = cmdline, .cpus = c->cpus};
	struct start_state start;

	if (load_guest(&request, &pc->ram, &start, f) < 0)
		return usage(c, f);
	if (cpus_create(pc->kvm, c->cpus, f) < 0)
		return -1;
	return cpu_set_start(pc->kvm, &start, f);
}

static void say_engine_error(const struct boot_config *c, struct pc *pc)
{
	struct failure f;

	failure_set(&f,
		"the engine cannot continue (%s): try the other --engine, and report this as a bug",
		pc->engine_error[0] ? pc->engine_error : strerror(pc->detail));
	c->say(f.text);
}

/* The guest is gone: what became of it. */
static int tell_end(const struct boot_config *c, struct pc *pc)
{
	struct failure f;

	switch ((enum end_reason)pc->reason) {
	case END_POWER_OFF: return BOOT_POWERED_OFF;
	case END_QUIT: return BOOT_QUIT;
	case END_SIGNAL: return BOOT_SIGNALLED + pc->detail;
	case END_RESET:
	case END_TRIPLE_FAULT:
		if (pc->panicked)
			c->say("the guest's kernel panicked: its last lines above give the reason");
		else if (pc->reason == END_RESET)
			c->say("the guest asked for a reset, which ends `uservisor boot`: start it "
			       "again");
		else
			c->say("the guest stopped with a triple fault: its last lines above may "
			       "give the reason");
		return pc->panicked ? BOOT_PANICKED : BOOT_RESET;
	case END_CONSOLE_LOST:
		failure_set(&f,
			"the guest's console output cannot be written (%s): keep the terminal "
			"open, or redirect to a file",
			strerror(pc->detail));
		c->say(f.text);
		return BOOT_FAILED;
	default: say_engine_error(c, pc); return BOOT_FAILED;
	}
}

static int run_pc(
	const struct boot_config *c, const char *engine, const char *cmdline, struct failure *f)
{
	struct pc pc;
	int r = pc_create(&pc, engine, c->memory, f);

	if (r == 0)
		r = prepare(&pc, c, cmdline, f);
	if (r == 0)
		r = pc_run(&pc, c->cpus, f);
	if (r == 0)
		r = tell_end(c, &pc);
	pc_destroy(&pc);
	return r;
}

static int say_engine(const struct boot_config *c, const struct engine_choice *choice)
{
	char line[sizeof(choice->why) + 64];

	snprintf(line, sizeof(line), "engine %s: %s", choice->name, choice->why);
	c->say(line);
	return 0;
}

static int boot(const struct boot_config *c, struct failure *f)
{
	struct engine_choice choice;
	char *cmdline;
	int r;

	if (check_size(c, f) < 0 || check_files(c, f) < 0 ||
		engine_choose(c->engine, &choice, f) < 0)
		return usage(c, f);
	if (asprintf(&cmdline, "%s%s%s", CMDLINE_DEFAULTS, c->append ? " " : "",
		    c->append ? c->append : "") < 0)
		return failure_set(
			f, "there is no memory left on this machine: end other programs");
	say_engine(c, &choice);
	r = run_pc(c, choice.engine, cmdline, f);
	free(cmdline);
	return r;
}

int boot_run(const struct boot_config *config)
{
	struct failure failure;
	int r = boot(config, &failure);

	if (r >= 0)
		return r;
	config->say(failure.text);
	return BOOT_FAILED;
}
