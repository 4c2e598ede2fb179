/* SPDX-License-Identifier: MIT */
/* See recover.h. Outer code, but the handler itself runs between two instructions of anything. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <ucontext.h>

#include "engine/host/recover.h"

#include "base/cpuidtrap.h"
#include "base/hold.h"
#include "base/actions.h"
#include "base/sys.h"
#include "engine/host/hostmem.h"
#include "engine/core/machine.h"
#include "engine/host/raw.h"
#include "engine/host/enter.h"

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};

/* Process-wide by nature. */
static actions_changer changer; /* of the following */
static _Atomic bool installed;

/* What the process wants done with what is not ours. Handlers read it, which cannot wait for a lock. */
static struct action_record chained[NSIG];

/* A handler that the kernel calls instead of ours, and that knows of us; or NULL. */
static const void *_Atomic before_ours;

static _Thread_local struct cpu *served; /* while this thread is in its vcpu_run() */

/* Calling away: see recover.h. The signal is one of those whose handlers are ours anyway. */
#define CALL SIGILL
static _Thread_local int thread_id;
static _Thread_local bool called;

static bool in_generated_code(const struct cpu *cpu, u64 pc)
{
	const struct code_area *area = &cpu->machine->code_area;

	return pc - area->start < area->bytes;
}

/* In the guest's code, or in inner code for it; NULL: not now. */
static struct cpu *running(void)
{
	return served && served->away.inner ? served : NULL;
}

/* ---- the process's own actions ---- */

static void chained_set(int signo, const struct sys_sigaction *a)
{
	action_record(&chained[signo], a);
}

static struct sys_sigaction chained_get(int signo)
{
	return action_recorded(&chained[signo], &changer);
}

static bool handled(int signo)
{
	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
		if (signals[i] == signo)
			return true;
	return false;
}

static void exchange_action(int signo, const struct sys_sigaction *set, struct sys_sigaction *get)
{
	const struct sys_sigaction old = chained[signo].action;

	if (set)
		chained_set(signo, set);
	if (get)
		*get = old;
}

/* No handler of the program runs meanwhile: it might do the same. */
int host_sigaction(int signo, const struct sys_sigaction *set, struct sys_sigaction *get)
{
	const u64 all = SIG_ASYNC;
	u64 mask;
	int r = 0;

	sys_sigprocmask(SIG_SETMASK, &all, &mask);
	actions_begin_change(&changer);
	if (installed && handled(signo))
		exchange_action(signo, set, get);
	else
		r = sys_sigaction(signo, set, get) ? -errno : 0;
	actions_end_change(&changer);
	sys_sigprocmask(SIG_SETMASK, &mask, NULL);
	return r;
}

/* An instruction raised it, not kill(): ignoring it is no way on. */
static bool raised_here(const siginfo_t *info)
{
	return info->si_code > 0;
}

/*
 * Has the instruction at pc raised it? Not if it was sent, nor if memory has failed that nobody is about to use
 * (sigaction(2), "BUS_MCEERR_AO"): then pc is anywhere, and the instruction may be half done.
 */
static bool is_fault(int signo, const siginfo_t *info)
{
	return raised_here(info) && !(signo == SIGBUS && info->si_code == BUS_MCEERR_AO);
}

/* The default action, as if we had never been there: a fault is raised again by its instruction. */
static void die(int signo, const siginfo_t *info)
{
	const struct sys_sigaction dfl = {0};

	sys_sigaction(signo, &dfl, NULL);
	if (!raised_here(info))
		sys_tgkill(sys_getpid(), sys_gettid(), signo);
}

/* What the kernel does: the mask is the handler's, and the interrupted one comes back after it. */
static void call_handler(int signo, siginfo_t *info, void *context, const struct sys_sigaction *a)
{
	struct sys_sigaction reset = *a;
	u64 mask = a->mask | (a->flags & SA_NODEFER ? 0 : BIT64(signo - 1));

	reset.handler = SIG_DFL;
	if (a->flags & SA_RESETHAND)
		chained_set(signo, &reset);
	sys_sigprocmask(SIG_BLOCK, &mask, NULL);
	((void (*)(int, siginfo_t *, void *))a->handler)(signo, info, context);
}

static void pass_on(int signo, siginfo_t *info, void *context)
{
	const struct sys_sigaction a = chained_get(signo);

	if (a.handler == SIG_IGN && !raised_here(info))
		return;
	if (a.handler == SIG_DFL || a.handler == SIG_IGN)
		die(signo, info);
	else
		call_handler(signo, info, context, &a);
}

/* Structures; what is longer is faster in one go. */
static bool is_wide(size_t n)
{
	return n && n <= 512 && !(n % 64);
}

int host_copy(void *to, const void *from, size_t n)
{
	int r;

	if (unlikely(!atomic_load_explicit(&installed, memory_order_acquire)))
		return -ENOSYS;
	r = is_wide(n) ? guest_copy_wide(to, from, n) : guest_copy(to, from, n);
	return r ? -EFAULT : 0;
}

/* ---- ours ---- */

static void note_fault(struct cpu *cpu, int signo, const siginfo_t *info, u64 pc)
{
	cpu->host_fault.signo = signo;
	cpu->host_fault.code = info->si_code;
	cpu->host_fault.addr = (u64)info->si_addr;
	cpu->host_fault.pc = pc;
}

static void leave_code(struct cpu *cpu, greg_t *regs)
{
	regs[REG_R10] = (greg_t)cpu->machine->code_area.fault;
	regs[REG_RIP] = (greg_t)code_leave;
}

