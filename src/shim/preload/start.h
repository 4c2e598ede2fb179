/* SPDX-License-Identifier: MIT */
/*
 * Starting other programs so that they do not lose us.
 *
 * In a child of vfork() the parent's memory is in use and malloc() is not allowed: what is made here
 * is on mappings of its own, given back if the program could not be started.
 */
#ifndef SHIM_PRELOAD_START_H
#define SHIM_PRELOAD_START_H

#include "base/types.h"

/* ---- environments (env.c) ---- */

/* A new environment under construction: pointers from the front, strings behind them. */
struct env {
	size_t bytes;
	char **entries;
	size_t count;
	char *text, *end;
};

/* For a program that the library is loaded into: envp itself if nothing is missing in it. */
char **env_keep(struct env *e, char *const *envp);
/* For uservisor, which must not be such a program. */
char **env_without(struct env *e, char *const *envp);
/* Is it one of ours, to be handed on? */
bool env_is_ours(const char *entry);
void env_free(struct env *e);
/* The library's file, or NULL. */
const char *own_path(void);

/* ---- what is executed (launch.c) ---- */

/* A static program takes no library: `uservisor exec` is started instead, and loads it. */
struct launch {
	const char *path;
	char *const *argv;
	char *const *envp;
	int self; /* what is executed instead of path, or -1 */
	struct env env;
	struct static_launch *is_static; /* or NULL: path and argv are the caller's */
};

/* As execve(), execvpe() and execveat() find a program. */
void launch_path(struct launch *l, const char *path, char *const *argv, char *const *envp);
void launch_search(struct launch *l, const char *file, char *const *argv, char *const *envp);
void launch_at(struct launch *l, int dirfd, const char *path, char *const *argv, char *const *envp,
	int flags);
/* For posix_spawn(), which knows no descriptors: where only one would do, the program runs as it is. */
void launch_by_path_only(struct launch *l, const char *path, char *const *argv, char *const *envp);
/* Static programs shall be executed after it, too. */
void launch_before_chroot(void);
/* It failed, or another process has started it. errno stays. */
void launch_end(struct launch *l);

#endif
