/* SPDX-License-Identifier: MIT */
/*
 * execve: what is static becomes `uservisor exec` again, what is dynamic gets our library by
 * LD_PRELOAD. The call is a detour: it is made with the program's own signal mask, and returns to
 * us if it fails, when the program's registers are put back.
 *
 * Strings stay where they are, in the program's memory; only lists of pointers are made.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/inject/private.h"
#include "shim/target.h"

#define SELF_ARGS    12      /* of uservisor exec, before the program's */
#define EXECVE_CHECK 0x10000 /* AT_EXECVE_CHECK */
#define HIGH_FD      512     /* out of the program's way: base/fd.h */

/* All that a call needs until the kernel has read it: one allocation, t->detour_memory. */
struct exec {
	struct target target;
	char path[PATH_MAX]; /* that the program gave, or of a descriptor */
	char preload[PATH_MAX * 2];
	char filters[12], program[12], self[12];
	int program_fd; /* handed over to uservisor, or -1 */
	int self_fd;    /* uservisor itself, for its own next exec */
	int filters_fd; /* what the program has for a sandbox, or -1 */
	u64 argc, envc;
	u64 *argv, *envp; /* of the program, ended by 0, with room before argv and one in envp */
};

/* How many pointers; -EFAULT. */
static long list_count(u64 list)
{
	u64 value = 1;
	long n = 0;

	for (; list; n++) {
		if (get_bytes(&value, list + (u64)n * sizeof(u64), sizeof(u64)))
			return -EFAULT;
		if (!value)
			break;
	}
	return n;
}

/* Room for before pointers, n from the program, after more, and the end. */
static u64 *list_read(u64 list, u64 before, u64 n, u64 after)
{
	u64 *copy = calloc(before + n + after + 1, sizeof(u64));

	if (copy && n && get_bytes(copy + before, list, n * sizeof(u64))) {
		free(copy);
		return NULL;
	}
	return copy;
}

void exec_forget(void *exec)
{
	struct exec *e = exec;

	if (!e)
		return;
	free(e->argv);
	free(e->envp);
	free(e);
}

static void exec_free(struct exec *e)
{
	if (!e)
		return;
	if (e->program_fd >= 0)
		close(e->program_fd);
	if (e->self_fd >= 0)
		close(e->self_fd);
	if (e->filters_fd >= 0)
		close(e->filters_fd);
	if (e->target.fd >= 0)
		close(e->target.fd);
	exec_forget(e);
}

void exec_end(void *exec)
{
	exec_free(exec);
}

#define OWN           "USERVISOR_" /* and all that begins with it */
#define OWN_VARIABLES 12
#define BEFORE        (SELF_ARGS + 2 * OWN_VARIABLES + 3 * SCRIPT_DEPTH)

static struct exec *exec_new(u64 argv, u64 envp)
{
	long argc = list_count(argv), envc = list_count(envp);
	struct exec *e = argc < 0 || envc < 0 ? NULL : calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->program_fd = e->self_fd = e->filters_fd = e->target.fd = -1;
	e->argc = (u64)argc;
	e->envc = (u64)envc;
	e->argv = list_read(argv, BEFORE, e->argc, 1);
	e->envp = list_read(envp, 0, e->envc, 1 + OWN_VARIABLES);
	if (e->argv && e->envp)
		return e;
	exec_free(e);
	return NULL;
}

/* ---- our own variables, of which a program need not know ---- */

static bool has_variable(const struct exec *e, const char *entry)
{
	size_t n = (size_t)(strchrnul(entry, '=') - entry) + 1;
	char name[64];

	for (u64 i = 0; i < e->envc; i++)
		if (n < sizeof(name) && !get_bytes(name, e->envp[i], n) && !memcmp(name, entry, n))
			return true;
	return false;
}

/* Jailers start programs with an environment of their own making. How many are missing in it. */
static unsigned own_variables(const struct exec *e, char **ret)
{
	unsigned n = 0;

	for (char **at = environ; *at && n < OWN_VARIABLES; at++)
		if (!strncmp(*at, OWN, sizeof(OWN) - 1) && !has_variable(e, *at))
			ret[n++] = *at;
	return n;
}

/* ---- static programs: uservisor again ---- */

static u64 *push_front(u64 *at, const char *s)
{
	*--at = (u64)s;
	return at;
}

