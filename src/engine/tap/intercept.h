/* SPDX-License-Identifier: MIT */
/* Is this intercepted (engine/intercept.h)? For the questions that ask.c writes. Inner code. */
#ifndef ENGINE_TAP_INTERCEPT_H
#define ENGINE_TAP_INTERCEPT_H

#include "engine/core/cpu.h"

bool tap_intercepted(const struct cpu *cpu, const struct tap_event *e);

#endif
