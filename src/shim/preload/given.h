/* SPDX-License-Identifier: MIT */
/*
 * What the program has given, which may be nowhere: a bad pointer is EFAULT as by the kernel, and not our crash.
 *
 * A path is shown to the kernel first, at no cost, and is read here only when that has read it. Where we must know before (who
 * creates a file, who executes one) it is asked for.
 */
#ifndef SHIM_PRELOAD_GIVEN_H
#define SHIM_PRELOAD_GIVEN_H

#include "base/types.h"

/* result is the kernel's, -errno included, for a call with this path. True: it can be read, and is not NULL. */
bool given_path_after(const char *path, long result);
/* By a system call. */
bool given_path(const char *path);
bool given_string(const char *text);
/* A list of pointers, ended by NULL, or none at all. */
bool given_list(char *const *list);
/* The same, and what each of them points to. */
bool given_strings(char *const *list);

#endif