static u64 *args_for_self(struct exec *e)
{
	const char *argv0 = e->argc ? (const char *)e->argv[BEFORE] : "";
	u64 *at = e->argv + BEFORE + (e->argc ? 1 : 0);
	char *own[OWN_VARIABLES];
	unsigned i, n = own_variables(e, own);

	/* uservisor puts in what comes from a script's first line when it opens it once more. */
	at = push_front(at, e->path);
	at = push_front(at, "--");
	at = push_front(at, argv0);
	at = push_front(at, "--argv0");
	if (e->program_fd >= 0) {
		snprintf(e->program, sizeof(e->program), "%d", e->program_fd);
		at = push_front(at, e->program);
		at = push_front(at, "--program");
	}
	if (e->self_fd >= 0) {
		snprintf(e->self, sizeof(e->self), "%d", e->self_fd);
		at = push_front(at, e->self);
		at = push_front(at, "--self");
	}
	if (e->filters_fd >= 0) {
		snprintf(e->filters, sizeof(e->filters), "%d", e->filters_fd);
		at = push_front(at, e->filters);
		at = push_front(at, "--filters");
	}
	if (e->target.kind == IMAGE_DYNAMIC)
		at = push_front(at, "--inject");
	for (i = 0; i < n; i++) {
		at = push_front(at, own[i]);
		at = push_front(at, "--own");
	}
	at = push_front(at, "exec");
	at = push_front(at, "uservisor");
	i = (unsigned)(at - e->argv);
	return i < BEFORE ? at : NULL;
}

/* ---- dynamic programs: our library ---- */

static void preload_into(const struct thread *t, struct exec *e)
{
	static const char name[] = "LD_PRELOAD=";
	char old[PATH_MAX], *own[OWN_VARIABLES];
	unsigned n = own_variables(e, own);
	u64 at;

	if (!t->program->preload[0])
		return;
	for (at = 0; at < e->envc; at++) {
		long n = get_string(old, e->envp[at], sizeof(old));

		if (n >= 0 && !strncmp(old, name, sizeof(name) - 1))
			break;
	}
	if (at == e->envc) {
		old[0] = 0;
	} else {
		memmove(old, old + sizeof(name) - 1, strlen(old + sizeof(name) - 1) + 1);
		if (strstr(old, t->program->preload))
			return;
	}
	snprintf(e->preload, sizeof(e->preload), "%s%s%s%s", name, t->program->preload,
		old[0] ? ":" : "", old);
	e->envp[at] = (u64)e->preload;
	e->envc = MAX(e->envc, at + 1);
	while (n)
		e->envp[e->envc++] = (u64)own[--n];
}

/* ---- both ---- */

static void detour(struct thread *t, struct context *c, struct exec *e)
{
	t->detour_from = *c;
	t->detour_memory = e;
	call_detour(t, c);
}

static long start(struct thread *t, struct context *c, struct exec *e, const char *path, u64 *argv)
{
	detour(t, c, e);
	c->rax = SYS_execve;
	c->rdi = (u64)path;
	c->rsi = (u64)argv;
	c->rdx = (u64)e->envp;
	return CALL_DONE;
}

/* By descriptor: where the program is now, its path may lead nowhere, and /proc may be missing. */
static long start_self(struct thread *t, struct context *c, struct exec *e, u64 *argv)
{
	if (e->self_fd < 0)
		return start(t, c, e, "/proc/self/exe", argv);
	detour(t, c, e);
	c->rax = SYS_execveat;
	c->rdi = (u64)t->program->self;
	c->rsi = (u64) "";
	c->rdx = (u64)argv;
	c->r10 = (u64)e->envp;
	c->r8 = AT_EMPTY_PATH;
	return CALL_DONE;
}

/*
 * Left to the kernel, a program would be started without the filters, which are ours (seccomp.c). So who has some is
 * refused whenever we cannot load it, whatever the reason: nothing here asks first whether the kernel could.
 */
static long leave_to_kernel(const struct thread *t, long refusal)
{
	return t->seccomp_mode ? refusal : CALL_PASS;
}

/* Not a program for us. The error is the kernel's where it would have one, too. */
static long foreign(const struct thread *t, struct exec *e)
{
	long refusal = -EPERM;

	if (e->program_fd < 0 && faccessat(AT_FDCWD, e->path, X_OK, AT_EACCESS))
		refusal = -errno;
	exec_free(e);
	return leave_to_kernel(t, refusal);
}

/* Why exec_new() had nothing, where the kernel shall not say it. */
static long why_unread(u64 argv, u64 envp)
{
	return list_count(argv) < 0 || list_count(envp) < 0 ? -EFAULT : -ENOMEM;
}

/* Where few descriptors are allowed, in the program's way. */
static int dup_self(const struct program *p)
{
	int fd = p->self < 0 ? -1 : fcntl(p->self, F_DUPFD, HIGH_FD);

	return fd >= 0 || p->self < 0 ? fd : fcntl(p->self, F_DUPFD, 0);
}

