/* SPDX-License-Identifier: MIT */
/*
 * Each hook with pointers to where nothing is, one at a time and of all kinds. It prints what came of each: a result and its error, a
 * crash, or what the program ended with. bad.py compares that with what it is natively: the kernel says EFAULT, or the C
 * library itself crashes. `bad ours` are calls whose native answer depends on the machine's own /dev/kvm.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

typedef long function(long a, long b, long c, long d, long e, long f);

#define BAD   0x7bad0000l /* the pointer in question */
#define AT    AT_FDCWD
#define P(x)  ((long)(x))
#define ROOM  P(room)
#define ARGV  P(argv)
#define ENVP  P(envp)
#define LISTS P(list_with)

static char room[4096];
static char *argv[] = {"sh", "-c", "exit 5", NULL}, *envp[] = {"A=b", "PATH=/bin:/usr/bin", NULL};
static char *list_with[] = {"A=b", (char *)BAD, NULL};
static int pid;

struct call {
	const char *name;
	long a[6];
};

static const struct call calls[] = {
	{"open", {BAD, O_RDONLY}},
	{"open", {BAD, O_RDWR | O_CREAT, 0600}},
	{"open", {BAD, O_RDONLY | O_PATH}},
	{"open", {BAD, O_RDWR | O_TMPFILE, 0600}},
	{"open64", {BAD, O_RDWR}},
	{"__open_2", {BAD, O_RDONLY}},
	{"openat", {AT, BAD, O_RDONLY}},
	{"openat", {-1, BAD, O_RDONLY}},
	{"openat", {AT, BAD, O_RDWR | O_CREAT, 0600}},
	{"__openat_2", {AT, BAD, O_RDONLY}},
	{"fopen", {BAD, P("r")}},
	{"fopen", {BAD, P("r+")}},
	{"fopen", {BAD, P("w")}},
	{"fopen", {P("/dev/null"), BAD}},
	{"stat", {BAD, ROOM}},
	{"stat", {P("/dev/null"), BAD}},
	{"stat", {P("/nowhere"), BAD}},
	{"stat", {BAD, BAD}},
	{"lstat", {BAD, ROOM}},
	{"fstat", {0, BAD}},
	{"fstatat", {AT, BAD, ROOM, 0}},
	{"fstatat", {AT, BAD, ROOM, 0xffff}},
	{"fstatat", {-1, BAD, ROOM, 0}},
	{"fstatat", {0, BAD, ROOM, AT_EMPTY_PATH}},
	{"fstatat", {0, P(""), BAD, AT_EMPTY_PATH}},
	{"statx", {AT, BAD, 0, 0x7ff, ROOM}},
	{"statx", {AT, BAD, 0xffff, 0x7ff, ROOM}},
	{"statx", {0, BAD, AT_EMPTY_PATH, 0x7ff, ROOM}},
	{"statx", {AT, P("/dev/null"), 0, 0x7ff, BAD}},
	{"__xstat", {1, BAD, ROOM}},
	{"__lxstat", {1, BAD, ROOM}},
	{"__fxstat", {1, 0, BAD}},
	{"__fxstatat", {1, AT, BAD, ROOM, 0}},
	{"opendir", {BAD}},
	{"fdopendir", {-1}},
	{"closedir", {BAD}},
	{"rewinddir", {BAD}},
	{"readdir", {BAD}},
	{"readdir_r", {BAD, ROOM, ROOM}},
	{"getdents64", {0, BAD, 4096}},
	{"scandir", {BAD, ROOM, 0, 0}},
	{"scandir", {P("/dev"), BAD, 0, 0}},
	{"scandir", {P("/proc"), BAD, 0, 0}},
	{"scandirat", {AT, BAD, ROOM, 0, 0}},
	{"read", {0, BAD, 64}},
	{"read", {-1, BAD, 64}},
	{"__read_chk", {0, BAD, 64, 64}},
	{"readv", {0, BAD, 2}},
	{"readv", {0, ROOM, -1}},
	{"readlink", {BAD, ROOM, 64}},
	{"readlink", {P("/proc/self"), BAD, 64}},
	{"readlink", {BAD, BAD, 64}},
	{"readlinkat", {AT, BAD, ROOM, 64}},
	{"__readlink_chk", {BAD, ROOM, 64, 64}},
	{"__readlinkat_chk", {AT, BAD, ROOM, 64, 64}},
	{"access", {BAD, 0}},
	{"access", {BAD, 77}},
	{"euidaccess", {BAD, 0}},
	{"eaccess", {BAD, 4}},
	{"faccessat", {AT, BAD, 0, 0}},
	{"faccessat", {AT, BAD, 0, 0xffff}},
	{"chroot", {BAD}},
	{"execve", {BAD, ARGV, ENVP}},
	{"execve", {P("/bin/sh"), BAD, ENVP}},
	{"execve", {P("/bin/sh"), ARGV, BAD}},
	{"execve", {P("/bin/sh"), LISTS, ENVP}},
	{"execve", {P("/bin/sh"), ARGV, LISTS}},
	{"execve", {P("/proc/self/exe"), ARGV, LISTS}},
	{"execv", {BAD, ARGV}},
	{"execv", {P("/bin/sh"), BAD}},
	{"execvp", {BAD, ARGV}},
	{"execvp", {P("sh"), BAD}},
	{"execvp", {P("sh"), LISTS}},
	{"execvpe", {P("sh"), ARGV, BAD}},
	{"execvpe", {P("sh"), ARGV, LISTS}},
	{"execveat", {AT, BAD, ARGV, ENVP, 0}},
	{"execveat", {AT, P("/bin/sh"), BAD, ENVP, 0}},
	{"execveat", {AT, P("/bin/sh"), ARGV, LISTS, 0}},
	{"execveat", {0, BAD, ARGV, ENVP, AT_EMPTY_PATH}},
	{"fexecve", {0, BAD, ENVP}},
	{"fexecve", {0, ARGV, BAD}},
	{"fexecve", {0, ARGV, LISTS}},
	{"execl", {P("/bin/sh"), BAD, 0}},
	{"execl", {BAD, P("sh"), 0}},
	{"execle", {P("/bin/sh"), P("sh"), 0, BAD}},
	{"execlp", {P("sh"), BAD, 0}},
	{"execlp", {BAD, P("sh"), 0}},
	{"posix_spawn", {P(&pid), BAD, 0, 0, ARGV, ENVP}},
	{"posix_spawn", {P(&pid), P("/bin/sh"), 0, 0, BAD, ENVP}},
	{"posix_spawn", {P(&pid), P("/bin/sh"), 0, 0, LISTS, ENVP}},
	{"posix_spawn", {P(&pid), P("/bin/sh"), 0, 0, ARGV, BAD}},
	{"posix_spawn", {P(&pid), P("/bin/sh"), 0, 0, ARGV, LISTS}},
	{"posix_spawnp", {P(&pid), P("sh"), 0, 0, BAD, ENVP}},
	{"posix_spawnp", {P(&pid), P("sh"), 0, 0, ARGV, LISTS}},
	{"posix_spawnp", {P(&pid), BAD, 0, 0, ARGV, ENVP}},
	{"system", {BAD}},
	{"popen", {BAD, P("r")}},
	{"popen", {P("true"), BAD}},
	{"sigaction", {SIGUSR1, BAD, 0}},
	{"sigaction", {SIGUSR1, 0, BAD}},
	{"sigaction", {SIGSEGV, 0, BAD}},
	{"__sigaction", {SIGUSR1, BAD, 0}},
	{"signal", {SIGUSR1, BAD}},
	{"bsd_signal", {SIGUSR1, BAD}},
	{"ssignal", {SIGUSR1, BAD}},
	{"sysv_signal", {SIGUSR1, BAD}},
	{"__sysv_signal", {SIGUSR1, BAD}},
	{"sigset", {SIGUSR1, BAD}},
	{"sigprocmask", {SIG_BLOCK, BAD, 0}},
	{"sigprocmask", {SIG_BLOCK, 0, BAD}},
	{"pthread_sigmask", {SIG_BLOCK, BAD, 0}},
	{"pthread_sigmask", {SIG_BLOCK, 0, BAD}},
	{"prctl", {PR_SET_SECCOMP, SECCOMP_MODE_FILTER, BAD}},
	{"prctl", {PR_GET_NAME, BAD}},
	{"ioctl", {0, FIONREAD, BAD}},
	{"ioctl", {0, KVM_GET_API_VERSION, BAD}},
	{"ioctl", {0, KVM_GET_MSRS, BAD}},
	{"ioctl", {-1, KVM_GET_MSRS, BAD}},
	{"fcntl", {0, F_GETLK, BAD}},
	{"fcntl64", {0, F_SETLK, BAD}},
	{"mmap", {BAD, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}},
	{"madvise", {BAD, 8u << 20, MADV_DONTFORK}},
	{"madvise", {BAD & ~4095, 8u << 20, MADV_DONTFORK}},
	{"madvise", {BAD & ~4095, -4096, MADV_DONTFORK}},
	{"madvise", {BAD & ~4095, -1, MADV_DONTNEED}},
	{"madvise", {BAD & ~4095, 4096, MADV_FREE}},
	{"munmap", {BAD | 1, 4096}},
	{"munmap", {BAD & ~4095, -1}},
	{"mprotect", {BAD & ~4095, 4096, PROT_READ}},
	{"mprotect", {BAD & ~4095, -4096, PROT_READ}},
	{"pkey_mprotect", {BAD & ~4095, 4096, PROT_READ, -1}},
	{"mremap", {BAD & ~4095, 4096, 8192, MREMAP_MAYMOVE}},
	{"mremap", {BAD & ~4095, -1, -1, MREMAP_MAYMOVE}},
	{"syscall", {SYS_madvise, BAD & ~4095, -4096, MADV_DONTFORK}},
	{"syscall", {SYS_mremap, BAD & ~4095, 4096, 8192, MREMAP_MAYMOVE}},
	{"syscall", {SYS_mmap, BAD, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1}},
	{"syscall", {SYS_open, BAD, O_RDONLY}},
	{"syscall", {SYS_openat, AT, BAD, O_RDONLY}},
	{"syscall", {SYS_openat2, AT, BAD, ROOM, sizeof(struct open_how)}},
	{"syscall", {SYS_openat2, AT, P("/dev/null"), BAD, sizeof(struct open_how)}},
	{"syscall", {SYS_stat, BAD, ROOM}},
	{"syscall", {SYS_newfstatat, AT, BAD, ROOM, 0}},
	{"syscall", {SYS_statx, AT, BAD, 0, 0x7ff, ROOM}},
	{"syscall", {SYS_read, 0, BAD, 64}},
	{"syscall", {SYS_readv, 0, BAD, 2}},
	{"syscall", {SYS_getdents64, 0, BAD, 4096}},
	{"syscall", {SYS_readlink, BAD, ROOM, 64}},
	{"syscall", {SYS_readlink, P("/proc/self"), BAD, 64}},
	{"syscall", {SYS_readlinkat, AT, BAD, ROOM, 64}},
	{"syscall", {SYS_access, BAD, 0}},
	{"syscall", {SYS_faccessat, AT, BAD, 0}},
	{"syscall", {439, AT, BAD, 0, 0}}, /* faccessat2 */
	{"syscall", {SYS_rt_sigaction, SIGUSR1, BAD, 0, 8}},
	{"syscall", {SYS_rt_sigaction, SIGUSR1, 0, BAD, 8}},
	{"syscall", {SYS_rt_sigaction, SIGSEGV, 0, BAD, 8}},
	{"syscall", {SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, BAD}},
	{"syscall", {SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, BAD}},
	{"syscall", {SYS_execve, BAD, ARGV, ENVP}},
	{"syscall", {SYS_execve, P("/bin/sh"), BAD, ENVP}},
	{"syscall", {SYS_execveat, AT, BAD, ARGV, ENVP, 0}},
	{"syscall", {SYS_arch_prctl, 0x1003, BAD}}, /* ARCH_GET_FS */
	{"syscall", {SYS_chroot, BAD}},
	{NULL, {0}},
};

