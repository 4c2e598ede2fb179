/* SPDX-License-Identifier: MIT */
/*
 * A running guest: its vCPU threads, and the first reason why it should stop. Threads: one for each vCPU, the
 * console's two, and the one that called pc_run, which waits for signals and for the end.
 */
#ifndef BOOT_PC_H
#define BOOT_PC_H

#include <libkvm.h>
#include <pthread.h>
#include <stdatomic.h>

#include "boot/console.h"
#include "boot/dev/devices.h"
#include "boot/load/load.h"

enum end_reason {
	END_NONE,
	END_POWER_OFF,
	END_RESET,
	END_TRIPLE_FAULT,
	END_QUIT,
	END_SIGNAL,       /* detail: its number */
	END_CONSOLE_LOST, /* detail: errno value */
	END_ENGINE,       /* detail: errno value */
};

struct pc;

struct vcpu_thread {
	struct pc *pc;
	int cpu;
	bool started;
	pthread_t thread;
};

struct pc {
	kvm_context_t kvm;
	struct kvm_callbacks callbacks;
	struct ram ram;
	struct bus bus;
	struct devices devices;
	struct console *console;
	unsigned cpus;
	struct vcpu_thread *threads;
	int signals;     /* signalfd: those that would end or stop the program */
	sigset_t before; /* the caller's signal mask */
	int ended;       /* eventfd: `reason` was set */
	_Atomic enum end_reason reason;
	int detail; /* set before `reason` */
	atomic_bool stopping;
	bool panicked;          /* after pc_run */
	char engine_error[200]; /* the engine's own words, if it had any */
};

/* Makes the VM: memory, interrupt controllers, devices; `engine` is libkvm's name for it. More may be put on the bus
 * before pc_run. */
int pc_create(struct pc *pc, const char *engine, u64 memory, struct failure *f);
/* Runs all vCPUs until there is a reason to stop. */
int pc_run(struct pc *pc, unsigned cpus, struct failure *f);
/* Also after a pc_create that failed. */
void pc_destroy(struct pc *pc);

/* The first reason counts. */
void pc_end(struct pc *pc, enum end_reason reason, int detail);

#endif
