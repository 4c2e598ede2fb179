/* SPDX-License-Identifier: MIT */
/* What a program finds on its stack when it starts (System V psABI for x86-64, 3.4.1). */
#ifndef SHIM_INJECT_STACK_H
#define SHIM_INJECT_STACK_H

#include "shim/inject/image.h"

struct start {
	const struct image *program;
	u64 interpreter_base; /* 0: none */
	bool fsgsbase;        /* it may use these instructions */
	const char *name;
	char **argv, **envp;
};

#define HWCAP2_FSGSBASE BIT(1) /* uapi/asm/hwcap2.h */

/* The initial stack pointer, or 0: no memory. */
u64 stack_create(const struct start *s);
/* Let /proc show what is there. */
void stack_show(u64 sp);

#endif