static const struct call ours[] = {
	{"stat", {P("/dev/kvm"), BAD}},
	{"lstat", {P("/dev/kvm"), BAD}},
	{"fstatat", {AT, P("/dev/kvm"), BAD, 0}},
	{"statx", {AT, P("/dev/kvm"), 0, 0x7ff, BAD}},
	{"stat", {P("/sys/module/kvm/parameters/halt_poll_ns"), BAD}},
	{"fstat", {-2, BAD}},
	{"statx", {-2, P(""), AT_EMPTY_PATH, 0x7ff, BAD}},
	{"ioctl", {-2, KVM_GET_MSR_INDEX_LIST, BAD}},
	{"ioctl", {-2, KVM_GET_SUPPORTED_CPUID, BAD}},
	{"ioctl", {-2, KVM_GET_MSRS, BAD}},
	{NULL, {0}},
};

/* What is no pointer to anything, and a text that has no end before the page's. */
static long kinds[] = {
	0, 8, 0, 0, P(0xffff800000000000u), 0x0123456789abcdef, P(0xffffffffff600000u)};
static const char *const kind_names[] = {
	"NULL", "8", "hole", "no end", "kernel's", "not canonical", "vsyscall"};

static void make_kinds(void)
{
	char *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (two == MAP_FAILED || munmap(two + 4096, 4096))
		exit(2);
	memset(two, 'x', 4096);
	kinds[2] = P(two + 4096);
	kinds[3] = P(two + 4096 - 5);
}

