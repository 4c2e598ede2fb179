/* SPDX-License-Identifier: MIT */
/*
 * The end of a program's last thread is the end of its process, with the status that the kernel and the C library give it,
 * whatever threads the engine has. Each case is a child that makes two machines and ends in its way. With the argument "none" it
 * makes none: then this is how the system does it by itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_MS 10000

static int without_machine;
static int pipes[2];

static void machine(void)
{
	int kvm, vm;

	if (without_machine)
		return;
	kvm = open("/dev/kvm", O_RDWR);
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0 || ioctl(vm, KVM_CREATE_IRQCHIP, 0) || ioctl(vm, KVM_CREATE_VCPU, 0) < 0) {
		perror("machine");
		_exit(99);
	}
}

static void forbid_getppid(unsigned answer)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, answer),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {4, code};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		_exit(98);
}

/* ---- the ways to end ---- */

static void by_pthread_exit(void)
{
	pthread_exit(NULL);
}

static void by_system_call(void)
{
	syscall(SYS_exit, 7);
}

static void by_filter(void)
{
	forbid_getppid(SECCOMP_RET_KILL_THREAD);
	syscall(SYS_getppid);
}

static void tell(const char *text)
{
	(void)!write(pipes[1], text, strlen(text));
}

static void at_exit(void)
{
	tell("at exit");
}

/* The C library runs what is to be run at exit. */
static void by_pthread_exit_with_handler(void)
{
	atexit(at_exit);
	pthread_exit(NULL);
}

static void *stay(void *opaque)
{
	const struct timespec t = {0, 400000000};

	nanosleep(&t, NULL);
	tell("stayed");
	return opaque;
}

/* The first thread's end is not yet the end. */
static void by_second_thread(void)
{
	pthread_t t;

	pthread_create(&t, NULL, stay, NULL);
	pthread_exit(NULL);
}

static void *wait_for_ever(void *opaque)
{
	pause();
	return opaque;
}

static void by_sigterm(void)
{
	pthread_t t;

	pthread_create(&t, NULL, wait_for_ever, NULL);
	tell("ready");
	pthread_exit(NULL);
}

static const struct way {
	const char *name;
	void (*end)(void);
	int status; /* as of wait(2) */
	const char *told;
	int signal; /* to send when it has told */
} ways[] = {
	{"pthread_exit", by_pthread_exit, 0, "", 0},
	{"pthread_exit and a handler", by_pthread_exit_with_handler, 0, "at exit", 0},
	{"exit of the thread alone", by_system_call, 7 << 8, "", 0},
	{"a filter that kills the thread", by_filter, SIGSYS, "", 0},
	{"a second thread that stays", by_second_thread, 0, "stayed", 0},
	{"SIGTERM when the first is gone", by_sigterm, SIGTERM, "ready", SIGTERM},
};

/* -1: it never ended. */
static int wait_for(pid_t pid)
{
	const struct timespec t = {0, 10000000};
	int status;

	for (int ms = 0; ms < LIMIT_MS; ms += 10) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status & ~0x80; /* whether there was a core */
		nanosleep(&t, NULL);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

static void read_told(char *text, size_t n, int until_end)
{
	size_t done = 0;
	ssize_t r;

	do {
		r = read(pipes[0], text + done, n - 1 - done);
		done += r > 0 ? (size_t)r : 0;
	} while (r > 0 && until_end);
	text[done] = 0;
}

static int try(const struct way *w)
{
	char told[64];
	int status;
	pid_t pid;

	if (pipe(pipes))
		return 1;
	pid = fork();
	if (!pid) {
		close(pipes[0]);
		machine();
		machine();
		w->end();
		_exit(97);
	}
	close(pipes[1]);
	if (w->signal) {
		read_told(told, sizeof(told), 0);
		kill(pid, w->signal);
	}
	status = wait_for(pid);
	if (!w->signal)
		read_told(told, sizeof(told), 1);
	close(pipes[0]);
	if (status == w->status && !strcmp(told, w->told))
		return 0;
	printf("%s: status 0x%x, \"%s\", not 0x%x, \"%s\"\n", w->name, (unsigned)status, told,
		(unsigned)w->status, w->told);
	return 1;
}

int main(int argc, char **argv)
{
	int failed = 0;

	without_machine = argc > 1 && !strcmp(argv[1], "none");
	setvbuf(stdout, NULL, _IONBF, 0);
	for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		failed += try(&ways[i]);
	puts(failed ? "not ok" : "ok");
	return failed > 0;
}
