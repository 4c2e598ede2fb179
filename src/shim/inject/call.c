/* SPDX-License-Identifier: MIT */
/*
 * From a system call of the program to who answers it: one table by number. What is not in it
 * is the kernel's.
 *
 * The kernel's calls are executed from the thread's gadget, after our handler has returned. A signal that
 * comes meanwhile finds a context in the gadget; call_normalise() moves it to the program's own
 * instruction before anyone of the program sees it. So nothing has to be kept while a handler runs.
 */
#include <errno.h>
#include <linux/audit.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/inject/private.h"
#include "shim/inject/site.h"

static const call_handler handlers[] = {
	[SYS_read] = call_read,
	[SYS_readv] = call_readv,
	[SYS_open] = call_open,
	[SYS_openat] = call_openat,
	[SYS_openat2] = call_openat2,
	[SYS_getdents64] = call_getdents64,
	[SYS_readlink] = call_readlink,
	[SYS_readlinkat] = call_readlinkat,
	[SYS_ioctl] = call_ioctl,
	[SYS_close] = call_close,
	[SYS_close_range] = call_close_range,
	[SYS_dup] = call_dup,
	[SYS_dup2] = call_dup,
	[SYS_dup3] = call_dup,
	[SYS_fcntl] = call_fcntl,
	[SYS_mmap] = call_mmap,
	[SYS_fallocate] = call_fallocate,
	[SYS_access] = call_access,
	[SYS_faccessat] = call_faccessat,
	[SYS_faccessat2] = call_faccessat,
	[SYS_stat] = call_stat,
	[SYS_lstat] = call_stat,
	[SYS_fstat] = call_fstat,
	[SYS_newfstatat] = call_newfstatat,
	[SYS_statx] = call_statx,
	[SYS_userfaultfd] = call_userfaultfd,
	[SYS_brk] = call_brk,
	[SYS_arch_prctl] = call_arch_prctl,
	[SYS_prctl] = call_prctl,
	[SYS_seccomp] = call_seccomp,
	[SYS_rt_sigaction] = call_rt_sigaction,
	[SYS_rt_sigprocmask] = call_rt_sigprocmask,
	[SYS_rt_sigreturn] = call_rt_sigreturn,
	[SYS_rt_sigsuspend] = call_rt_sigsuspend,
	[SYS_sigaltstack] = call_sigaltstack,
	[SYS_ppoll] = call_ppoll,
	[SYS_pselect6] = call_pselect6,
	[SYS_epoll_pwait] = call_epoll_pwait,
	[SYS_epoll_pwait2] = call_epoll_pwait,
	[SYS_clone] = call_clone,
	[SYS_clone3] = call_clone3,
	[SYS_fork] = call_fork,
	[SYS_vfork] = call_vfork,
	[SYS_exit] = call_exit,
	[SYS_exit_group] = call_exit_group,
	[SYS_set_tid_address] = call_set_tid_address,
	[SYS_set_robust_list] = call_set_robust_list,
	[SYS_execve] = call_execve,
	[SYS_execveat] = call_execveat,
};

/* Those that want no more than the registers, and change nothing but rax. */
static const u16 at_site[] = {SYS_open, SYS_openat, SYS_openat2, SYS_readlink, SYS_readlinkat,
	SYS_ioctl, SYS_close, SYS_close_range, SYS_dup, SYS_dup2, SYS_dup3, SYS_fcntl, SYS_mmap,
	SYS_fallocate, SYS_access, SYS_faccessat, SYS_faccessat2, SYS_stat, SYS_lstat, SYS_fstat,
	SYS_newfstatat, SYS_statx, SYS_brk, SYS_getdents64};

void call_classes(struct program *p)
{
	for (unsigned i = 0; i < ARRAY_SIZE(handlers); i++)
		p->classes[i] = handlers[i] ? CALL_OURS : CALL_KERNELS;
	for (unsigned i = 0; i < ARRAY_SIZE(at_site); i++)
		p->classes[at_site[i]] = CALL_AT_SITE;
	/* Until there is a descriptor that wants them: call_reads_begin(). */
	p->classes[SYS_read] = p->classes[SYS_readv] = CALL_KERNELS;
	memset(p->checked, CALL_AT_SITE, sizeof(p->checked));
}
_Static_assert(ARRAY_SIZE(handlers) <= CALL_CLASSES, "each handler has a class");

void call_reads_begin(struct program *p)
{
	p->classes[SYS_read] = p->classes[SYS_readv] = CALL_AT_SITE;
}

long raw_result(long r)
{
	return r < 0 ? -errno : r;
}

int get_bytes(void *to, u64 from, size_t n)
{
	return inject_copy(to, (const void *)from, n) ? -EFAULT : 0;
}

int put_bytes(u64 to, const void *from, size_t n)
{
	return inject_copy((void *)to, from, n) ? -EFAULT : 0;
}

