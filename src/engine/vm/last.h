/* SPDX-License-Identifier: MIT */
/* A process ends with the last thread that is not ours: lastwatch.c looks now and then, lastthread.c finds out. */
#ifndef ENGINE_VM_LAST_H
#define ENGINE_VM_LAST_H

#include "engine/core/machine.h"

int last_create(struct machine *m);
void last_destroy(struct machine *m);

/* Has the process's first thread ended? */
bool last_first_is_gone(void);
/* When it has: end the process if no thread is left but ours. */
void last_check(void);

#endif
