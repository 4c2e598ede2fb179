/* SPDX-License-Identifier: MIT */
/*
 * A program in our own address space whose system calls come to us.
 *
 * Syscall User Dispatch turns each of its system calls into SIGSYS, handled on a stack of ours with
 * all asynchronous signals blocked and fs pointing to the thread-local storage of our own libc: so
 * our code never interrupts itself, and libc may be used freely. Every thread of the program is one
 * of our pthreads, too. What belongs to the kernel is executed from a gadget after the handler has
 * returned, with the program's registers and signal mask, so it blocks, restarts and fails as ever.
 *
 * All signal handlers of the program are entered through ours, which builds the frame that the
 * kernel would have built (signal.c). No code of the program runs on our stacks.
 */
#ifndef SHIM_INJECT_PRIVATE_H
#define SHIM_INJECT_PRIVATE_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdnoreturn.h>

#include "base/hold.h"
#include "base/types.h"
#include "shim/inject/layout.h"
#include "shim/shim.h"

/* What the kernel calls struct ucontext (uapi/asm/ucontext.h): glibc's differs in the mask's size. */
struct context {
	u64 flags, link;
	u64 stack_base;
	u32 stack_flags, pad;
	u64 stack_size;
	u64 r8, r9, r10, r11, r12, r13, r14, r15;
	u64 rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
	u16 cs, gs, fs, ss;
	u64 err, trapno, oldmask, cr2;
	u64 fpstate;
	u64 reserved[8];
	u64 mask;
};
_Static_assert(offsetof(struct context, r8) == UC_R8, "layout.h");
_Static_assert(offsetof(struct context, rdi) == UC_RDI, "layout.h");
_Static_assert(offsetof(struct context, rsp) == UC_RSP, "layout.h");
_Static_assert(offsetof(struct context, rip) == UC_RIP, "layout.h");
_Static_assert(offsetof(struct context, rflags) == UC_RFLAGS, "layout.h");
_Static_assert(sizeof(struct context) == 304, "as the kernel lays it out");

struct action { /* struct kernel_sigaction */
	u64 handler, flags, restorer, mask;
};

#ifndef SYS_USER_DISPATCH
#define SYS_USER_DISPATCH 2
#endif

#define SIGNALS 64
/* Faults, and our own SIGSYS: never blocked for the kernel, whatever the program asks for. */
#define SIG_VIRTUAL                                                                                \
	(SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) | SIG_BIT(SIGFPE) | SIG_BIT(SIGILL) | SIG_BIT(SIGSYS))

struct actions {
	pthread_mutex_t lock;
	struct action of[SIGNALS + 1];
};

struct altstack {
	u64 base, size;
	u32 flags;
};

/* Who answers a system call, by number. */
enum call_class {
	CALL_KERNELS, /* the kernel, with the program's own arguments */
	CALL_OURS,
	CALL_AT_SITE, /* ours, and from a rewritten site without a signal */
};

struct filter { /* of seccomp, with all that are older */
	const struct filter *older;
	unsigned total; /* instructions of it and all older ones, as the kernel counts */
	unsigned count;
	struct sock_filter insns[];
};

struct program {
	pthread_mutex_t lock; /* the list of threads, brk */
	struct thread *threads;
	_Atomic unsigned thread_count;
	struct actions actions;
	int self;           /* what becomes of us in an exec: an open descriptor of it */
	int exe;            /* the program's own file, for where its path leads nowhere */
	char path[4096];    /* what /proc/self/exe says */
	char preload[4096]; /* our library for dynamic programs, or empty */
	bool fs_calls;      /* see struct thread */
	u8 classes[CALL_CLASSES];
	u8 checked[CALL_CLASSES]; /* the same for threads whose calls must be looked at first */
	struct sites *sites;
	u64 brk_start, brk_end, brk_limit, brk_mapped;
	_Atomic u64
		engine_handler[SIGNALS + 1]; /* the engine's handlers of faults, once it has some */
};

