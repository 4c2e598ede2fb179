/* SPDX-License-Identifier: MIT */
/*
 * A case on the bare host, in this process: memory is mapped at the same addresses as in the guest, a
 * signal that the instructions raise becomes the outcome. System calls that a sequence may contain by accident are
 * refused by the kernel (PR_SET_SYSCALL_USER_DISPATCH, where there is one).
 *
 * One thread only. What the context page and signal actions hold belongs to the process, hence the
 * static variables.
 */
#include <asm/ldt.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/hostcpu.h"
#include "engine/core/xsave.h"
#include "engine/cpuid/cpuid.h"
#include "insn/diff.h"

struct host_context {
	u8 in, selector, fsgsbase;
	u64 host_rsp, host_fs, host_gs;
	u32 rip_low;
	u32 rip_high; /* selector of the far pointer */
	u64 target, land, signal_fs, signal_gs;
	u16 segments[5];
	u16 unused[23];
	struct regs regs;
};
_Static_assert(offsetof(struct host_context, fsgsbase) == HC_FSGSBASE, "layout.h");
_Static_assert(offsetof(struct host_context, host_rsp) == HC_HOST_RSP, "layout.h");
_Static_assert(offsetof(struct host_context, rip_low) == HC_RIP, "layout.h");
_Static_assert(offsetof(struct host_context, target) == HC_TARGET, "layout.h");
_Static_assert(offsetof(struct host_context, land) == HC_LAND, "layout.h");
_Static_assert(offsetof(struct host_context, signal_gs) == HC_SIGNAL_GS, "layout.h");
_Static_assert(offsetof(struct host_context, segments) == HC_SEGMENTS, "layout.h");
_Static_assert(offsetof(struct host_context, regs) == HC_REGS, "layout.h");
_Static_assert(offsetof(struct regs, gs_base) == R_GS, "layout.h");
_Static_assert(offsetof(struct regs, xsave) == R_XSAVE, "layout.h");

/* host_enter.S */
int host_enter(void);
extern const char host_go[], host_go32[], host_go_low[], host_land[], host_unwind[];
void host_signal(int signo, siginfo_t *info, void *context);
void host_signal_other(int signo, siginfo_t *info, void *context);
int host_signal_inside(int signo, siginfo_t *info, void *context);

static const int signals[] = {
	SIGSEGV,
	SIGBUS,
	SIGFPE,
	SIGILL,
	SIGTRAP,
	SIGSYS,
	SIGALRM,
};
static struct sigaction previous[NSIG];
static u8 signal_stack[64 << 10];
static struct outcome *outcome;
static u64 runs, runs_at_alarm;
static void (*kick)(void *opaque);
static void *kick_opaque;
static bool amd;
static struct xstate_place xstate;

static struct host_context *context(void)
{
	return (struct host_context *)L_CONTEXT;
}

static void take_vectors(struct regs *r, const void *fpregs)
{
	u64 bv;

	if (!fpregs)
		return;
	memcpy(r->xsave, fpregs, xsave_size(&xstate, xstate.features));
	memcpy(&bv, r->xsave + 512, 8);
	bv &= XSTATE_ALL;
	memcpy(r->xsave + 512, &bv, 8);
}

static void take_registers(struct regs *r, const greg_t *g)
{
	static const u8 order[GPR_COUNT] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
		REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14,
		REG_R15};

	for (unsigned i = 0; i < GPR_COUNT; i++)
		r->gpr[i] = g[order[i]];
	r->rip = g[REG_RIP];
	r->rflags = g[REG_EFL];
}

/* Returns whether the sequence is over. */
int host_signal_inside(int signo, siginfo_t *info, void *where)
{
	ucontext_t *uc = where;
	greg_t *g = uc->uc_mcontext.gregs;
	struct host_context *hc = context();

	if (signo == SIGALRM) {
		bool same = runs == runs_at_alarm;

		runs_at_alarm = runs;
		if (!same)
			return 0;
	}
	take_registers(&hc->regs, g);
	take_vectors(&hc->regs, uc->uc_mcontext.fpregs);
	hc->regs.fs_base = hc->signal_fs;
	hc->regs.gs_base = hc->signal_gs;
	outcome->end = signo == SIGALRM ? END_STUCK : signo == SIGSYS ? END_ODD : END_FAULT;
	outcome->vector = g[REG_TRAPNO];
	if (outcome->vector == X86_BP)
		hc->regs.rip--; /* the guest's leaves before it is delivered */
	outcome->error = g[REG_ERR];
	outcome->cr2 = g[REG_CR2];
	g[REG_RIP] = (greg_t)host_unwind;
	g[REG_RSP] = (greg_t)hc->host_rsp;
	g[REG_RAX] = 1;
	g[REG_EFL] = FL_FIXED | FL_IF;
	g[REG_CSGSFS] = SEL_USER_CODE | (greg_t)SEL_USER_DATA
						<< 48; /* the others are not restored */
	return 1;
}