/* Page by page: what comes after the end may not be there. */
long get_string(char *to, u64 from, size_t size)
{
	size_t done = 0;

	while (done < size) {
		size_t n = MIN(size - done, PAGE_SIZE - ((from + done) & (PAGE_SIZE - 1)));
		size_t missing = inject_copy(to + done, (const void *)(from + done), n);
		const char *end = memchr(to + done, 0, n - missing);

		if (end)
			return end - to;
		if (missing)
			return -EFAULT;
		done += n;
	}
	return -ENAMETOOLONG;
}

/* ---- the gadgets ---- */

static u64 gadget(const struct thread *t, unsigned offset)
{
	return (u64)t + GADGETS + offset;
}

void call_detour(struct thread *t, struct context *c)
{
	t->ret = c->rip;
	t->detour = true;
	c->rip = gadget(t, GADGET_DETOUR);
}

/* The registers that the program had, but for what every system call changes. */
static void detour_restore(struct thread *t, struct context *c, u64 rax)
{
	u64 mask = c->mask;

	memcpy(&c->r8, &t->detour_from.r8,
		offsetof(struct context, rflags) - offsetof(struct context, r8));
	c->mask = mask;
	c->rax = rax;
	t->detour = false;
	exec_end(t->detour_memory);
	t->detour_memory = NULL;
}

bool call_interrupted(const struct thread *t, const struct context *c)
{
	return c->rip == gadget(t, GADGET_PASS) + SYSCALL_INSN_LEN && c->rax == (u64)-EINTR;
}

static bool in(u64 at, u64 from, u64 to)
{
	return at >= from && at < to;
}

void call_normalise(struct thread *t, struct context *c)
{
	u64 detour = gadget(t, GADGET_DETOUR);

	site_normalise(t, c);
	if (c->rip == gadget(t, GADGET_PASS)) {
		c->rip = site_shown(t, t->ret) - SYSCALL_INSN_LEN;
	} else if (c->rip == gadget(t, GADGET_PASS) + SYSCALL_INSN_LEN) {
		c->rip = site_shown(t, t->ret);
	} else if (c->rip == detour) {
		detour_restore(t, c, t->detour_from.rax);
		c->rip = t->ret - SYSCALL_INSN_LEN;
	} else if (in(c->rip, detour, gadget(t, GADGET_RETURN)) || c->rip == (u64)inject_finish) {
		detour_restore(t, c, c->rip < gadget(t, GADGET_STORED) ? c->rax : t->result);
		c->rip = t->ret;
	}
}

/* ---- dispatch ---- */

static void queued_deliver(struct thread *t, struct context *c)
{
	siginfo_t info = t->queued_info;

	if (!t->queued || (t->virtual_blocked & SIG_BIT(info.si_signo)))
		return;
	t->queued = false;
	signal_deliver(t, info.si_signo, &info, c);
}

static void edge_deliver(struct thread *t, struct context *c)
{
	int sig = (int)atomic_exchange(&t->edge, 0);
	siginfo_t info = {.si_signo = sig};

	if (sig)
		signal_deliver(t, sig, &info, c);
}

/* Often enough, and worth it: the next call from there comes without a signal. */
static void consider_site(struct thread *t, const struct context *c)
{
	struct sites *s = t->program->sites;
	bool hot = t->hot, alone = atomic_load(&t->program->thread_count) == 1 && !t->vfork_child;

	t->hot = false;
	if (c->rax < CALL_CLASSES && t->program->classes[c->rax] != CALL_OURS &&
		(hot || site_hot(s, c->rip)))
		site_rewrite(s, c->rip, alone);
}

/* Numbers of x32's calls, among them an execve() that we would not see; -1 has the bit, too. */
#define X32 0x40000000u

static void call_serve(struct thread *t, struct context *c, u32 arch)
{
	u64 number = c->rax = (u32)c->rax; /* the kernel looks at no more */
	const bool known = arch == AUDIT_ARCH_X86_64 && !(number & X32);
	long r = seccomp_check(t, c, arch);

	if (r == CALL_PASS && known)
		consider_site(t, c);
	if (r == CALL_PASS && !known)
		r = -ENOSYS;
	else if (r == CALL_PASS && number < ARRAY_SIZE(handlers) && handlers[number])
		r = handlers[number](t, c);
	if (r == CALL_PASS)
		call_pass(t, c);
	else if (r != CALL_DONE)
		c->rax = (u64)r;
}

int inject_site_serve(struct thread *t, struct context *c)
{
	long r;

	t->temporary = false;
	c->mask = t->mask;
	atomic_store(&t->hold.waiting, false);
	if (t->held) /* already */
		atomic_store(&t->hold.waiting, true);
	t->at_site = true;
	r = handlers[c->rax](t, c);
	t->at_site = false;
	if (r == CALL_PASS)
		return SITE_PASS;
	c->rax = (u64)r;
	return SITE_DONE;
}

void call_dispatch(struct thread *t, struct context *c, u32 arch)
{
	t->temporary = false;
	if (c->rip == (u64)inject_finished) {
		detour_restore(t, c, t->result);
		c->rip = t->ret;
		return;
	}
	if (!site_called(t, c))
		call_serve(t, c, arch);
	if (unlikely(t->queued))
		queued_deliver(t, c);
	if (unlikely(atomic_load_explicit(&t->edge, memory_order_relaxed)))
		edge_deliver(t, c);
}
