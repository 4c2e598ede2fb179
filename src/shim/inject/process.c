/* SPDX-License-Identifier: MIT */
/*
 * clone() in all its forms, and the program's new processes.
 *
 * A child with its own memory is a copy of us: only dispatch has to be switched on again, which the
 * kernel does not inherit. A vfork child shares our memory while its parent waits: it gets a block of
 * its own and borrows the thread-local storage of the parent's pthread.
 */
#include <errno.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "shim/inject/private.h"
#include "shim/inject/site.h"

/* ---- a copy of the process ---- */

/* In the child: we are its only thread, whoever we were. */
static void child_begin(struct thread *t, struct context *c, const struct clone_args_all *a)
{
	struct program *p = t->program;

	pthread_mutex_init(&p->lock, NULL);
	pthread_mutex_init(&t->actions->lock, NULL);
	p->threads = NULL;
	p->thread_count = 0;
	thread_classes(t); /* another thread may have been about to (TSYNC) */
	t->is_pthread = false;
	t->vfork_child = false;
	t->robust_list = 0;
	t->clear_tid = a->flags & CLONE_CHILD_CLEARTID ? a->child_tid : 0;
	thread_list(t);
	if (thread_dispatch(t)) /* the alternate stack is inherited */
		_exit(127);
	if (!(a->flags & CLONE_FILES))
		fd_after_fork();
	if (a->flags & CLONE_CHILD_SETTID)
		put_bytes(a->child_tid, &t->tid, sizeof(t->tid));
	if (a->flags & CLONE_SETTLS)
		t->program_fs = a->tls;
	if (a->stack)
		c->rsp = a->stack + a->stack_size;
	c->rax = 0;
}

#define OUR_FLAGS                                                                                  \
	(CLONE_VM | CLONE_VFORK | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID |        \
		CLONE_CHILD_CLEARTID | CLONE_SIGHAND | CLONE_SYSVSEM | CLONE_UNTRACED)

/* Anything beyond fork()'s: namespaces, pidfd, cgroup, another parent. */
static long clone_raw(const struct clone_args_all *a, size_t size)
{
	struct clone_args_all mine = *a;

	mine.flags &= ~(u64)(OUR_FLAGS & ~CLONE_UNTRACED);
	mine.stack = mine.stack_size = mine.tls = 0;
	if (size)
		return RAW(SYS_clone3, &mine, size);
	return RAW(SYS_clone, mine.flags | mine.exit_signal, 0, a->pidfd, 0, 0);
}

long clone_process(struct thread *t, struct context *c, const struct clone_args_all *a, size_t size)
{
	bool plain = !(a->flags & ~(u64)OUR_FLAGS) && a->exit_signal == SIGCHLD && !a->set_tid_size;
	long pid;

	/* fork() takes libc's locks, which other threads may hold; the child finds no jump half written. */
	pthread_mutex_lock(&t->program->sites->lock);
	pid = plain ? raw_result(fork()) : clone_raw(a, size);
	pthread_mutex_unlock(&t->program->sites->lock);
	if (!pid) {
		child_begin(t, c, a);
		return CALL_DONE;
	}
	if (pid > 0 && (a->flags & CLONE_PARENT_SETTID)) {
		int tid = (int)pid;

		put_bytes(a->parent_tid, &tid, sizeof(tid));
	}
	return pid;
}

/* ---- a child that borrows the memory ---- */

struct vfork_birth {
	struct thread *thread;
	struct context *context;
	const struct clone_args_all *args;
};

static void vfork_run(void *opaque)
{
	struct vfork_birth *b = opaque;
	struct thread *t = b->thread;

	if (thread_arm(t))
		_exit(127);
	if (b->args->flags & CLONE_CHILD_SETTID)
		put_bytes(b->args->child_tid, &t->tid, sizeof(t->tid));
	thread_enter(t, b->context);
}

static struct actions *actions_copy(struct actions *from)
{
	struct actions *to = malloc(sizeof(*to));

