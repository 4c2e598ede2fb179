/* SPDX-License-Identifier: MIT */
/*
 * A filter stays in force over execve() and for each thread, or the call fails: whatever is missing that its keeping takes. Natively
 * the kernel keeps it, so that there every program runs in its sandbox; under us it may be refused instead.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "static.h"

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

extern char **environ;

/* How a child ends. */
enum { SHUT_IN = 45, REFUSED, ESCAPED, FAKE };

static struct sock_filter no_pgrp[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgrp, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};

static char *again[] = {"again", "is-shut-in", NULL};

static void shut_in(unsigned flags)
{
	struct sock_fprog p = {.len = 4, .filter = no_pgrp};

	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p));
}

static int is_shut_in(void)
{
	return prctl(PR_GET_SECCOMP) == 2 && syscall(SYS_getpgrp) == -1 && errno == 77;
}

static int status_of(pid_t pid)
{
	int status;

	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* After an exec that has come back. The filter is still there. */
static void refused(int error)
{
	CHECK(errno == error || errno == EPERM || errno == E2BIG);
	CHECK(is_shut_in());
	_exit(REFUSED);
}

static void fails_closed(int status, const char *what)
{
	if (status != SHUT_IN && status != REFUSED)
		fprintf(stderr, "%s: status %d\n", what, status);
	CHECK(status == SHUT_IN || status == REFUSED);
}

/* This program once more, as a file of its own. */
static void copy_program(const char *to, mode_t mode)
{
	static char buffer[65536];
	int in = open("/proc/self/exe", O_RDONLY),
	    out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0700);
	ssize_t n;

	CHECK(in >= 0 && out >= 0);
	while ((n = read(in, buffer, sizeof(buffer))) > 0)
		CHECK(write(out, buffer, (size_t)n) == n);
	CHECK(!n && !fchmod(out, mode) && !close(out) && !close(in));
}

/* ---- faults that are none ---- */

static volatile unsigned long sent;

static void on_sent(int signo)
{
	sent++;
}

static void send_faults(pid_t to)
{
	for (int i = 0; i < 4000; i++) {
		kill(to, i & 1 ? SIGSEGV : SIGBUS);
		usleep(20);
	}
	_exit(0);
}

/* Sent by kill(), a fault says nothing of what we copy at that moment: a long filter with an end that is none, and frames. */
static void sent_faults(void)
{
	static struct sock_filter code[4096];
	struct sock_fprog p = {.len = 4096, .filter = code};
	const pid_t self = getpid();
	pid_t pid;
	int status;

	CHECK(signal(SIGSEGV, on_sent) != SIG_ERR && signal(SIGBUS, on_sent) != SIG_ERR);
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	pid = fork();
	if (!pid)
		send_faults(self);
	do
		CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p) == -1 && errno == EINVAL);
	while (!waitpid(pid, &status, WNOHANG));
	CHECK(!status && sent);
}

/* ---- threads of one's own ---- */

/* A child of vfork() has one thread, whoever's memory it works in. */
static void tsync_vfork(void)
{
	pid_t pid = vfork();

	if (!pid) {
		shut_in(SECCOMP_FILTER_FLAG_TSYNC);
		_exit(is_shut_in() ? SHUT_IN : ESCAPED);
	}
	CHECK(status_of(pid) == SHUT_IN);
	CHECK(!is_shut_in());
}

/* ---- what is no execution ---- */

#define EXECVE_CHECK 0x10000 /* AT_EXECVE_CHECK, Linux 6.14 */

static void check_execution(int flags)
{
	int file = open("/proc/self/exe", O_RDONLY);

	CHECK(!syscall(SYS_execveat, file, "", again, environ, flags | AT_EMPTY_PATH) ||
		errno == EINVAL);
	CHECK(!syscall(SYS_execveat, AT_FDCWD, "/proc/self/exe", again, environ, flags) ||
		errno == EINVAL);
	close(file);
}

static void only_checked(void)
{
	check_execution(EXECVE_CHECK);
	shut_in(0);
	check_execution(EXECVE_CHECK);
	check_execution(0x800000);
	CHECK(is_shut_in());
}

/* ---- files that can be executed, but not read ---- */

