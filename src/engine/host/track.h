/* SPDX-License-Identifier: MIT */
/*
 * Which pages of the process's memory have been written to, by whomever: see track.c. Outer code. Pages are given by their
 * addresses; what returns an int returns 0 or -errno, and anything that fails may simply be tried again later.
 */
#ifndef ENGINE_HOST_TRACK_H
#define ENGINE_HOST_TRACK_H

#include "base/types.h"

/* Get ready, if the process has been allowed to and nothing speaks against it. Called for each machine. */
bool track_start(void);
/* False for good once the program wants userfaultfd itself. */
bool track_works(void);
/* Has the program said that it wants userfaultfd itself? */
bool track_given_up(void);
/* Those parts of a range that nobody else can have mapped can be protected from now on. */
int track_range(u64 start, u64 size);
/* From now on a write to this page leaves a trace, and happens as before. -ENOENT: see track_range(). */
int track_protect(u64 page);
/* Are all of them there, protected and not written to since? page[] is sorted. */
bool track_unwritten(const u64 *page, unsigned n);
/* Does the kernel say that somebody holds memory of this process for longer than a request, or may it be? */
bool track_pinned(void);

#endif
