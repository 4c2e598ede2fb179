/* SPDX-License-Identifier: MIT */
/*
 * Threads of the program. Each is a pthread of ours, so that libc and the engine find their
 * thread-local storage; the stack of that pthread is used only before the program's code is entered and
 * after it has left. What the kernel does for a clone() with the program's pointers (thread ids,
 * the futex of a joiner, robust futexes) is done here.
 */
#include <asm/prctl.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/ended.h"
#include "shim/inject/private.h"
#include "shim/inject/site.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_OFF          0
#define PR_SYS_DISPATCH_ON           1
#endif

/* ---- blocks ---- */

static void put_rip_relative(u8 *at, u64 target)
{
	u32 distance = (u32)(target - ((u64)at + 4));

	memcpy(at, &distance, sizeof(distance));
}

static void gadgets_write(struct thread *t)
{
	static const u8 pass[] = {0x0f, 0x05, 0xff, 0x25};
	static const u8 detour[] = {0x0f, 0x05, 0x48, 0x89, 0x05, 0, 0, 0, 0, 0xff, 0x25};
	static const u8 sigreturn[] = {0xb8, SYS_rt_sigreturn, 0, 0, 0, 0x0f, 0x05};
	u8 *g = (u8 *)t + GADGETS;

	memset(g, 0xcc, PAGE_SIZE);
	memcpy(g + GADGET_PASS, pass, sizeof(pass));
	put_rip_relative(g + GADGET_PASS + 4, (u64)&t->ret);
	memcpy(g + GADGET_DETOUR, detour, sizeof(detour));
	put_rip_relative(g + GADGET_DETOUR + 5, (u64)&t->result);
	put_rip_relative(g + GADGET_DETOUR + 11, (u64)&t->finish);
	memcpy(g + GADGET_RETURN, sigreturn, sizeof(sigreturn));
}

