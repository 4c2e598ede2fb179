/* SPDX-License-Identifier: MIT */
/*
 * libkvm.so as a plugin: loaded while threads run, used, closed and loaded again. What it leaves in the process after
 * dlclose() must go on working: the program's own handler of SIGSEGV is called through the engine's.
 *
 * usage: libkvm-dlopen-test LIBKVM.SO
 */
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "libkvm.h"

enum { CODE = 0x1000, MEMORY = 1 << 20, HALTED = 7 };

static const char *library;
static sigjmp_buf back;
static struct kvm_callbacks callbacks;

static int failed(const char *what)
{
	fprintf(stderr, "%s\n", what);
	return 1;
}

static void *symbol(void *lib, const char *name)
{
	void *p = dlsym(lib, name);

	if (!p)
		fprintf(stderr, "%s\n", dlerror());
	return p;
}

#define CALL(lib, name) ((__typeof__(&name))symbol(lib, #name))

static int halted(void *opaque, int vcpu)
{
	return HALTED;
}

/* A HLT at CODE; the result of kvm_run. */
static int run_guest(void *lib, kvm_context_t kvm)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs = {.rip = CODE, .rflags = 2};
	void *memory = NULL;

	CALL(lib, kvm_disable_irqchip_creation)(kvm);
	if (CALL(lib, kvm_create)(kvm, MEMORY, &memory) < 0)
		return -1;
	memcpy((char *)memory + CODE, "\xf4", 1);
	if (CALL(lib, kvm_get_sregs)(kvm, 0, &sregs) < 0)
		return -1;
	sregs.cs.base = sregs.cs.selector = 0;
	if (CALL(lib, kvm_set_sregs)(kvm, 0, &sregs) < 0 ||
		CALL(lib, kvm_set_regs)(kvm, 0, &regs) < 0)
		return -1;
	return CALL(lib, kvm_run)(kvm, 0, NULL);
}

static int use(void)
{
	void *lib = dlopen(library, RTLD_NOW | RTLD_LOCAL);
	kvm_context_t kvm;
	int r;

	if (!lib)
		return failed(dlerror());
	kvm = CALL(lib, uv_kvm_init)(&callbacks, NULL, "soft", NULL, NULL);
	if (!kvm)
		return failed("uv_kvm_init");
	r = run_guest(lib, kvm);
	CALL(lib, kvm_finalize)(kvm);
	if (r != HALTED)
		return failed("the guest did not halt");
	return dlclose(lib) ? failed(dlerror()) : 0;
}

static void *use_in_thread(void *unused)
{
	return use() ? "failed" : NULL;
}

static void on_fault(int signo)
{
	siglongjmp(back, 1);
}

/* The program's handler takes it, or it ends the program. */
static void fault(volatile char *nowhere)
{
	if (!sigsetjmp(back, 1))
		*nowhere = 0;
}

int main(int argc, char **argv)
{
	const struct sigaction own = {.sa_handler = on_fault};
	pthread_t thread;
	void *r = NULL;

	if (argc != 2)
		return failed("usage: libkvm-dlopen-test LIBKVM.SO");
	library = argv[1];
	callbacks.halt = halted;
	sigaction(SIGSEGV, &own, NULL);
	for (int i = 0; i < 2; i++) {
		if (pthread_create(&thread, NULL, use_in_thread, NULL) ||
			pthread_join(thread, &r) || r)
			return failed("in a thread");
		fault(NULL);
	}
	if (use())
		return 1;
	fault(NULL);
	return 0;
}