	if (!to)
		return NULL;
	pthread_mutex_init(&to->lock, NULL);
	pthread_mutex_lock(&from->lock);
	memcpy(to->of, from->of, sizeof(to->of));
	pthread_mutex_unlock(&from->lock);
	return to;
}

static struct thread *vfork_thread(struct thread *t, const struct clone_args_all *a)
{
	struct thread *child = thread_create(t->program);
	struct actions *actions = actions_copy(t->actions);

	if (!child || !actions) {
		if (child)
			thread_destroy(child);
		free(actions);
		return NULL;
	}
	child->actions = actions;
	child->vfork_child = true;
	child->our_fs = t->our_fs;
	child->program_fs = a->flags & CLONE_SETTLS ? a->tls : t->program_fs;
	child->alt = t->alt; /* the kernel keeps it for CLONE_VFORK */
	child->virtual_blocked = t->virtual_blocked;
	child->seccomp_mode = t->seccomp_mode;
	child->program_gs = t->program_gs;
	atomic_store(&child->filters, atomic_load(&t->filters));
	thread_classes(child);
	return child;
}

long clone_vfork(struct thread *t, struct context *c, const struct clone_args_all *a)
{
	struct vfork_birth b = {.args = a, .thread = vfork_thread(t, a)};
	u64 flags = (a->flags & ~(u64)(OUR_FLAGS & ~(CLONE_VM | CLONE_VFORK))) | a->exit_signal;
	long pid;

	if (!b.thread)
		return -EAGAIN;
	b.context = thread_context(b.thread, c);
	b.context->rax = 0;
	if (a->stack)
		b.context->rsp = a->stack + a->stack_size;
	/* Its first steps are made below the context. */
	pid = inject_clone(flags & ~(u64)(CLONE_PIDFD | CLONE_CLEAR_SIGHAND),
		(void *)ALIGN_DOWN((u64)b.context - 64, 64), vfork_run, &b);
	if (pid > 0 && (a->flags & CLONE_PARENT_SETTID)) {
		int tid = (int)pid;

		put_bytes(a->parent_tid, &tid, sizeof(tid));
	}
	exec_forget(b.thread->detour_memory);
	free(b.thread->actions);
	thread_destroy(b.thread);
	return pid;
}

/* ---- the calls ---- */

static long clone_any(
	struct thread *t, struct context *c, const struct clone_args_all *a, size_t size)
{
	if (a->flags & CLONE_THREAD)
		return clone_thread(t, c, a);
	if ((a->flags & CLONE_VM) && (a->flags & CLONE_VFORK) && !(a->flags & CLONE_PIDFD))
		return clone_vfork(t, c, a);
	if ((a->flags & (CLONE_VM | CLONE_VFORK)) == CLONE_VM)
		return -ENOSYS; /* a process that shares memory for ever: see docs/shim.md */
	return clone_process(t, c, a, size);
}

long call_clone(struct thread *t, struct context *c)
{
	struct clone_args_all a = {.flags = (u32)c->rdi & ~0xffu,
		.exit_signal = c->rdi & 0xff,
		.stack = c->rsi,
		.parent_tid = c->rdx,
		.child_tid = c->r10,
		.tls = c->r8};

	if (a.flags & CLONE_PIDFD)
		a.pidfd = c->rdx;
	return clone_any(t, c, &a, 0);
}

long call_clone3(struct thread *t, struct context *c)
{
	struct clone_args_all a = {0};
	size_t size = c->rsi;

	if (size < 64 || size > sizeof(a)) /* 64: the first version */
		return size < 64 ? -EINVAL : -E2BIG;
	if (get_bytes(&a, c->rdi, size))
		return -EFAULT;
	if (a.stack ? !a.stack_size : a.stack_size)
		return -EINVAL;
	return clone_any(t, c, &a, size);
}

long call_fork(struct thread *t, struct context *c)
{
	struct clone_args_all a = {.exit_signal = SIGCHLD};

	return clone_process(t, c, &a, 0);
}

long call_vfork(struct thread *t, struct context *c)
{
	struct clone_args_all a = {.flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD};

	return clone_vfork(t, c, &a);
}
