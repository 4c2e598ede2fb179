/* SPDX-License-Identifier: MIT */
/*
 * A process in which guest user code (CPL 3, 64-bit) runs as it is.
 *
 * Its address space holds the guest pages that user code may access now, at the guest's linear addresses, and one region
 * of the cage's own. Whatever is not plain running is a stop: the caller gets the registers and a reason, with the
 * instruction not executed, and goes on from there. So code in a cage only ever completes instructions that do not fault.
 *
 * Code in a cage is taken to be hostile. It gets no system call, sees no memory but what was mapped for it, and cannot
 * say that it has stopped while it has not. But what a stop tells is data of the guest: code can jump into the region
 * and make a stop up, with any registers, any address and any error code. A caller that executes the instruction at
 * rip itself, with its own checks, loses nothing by that.
 *
 * Some instructions do not stop, and show or change the host's processor: CPUID, RDTSC, RDTSCP, XGETBV,
 * RDPID, RDRAND, those for the bases of FS and GS whatever CR4 says, LAR and its relatives, SGDT and its relatives
 * without UMIP, whatever extension the guest's CPUID hides; segment registers can be loaded with the host's selectors. DS, ES,
 * FS and GS are null when code is entered.
 * The kernel could make RDTSC stop, but would write CR4 at each switch to and from the cage for it. Where the host is a virtual machine
 * whose hypervisor wants to see that, a stop would take twice the time (18 us instead of 9 on such an AMD processor).
 *
 * Outer code. One thread at a time uses a cage, but for cage_kick(); it need not be the one that has created it. In a child that
 * the process has made by fork() a cage is lost: nothing there can answer for the parent. The child's copies of the
 * descriptors are open until it executes a program or ends; they keep no cage alive whose parent has ended.
 */
#ifndef CAGE_CAGE_H
#define CAGE_CAGE_H

#include <signal.h>

#include "base/types.h"

struct cage;

/*
 * MAP_SHARED memory of the calling process, page-aligned, that is mapped as long as the cage lives. Not under
 * userfaultfd: a cage would not wait for it. MADV_DONTFORK may be set.
 */
struct cage_ram {
	void *hva;
	u64 size;
};

/* gpr in the order of x86 encoding: rax rcx rdx rbx rsp rbp rsi rdi r8 ... r15. */
struct cage_regs {
	u64 gpr[16];
	u64 rip, rflags, fs_base, gs_base;
};

/* Whatever is accessible is readable. */
enum cage_access { CAGE_READ = 1, CAGE_WRITE = 2, CAGE_EXEC = 4 };

struct cage_page {
	u64 gva;
	const void *hva; /* in one of the ranges, if there is access */
	u32 access;      /* 0: what is there goes */
};

enum cage_stop {
	CAGE_FAULT, /* #PF at event->address, with the processor's error code */
	CAGE_TRAP, /* another exception, or SYSCALL or INT n: event->vector. rip is at the instruction */
	CAGE_BREAK,  /* in front of an instruction that cage_break() was told of */
	CAGE_KICKED, /* cage_kick(), or a signal to the caller that has interrupted its wait */
	CAGE_LOST /* The process is gone, or did what honest code cannot do. The registers are as they were at the
	              * last entry, the XSAVE image is not. The cage is of no more use, but for cage_destroy() */
};

/*
 * The vector of a system call. RCX and R11 are as after SYSCALL. INT 80H has its own vector, and the upper half of RAX is 0 then.
 * Vector 1 is the one trap here: an instruction has been executed with TF set, or ICEBP, and #DB is due before the one
 * at rip.
 */
#define CAGE_SYSCALL 256

struct cage_event {
	u64 address;
	u32 error;
	u32 vector;
};

/*
 * -EOPNOTSUPP: this host cannot (no FSGSBASE, no user notification of seccomp, a sandbox that forbids it, ...), or memory
 * is not MAP_SHARED or cannot be executed. Other -errno: not now.
 */
int cage_create(struct cage **ret, const struct cage_ram *ram, unsigned n);
void cage_destroy(struct cage *);
/* Can this host? Tried, because what it takes is in the hands of the processor, of the kernel, and of the sandbox. 0 or -errno. */
int cage_try(void);

/*
 * Pages that are there already are replaced. -EADDRINUSE: one lies in the cage's own region. -EINVAL: it is not page-aligned,
 * or of no range. Other -errno is the kernel's: -ENOMEM, too many pieces (vm.max_map_count) or beyond its
 * addresses; -EPERM, below vm.mmap_min_addr. Some of the pages may be mapped after an error.
 */
int cage_map(struct cage *, const struct cage_page *page, unsigned n);
int cage_unmap(struct cage *, u64 gva, u64 bytes);
/* The part of the address space that is the cage's own, and what of it code can read. */
void cage_own(const struct cage *, u64 *from, u64 *readable_to, u64 *to);
/* All guest pages and breakpoints go, and what the region tells of the last user's registers; the XSAVE image becomes that of RESET. */
int cage_clear(struct cage *);

/*
 * Code stops in front of the instruction at this address, whatever is there; 0: no longer. So what must not run as it is can stand in
 * a page of other code. -EOPNOTSUPP: this host, or its sandbox, does not let us; then it is as it was.
 */
#define CAGE_BREAKS 4u /* that the processor has */
int cage_break(struct cage *, unsigned i, u64 gva);

/*
 * The XSAVE image (standard format) that is loaded by the next cage_run(), and holds the state after it. Components of which the
 * bit in XSTATE_BV is clear are in their initial state, whatever is there. The address stays the same. NULL: a forked child.
 */
void *cage_xstate(struct cage *, u64 *size);

/* Of rflags the bits that user code can change go in and out; the others stay as they are. */
enum cage_stop cage_run(struct cage *, struct cage_regs *, struct cage_event *);
/*
 * Any thread, async-signal-safe: a cage_run() now or next returns soon. A signal to the caller that must end its cage_run()
 * needs a handler that does this: without, one that comes just before the wait begins is not noticed.
 */
void cage_kick(struct cage *);

/* The processor time that it has taken until now; 0: not known. */
u64 cage_cpu_ns(const struct cage *);

/*
 * The signal of cage_kick(), and the thread that it goes to: its process in the upper half, for tgkill(2). For those who can call no
 * function of C. As long as the cage is not destroyed the numbers are its own.
 */
#define CAGE_SIGNAL SIGUSR1
u64 cage_runner(const struct cage *);

#endif