/*
 * All that a program takes with it whose filters are to stay in force: 0 or -errno. By its name we are not to be executed then:
 * in a jail that may be anything.
 */
static long take_filters(struct thread *t, struct exec *e)
{
	if (!t->seccomp_mode)
		return 0;
	e->filters_fd = seccomp_save(t);
	if (e->filters_fd < 0)
		return e->filters_fd;
	return e->self_fd < 0 ? -ENOMEM : 0;
}

/* e->target is known. */
static long exec_target(struct thread *t, struct context *c, struct exec *e)
{
	u64 *argv;
	long r;

	if (e->target.kind == IMAGE_DYNAMIC && t->seccomp_mode == 0) {
		preload_into(t, e);
		return start(t, c, e, e->path, e->argv + BEFORE);
	}
	e->self_fd = dup_self(t->program);
	r = take_filters(t, e);
	argv = r ? NULL : args_for_self(e);
	if (!argv) {
		exec_free(e);
		return r ? r : -ENOMEM;
	}
	return start_self(t, c, e, argv);
}

static long exec_path(struct thread *t, struct context *c, u64 path, u64 argv, u64 envp)
{
	struct exec *e = exec_new(argv, envp);
	long n = e ? get_string(e->path, path, sizeof(e->path)) : why_unread(argv, envp);

	if (n < 0) {
		exec_free(e);
		return leave_to_kernel(t, n); /* what is wrong with it, the kernel will say */
	}
	if (path_is_own_exe(e->path))
		e->program_fd = (int)open_own_exe(t, O_RDONLY);
	target_find(e->path,
		e->program_fd >= 0 ? fcntl(e->program_fd, F_DUPFD_CLOEXEC, 0)
				   : open(e->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK),
		&e->target);
	if (e->target.kind == IMAGE_FOREIGN)
		return foreign(t, e);
	if (e->target.kind == IMAGE_DYNAMIC && e->program_fd >= 0)
		snprintf(e->path, sizeof(e->path), "%s", t->program->path);
	return exec_target(t, c, e);
}

long call_execve(struct thread *t, struct context *c)
{
	return exec_path(t, c, c->rdi, c->rsi, c->rdx);
}

/* By descriptor: it is handed over open, as its name may lead elsewhere or nowhere. */
static int open_at(int dirfd, const char *path, int flags)
{
	char link[32];

	if (path[0])
		return openat(dirfd, path,
			O_RDONLY | O_NONBLOCK | (flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
	return flags & AT_EMPTY_PATH ? open(link, O_RDONLY | O_NONBLOCK) : -1;
}

/* Nothing is executed, whether the kernel knows it or not (it came with Linux 6.14). */
static bool only_checks(int flags)
{
	return (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) == EXECVE_CHECK;
}

long call_execveat(struct thread *t, struct context *c)
{
	int dirfd = (int)c->rdi, flags = (int)c->r8;
	struct exec *e;
	char path[PATH_MAX];
	long n = get_string(path, c->rsi, sizeof(path));

	if (n < 0)
		return leave_to_kernel(t, n);
	if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return only_checks(flags) ? CALL_PASS : leave_to_kernel(t, -EINVAL);
	if ((path[0] == '/' || (dirfd == AT_FDCWD && path[0])) && !(flags & ~AT_EMPTY_PATH))
		return exec_path(t, c, c->rsi, c->rdx, c->r10);
	e = exec_new(c->rdx, c->r10);
	if (!e)
		return leave_to_kernel(t, why_unread(c->rdx, c->r10));
	e->program_fd = open_at(dirfd, path, flags);
	if (e->program_fd < 0 && t->seccomp_mode) { /* executable perhaps, but not readable */
		n = path[0] || (flags & AT_EMPTY_PATH) ? -errno : -ENOENT;
		exec_free(e);
		return n;
	}
	snprintf(e->path, sizeof(e->path), "/dev/fd/%d", e->program_fd);
	target_find(e->path, e->program_fd < 0 ? -1 : fcntl(e->program_fd, F_DUPFD_CLOEXEC, 0),
		&e->target);
	if (e->target.kind == IMAGE_FOREIGN)
		return foreign(t, e);
	if ((e->target.kind == IMAGE_STATIC && !e->target.count) || t->seccomp_mode)
		return exec_target(t, c, e);
	preload_into(t, e);
	detour(t, c, e);
	c->r10 = (u64)e->envp;
	return CALL_DONE;
}