/* Which pointer, or which descriptor, is nobody's business. */
static void answer(FILE *out, const char *name, long r)
{
	if ((int)r == -1)
		fprintf(out, "-1, error %d\n", errno);
	else if (!strncmp(name, "posix_spawn", 11))
		fprintf(out, "error %d\n", (int)r);
	else
		fprintf(out, "%s\n", r ? "something" : "0");
}

/* The call's own output is not looked at. */
static void call(const struct call *c, long bad, int kvm, FILE *out)
{
	void *p = dlsym(RTLD_DEFAULT, c->name);
	long a[6], r;
	function *f;

	if (!p) {
		fprintf(out, "not in this C library\n");
		return;
	}
	memcpy(&f, &p, sizeof(f));
	for (int i = 0; i < 6; i++)
		a[i] = c->a[i] == BAD ? bad : c->a[i] == -2 ? kvm : c->a[i];
	list_with[1] = (char *)bad;
	errno = 0;
	r = f(a[0], a[1], a[2], a[3], a[4], a[5]);
	answer(out, c->name, r);
}

static void try(const struct call *c, int kind, int kvm)
{
	int out[2], status;
	char text[256] = "";
	pid_t child;
	FILE *f;

	if (pipe2(out, O_CLOEXEC))
		exit(2);
	child = fork();
	if (!child) {
		const int null = open("/dev/null", O_WRONLY);

		dup2(null, 1);
		dup2(null, 2);
		f = fdopen(out[1], "w");
		setvbuf(f, NULL, _IONBF, 0);
		alarm(20);
		call(c, kinds[kind], kvm, f);
		_exit(0);
	}
	close(out[1]);
	if (read(out[0], text, sizeof(text) - 1) < 0 || waitpid(child, &status, 0) != child)
		exit(2);
	close(out[0]);
	printf("%s(%lx %lx %lx) with %s: ", c->name, c->a[0] < 65536 ? c->a[0] : 0x99,
		c->a[1] < 65536 ? c->a[1] : 0x99, c->a[2] < 65536 ? c->a[2] : 0x99,
		kind_names[kind]);
	if (WIFSIGNALED(status))
		printf("signal %d\n", WTERMSIG(status));
	else if (text[0])
		printf("%s", text);
	else
		printf("ends with %d\n", WEXITSTATUS(status));
}

int main(int argc, char **args)
{
	const int is_ours = argc > 1 && !strcmp(args[1], "ours");
	const int kvm = is_ours ? open("/dev/kvm", O_RDWR) : -1;

	if (!strcmp(args[0], argv[0])) /* a call has executed this program */
		return 5;
	setvbuf(stdout, NULL, _IONBF, 0);
	make_kinds();
	for (const struct call *c = is_ours ? ours : calls; c->name; c++)
		for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
			try(c, (int)k, kvm);
	return 0;
}
