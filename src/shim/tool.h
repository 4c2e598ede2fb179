/* SPDX-License-Identifier: MIT */
/* The tool that introspects the machines of the program: said by who starts it, known to the process by its environment. */
#ifndef SHIM_TOOL_H
#define SHIM_TOOL_H

#include "base/refusal.h"

struct dev;

/* For programs that this process becomes or starts; text is checked. 0 or -errno, with *why. */
int tool_choose(const char *text, struct refusal *why);
/* In the program */
void tool_tell(struct dev *d);

#endif
