/* SPDX-License-Identifier: MIT */
/*
 * Each hook that takes pointers, with NULL for them, by its name: `null HOOK`, or `null list`. It must not crash, and where it
 * is a system call, must fail as that does. The C library's headers promise the compiler that there is no NULL, so they
 * are not asked: functions are found by dlsym() in the order of the program's own calls.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef long function(long a, long b, long c, long d, long e, long f);

struct hook {
	const char *name;
	long raw; /* the system call, or -1: it only must come back */
	long a[6];
	int error; /* where there is none to compare with */
};

#define AT     AT_FDCWD
#define NOCALL (-1)

static const struct hook hooks[] = {
	{"open", SYS_open, {0}, 0},
	{"open64", SYS_open, {0}, 0},
	{"__open", SYS_open, {0}, 0},
	{"__open64", SYS_open, {0}, 0},
	{"__open_2", SYS_open, {0}, 0},
	{"__open64_2", SYS_open, {0}, 0},
	{"openat", SYS_openat, {AT}, 0},
	{"openat64", SYS_openat, {AT}, 0},
	{"__openat_2", SYS_openat, {AT}, 0},
	{"__openat64_2", SYS_openat, {AT}, 0},
	{"stat", SYS_stat, {0}, 0},
	{"stat64", SYS_stat, {0}, 0},
	{"lstat", SYS_lstat, {0}, 0},
	{"lstat64", SYS_lstat, {0}, 0},
	{"fstat", SYS_fstat, {0}, 0},
	{"fstat64", SYS_fstat, {0}, 0},
	{"fstatat", SYS_newfstatat, {AT}, 0},
	{"fstatat64", SYS_newfstatat, {AT}, 0},
	{"statx", SYS_statx, {AT}, 0},
	{"__xstat", NOCALL, {1}, EFAULT},
	{"__xstat64", NOCALL, {1}, EFAULT},
	{"__lxstat", NOCALL, {1}, EFAULT},
	{"__lxstat64", NOCALL, {1}, EFAULT},
	{"__fxstat", NOCALL, {1}, EFAULT},
	{"__fxstat64", NOCALL, {1}, EFAULT},
	{"__fxstatat", NOCALL, {1, AT}, EFAULT},
	{"__fxstatat64", NOCALL, {1, AT}, EFAULT},
	{"access", SYS_access, {0}, 0},
	{"euidaccess", SYS_access, {0}, 0},
	{"eaccess", SYS_access, {0}, 0},
	{"faccessat", SYS_faccessat, {AT}, 0},
	{"chroot", SYS_chroot, {0}, 0},
	{"execve", SYS_execve, {0}, 0},
	{"execv", SYS_execve, {0}, 0},
	{"execveat", SYS_execveat, {AT}, 0},
	{"prctl", SYS_prctl, {22, 2}, 0}, /* a filter that is nowhere */
	{"fexecve", NOCALL, {-1}, EINVAL},
	{NULL, 0, {0}, 0},
};

static long call(const struct hook *h)
{
	void *p = dlsym(RTLD_DEFAULT, h->name);
	function *f;

	memcpy(&f, &p, sizeof(f));
	errno = 0;
	return p ? (int)f(h->a[0], h->a[1], h->a[2], h->a[3], h->a[4], h->a[5]) : 0;
}

static int try(const struct hook *h)
{
	int expected = h->error;
	long r;

	if (h->raw >= 0) {
		/* By an instruction of its own: syscall() is a hook. */
		register long r10 __asm__("r10") = h->a[3], r8 __asm__("r8") = h->a[4];

		__asm__ volatile(
			"syscall"
			: "=a"(r)
			: "0"(h->raw), "D"(h->a[0]), "S"(h->a[1]), "d"(h->a[2]), "r"(r10), "r"(r8)
			: "rcx", "r11", "memory");
		expected = r < 0 ? (int)-r : 0;
	}
	r = call(h);
	if (!dlsym(RTLD_DEFAULT, h->name))
		return 0; /* this C library has no such function */
	if ((r == -1) == (expected != 0) && (!expected || errno == expected))
		return 0;
	printf("%s with NULL gives %ld, %s; the kernel says %s\n", h->name, r, strerror(errno),
		strerror(expected));
	return 1;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "list";

	for (const struct hook *h = hooks; h->name; h++)
		if (!strcmp(name, "list"))
			puts(h->name);
		else if (!strcmp(name, h->name))
			return try(h);
	return strcmp(name, "list") ? 2 : 0;
}
