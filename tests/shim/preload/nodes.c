/* SPDX-License-Identifier: MIT */
/* What a program finds in /dev without opening it by name: listings, and what /proc says of its descriptors. */
#include "tests/shim/preload/client.h"

#include <dirent.h>
#include <sys/syscall.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/* ---- listings: how often is a name in /dev? ---- */

static int by_readdir(DIR *dir, const char *name)
{
	const struct dirent *e;
	int n = 0;

	while ((e = readdir(dir)))
		n += !strcmp(e->d_name, name);
	return n;
}

static int by_readdir_r(DIR *dir, const char *name)
{
	struct dirent own, *e;
	int n = 0;

	while (!readdir_r(dir, &own, &e) && e)
		n += !strcmp(e->d_name, name);
	return n;
}

static const char *wanted;

static int is_wanted(const struct dirent *e)
{
	return !strcmp(e->d_name, wanted);
}

static int by_scandir(const char *folder, const char *name)
{
	struct dirent **list;
	int n;

	wanted = name;
	n = scandir(folder, &list, is_wanted, alphasort);
	CHECK(n >= 0);
	for (int i = 0; i < n; i++) {
		CHECK(!strcmp(list[i]->d_name, name));
		free(list[i]);
	}
	free(list);
	return n;
}

struct entry {
	unsigned long ino;
	long offset;
	unsigned short length;
	unsigned char type;
	char name[];
};

/* From the beginning on, in pieces of this size. */
static int by_getdents(int fd, size_t size, const char *name)
{
	char buffer[32768] __attribute__((aligned(8)));
	int count = 0;
	long n;

	CHECK(!lseek(fd, 0, SEEK_SET));
	while ((n = syscall(SYS_getdents64, fd, buffer, size)) > 0)
		for (long at = 0; at < n;) {
			const struct entry *e = (const void *)(buffer + at);

			count += !strcmp(e->name, name);
			at += e->length;
		}
	CHECK(!n);
	return count;
}

/* The program sees the node n times, by whatever it lists the folder with. */
static void check_listed(const char *folder, const char *name, int n)
{
	DIR *dir = opendir(folder);
	int fd = open(folder, O_RDONLY | O_DIRECTORY);

	CHECK(dir && fd >= 0);
	CHECK(by_readdir(dir, name) == n);
	CHECK(!readdir(dir));
	rewinddir(dir);
	CHECK(by_readdir_r(dir, name) == n);
	CHECK(!closedir(dir));
	CHECK(by_scandir(folder, name) == n);
	CHECK(by_getdents(fd, 32768, name) == n && by_getdents(fd, 1024, name) == n);
	CHECK(!lseek(fd, 0, SEEK_SET));
	CHECK_ERRNO(syscall(SYS_getdents64, fd, (void *)8, 4096), EFAULT);
	dir = fdopendir(fd);
	CHECK(dir && !lseek(fd, 0, SEEK_SET) && by_readdir(dir, name) == n);
	CHECK(!closedir(dir));
}

static void listings(void)
{
	DIR *dirs[40];

	check_listed("/dev", "kvm", 1);
	check_listed("/dev/../dev/.", "kvm", 1);
	check_listed("/dev", "null", 1);
	check_listed("/proc/self", "kvm", 0);
	check_listed("/proc/self", "status", 1);
	CHECK(!chdir("/dev"));
	check_listed(".", "kvm", 1);
	/* More at once than are remembered; closed in another order. */
	for (int i = 0; i < 40; i++)
		dirs[i] = opendir("/dev");
	CHECK(by_readdir(dirs[7], "kvm") == 1);
	for (int i = 39; i >= 0; i--)
		CHECK(!closedir(dirs[i]));
	check_listed("/dev", "kvm", 1);
}

/* ---- links ---- */

static void check_link(int fd, const char *expected)
{
	char path[64], number[16], link[64] = "", shorter[6] = "?????";
	int folder = open("/proc/self/fd", O_RDONLY | O_DIRECTORY);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	snprintf(number, sizeof(number), "%d", fd);
	CHECK(readlink(path, link, sizeof(link)) == (ssize_t)strlen(expected));
	CHECK(!strcmp(link, expected));
	memset(link, 0, sizeof(link));
	CHECK(readlinkat(folder, number, link, sizeof(link)) == (ssize_t)strlen(expected));
	CHECK(!strcmp(link, expected));
	memset(link, 0, sizeof(link));
	CHECK(syscall(SYS_readlink, path, link, sizeof(link)) == (long)strlen(expected));
	CHECK(!strcmp(link, expected));
	/* What the kernel gives to little room is no name of ours yet. */
	CHECK(readlink(path, shorter, sizeof(shorter)) == sizeof(shorter));
	close(folder);
}

static void links(void)
{
	char link[64] = "";
	struct guest g;
	int fd = open("/dev/null", O_RDONLY);

	guest_open(&g, false);
	check_link(g.sys, "/dev/kvm");
	check_link(g.vm, "anon_inode:kvm-vm");
	check_link(g.vcpu, "anon_inode:kvm-vcpu:0");
	check_link(fd, "/dev/null");
	CHECK(readlink("/proc/self/exe", link, sizeof(link) - 1) > 0 &&
		strstr(link, "shim-client"));
	guest_close(&g);
}

const struct client_case nodes_cases[] = {
	{"listings", listings},
	{"links", links},
	{NULL, NULL},
};
