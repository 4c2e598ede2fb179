/* SPDX-License-Identifier: MIT */
/* Which engine runs the guest, and why. */
#ifndef BOOT_CHOICE_H
#define BOOT_CHOICE_H

#include "boot/core/failure.h"

struct engine_choice {
	const char *engine; /* libkvm's name, */
	const char *name;   /* and that of --engine */
	char why[256];      /* the rest of "engine: NAME, ..." */
};

/* `wish` is what --engine gives. */
int engine_choose(const char *wish, struct engine_choice *choice, struct failure *f);

#endif