void host_signal_other(int signo, siginfo_t *info, void *where)
{
	const struct sigaction *sa = &previous[signo];

	if (signo == SIGALRM) {
		if (runs == runs_at_alarm && kick)
			kick(kick_opaque);
		runs_at_alarm = runs;
	} else if (sa->sa_flags & SA_SIGINFO) {
		sa->sa_sigaction(signo, info, where);
	} else {
		signal(signo, SIG_DFL);
	}
}

static void write_landing(void)
{
	u8 *land = (u8 *)(u64)L_LAND, *land32 = (u8 *)(u64)L_LAND32;
	u32 pointer = L_CONTEXT + HC_LAND, target = L_LAND;

	memset(land, 0xcc, PAGE_SIZE);
	memcpy(land, "\xff\x24\x25", 3); /* jmp [host_land] */
	memcpy(land + 3, &pointer, 4);
	land32[0] = 0xea; /* jmp far, into 64-bit code */
	memcpy(land32 + 1, &target, 4);
	land32[5] = SEL_USER_CODE;
	land32[6] = 0;
}

static bool map_fixed(u64 addr, int prot)
{
	return mmap((void *)addr, PAGE_SIZE, prot,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == (void *)addr;
}

static void install(void)
{
	stack_t ss = {.ss_sp = signal_stack, .ss_size = sizeof(signal_stack)};

	sigaltstack(&ss, NULL);
	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++) {
		struct sigaction sa = {.sa_sigaction = host_signal,
			.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART};

		sigemptyset(&sa.sa_mask);
		sigaction(signals[i], &sa, &previous[signals[i]]);
	}
}

bool host_open(void)
{
	struct itimerval every = {.it_interval.tv_usec = 200000, .it_value.tv_usec = 200000};

	if (!map_fixed(L_CONTEXT, PROT_READ | PROT_WRITE) ||
		!map_fixed(L_LAND, PROT_READ | PROT_WRITE)) {
		printf("insn: cannot map the host's pages: %s\n", strerror(errno));
		return false;
	}
	write_landing();
	mprotect((void *)L_LAND, PAGE_SIZE, PROT_READ | PROT_EXEC);
	context()->land = (u64)host_land;
	amd = host_cpu_is_amd();
	xstate = xstate_of_host();
	context()->fsgsbase = host_fsgsbase();
	install();
	host_probe();
	setitimer(ITIMER_REAL, &every, NULL);
#ifdef PR_SET_SYSCALL_USER_DISPATCH
	prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &context()->selector);
#endif
	return true;
}

void host_close(void)
{
	struct itimerval never = {0};

#ifdef PR_SET_SYSCALL_USER_DISPATCH
	prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
#endif
	setitimer(ITIMER_REAL, &never, NULL);
	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &previous[signals[i]], NULL);
	munmap((void *)L_CONTEXT, PAGE_SIZE);
	munmap((void *)L_LAND, PAGE_SIZE);
}

const struct xstate_place *host_xstate(void)
{
	return &xstate;
}

bool host_is_amd(void)
{
	return amd;
}

void host_watch(void (*new_kick)(void *opaque), void *opaque)
{
	runs++;
	kick = new_kick;
	kick_opaque = opaque;
}

/* ---- segments, in the LDT ---- */

bool host_set_segment(unsigned entry, const struct seg_state *s)
{
	bool code = s->attr & 8;
	struct user_desc d = {.entry_number = entry,
		.base_addr = s->base,
		.limit = s->attr & SEG_G ? s->limit >> 12 : s->limit,
		.seg_32bit = (s->attr & SEG_DB) != 0,
		.contents = code ? 2 : s->attr >> 2 & 1,
		.read_exec_only = !(s->attr & 2),
		.limit_in_pages = (s->attr & SEG_G) != 0};

	return syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)) == 0;
}

static void aim(struct host_context *hc, const struct insn_case *c)
{
	static const u8 order[] = {SEG_ES, SEG_SS, SEG_DS, SEG_FS, SEG_GS};
	bool low = c->kind != KIND_FLAT;

	hc->rip_low = (u32)c->start.rip;
	hc->rip_high = low ? c->seg[SEG_CS].selector : c->mode == 4 ? SEL_USER_CODE32 : 0;
	hc->target = (u64)(low ? host_go_low : c->mode == 4 ? host_go32 : host_go);
	for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
		hc->segments[i] = low ? c->seg[order[i]].selector : 0;
}

void host_run(const struct insn_case *c, struct outcome *ret)
{
	struct host_context *hc = context();

	runs++;
	outcome = ret;
	hc->regs = c->start;
	aim(hc, c);
	if (!host_enter()) {
		ret->end = END_DONE;
		hc->regs.rip = c->mode == 4 ? L_LAND32 : L_LAND;
	}
	ret->regs = hc->regs;
	if (c->kind != KIND_FLAT && ret->vector == X86_BP && ret->regs.rip == case_end(c))
		ret->end = END_DONE, ret->vector = 0;
}
