/* SPDX-License-Identifier: MIT */
/*
 * The program's own sandbox: seccomp(2) as the kernel does it, but only for the program's calls.
 *
 * Given to the kernel, a filter would forbid the engine what it needs, so filters stay here and
 * are run on each of the program's system calls. They are never freed: a thread's list is
 * immutable from its head on, and children share it.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shim/inject/bpf.h"
#include "shim/inject/private.h"

#define PATH_INSNS_MAX  32768 /* of all filters; each counts 4 more */
#define FILTER_OVERHEAD 4

/* ---- on each call ---- */

static u32 action_of(u32 answer)
{
	return answer & SECCOMP_RET_ACTION_FULL;
}

static long trap(struct thread *t, struct context *c, u32 arch, u32 data)
{
	siginfo_t info = {.si_signo = SIGSYS, .si_code = 1, .si_errno = (int)data};

	info.si_call_addr = (void *)c->rip;
	info.si_syscall = (int)c->rax;
	info.si_arch = arch;
	signal_force(t, SIGSYS, &info, c);
	return CALL_DONE;
}

static noreturn void kill_thread(struct thread *t, int sig)
{
	struct context none = {.rdi = (u64)sig};

	if (atomic_load(&t->program->thread_count) <= 1 || t->vfork_child)
		signal_die(sig);
	call_exit(t, &none);
	abort();
}

static long filter_check(struct thread *t, struct context *c, u32 arch)
{
	u32 answer = filters_run(atomic_load(&t->filters), c, arch);
	u32 data = answer & SECCOMP_RET_DATA;

	switch (action_of(answer)) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG: return CALL_PASS;
	case SECCOMP_RET_ERRNO: return -(long)MIN(data, 4095u);
	case SECCOMP_RET_TRAP: return trap(t, c, arch, data);
	case SECCOMP_RET_TRACE: /* nobody traces, nobody listens */
	case SECCOMP_RET_USER_NOTIF: return -ENOSYS;
	case SECCOMP_RET_KILL_THREAD: kill_thread(t, SIGSYS);
	default: signal_die(SIGSYS);
	}
}

static long strict_check(struct thread *t, const struct context *c)
{
	switch (c->rax) {
	case SYS_read:
	case SYS_write:
	case SYS_exit:
	case SYS_rt_sigreturn: return CALL_PASS;
	default: kill_thread(t, SIGKILL);
	}
}

long seccomp_check(struct thread *t, struct context *c, u32 arch)
{
	if (unlikely(t->want_no_new_privs)) {
		t->want_no_new_privs = false;
		syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	}
	switch (t->seccomp_mode) {
	case SECCOMP_MODE_DISABLED: return CALL_PASS;
	case SECCOMP_MODE_STRICT: return strict_check(t, c);
	default: return filter_check(t, c, arch);
	}
}

/* ---- installing ---- */

static struct filter *filter_new(unsigned count)
{
	struct filter *f = calloc(1, sizeof(*f) + count * sizeof(f->insns[0]));

	if (f)
		f->count = count;
	return f;
}

static bool has_cap_sys_admin(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	return !syscall(SYS_capget, &h, data) && (data[0].effective & BIT(CAP_SYS_ADMIN));
}

/* 0 or -errno, in the kernel's order. */
static int filter_read(u64 address, struct filter **ret)
{
	struct sock_fprog p;
	struct filter *f;
	int r;

	if (get_bytes(&p, address, sizeof(p)))
		return -EFAULT;
	if (!p.len || p.len > BPF_INSNS_MAX)
		return -EINVAL;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 && !has_cap_sys_admin())
		return -EACCES;
	f = filter_new(p.len);
	if (!f)
		return -ENOMEM;
	r = get_bytes(f->insns, (u64)p.filter, p.len * sizeof(f->insns[0]));
	r = r ? r : bpf_check(f->insns, p.len);
	if (r)
		free(f);
	else
		*ret = f;
	return r;
}

static int filter_push(struct thread *t, struct filter *f)
{
	f->older = atomic_load(&t->filters);
	f->total = f->count + (f->older ? f->older->total + FILTER_OVERHEAD : 0);
	if (f->total > PATH_INSNS_MAX)
		return -ENOMEM;
	atomic_store(&t->filters, f);
	__atomic_store_n(&t->seccomp_mode, SECCOMP_MODE_FILTER, __ATOMIC_RELEASE);
	thread_classes(t);
	return 0;
}

/* Is a list the beginning (the older end) of another one? */
static bool is_ancestor(const struct filter *old, const struct filter *of)
{
	for (; of && of != old; of = of->older)
		;
	return of == old;
}

/* With the lock: the first thread whose filters are not ours and older ones, or NULL. */
static struct thread *cannot_sync(struct thread *t)
{
	struct thread *other;

	for (other = t->program->threads; other; other = other->next)
		if (other != t && (other->seccomp_mode == SECCOMP_MODE_STRICT ||
					  !is_ancestor(atomic_load(&other->filters),
						  atomic_load(&t->filters))))
			return other;
	return NULL;
}

static void sync_threads(struct thread *t)
{
	struct thread *other;
	bool nnp = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;

	for (other = t->program->threads; other; other = other->next) {
		atomic_store(&other->filters, atomic_load(&t->filters));
		__atomic_store_n(&other->seccomp_mode, SECCOMP_MODE_FILTER, __ATOMIC_RELEASE);
		other->want_no_new_privs = nnp && other != t;
		thread_classes(other);
	}
}