static void exec_by(int way, const char *folder, const char *path)
{
	int at = open(folder, O_PATH), file = open(path, O_PATH);

	CHECK(at >= 0 && file >= 0);
	switch (way) {
	case 0: execve(path, again, environ); break;
	case 1: syscall(SYS_execveat, AT_FDCWD, path, again, environ, 0); break;
	case 2: syscall(SYS_execveat, at, "program", again, environ, 0); break;
	case 3: syscall(SYS_execveat, at, "program", again, environ, AT_SYMLINK_NOFOLLOW); break;
	case 4: syscall(SYS_execveat, file, "", again, environ, AT_EMPTY_PATH); break;
	}
}

static void unreadable(void)
{
	char folder[] = "/tmp/shut-in-XXXXXX", path[64];

	CHECK(mkdtemp(folder) && !chmod(folder, 0755));
	snprintf(path, sizeof(path), "%s/program", folder);
	copy_program(path, 0111);
	for (int way = 0; way < 5; way++) {
		pid_t pid = fork();

		if (!pid) {
			if (!geteuid()) /* root reads everything */
				CHECK(!syscall(SYS_setresgid, 65534, 65534, 65534) &&
					!syscall(SYS_setresuid, 65534, 65534, 65534));
			shut_in(0);
			exec_by(way, folder, path);
			refused(EACCES);
		}
		fails_closed(status_of(pid), path);
	}
	CHECK(!unlink(path) && !rmdir(folder));
}

/* ---- what is missing ---- */

/* A list that is too long for what malloc() has left. */
static void no_memory(void)
{
	static char *many[100001];
	const struct rlimit none = {0, 0};
	pid_t pid = fork();

	if (!pid) {
		for (int i = 0; i < 100000; i++)
			many[i] = i ? "" : "again";
		many[1] = again[1];
		shut_in(0);
		CHECK(!setrlimit(RLIMIT_AS, &none));
		execve("/proc/self/exe", many, environ);
		refused(ENOMEM);
	}
	/* Natively the kernel finds no room for the program, and kills. */
	pid = status_of(pid);
	if (pid != -SIGSEGV && pid != -SIGKILL)
		fails_closed(pid, "no memory");
}

static void no_descriptors(void)
{
	for (rlim_t limit = 0; limit < 12; limit++) {
		const struct rlimit few = {limit, limit};
		pid_t pid = fork();

		if (!pid) {
			shut_in(0);
			CHECK(!setrlimit(RLIMIT_NOFILE, &few));
			execve("/proc/self/exe", again, environ);
			refused(EMFILE);
		}
		fails_closed(status_of(pid), "no descriptors");
	}
}

/* The filter's file may not become longer than this. */
static void no_files(void)
{
	const struct rlimit none = {0, 0};
	pid_t pid = fork();
	int status;

	if (!pid) {
		signal(SIGXFSZ, SIG_IGN);
		shut_in(0);
		CHECK(!setrlimit(RLIMIT_FSIZE, &none));
		execve("/proc/self/exe", again, environ);
		refused(EFBIG);
	}
	status = status_of(pid);
	if (status != -SIGXFSZ)
		fails_closed(status, "no files");
}

static void bad_lists(void)
{
	/* Volatile: the compiler must not know what they point to. */
	char *volatile bad = (char *)8;
	char *bad_string[] = {bad, NULL}, **nowhere = (char **)bad;
	int before, after;

	shut_in(0);
	before = dup(0);
	close(before);
	CHECK(execve("/proc/self/exe", nowhere, environ) == -1 && errno == EFAULT);
	CHECK(execve("/proc/self/exe", again, nowhere) == -1 && errno == EFAULT);
	CHECK(execve("/proc/self/exe", bad_string, environ) == -1 && errno == EFAULT);
	CHECK(execve("/proc/self/exe", again, bad_string) == -1 && errno == EFAULT);
	CHECK(execve(bad, again, environ) == -1 && errno == EFAULT);
	CHECK(syscall(SYS_execveat, 0, (char *)8, again, environ, 0) == -1 && errno == EFAULT);
	CHECK(syscall(SYS_execveat, 0, "", again, environ, 0) == -1 && errno == ENOENT);
	CHECK(syscall(SYS_execveat, -1, "", again, environ, AT_EMPTY_PATH) == -1 &&
		(errno == EBADF || errno == ENOENT));
	after = dup(0);
	CHECK(after == before); /* nothing was left open */
	CHECK(is_shut_in());
}

/* ---- a jail whose files are not to be trusted ---- */

