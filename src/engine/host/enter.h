/* SPDX-License-Identifier: MIT */
/* The border between C and generated code: see enter.S. */
#ifndef ENGINE_HOST_ENTER_H
#define ENGINE_HOST_ENTER_H

#include "engine/core/cpu.h"

/* Run generated code; why it came back. area: see enter.S. */
const struct exit_record *code_enter(struct cpu *cpu, const void *target, void *area);
/* Where generated code comes back to, with the address of a record in r10. */
void code_leave(void);
/* fn(arg) with that stack. */
void call_on(void *stack_top, void (*fn)(void *), void *arg);

#endif