/* BLOCK_SIZE bytes at a multiple of BLOCK_SIZE. */
static void *block_map(void)
{
	size_t twice = 2 * BLOCK_SIZE;
	u8 *p = mmap(NULL, twice, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	u8 *at;

	if (p == MAP_FAILED)
		return NULL;
	at = (u8 *)ALIGN_UP((u64)p, BLOCK_SIZE);
	if (at > p)
		munmap(p, (size_t)(at - p));
	munmap(at + BLOCK_SIZE, (size_t)(p + twice - (at + BLOCK_SIZE)));
	return at;
}

struct thread *thread_create(struct program *p)
{
	struct thread *t = block_map();

	if (!t)
		return NULL;
	t->program = p;
	t->actions = &p->actions;
	t->fs_calls = p->fs_calls;
	t->classes = p->classes;
	t->finish = (u64)inject_finish;
	gadgets_write(t);
	if (mprotect((u8 *)t + GADGETS, PAGE_SIZE, PROT_READ | PROT_EXEC) ||
		mprotect((u8 *)t + GADGETS + PAGE_SIZE, PAGE_SIZE, PROT_NONE) ||
		mprotect((u8 *)t + ALTSTACK - PAGE_SIZE, PAGE_SIZE, PROT_NONE)) {
		munmap(t, BLOCK_SIZE);
		return NULL;
	}
	return t;
}

void thread_destroy(struct thread *t)
{
	munmap(t, BLOCK_SIZE);
}

int thread_fs(struct thread *t)
{
	return (int)RAW(SYS_arch_prctl, ARCH_GET_FS, &t->our_fs);
}

int thread_arm(struct thread *t)
{
	stack_t ss = {.ss_sp = (u8 *)t + ALTSTACK, .ss_size = BLOCK_SIZE - ALTSTACK};
	long r = RAW(SYS_sigaltstack, &ss, NULL);

	r = r ? r : site_thread_arm(t);
	return r ? (int)r : thread_dispatch(t);
}

int thread_dispatch(struct thread *t)
{
	t->tid = (int)syscall(SYS_gettid);
	return (int)RAW(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON,
		(u64)t + GADGETS, GADGETS_END, &t->selector);
}

static void thread_disarm(void)
{
	stack_t ss = {.ss_flags = SS_DISABLE};

	syscall(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
	syscall(SYS_sigaltstack, &ss, NULL);
}

struct context *thread_context(struct thread *t, const struct context *c)
{
	const u32 *sw = (const u32 *)(c->fpstate + 464);
	size_t bytes = !c->fpstate ? 0 : sw[0] == 0x46505853 && (c->flags & 1) ? sw[1] : 512;
	u64 fp = ALIGN_DOWN((u64)t + BLOCK_SIZE - 64 - bytes, 64);
	struct context *copy = (struct context *)ALIGN_DOWN(fp - sizeof(*copy), 16);

	*copy = *c;
	if (bytes)
		memcpy((void *)fp, (const void *)c->fpstate, bytes);
	copy->fpstate = bytes ? fp : 0;
	copy->stack_base = (u64)t + ALTSTACK;
	copy->stack_size = BLOCK_SIZE - ALTSTACK;
	copy->stack_flags = 0;
	return copy;
}

void thread_enter(struct thread *t, struct context *c)
{
	t->mask = c->mask;
	inject_enter(t, c);
}

void thread_classes(struct thread *t)
{
	__atomic_store_n(&t->classes, t->seccomp_mode ? t->program->checked : t->program->classes,
		__ATOMIC_RELEASE);
}

void thread_list(struct thread *t)
{
	struct program *p = t->program;

	pthread_mutex_lock(&p->lock);
	t->next = p->threads;
	t->link = &p->threads;
	if (t->next)
		t->next->link = &t->next;
	p->threads = t;
	p->thread_count++;
	pthread_mutex_unlock(&p->lock);
}

void thread_unlist(struct thread *t)
{
	struct program *p = t->program;

	pthread_mutex_lock(&p->lock);
	*t->link = t->next;
	if (t->next)
		t->next->link = t->link;
	pthread_mutex_unlock(&p->lock);
}

/* ---- birth ---- */

struct birth {
	struct thread *thread;
	const struct thread *parent; /* it waits */
	struct context *context;
	const struct clone_args_all *args;
	_Atomic int tid; /* a futex: 0 until the thread is ready to run the program */
	int error;
};

static void wake(_Atomic int *futex)
{
	syscall(SYS_futex, futex, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static int born_tid(struct birth *b)
{
	while (!atomic_load(&b->tid))
		syscall(SYS_futex, &b->tid, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	return b->tid;
}

static void inherit(struct thread *child, const struct thread *t)
{
	child->virtual_blocked = t->virtual_blocked;
	child->seccomp_mode = t->seccomp_mode;
	child->program_gs = t->program_gs;
	atomic_store(&child->filters, atomic_load(&t->filters));
	thread_classes(child);
}

/*
 * Another thread may give all threads a filter (TSYNC) while this one is not in their list: what its parent has at the
 * moment when it is listed counts. The parent waits, so nothing else changes it.
 */
static void list_with_filters(struct thread *child, const struct thread *t)
{
	struct program *p = child->program;

	thread_list(child);
	pthread_mutex_lock(&p->lock);
	child->seccomp_mode = t->seccomp_mode;
	child->want_no_new_privs = child->want_no_new_privs || t->want_no_new_privs;
	atomic_store(&child->filters, atomic_load(&t->filters));
	thread_classes(child);
	pthread_mutex_unlock(&p->lock);
}

static void *run(void *opaque)
{
	struct birth *b = opaque;
	struct thread *t = b->thread;
	const struct clone_args_all *a = b->args;
	struct context *c = b->context;
	u64 clear_tid;
	int tid, error;

	error = thread_fs(t);
	error = b->error = error ? error : thread_arm(t);
	tid = t->tid;
	if (a->flags & CLONE_PARENT_SETTID)
		put_bytes(a->parent_tid, &tid, sizeof(tid));
	if (a->flags & CLONE_CHILD_SETTID)
		put_bytes(a->child_tid, &tid, sizeof(tid));
	if (!error)
		list_with_filters(t, b->parent);
	atomic_store(&b->tid, tid); /* from here on b may be gone */
	wake(&b->tid);
	if (error)
		return NULL;
	thread_enter(t, c);
	thread_disarm();
	clear_tid = t->clear_tid;
	thread_destroy(t);
	tid_clear(clear_tid);
	return NULL;
}

static int start_pthread(struct birth *b)
{
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 0x10000);
	err = pthread_create(&thread, &attr, run, b);
	pthread_attr_destroy(&attr);
	return -err;
}

long clone_thread(struct thread *t, struct context *c, const struct clone_args_all *a)
{
	struct birth b = {.args = a, .thread = thread_create(t->program), .parent = t};
	int r;

	if (!b.thread)
		return -EAGAIN;
	inherit(b.thread, t);
	b.thread->is_pthread = true;
	b.thread->program_fs = a->flags & CLONE_SETTLS ? a->tls : t->program_fs;
	b.thread->clear_tid = a->flags & CLONE_CHILD_CLEARTID ? a->child_tid : 0;
	b.context = thread_context(b.thread, c);
	b.context->rax = 0;
	if (a->stack)
		b.context->rsp = a->stack + a->stack_size;
	r = start_pthread(&b);
	if (!r) {
		int tid = born_tid(&b);

		r = b.error ? b.error : tid;
	}
	if (r < 0)
		thread_destroy(b.thread);
	return r;
}

/* ---- death ---- */

void tid_clear(u64 address)
{
	int zero = 0;

	if (address && !put_bytes(address, &zero, sizeof(zero)))
		syscall(SYS_futex, address, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* A futex that its owner did not release (uapi/linux/futex.h). */
static void owner_died(u64 address, u32 tid)
{
	u32 word;

	do {
		if (get_bytes(&word, address, sizeof(word)) || (word & FUTEX_TID_MASK) != tid)
			return;
	} while (!__atomic_compare_exchange_n((u32 *)address, &word,
		(word & FUTEX_WAITERS) | FUTEX_OWNER_DIED, false, __ATOMIC_SEQ_CST,
		__ATOMIC_SEQ_CST));
	if (word & FUTEX_WAITERS)
		syscall(SYS_futex, address, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/*
 * The kernel would do this, but after we have told the joiner, who may then free the list.
 * Entries are pointers whose lowest bit marks priority inheritance: those are left alone.
 */
static void robust_release(const struct thread *t)
{
	struct robust_list_head head, none = {.list = {&none.list}};
	struct robust_list entry;
	unsigned limit = ROBUST_LIST_LIMIT;

	if (!t->robust_list || get_bytes(&head, t->robust_list, sizeof(head)))
		return;
	entry = head.list;
	while (limit-- && (u64)entry.next != t->robust_list) {
		u64 at = (u64)entry.next;

		if (get_bytes(&entry, at & ~1ull, sizeof(entry)))
			break;
		if (!(at & 1) && at != (u64)head.list_op_pending)
			owner_died(at + (u64)head.futex_offset, (u32)t->tid);
	}
	if (head.list_op_pending)
		owner_died((u64)head.list_op_pending + (u64)head.futex_offset, (u32)t->tid);
	syscall(SYS_set_robust_list, NULL, sizeof(head));
}

long call_exit(struct thread *t, struct context *c)
{
	int status = (int)c->rdi;

	if (t->vfork_child)
		syscall(SYS_exit_group, status);
	robust_release(t);
	thread_unlist(t);
	/* Threads of the engine would keep the process. */
	if (atomic_fetch_sub(&t->program->thread_count, 1) == 1) {
		ended_tell();
		syscall(SYS_exit_group, status);
	}
	if (t->is_pthread)
		inject_leave(t);
	tid_clear(t->clear_tid);
	for (;;)
		syscall(SYS_exit, status);
}

long call_exit_group(struct thread *t, struct context *c)
{
	ended_tell();
	for (;;)
		syscall(SYS_exit_group, (int)c->rdi);
}

long call_set_tid_address(struct thread *t, struct context *c)
{
	t->clear_tid = c->rdi;
	return t->tid;
}

long call_set_robust_list(struct thread *t, struct context *c)
{
	if (c->rsi == sizeof(struct robust_list_head))
		t->robust_list = c->rdi;
	return CALL_PASS;
}
