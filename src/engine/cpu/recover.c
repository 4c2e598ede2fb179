/* SPDX-License-Identifier: MIT */
/* See recover.h. Outer code, but the handler itself runs between two instructions of anything. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <ucontext.h>

#include "engine/cpu/recover.h"

#include "engine/cpu/cache.h"
#include "engine/cpu/hostmem.h"
#include "engine/machine.h"
#include "engine/mem/access_raw.h"

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};

/* Process-wide by nature: what stood there before us, to pass on what is not ours. */
static struct sigaction previous[NSIG];
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int install_error;

static _Thread_local struct cpu *running;

static void pass_on(int signo, siginfo_t *info, void *context)
{
	const struct sigaction *sa = &previous[signo];

	if (sa->sa_flags & SA_SIGINFO) {
		sa->sa_sigaction(signo, info, context);
	} else if (sa->sa_handler == SIG_DFL || sa->sa_handler == SIG_IGN) {
		signal(signo,
			SIG_DFL); /* the instruction is restarted and the default action taken */
	} else {
		sa->sa_handler(signo);
	}
}

static void note_fault(struct cpu *cpu, int signo, const siginfo_t *info, u64 pc)
{
	cpu->host_fault.signo = signo;
	cpu->host_fault.code = info->si_code;
	cpu->host_fault.addr = (u64)info->si_addr;
	cpu->host_fault.pc = pc;
}

static void handler(int signo, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *regs = uc->uc_mcontext.gregs;
	struct cpu *cpu = running;
	u64 pc = (u64)regs[REG_RIP];

	if (cpu && cache_contains(cpu->machine->code, pc)) {
		note_fault(cpu, signo, info, pc);
		regs[REG_R10] = (greg_t)cpu->machine->code->fault;
		regs[REG_RIP] = (greg_t)code_leave;
		return;
	}
	if (guest_raw_fixup(&pc) || host_mem_fixup(&pc)) {
		regs[REG_RIP] = (greg_t)pc;
		return;
	}
	pass_on(signo, info, context);
}

static void install(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++) {
		struct sigaction sa = {
			.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

		sigemptyset(&sa.sa_mask);
		if (sigaction(signals[i], &sa, &previous[signals[i]]))
			install_error = -errno;
	}
}

int recover_install(void)
{
	pthread_once(&once, install);
	return install_error;
}

void recover_enter(struct cpu *cpu)
{
	running = cpu;
}
