/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that the engine keeps for itself in somebody else's process. They have high numbers, out
 * of the way of programs that give out low ones by hand, and are remembered, so that a program which
 * closes everything does not close them: preload/ and inject/ ask here.
 *
 * A process has one table of descriptors, so this has one state for the process.
 */
#ifndef BASE_FD_H
#define BASE_FD_H

#include "base/types.h"

/* Takes fd (negative: passes it on) and returns what it is now. Close-on-exec. */
int fd_keep(int fd);
/* Closes it. */
void fd_drop(int fd);
bool fd_is_kept(int fd);
/* It is of use in forked children, too: not a machine's. */
void fd_keep_in_children(int fd);
/*
 * In a forked child, if its table of descriptors is its own: closes the others. It cannot use its parent's machines, but
 * their eventfds and what is watched by their epoll are shared, and would be in its hands.
 */
void fd_after_fork(void);
/* The lowest one in first..last, or -1. */
long fd_next_kept(unsigned first, unsigned last);

#endif
