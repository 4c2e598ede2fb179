/* SPDX-License-Identifier: MIT */
/* Starting other programs: see start.h. */
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "shim/preload/given.h"
#include "shim/preload/hook.h"
#include "shim/preload/start.h"

/* The call has come back: it failed, or a child runs. */
static int ended(struct launch *l, int result)
{
	launch_end(l);
	return result;
}

static int start(struct launch *l)
{
	if (l->self >= 0)
		/* For the program: its filters judge it. */
		return (int)SYS_CALL6(
			SYS_execveat, l->self, "", l->argv, l->envp, AT_EMPTY_PATH, 0);
	return NEXT(execve)(l->path, l->argv, l->envp);
}

/* A path that is only good as long as descriptors are open. */
static bool is_fd_path(const char *path)
{
	return given_path(path) && (!strncmp(path, "/proc/", 6) || !strncmp(path, "/dev/fd/", 8));
}

HOOK int execve(const char *path, char *const argv[], char *const envp[])
{
	struct launch l;

	if (is_fd_path(path))
		launch_at(&l, AT_FDCWD, path, argv, envp, 0);
	else
		launch_path(&l, path, argv, envp);
	return ended(&l, start(&l));
}

HOOK int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

HOOK int execvpe(const char *file, char *const argv[], char *const envp[])
{
	struct launch l;

	launch_search(&l, file, argv, envp);
	if (l.is_static)
		return ended(&l, start(&l));
	return ended(&l, NEXT(execvpe)(l.path, l.argv, l.envp));
}

HOOK int execvp(const char *file, char *const argv[])
{
	return execvpe(file, argv, environ);
}

HOOK int execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
	struct launch l;

	/* What another flag asks for may be no execution at all (AT_EXECVE_CHECK of Linux 6.14). */
	if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return NEXT(execveat)(dirfd, path, argv, envp, flags);
	launch_at(&l, dirfd, path, argv, envp, flags);
	if (l.is_static)
		return ended(&l, start(&l));
	return ended(&l, NEXT(execveat)(dirfd, path, argv, l.envp, flags));
}

HOOK int fexecve(int fd, char *const argv[], char *const envp[])
{
	struct launch l;

	if (!as_given((const char *)envp)) /* not as execve() */
		return NEXT(fexecve)(fd, argv, envp);
	launch_at(&l, fd, "", argv, envp, AT_EMPTY_PATH);
	if (l.is_static)
		return ended(&l, start(&l));
	return ended(&l, NEXT(fexecve)(fd, argv, l.envp));
}

HOOK int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
	const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	struct launch l;

	launch_path(&l, path, argv, envp);
	launch_by_path_only(&l, path, argv, envp);
	return ended(&l, NEXT(posix_spawn)(pid, l.path, actions, attr, l.argv, l.envp));
}

HOOK int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
	const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	struct launch l;

	launch_search(&l, file, argv, envp);
	launch_by_path_only(&l, file, argv, envp);
	return ended(&l, NEXT(posix_spawnp)(pid, l.path, actions, attr, l.argv, l.envp));
}

HOOK int chroot(const char *path)
{
	launch_before_chroot();
	return NEXT(chroot)(path);
}

HOOK int setns(int fd, int kind)
{
	launch_before_chroot();
	return NEXT(setns)(fd, kind);
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