/* Where few descriptors are allowed, what we execute must not be looked for by a name in the jail. */
static void jail(void)
{
	char folder[] = "/tmp/shut-in-XXXXXX", path[64];
	const struct rlimit few = {40, 40};
	static const char *const folders[] = {"/proc/self", "/proc", ""};
	pid_t pid;

	if (geteuid()) {
		puts("skipped: a chroot is root's");
		return;
	}
	CHECK(mkdtemp(folder) && !chmod(folder, 0755));
	for (int i = 1; i >= 0; i--) {
		snprintf(path, sizeof(path), "%s%s", folder, folders[i]);
		CHECK(!mkdir(path, 0755));
	}
	snprintf(path, sizeof(path), "%s/proc/self/exe", folder);
	copy_program(path, 0755);
	snprintf(path, sizeof(path), "%s/program", folder);
	copy_program(path, 0755);
	pid = fork();
	if (!pid) {
		CHECK(!setrlimit(RLIMIT_NOFILE, &few) && !chroot(folder) && !chdir("/"));
		shut_in(0);
		execve("/program", again, environ);
		refused(EMFILE);
	}
	fails_closed(status_of(pid), "jail");
	CHECK(!unlink(path));
	snprintf(path, sizeof(path), "%s/proc/self/exe", folder);
	CHECK(!unlink(path));
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s%s", folder, folders[i]);
		CHECK(!rmdir(path));
	}
}

/* ---- TSYNC while a thread is being born ---- */

#define NEWBORN                                                                                    \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |        \
		CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

static volatile long newborn_result = 1;
static volatile int newborn_lives = 1;

/* It shares its parent's thread-local storage, and so makes system calls only. */
static int newborn(void *opaque)
{
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "0"(SYS_getpgrp) : "rcx", "r11", "memory");
	newborn_result = r;
	__asm__ volatile("syscall" : : "a"(SYS_exit), "D"(0) : "rcx", "r11", "memory");
	return 0;
}

/* Its number is to be written where nothing is yet: until then it is not complete. */
static void *in_between(void *opaque)
{
	struct uffd_msg m;
	int fd = *(int *)opaque;
	struct uffdio_zeropage zero = {.range.len = 4096};

	CHECK(read(fd, &m, sizeof(m)) == sizeof(m) && m.event == UFFD_EVENT_PAGEFAULT);
	shut_in(SECCOMP_FILTER_FLAG_TSYNC);
	zero.range.start = m.arg.pagefault.address & ~4095ull;
	CHECK(!ioctl(fd, UFFDIO_ZEROPAGE, &zero));
	return NULL;
}

/* Natively the kernel writes the number, and a fault of its own is not for a handler of this kind: nothing waits. */
static void tsync_birth(void)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register r = {
		.range = {(uintptr_t)page, 4096}, .mode = UFFDIO_REGISTER_MODE_MISSING};
	static char stack[65536];
	pthread_t t;
	int fd;

	if (!getenv("STATIC_UNDER_US")) {
		puts("skipped: native");
		return;
	}
	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (fd < 0) {
		puts("skipped: no userfaultfd");
		return;
	}
	CHECK(page != MAP_FAILED && !ioctl(fd, UFFDIO_API, &api) &&
		!ioctl(fd, UFFDIO_REGISTER, &r));
	CHECK(!pthread_create(&t, NULL, in_between, &fd));
	CHECK(clone(newborn, stack + sizeof(stack) - 64, NEWBORN, NULL, page, NULL,
		      &newborn_lives) > 0);
	CHECK(!pthread_join(t, NULL));
	while (newborn_lives)
		sched_yield();
	CHECK(newborn_result == -77);
	CHECK(is_shut_in());
}

static const struct scenario scenarios[] = {
	{"sent_faults", sent_faults},
	{"only_checked", only_checked},
	{"tsync_vfork", tsync_vfork},
	{"unreadable", unreadable},
	{"no_memory", no_memory},
	{"no_descriptors", no_descriptors},
	{"no_files", no_files},
	{"bad_lists", bad_lists},
	{"jail", jail},
	{"tsync_birth", tsync_birth},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	if (!strcmp(argv[0], "uservisor"))
		_exit(FAKE);
	if (argc >= 2 && !strcmp(argv[1], again[1]))
		_exit(is_shut_in() ? SHUT_IN : ESCAPED);
	return run_scenario(scenarios, argc, argv);
}