/*
 * Is the instruction at pc, ours or one that we made, an access to guest RAM? What else they access is in struct
 * cpu, which rsp points to, on the stack, or next to the code.
 */
static bool accesses_guest(u64 pc)
{
	struct insn in;

	if (insn_decode(&in, (const u8 *)pc, INSN_MAX, 8) != INSN_OK)
		return false;
	if (insn_class(&in) & OC_STRING)
		return true;
	return in.is_mem && in.desc->mem != MEM_NONE && in.desc->mem != MEM_ADDR &&
	       in.base != REG_NONE && in.base != BASE_RIP && in.base != RSP;
}

/* Nothing may be half done: neither the instruction, nor the copy. */
static bool at_first_access(const struct cpu *cpu, u64 pc, const greg_t *regs)
{
	if (cpu->away.has_stored || !accesses_guest(pc))
		return false;
	return guest_raw_at_start(pc, (u64)regs[REG_RCX], (u64)regs[REG_RDX]) ||
	       host_mem_at_access(pc);
}

static void call_away(struct cpu *cpu, greg_t *regs)
{
	u64 pc = (u64)regs[REG_RIP];

	if (in_generated_code(cpu, pc) ? !accesses_guest(pc) : !at_first_access(cpu, pc, regs))
		return;
	cpu->away.left = true;
	if (guest_raw_fixup(&pc) || host_mem_fixup(&pc)) {
		regs[REG_RIP] = (greg_t)pc;
		return;
	}
	cpu->host_fault = (struct host_fault){.pc = pc};
	leave_code(cpu, regs);
}

static bool take_call(void)
{
	return __atomic_exchange_n(&called, false, __ATOMIC_SEQ_CST);
}

static void handler(int signo, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *regs = uc->uc_mcontext.gregs;
	struct cpu *cpu = running();
	u64 pc = (u64)regs[REG_RIP];

	if (signo == CALL && !raised_here(info) && host_take_call(context))
		return;
	if (unlikely(!is_fault(signo, info))) {
		pass_on(signo, info, context);
		if (served)
			cpu_request(served, REQ_KICK); /* as any signal ends KVM_RUN */
		return;
	}
	if (cpu && in_generated_code(cpu, pc)) {
		note_fault(cpu, signo, info, pc);
		leave_code(cpu, regs);
		return;
	}
	if (guest_raw_fixup(&pc) || host_mem_fixup(&pc)) {
		regs[REG_RIP] = (greg_t)pc;
		return;
	}
	if (!cpuid_answer(signo, info->si_code, (u64 *)regs))
		pass_on(signo, info, context);
}

static int install(int signo)
{
	/* The process's handlers may ask for the other stack; ours does not mind where it runs. */
	const struct sys_sigaction sa = {
		.handler = handler, .flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
	struct sys_sigaction old;

	if (sys_sigaction(signo, NULL, &old))
		return -errno;
	chained_set(signo, &old);
	return sys_sigaction(signo, &sa, NULL) ? -errno : 0;
}

int recover_install(void)
{
	int r = 0;

	if (installed)
		return 0;
	actions_begin_change(&changer);
	for (unsigned i = 0; !installed && !r && i < ARRAY_SIZE(signals); i++)
		r = install(signals[i]);
	installed = installed || !r;
	actions_end_change(&changer);
	return r;
}

int host_handle_faults(void)
{
	return recover_install();
}

void recover_enter(struct cpu *cpu)
{
	cpu->away.left = cpu->away.has_stored = false;
	cpu->away.inner = true;
}

void recover_leave(struct cpu *cpu)
{
	cpu->away.inner = false;
}

struct cpu *recover_thread(struct cpu *cpu)
{
	struct cpu *before = served;

	served = cpu;
	if (unlikely(!thread_id))
		thread_id = sys_gettid();
	__atomic_store_n(&cpu->away.thread, thread_id, __ATOMIC_RELAXED);
	__atomic_store_n(&cpu->away.called, &called, __ATOMIC_RELAXED);
	return before;
}

void recover_thread_end(struct cpu *before)
{
	served = before;
}

void host_handlers_behind(const void *entry)
{
	atomic_store(&before_ours, entry);
}

bool host_take_call(void *context)
{
	struct cpu *cpu = running();

	if (!take_call())
		return false;
	if (cpu)
		call_away(cpu, ((ucontext_t *)context)->uc_mcontext.gregs);
	return true;
}

void host_interrupted(void *context)
{
	struct cpu *cpu = running();

	if (cpu)
		call_away(cpu, ((ucontext_t *)context)->uc_mcontext.gregs);
}

/* One signal for each time that called is set, or the handler would take one for the program's. */
void recover_call_away(struct cpu *cpu)
{
	int thread = __atomic_load_n(&cpu->away.thread, __ATOMIC_RELAXED);
	bool *flag = __atomic_load_n(&cpu->away.called, __ATOMIC_RELAXED);
	struct sys_sigaction a;

	if (sys_sigaction(CALL, NULL, &a) ||
		(a.handler != (void *)handler && a.handler != atomic_load(&before_ours)))
		return; /* the program has taken it: it would not understand */
	if (__atomic_exchange_n(flag, true, __ATOMIC_SEQ_CST))
		return; /* it is on its way */
	if (sys_tgkill(sys_getpid(), thread, CALL))
		__atomic_store_n(flag, false, __ATOMIC_SEQ_CST);
}
