/* SPDX-License-Identifier: MIT */
/*
 * Features of the host that testers tell us to do without, so that what older kernels, other
 * processors and sandboxes force on us is tested everywhere: USERVISOR_WITHOUT=fsgsbase,userfaultfd
 *
 * The environment is read at each question. Ask where a choice is made, not on each use.
 */
#ifndef BASE_WITHOUT_H
#define BASE_WITHOUT_H

#include <stdbool.h>
#include <stddef.h>

#define WITHOUT_ENV "USERVISOR_WITHOUT"

enum without {
	WITHOUT_FSGSBASE,       /* the instructions rdfsbase, wrfsbase and those for gs */
	WITHOUT_USERFAULTFD,    /* userfaultfd(2) */
	WITHOUT_DISPATCH,       /* Syscall User Dispatch */
	WITHOUT_EXECMEM,        /* executable views of a memfd */
	WITHOUT_CPUID_FAULTING, /* a CPUID instruction that raises SIGSEGV */
	WITHOUT_BREAKPOINTS,    /* breakpoints of the processor, by perf_event_open(2) */
};

bool without(enum without feature);
/* The first name in the variable that is in no table: its length, with *ret_name; 0: there is none. */
size_t without_unknown(const char **ret_name);
/* All names, for those who got one wrong. */
const char *without_names(void);

#endif
