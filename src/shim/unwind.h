/* SPDX-License-Identifier: MIT */
/*
 * Where functions begin and end, by a program's tables for unwinding: System V psABI for x86-64, 4.2.4, and LSB 5.0,
 * 10.6 (.eh_frame and .eh_frame_hdr). They are there also in programs whose symbols were stripped.
 */
#ifndef SHIM_UNWIND_H
#define SHIM_UNWIND_H

#include "shim/cpuidsites.h"

struct function {
	u64 start, end;
};

/* The function that the address is in. False: the tables do not say, or not in a form that is known. */
bool unwind_function(const struct object *o, u64 at, struct function *ret);

#endif
