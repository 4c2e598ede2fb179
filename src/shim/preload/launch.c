/* SPDX-License-Identifier: MIT */
/* Which program is started, and for a static one: how `uservisor exec` is told of it. See start.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "base/hostcpu.h"
#include "base/sys.h"
#include "shim/preload/given.h"
#include "shim/preload/hook.h"
#include "shim/preload/start.h"
#include "shim/target.h"

#define OWN_ARGS     10              /* before the program's own, and the end */
#define DEFAULT_PATH "/bin:/usr/bin" /* as execvp() has it */

struct static_launch {
	size_t bytes;
	int program; /* handed over, or -1 */
	int self;    /* of the loader, likewise, if its path leads nowhere */
	char number[12], self_number[12];
	char exe[PATH_MAX], path[PATH_MAX];
	struct target target;
	char *argv[];
};

/* Open before a chroot, as a number + 1; or 0. */
static _Atomic int kept_loader;

/*
 * Beside the library, as in the build tree and once installed, for the loader; the executable itself lies where it lies
 * from there, or where it was to be.
 */
static bool find_uservisor(char *exe)
{
	static const char *const places[] = {
		"/uservisor-loader", "/uservisor", "/" UV_BINDIR_FROM_LIB "/uservisor"};
	const char *library = own_path(), *slash = library ? strrchr(library, '/') : NULL;

	for (unsigned i = 0; slash && i < ARRAY_SIZE(places); i++) {
		snprintf(exe, PATH_MAX, "%.*s%s", (int)(slash - library), library, places[i]);
		if (!sys_access(exe, X_OK))
			return true;
	}
	snprintf(exe, PATH_MAX, "%s/uservisor", UV_BINDIR);
	return slash && !sys_access(exe, X_OK);
}

void launch_before_chroot(void)
{
	char exe[PATH_MAX];
	int fd, none = 0;

	if (atomic_load(&kept_loader) || !find_uservisor(exe))
		return;
	fd = fd_keep(sys_open(exe, O_RDONLY | O_CLOEXEC));
	fd_keep_in_children(fd);
	if (fd >= 0 && !atomic_compare_exchange_strong(&kept_loader, &none, fd + 1))
		fd_drop(fd);
}

/* By the descriptor, if one was kept: what has our path by now may be somebody else's file. Else by that. */
static bool take_uservisor(struct static_launch *s)
{
	const int kept = atomic_load(&kept_loader) - 1;

	if (kept < 0)
		return find_uservisor(s->exe);
	s->self = sys_fcntl(kept, F_DUPFD, kept);
	return s->self >= 0;
}

static void fill_argv(struct static_launch *s, char *const *argv)
{
	char **at = s->argv;

	*at++ = "uservisor";
	*at++ = "exec";
	*at++ = "--argv0";
	*at++ = argv && argv[0] ? argv[0] : "";
	if (s->program >= 0) {
		snprintf(s->number, sizeof(s->number), "%d", s->program);
		*at++ = "--program";
		*at++ = s->number;
	}
	if (s->self >= 0) {
		snprintf(s->self_number, sizeof(s->self_number), "%d", s->self);
		*at++ = "--self";
		*at++ = s->self_number;
	}
	*at++ = "--";
	*at++ = s->path;
	if (argv && argv[0])
		while (*++argv)
			*at++ = *argv;
	*at = NULL;
}

static struct static_launch *make(char *const *argv)
{
	struct static_launch *s;
	size_t argc = 0, bytes;

	while (argv && argv[argc])
		argc++;
	bytes = sizeof(*s) + (argc + OWN_ARGS + 1) * sizeof(char *);
	s = sys_mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED)
		return NULL;
	s->bytes = bytes;
	s->program = s->self = -1;
	return s;
}

static void discard(struct static_launch *s)
{
	if (s->program >= 0)
		sys_close(s->program);
	if (s->self >= 0)
		sys_close(s->self);
	sys_munmap(s, s->bytes);
}

/* fd, which is closed, is the file called path. True: it is static, and we can load it. */
static bool is_for_us(struct static_launch *s, const char *path, int fd)
{
	if (fd < 0 || strlen(path) >= sizeof(s->path))
		return fd >= 0 && sys_close(fd) && false;
	strcpy(s->path, path);
	target_find(path, fd, &s->target);
	if (s->target.fd >= 0)
		sys_close(s->target.fd);
	/* In a sandbox, uservisor would be refused what the program has no need of. */
	return s->target.kind == IMAGE_STATIC && !hook_sandboxed() && host_has_dispatch() &&
	       take_uservisor(s);
}