static long filter_install(struct thread *t, struct filter *f, u64 flags)
{
	struct thread *other = NULL;
	long r;

	pthread_mutex_lock(&t->program->lock);
	if (t->vfork_child) /* its only thread: those in the list are its parent's */
		flags &= ~(u64)SECCOMP_FILTER_FLAG_TSYNC;
	if (flags & SECCOMP_FILTER_FLAG_TSYNC)
		other = cannot_sync(t);
	if (other)
		r = flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH ? -ESRCH : other->tid;
	else
		r = filter_push(t, f);
	if (!r && (flags & SECCOMP_FILTER_FLAG_TSYNC))
		sync_threads(t);
	pthread_mutex_unlock(&t->program->lock);
	if (r)
		free(f);
	return r;
}

#define FLAGS_KNOWN                                                                                \
	(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW |    \
		SECCOMP_FILTER_FLAG_TSYNC_ESRCH)

static long set_mode_filter(struct thread *t, u64 flags, u64 address)
{
	struct filter *f;
	int r;

	if ((flags & ~(u64)FLAGS_KNOWN) || t->seccomp_mode == SECCOMP_MODE_STRICT)
		return -EINVAL;
	r = filter_read(address, &f);
	return r ? r : filter_install(t, f, flags);
}

static long set_mode_strict(struct thread *t)
{
	if (t->seccomp_mode == SECCOMP_MODE_FILTER)
		return -EINVAL;
	t->seccomp_mode = SECCOMP_MODE_STRICT;
	thread_classes(t);
	return 0;
}

static long action_available(u64 address)
{
	u32 action;

	if (get_bytes(&action, address, sizeof(action)))
		return -EFAULT;
	switch (action) {
	case SECCOMP_RET_KILL_PROCESS:
	case SECCOMP_RET_KILL_THREAD:
	case SECCOMP_RET_TRAP:
	case SECCOMP_RET_ERRNO:
	case SECCOMP_RET_TRACE:
	case SECCOMP_RET_LOG:
	case SECCOMP_RET_ALLOW: return 0;
	default: return -EOPNOTSUPP;
	}
}

long call_seccomp(struct thread *t, struct context *c)
{
	u32 flags = (u32)c->rsi;

	switch ((u32)c->rdi) {
	case SECCOMP_SET_MODE_STRICT: return flags || c->rdx ? -EINVAL : set_mode_strict(t);
	case SECCOMP_SET_MODE_FILTER: return set_mode_filter(t, flags, c->rdx);
	case SECCOMP_GET_ACTION_AVAIL: return flags ? -EINVAL : action_available(c->rdx);
	default: return CALL_PASS;
	}
}

long seccomp_prctl_set(struct thread *t, u64 mode, u64 program)
{
	switch (mode) {
	case SECCOMP_MODE_STRICT: return set_mode_strict(t);
	case SECCOMP_MODE_FILTER: return set_mode_filter(t, 0, program);
	default: return -EINVAL;
	}
}

long seccomp_prctl_get(struct thread *t)
{
	return t->seccomp_mode;
}

/* ---- over an exec: each filter as a count and its instructions, the newest first ---- */

static int filter_write(int fd, const struct filter *f)
{
	const struct iovec parts[] = {{(void *)&f->count, sizeof(f->count)},
		{(void *)f->insns, f->count * sizeof(f->insns[0])}};
	const ssize_t n = writev(fd, parts, ARRAY_SIZE(parts));

	if (n < 0)
		return -errno;
	return n == (ssize_t)(parts[0].iov_len + parts[1].iov_len) ? 0 : -ENOMEM;
}

int seccomp_save(struct thread *t)
{
	const struct filter *f = atomic_load(&t->filters);
	int fd = memfd_create("uservisor-filters", 0), r = fd < 0 ? -errno : 0;

	for (; !r && f; f = f->older)
		r = filter_write(fd, f);
	if (r && fd >= 0)
		close(fd);
	return r ? r : fd;
}

/* Recursion puts the oldest first; the kernel's limit bounds it to some thousands. */
static int restore_from(struct thread *t, int fd, off_t at)
{
	struct filter *f;
	unsigned count;
	ssize_t bytes;
	int r;

	bytes = pread(fd, &count, sizeof(count), at);
	if (bytes !=
		sizeof(count)) /* the end, and then there was one at least; or not to be read */
		return bytes || !at ? -EINVAL : 0;
	if (!count || count > BPF_INSNS_MAX)
		return -EINVAL;
	f = filter_new(count);
	if (!f)
		return -ENOMEM;
	bytes = (ssize_t)(count * sizeof(f->insns[0]));
	at += (off_t)sizeof(count);
	if (pread(fd, f->insns, (size_t)bytes, at) != bytes || bpf_check(f->insns, count)) {
		free(f);
		return -EINVAL;
	}
	r = restore_from(t, fd, at + bytes);
	return r ? r : filter_push(t, f);
}

int seccomp_restore(struct thread *t, int fd)
{
	int r = restore_from(t, fd, 0);

	close(fd);
	return r;
}