struct thread {
	u8 selector; /* 0: system calls are ours, 1: they are dispatched */
	u8 inside;   /* we work; fs is ours */
	u8 fs_calls; /* fs is set by arch_prctl(), and program_fs is always right */
	_Atomic u32 edge;
	u64 program_fs, our_fs;
	u64 ret;    /* where the gadget goes on */
	u64 result; /* of a detour */
	u64 finish; /* inject_finish */
	u64 home;
	u64 site_stack; /* for site.S: where its struct context is, */
	u64 site_rsp;
	const struct slot_data *site;
	u64 cpuid_site_next; /* where it goes when the program's registers are back, */
	u64 pass;
	const u8 *classes; /* by number, of the program */
	s64 magic;
	u32 xmask;
	u32 held; /* signals were sent again, and all are blocked but those of held_mask until the call is over */
	bool has_xsavec;
	bool hot; /* the call has become worth rewriting its site */
	u64 held_mask;
	bool at_site;     /* the call is served at a rewritten site, where signals are held */
	struct hold hold; /* by which the engine knows of it */
	u64 mask;         /* of the program, as the kernel has it */
	u64 program_gs;
	struct program *program;
	struct actions *actions; /* the program's, or a vfork child's own */
	struct thread *next, **link;
	int tid;
	bool vfork_child;
	bool is_pthread;
	bool want_no_new_privs; /* another thread's TSYNC */
	bool in_engine_handler;
	u64 virtual_blocked; /* of SIG_VIRTUAL */
	bool temporary;      /* the call in the gadget has a signal mask of its own: */
	u64 temporary_mask;
	bool detour;
	struct context detour_from; /* registers that its caller must find again */
	void *detour_memory;
	u64 clear_tid, robust_list;
	struct altstack alt;
	bool queued; /* a virtual signal that was sent while it was blocked */
	siginfo_t queued_info;
	u32 seccomp_mode;
	struct filter *_Atomic filters;
};
_Static_assert(offsetof(struct thread, inside) == T_INSIDE, "layout.h");
_Static_assert(offsetof(struct thread, fs_calls) == T_FS_CALLS, "layout.h");
_Static_assert(offsetof(struct thread, edge) == T_EDGE, "layout.h");
_Static_assert(offsetof(struct thread, program_fs) == T_PROGRAM_FS, "layout.h");
_Static_assert(offsetof(struct thread, our_fs) == T_OUR_FS, "layout.h");
_Static_assert(offsetof(struct thread, ret) == T_RET, "layout.h");
_Static_assert(offsetof(struct thread, result) == T_RESULT, "layout.h");
_Static_assert(offsetof(struct thread, finish) == T_FINISH, "layout.h");
_Static_assert(offsetof(struct thread, home) == T_HOME, "layout.h");
_Static_assert(offsetof(struct thread, site_stack) == T_SITE_STACK, "layout.h");
_Static_assert(offsetof(struct thread, site_rsp) == T_SITE_RSP, "layout.h");
_Static_assert(offsetof(struct thread, site) == T_SITE, "layout.h");
_Static_assert(offsetof(struct thread, cpuid_site_next) == T_NEXT, "layout.h");
_Static_assert(offsetof(struct thread, pass) == T_PASS, "layout.h");
_Static_assert(offsetof(struct thread, classes) == T_CLASSES, "layout.h");
_Static_assert(offsetof(struct thread, magic) == T_MAGIC, "layout.h");
_Static_assert(offsetof(struct thread, xmask) == T_XMASK, "layout.h");
_Static_assert(offsetof(struct thread, held) == T_HELD, "layout.h");
_Static_assert(offsetof(struct thread, has_xsavec) == T_XSAVEC, "layout.h");
_Static_assert(sizeof(struct thread) <= PAGE_SIZE, "layout.h");

/* ---- entry.S ---- */

void inject_entry(void);
void inject_restorer(void);
void inject_enter(struct thread *t, struct context *c);
noreturn void inject_leave(struct thread *t);
long inject_clone(u64 flags, void *stack, void (*run)(void *), void *arg);
size_t inject_copy(void *to, const void *from, size_t bytes);
extern const u8 inject_copy_at[], inject_copy_out[], inject_finish[], inject_finished[];
void inject_signal(int sig, siginfo_t *info, struct context *c, struct thread *t);
void inject_signal_inside(int sig, siginfo_t *info, struct context *c, struct thread *t);

