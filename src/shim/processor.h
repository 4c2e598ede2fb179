/* SPDX-License-Identifier: MIT */
/* What a program sees of the processor: see processor.c and cpuinfo.c. */
#ifndef SHIM_PROCESSOR_H
#define SHIM_PROCESSOR_H

#include "base/types.h"

#define PROCESSOR_HOST_ENV "USERVISOR_HOST_CPUID" /* set: as it is */

struct object; /* cpuidsites.h */

enum processor {
	PROCESSOR_UNKNOWN,  /* nobody has looked; /proc/cpuinfo says what the program needs */
	PROCESSOR_HOST,     /* as it is, because the user wants it so */
	PROCESSOR_HAS_IT,   /* as it is, because that is enough */
	PROCESSOR_FAULTS,   /* CPUID is answered, */
	PROCESSOR_REPLACED, /* where it certainly is one in the program itself; */
	PROCESSOR_CANNOT,   /* or cannot be answered */
};
enum processor processor_shown(void);

/* Shall anything be shown that is not there? To be asked first. */
bool processor_decide(void);
/* Is there a CPUID instruction in it, as far as can be told? */
bool processor_is_asked(const struct object *o);
/*
 * Before the program's first instruction, with handlers of faults in place: have CPUID fault, or else (false: it
 * cannot) replace those that are found in the program itself.
 */
bool processor_fault(void);
void processor_replace(const struct object *program);
/* Or neither. */
void processor_leave(void);
/*
 * Before a request is served. Who makes a machine has found its processor good enough: CPUID no longer faults in this
 * thread, nor in those that it makes.
 */
void processor_has_machine(unsigned long request);

/* As arch_prctl(): 0, a value, or NOT_OURS. A program that has CPUID fault by itself takes it over. */
long processor_arch_prctl(int code, unsigned long arg);

/* Like open(): a descriptor, -errno, or NOT_OURS: the kernel's file is as it should be, or another one is meant. */
bool cpuinfo_is(const char *path);
long cpuinfo_open(const char *path, int flags);

#endif
