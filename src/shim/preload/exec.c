/* SPDX-License-Identifier: MIT */
/*
 * Starting other programs: they get the library, too, also from a program that gives them an
 * environment of its own making (jailers, daemons). What belongs to us is taken from the environment
 * that this process was started with, which the kernel keeps in /proc/self/environ.
 *
 * In a child of vfork() the parent's memory is in use and malloc() is not allowed: the new
 * environment is on a mapping of its own, given back if the program could not be started.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sys.h"
#include "shim/preload/hook.h"

#define PRELOAD "LD_PRELOAD="
#define OWN     "USERVISOR_" /* and all that begins with it */

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* A new environment under construction: pointers from the front, strings behind them. */
struct env {
	size_t bytes;
	char **entries;
	size_t count;
	char *text, *end;
};

static const char *own_path(void)
{
	Dl_info info;

	return dladdr((void *)own_path, &info) && strchr(info.dli_fname, '/') ? info.dli_fname
									      : NULL;
}

static size_t count_entries(char *const *entries)
{
	size_t n = 0;

	while (entries && entries[n])
		n++;
	return n;
}

static bool env_make(struct env *e, char *const *from)
{
	/* Room for the strings: our own variables, and a list of libraries of the longest kind. */
	const size_t pointers = (count_entries(from) + 32) * sizeof(char *), text = 128 * 1024;

	*e = (struct env){.bytes = pointers + text};
	e->entries = sys_mmap(
		NULL, e->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (e->entries == MAP_FAILED)
		return false;
	e->text = (char *)e->entries + pointers;
	e->end = e->text + text;
	return true;
}

static void env_free(struct env *e)
{
	if (e->bytes)
		sys_munmap(e->entries, e->bytes);
}

/* name and value, joined; dropped if there is no room. */
static void env_add(struct env *e, const char *parts[], unsigned n)
{
	char *at = e->text;

	for (unsigned i = 0; i < n; i++) {
		size_t len = strlen(parts[i]);

		if (len + 1 >= (size_t)(e->end - at))
			return;
		memcpy(at, parts[i], len);
		at += len;
	}
	*at = 0;
	e->entries[e->count++] = e->text;
	e->text = at + 1;
}

/* Variables of ours from the process's first environment. */
static void env_add_own(struct env *e)
{
	int fd = sys_open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
	char *at, *text = e->text;
	ssize_t n = fd < 0 ? 0 : sys_read(fd, text, (size_t)(e->end - text) / 2);
	unsigned room = 16;

	if (fd >= 0)
		sys_close(fd);
	if (n <= 0)
		return;
	e->text += n;
	text[n - 1] = 0;
	for (at = text; at < text + n && room; at += strlen(at) + 1)
		if (begins(at, OWN)) {
			e->entries[e->count++] = at;
			room--;
		}
}

/* The environment to start a program with: envp itself if nothing is missing in it. */
static char **keep(struct env *e, char *const *envp)
{
	const char *library = own_path(), *old = "";
	char *const *at;

	*e = (struct env){0};
	for (at = envp; at && *at; at++)
		if (begins(*at, PRELOAD))
			old = *at + sizeof(PRELOAD) - 1;
	if (!library || strstr(old, library) || !env_make(e, envp))
		return (char **)envp;
	for (at = envp; at && *at; at++)
		if (!begins(*at, PRELOAD) && !begins(*at, OWN))
			e->entries[e->count++] = *at;
	env_add(e, (const char *[]){PRELOAD, library, *old ? ":" : "", old}, 4);
	env_add_own(e);
	return e->entries;
}

/* call uses `env`; what comes back has failed. */
#define WITH_ENV(envp, call)                                                                       \
	({                                                                                         \
		struct env e_;                                                                     \
		char **env = keep(&e_, envp);                                                      \
		int r_ = call, error_ = errno;                                                     \
		env_free(&e_);                                                                     \
		errno = error_;                                                                    \
		r_;                                                                                \
	})

HOOK int execve(const char *path, char *const argv[], char *const envp[])
{
	return WITH_ENV(envp, NEXT(execve)(path, argv, env));
}

HOOK int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

HOOK int execvpe(const char *file, char *const argv[], char *const envp[])
{
	return WITH_ENV(envp, NEXT(execvpe)(file, argv, env));
}

HOOK int execvp(const char *file, char *const argv[])
{
	return execvpe(file, argv, environ);
}

HOOK int fexecve(int fd, char *const argv[], char *const envp[])
{
	return WITH_ENV(envp, NEXT(fexecve)(fd, argv, env));
}

HOOK int execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
	return WITH_ENV(envp, NEXT(execveat)(dirfd, path, argv, env, flags));
}

HOOK int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
	const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	struct env e;
	int r = NEXT(posix_spawn)(pid, path, actions, attr, argv, keep(&e, envp));

	env_free(&e);
	return r;
}

HOOK int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
	const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	struct env e;
	int r = NEXT(posix_spawnp)(pid, file, actions, attr, argv, keep(&e, envp));

	env_free(&e);
	return r;
}

/* ---- arguments one by one ---- */

static size_t count_args(va_list args)
{
	size_t n = 1;
	va_list copy;

	va_copy(copy, args);
	while (va_arg(copy, char *))
		n++;
	va_end(copy);
	return n;
}

/* argv on the caller's stack, where it lives until the program has started. */
#define TAKE_ARGS(first, argv, args)                                                               \
	va_start(args, first);                                                                     \
	char *argv[count_args(args) + 1];                                                          \
	argv[0] = (char *)first;                                                                   \
	for (size_t i_ = 1; (argv[i_] = va_arg(args, char *)); i_++)                               \
		;

HOOK int execl(const char *path, const char *first, ...)
{
	va_list args;

	TAKE_ARGS(first, argv, args)
	va_end(args);
	return execve(path, argv, environ);
}

HOOK int execlp(const char *file, const char *first, ...)
{
	va_list args;

	TAKE_ARGS(first, argv, args)
	va_end(args);
	return execvpe(file, argv, environ);
}

HOOK int execle(const char *path, const char *first, ...)
{
	va_list args;
	char **envp;

	TAKE_ARGS(first, argv, args)
	envp = va_arg(args, char **);
	va_end(args);
	return execve(path, argv, envp);
}
