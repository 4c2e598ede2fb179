/* SPDX-License-Identifier: MIT */
/*
 * A program with handlers of its own for the signals of faults, in the two ways that libkvm(3) allows: installed before
 * the first VM, or after it and passing on what is not theirs. The guest divides by too little, which on the soft engine
 * is a SIGFPE of its own; the program touches a page that its handler has to open first.
 *
 * Signal actions are the process's, so each way has a process: cmocka has handlers as well.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm.h"

#define HANDLER 0x1800
#define RUNS    3

GUEST(divides_code, "xorw %ax, %ax\nmovw $1, %dx\nmovw $1, %cx\ndivw %cx\n");
GUEST(handler_code, "outb %al, $0x10\nhlt");

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
static struct sigaction engine[NSIG];
static u8 *page;
static volatile int opened;

static bool open_page(const siginfo_t *info)
{
	const u8 *at = info->si_addr;

	if (at < page || at >= page + PAGE_SIZE)
		return false;
	opened++;
	return !mprotect(page, PAGE_SIZE, PROT_READ | PROT_WRITE);
}

/* It is called for the program's own faults only. */
static void handler_before(int number, siginfo_t *info, void *context)
{
	if (number != SIGSEGV || !open_page(info))
		_exit(10);
}

static void handler_after(int number, siginfo_t *info, void *context)
{
	if (number == SIGSEGV && open_page(info))
		return;
	engine[number].sa_sigaction(number, info, context);
}

static void install(void (*handler)(int number, siginfo_t *info, void *context))
{
	const struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};

	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &action, &engine[signals[i]]);
}

static void touch_page(void)
{
	mprotect(page, PAGE_SIZE, PROT_NONE);
	*(volatile u8 *)page = 1;
}

/* In the child: what is wrong, as an exit status. */
static int check(bool before)
{
	struct vm vm;

	page = mmap(NULL, PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (before)
		install(handler_before);
	if (page == MAP_FAILED || vm_try_create(&vm, MEM) < 0)
		return 1;
	if (!before)
		install(handler_after);
	memcpy(vm.mem + CODE, divides_code, (size_t)(divides_code_end - divides_code));
	memcpy(vm.mem + HANDLER, handler_code, (size_t)(handler_code_end - handler_code));
	memcpy(vm.mem, (const u16[]){HANDLER, 0}, 4);
	for (int i = 1; i <= RUNS; i++) {
		vm_forget(&vm);
		if (vm_try_start(&vm, 0, CODE) < 0 || vm_run(&vm) != 7)
			return 2;
		if (strcmp(vm.trace, "outb:10=0 halt:0 "))
			return 3;
		touch_page();
		if (opened != i)
			return 4;
	}
	vm_destroy(&vm);
	touch_page(); /* the handlers stay, and so does their way on */
	return opened == RUNS + 1 ? 0 : 5;
}

static void forget_handlers(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
		signal(signals[i], SIG_DFL);
}

static void in_child(bool before)
{
	pid_t child = fork();
	int status;

	if (!child) {
		forget_handlers();
		_exit(check(before));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void installed_before(void **state)
{
	in_child(true);
}

static void installed_after(void **state)
{
	in_child(false);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(installed_before),
		cmocka_unit_test(installed_after),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
