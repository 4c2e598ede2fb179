/* SPDX-License-Identifier: MIT */
/* A guest that halts, and tells each interrupt by an OUT; and who sends them. */
#ifndef TESTS_UNIT_WORLD_SLEEPER_H
#define TESTS_UNIT_WORLD_SLEEPER_H

#include "world.h"

#define SLEEPER_VECTOR 0x50
#define SLEEPER_PORT   0x11

/* Its APIC is on, and it is about to halt for the first time. */
void sleeper_open(struct world *w);
/* So many, each pause_us after the one before has been taken. */
void sleeper_take_interrupts(struct world *w, unsigned rounds, unsigned pause_us);

#endif