static void as_it_is(struct launch *l, const char *path, char *const *argv, char *const *envp)
{
	*l = (struct launch){.path = path, .argv = argv, .self = -1};
	l->envp = env_keep(&l->env, envp);
}

static void leave(struct launch *l, const char *path, char *const *argv, char *const *envp)
{
	*l = (struct launch){.path = path, .argv = argv, .envp = envp, .self = -1};
}

/* What is wrong with the lists the kernel will say; there is nothing to add to them. */
static bool untouched(struct launch *l, const char *path, char *const *argv, char *const *envp)
{
	if (given_list(argv) && given_strings(envp))
		return false;
	leave(l, path, argv, envp);
	return true;
}

/* Takes s, which may be NULL. */
static void decide(struct launch *l, struct static_launch *s, bool ours, const char *path,
	char *const *argv, char *const *envp)
{
	if (!ours) {
		if (s)
			discard(s);
		as_it_is(l, path, argv, envp);
		return;
	}
	fill_argv(s, argv);
	*l = (struct launch){.path = s->exe, .argv = s->argv, .self = s->self, .is_static = s};
	l->envp = env_without(&l->env, envp);
}

static int open_program(int dirfd, const char *path, int flags)
{
	return sys_openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
}

void launch_path(struct launch *l, const char *path, char *const *argv, char *const *envp)
{
	struct static_launch *s;

	if (untouched(l, path, argv, envp))
		return;
	s = path ? make(argv) : NULL;
	decide(l, s, s && is_for_us(s, path, open_program(AT_FDCWD, path, 0)), path, argv, envp);
}

/* The first file of this name that could be executed; what is wrong with others is for execvp() to say. */
static bool search(struct static_launch *s, const char *file)
{
	const char *list = getenv("PATH"), *end;
	char path[PATH_MAX];

	for (list = list ? list : DEFAULT_PATH;; list = end + 1) {
		end = strchrnul(list, ':');
		snprintf(path, sizeof(path), "%.*s%s%s", (int)(end - list), list,
			end > list ? "/" : "", file);
		if (!sys_access(path, X_OK))
			return is_for_us(s, path, open_program(AT_FDCWD, path, 0));
		if (!*end)
			return false;
	}
}

void launch_search(struct launch *l, const char *file, char *const *argv, char *const *envp)
{
	struct static_launch *s;

	if (!file || !given_string(file)) {
		leave(l, file, argv, envp); /* what the C library makes of it */
		return;
	}
	if (!*file || strchr(file, '/')) {
		launch_path(l, file, argv, envp);
		return;
	}
	if (untouched(l, file, argv, envp))
		return;
	s = make(argv);
	decide(l, s, s && search(s, file), file, argv, envp);
}

/* A descriptor of it is handed over: its name may lead elsewhere or nowhere. */
static bool by_descriptor(struct static_launch *s, int dirfd, const char *path, int flags)
{
	char name[32];
	int fd;

	if (*path) {
		s->program =
			open_program(dirfd, path, flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0);
	} else {
		snprintf(name, sizeof(name), "/proc/self/fd/%d", dirfd);
		s->program = flags & AT_EMPTY_PATH ? open_program(AT_FDCWD, name, 0) : -1;
	}
	fd = s->program < 0 ? -1 : sys_fcntl(s->program, F_DUPFD_CLOEXEC, 0);
	snprintf(name, sizeof(name), "/dev/fd/%d", s->program);
	/* A script's interpreter opens it by name, when uservisor has closed the descriptor. */
	return is_for_us(s, name, fd) && !s->target.count && !sys_fcntl(s->program, F_SETFD, 0);
}

void launch_at(struct launch *l, int dirfd, const char *path, char *const *argv, char *const *envp,
	int flags)
{
	struct static_launch *s;

	if (untouched(l, path, argv, envp))
		return;
	s = given_path(path) ? make(argv) : NULL;
	decide(l, s, s && by_descriptor(s, dirfd, path, flags), path, argv, envp);
}

static bool path_is_kept_loader(struct static_launch *s)
{
	struct stat by_path, kept;

	return find_uservisor(s->exe) && !sys_fstatat(AT_FDCWD, s->exe, &by_path, 0) &&
	       !sys_fstat(s->self, &kept) && by_path.st_dev == kept.st_dev &&
	       by_path.st_ino == kept.st_ino;
}

void launch_by_path_only(struct launch *l, const char *path, char *const *argv, char *const *envp)
{
	if (l->self < 0 || path_is_kept_loader(l->is_static))
		return;
	launch_end(l);
	as_it_is(l, path, argv, envp);
}

void launch_end(struct launch *l)
{
	const int error = errno;

	env_free(&l->env);
	if (l->is_static)
		discard(l->is_static);
	errno = error;
}