/* ---- site.S: see site.h ---- */

extern const u8 inject_site[], inject_site_slow[], inject_site_check_held[], inject_site_jump[],
	inject_site_done[], inject_site_done_end[], inject_site_held[], inject_site_end[];
int inject_site_check(struct thread *t, struct context *c);
int inject_site_serve(struct thread *t, struct context *c);

/* ---- without libc, vector registers and our fs (bare.c) ---- */

/* A system call that the kernel shall have as it is: true, and c is ready for it. */
bool inject_forward(int sig, const siginfo_t *info, struct context *c, struct thread *t);
/* c goes on in the gadget that makes the program's call. */
void call_pass(struct thread *t, struct context *c);
/* While rsp is on our stack and fs perhaps not ours. */
void inject_edge(int sig, const siginfo_t *info, struct context *c, struct thread *t);
/* The signal comes again when the call that it interrupted is over, and no other one before that. */
void signal_hold(int sig, const siginfo_t *info, struct context *c, struct thread *t);
/* The strictest answer of the filters, of several the newest's. */
u32 filters_run(const struct filter *f, const struct context *c, u32 arch);

/* ---- system calls (call.c and those that it names) ---- */

#define CALL_PASS NOT_OURS       /* the kernel's */
#define CALL_DONE (NOT_OURS - 1) /* the context is as it shall be */

typedef long (*call_handler)(struct thread *t, struct context *c);

void call_classes(struct program *p);
/* From now on reads come to us, too. */
void call_reads_begin(struct program *p);
/* Does what the program asked for in c. */
void call_dispatch(struct thread *t, struct context *c, u32 arch);
/* Have a system call executed with the registers of c, then call_detour_end() with its result. */
void call_detour(struct thread *t, struct context *c);
/* If c is in a gadget: as if the program's own instruction had been there. */
void call_normalise(struct thread *t, struct context *c);
/* Has the call in the gadget just failed with EINTR? */
bool call_interrupted(const struct thread *t, const struct context *c);

/* The program's memory: 0 or -EFAULT. */
int get_bytes(void *to, u64 from, size_t n);
int put_bytes(u64 to, const void *from, size_t n);
/* Length without the end, -EFAULT, or -ENAMETOOLONG. */
long get_string(char *to, u64 from, size_t size);

/* The system call itself, for us: a result or -errno. */
#define RAW(...) raw_result(syscall(__VA_ARGS__))
long raw_result(long r);

/* ---- signals (signal.c) ---- */

int signals_init(struct program *p);
/* Enter the program's handler for sig from c, or do what happens where there is none. */
void signal_deliver(struct thread *t, int sig, const siginfo_t *info, struct context *c);
/* A fault that the program cannot block or ignore. */
void signal_force(struct thread *t, int sig, const siginfo_t *info, struct context *c);
noreturn void signal_die(int sig);
u64 signal_mask(const struct thread *t, const struct context *c);
void signal_set_mask(struct thread *t, struct context *c, u64 mask);
/* The engine may have installed handlers of faults: take their place in the kernel. */
void signal_capture_engine(struct program *p);
long call_rt_sigaction(struct thread *t, struct context *c);
long call_rt_sigprocmask(struct thread *t, struct context *c);
long call_rt_sigreturn(struct thread *t, struct context *c);
long call_sigaltstack(struct thread *t, struct context *c);
long call_rt_sigsuspend(struct thread *t, struct context *c);
long call_ppoll(struct thread *t, struct context *c);
long call_pselect6(struct thread *t, struct context *c);
long call_epoll_pwait(struct thread *t, struct context *c);

/* ---- threads and processes (thread.c, process.c) ---- */

