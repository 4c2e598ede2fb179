/* SPDX-License-Identifier: MIT */
/*
 * What the files of the cage share.
 *
 * Three threads are in the process: the runner, which executes guest code; the mapper, which changes the address space; and
 * the watcher, which ends the process when the parent has ended. Runner and mapper wait in the kernel, in a system call that a
 * filter of seccomp hands to the parent. So the kernel says where a thread waits, and nothing that guest code does can
 * look the same from anywhere else.
 */
#ifndef CAGE_CAGE_PRIV_H
#define CAGE_CAGE_PRIV_H

#include <linux/filter.h>
#include <stdatomic.h>

#include "base/sys.h"
#include "cage/cage.h"
#include "cage/layout.h"

/* ---- what is in the region ---- */

extern const char cage_stub[], cage_stub_end[], cage_stub_runner[], cage_stub_handler[],
	cage_stub_parked[], cage_stub_returned[], cage_stub_mapper[], cage_stub_mapper_parked[],
	cage_stub_mapped[], cage_stub_watcher[], cage_stub_watched[];

/* Where a label of the stub is in the cage. */
static inline u64 stub_at(const char *label)
{
	return CAGE_AREA + CAGE_CODE + (u64)(label - cage_stub);
}

struct cage_control {
	u64 fs_base, gs_base;
	u64 rsp;
	u64 rflags;
	u8 dispatch; /* 1: system calls from outside the code page are signals */
};
_Static_assert(offsetof(struct cage_control, fs_base) == CONTROL_FS_BASE &&
		       offsetof(struct cage_control, gs_base) == CONTROL_GS_BASE &&
		       offsetof(struct cage_control, rsp) == CONTROL_RSP &&
		       offsetof(struct cage_control, rflags) == CONTROL_RFLAGS,
	"as the stub has it");

struct cage_command {
	u64 nr, args[6], unused;
};
_Static_assert(sizeof(struct cage_command) == CAGE_COMMAND_SIZE, "as the stub has it");
#define CAGE_COMMANDS_MAX (CAGE_COMMANDS_SIZE / CAGE_COMMAND_SIZE)

/* From the threads while they are born: 0 not yet, -errno, or 1. The listeners' numbers are one more than they are. */
struct birth_report {
	_Atomic int runner, mapper, watcher;
	int runner_listener, mapper_listener;
	int runner_tid, mapper_tid;
};
_Static_assert(offsetof(struct birth_report, watcher) == REPORT_WATCHER, "as the stub has it");

/* The kernel's struct ucontext with its struct sigcontext (uapi/asm/sigcontext.h): the ABI of signal handlers. */
struct kernel_frame {
	u64 flags, link;
	u64 stack, stack_flags, stack_size;
	u64 r8, r9, r10, r11, r12, r13, r14, r15;
	u64 rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp;
	u64 rip, rflags;
	u16 cs, gs, fs, ss;
	u64 error, trapno, oldmask, cr2;
	u64 fpstate;
	u64 reserved[8];
	u64 sigmask;
};
_Static_assert(offsetof(struct kernel_frame, rip) == FRAME_RIP &&
		       offsetof(struct kernel_frame, trapno) == FRAME_TRAPNO &&
		       sizeof(struct kernel_frame) == 304,
	"as the stub and the kernel have it");

/* ---- filters ---- */

/* From <linux/seccomp.h>, which old headers have in part. */
struct notice {
	u64 id;
	u32 pid, flags;
	int nr;
	u32 arch;
	u64 ip;
	u64 args[6];
};
_Static_assert(sizeof(struct notice) == 80, "struct seccomp_notif");

#define FILTER_MAX 48
struct bpf_filter {
	struct sock_fprog prog;
	struct sock_filter insn[FILTER_MAX];
};

/* The one that makes the listener lets all else through, so that a thread can close its descriptors before the other. */
struct filters {
	struct bpf_filter runner_listener, runner, mapper_listener, mapper, watcher;
};
void filters_make(struct filters *f, u64 key);

/* ---- birth: what the child needs of its parent's memory ---- */

#define BIRTH_STACK 8192
struct cage_birth {
	struct filters filters;
	u8 *region;
	int parent; /* pidfd */
	u8 stacks[3][BIRTH_STACK] __attribute__((aligned(64)));
};

/* In the child, which shares the parent's descriptors, with all signals blocked. */
_Noreturn void birth_child(struct cage_birth *b);

/* ---- the cage, in the parent ---- */

/* A thread that waits, and the notification by which. */
struct seat {
	int listener;
	u64 id;
};

/* A piece of the memory: of one mapping of the parent, as the kernel wants it. */
struct cage_piece {
	u8 *hva;
	u64 size;
	u64 at; /* in the cage */
	bool dontfork;
};

/*
 * In memory of its own that the kernel wipes in a forked child: alive is false there.
 */
struct cage {
	_Atomic bool alive;
	bool same_cpu; /* the kernel wakes threads on the waker's processor */
	int pid, runner_tid, mapper_tid;
	u32 cpu; /* that the process was moved to, if not same_cpu */
	struct seat runner, mapper;
	u64 key;
	u8 *region;
	u64 bytes; /* of this structure's memory */
	u64 end;   /* of the cage's own area */

	int breaks[CAGE_BREAKS]; /* descriptors of events; 0: not opened yet */

	/* What the runner's stops look like, as seen when no guest code had run. */
	u64 frame_at, info_at;
	struct kernel_frame first;
	u32 xstate_size;
	u8 software[48]; /* of the XSAVE image: struct _fpx_sw_bytes */
	u32 mxcsr_mask;

	unsigned pieces;
	struct cage_piece piece[];
};

static inline struct kernel_frame *cage_frame(const struct cage *c)
{
	return (struct kernel_frame *)(c->region + (c->frame_at - CAGE_AREA));
}

static inline u8 *cage_image(const struct cage *c)
{
	return c->region + (c->first.fpstate - CAGE_AREA);
}

static inline struct cage_control *cage_control(const struct cage *c)
{
	return (struct cage_control *)(c->region + CAGE_CONTROL);
}

/* In the area that is the cage's own. */
static inline bool cage_owns(const struct cage *c, u64 gva)
{
	return gva >= CAGE_AREA && gva < c->end;
}

/* The process ends at once. Returns CAGE_LOST. */
enum cage_stop cage_lost(struct cage *c);

/* seat.c: 0; -ENOENT, the thread has been interrupted and will wait again; other -errno, it is lost. */
int seat_answer(const struct seat *s, u64 value);
/* 0; -EINTR; other -errno, the thread is lost. */
int seat_wait(struct seat *s, struct notice *ret);
/* Threads are to be woken on the processor that wakes them. */
int seat_wake_here(const struct seat *s);

/* map.c: carries out the first n commands. */
struct cage_command *mapper_commands(const struct cage *c);
int mapper_do(struct cage *c, unsigned n, unsigned *ret_done);
int mapper_begin(struct cage *c);
/* The memory is put into the area, and all that was inherited goes. */
int mapper_settle(struct cage *c);

/* breaks.c */
int breaks_clear(struct cage *c);
void breaks_close(struct cage *c);

/* run.c: waits for the first stop, and learns from it. */
int runner_begin(struct cage *c);
void runner_scrub(struct cage *c);

#endif
