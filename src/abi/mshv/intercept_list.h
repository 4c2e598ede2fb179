/* SPDX-License-Identifier: MIT */
/* What intercept.c keeps of a partition's intercepts, and intercept_message.c looks at. */
#ifndef ABI_MSHV_INTERCEPT_LIST_H
#define ABI_MSHV_INTERCEPT_LIST_H

#include "abi/mshv/mshv.h"

#define INTERCEPT_MSRS 256

/* Of the partition's telling: one request at a time changes them. */
struct intercepts {
	pthread_mutex_t lock; /* the MSRs, at which processors look */
	struct {
		u32 index, access;
	} msr[INTERCEPT_MSRS];
	unsigned msr_count;
	_Atomic u32 exceptions, traps; /* a bit for each vector */
	_Atomic u32 msr_class;         /* HV_ACCESS_*: all MSRs */
	_Atomic u32 hypercalls;        /* a bit for each HV_INTERCEPT_* about them */
};

/* Is there an intercept for this one? For those that the engine does not know, and so does not ask about. Any thread. */
bool msr_intercepted(struct intercepts *i, u32 index, u32 access);

#endif