struct thread *thread_create(struct program *p);
void thread_destroy(struct thread *t);
/* On the thread itself: fs is ours now. 0 or -errno. */
int thread_fs(struct thread *t);
/* On the thread itself: alternate stack and dispatch. 0 or -errno. */
int thread_arm(struct thread *t);
/* Dispatch alone, and the thread's id. */
int thread_dispatch(struct thread *t);
/* A copy of the registers and vector state in c at the top of t's stack. */
struct context *thread_context(struct thread *t, const struct context *c);
/* As inject_enter(). */
void thread_enter(struct thread *t, struct context *c);
/* The filters of t have changed. */
void thread_classes(struct thread *t);
void thread_list(struct thread *t);
void thread_unlist(struct thread *t);
long call_clone(struct thread *t, struct context *c);
long call_clone3(struct thread *t, struct context *c);
long call_fork(struct thread *t, struct context *c);
long call_vfork(struct thread *t, struct context *c);
long call_exit(struct thread *t, struct context *c);
long call_exit_group(struct thread *t, struct context *c);
long call_set_tid_address(struct thread *t, struct context *c);
long call_set_robust_list(struct thread *t, struct context *c);

struct clone_args_all { /* struct clone_args of any version */
	u64 flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
		set_tid_size, cgroup;
};
long clone_thread(struct thread *t, struct context *c, const struct clone_args_all *a);
long clone_process(
	struct thread *t, struct context *c, const struct clone_args_all *a, size_t args_size);
long clone_vfork(struct thread *t, struct context *c, const struct clone_args_all *a);
void tid_clear(u64 address);

/* ---- exec (exec.c) ---- */

long call_execve(struct thread *t, struct context *c);
long call_execveat(struct thread *t, struct context *c);
/* It has failed: close and free what t->detour_memory was for. */
void exec_end(void *memory);
/* Another process, whose descriptors they were, has ended or become something else: free it. */
void exec_forget(void *memory);

/* ---- descriptors and paths (file.c) ---- */

bool path_is_own_exe(const char *path);
/* As the kernel follows that link, wherever the program's path leads by now: a descriptor or -errno. */
long open_own_exe(const struct thread *t, int flags);
long call_open(struct thread *t, struct context *c);
long call_openat(struct thread *t, struct context *c);
long call_openat2(struct thread *t, struct context *c);
long call_read(struct thread *t, struct context *c);
long call_readv(struct thread *t, struct context *c);
long call_getdents64(struct thread *t, struct context *c);
long call_readlink(struct thread *t, struct context *c);
long call_readlinkat(struct thread *t, struct context *c);
long call_ioctl(struct thread *t, struct context *c);
long call_close(struct thread *t, struct context *c);
long call_close_range(struct thread *t, struct context *c);
long call_dup(struct thread *t, struct context *c);
long call_fcntl(struct thread *t, struct context *c);
long call_mmap(struct thread *t, struct context *c);
long call_fallocate(struct thread *t, struct context *c);
long call_userfaultfd(struct thread *t, struct context *c);
long call_access(struct thread *t, struct context *c);
long call_faccessat(struct thread *t, struct context *c);
long call_stat(struct thread *t, struct context *c);
long call_fstat(struct thread *t, struct context *c);
long call_newfstatat(struct thread *t, struct context *c);
long call_statx(struct thread *t, struct context *c);

/* ---- memory and the rest (misc.c) ---- */

int brk_init(struct program *p);
long call_brk(struct thread *t, struct context *c);
long call_arch_prctl(struct thread *t, struct context *c);
long call_prctl(struct thread *t, struct context *c);

/* ---- seccomp (seccomp.c) ---- */

/* CALL_PASS: go on; anything else: dealt with. */
long seccomp_check(struct thread *t, struct context *c, u32 arch);
/* What is installed, in a new memfd for seccomp_restore() after an exec. A descriptor or -errno. */
int seccomp_save(struct thread *t);
int seccomp_restore(struct thread *t, int fd);
long call_seccomp(struct thread *t, struct context *c);
long seccomp_prctl_set(struct thread *t, u64 mode, u64 program);
long seccomp_prctl_get(struct thread *t);

#endif
