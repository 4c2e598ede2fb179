/* SPDX-License-Identifier: MIT */
/* What a program finds in /dev without opening it by name: listings, and what /proc says of its descriptors. */
#include "tests/shim/preload/client.h"

#include <dirent.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

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

/* ---- nodes that are there, and nodes that are hidden ---- */

struct node {
	const char *name;
	unsigned minor;
};

static const struct node kvm = {"kvm", 232}, mshv = {"mshv", 244};

static void check_shown(const struct node *n)
{
	char path[32], link[32], shown[32] = "";
	struct open_how how = {.flags = O_RDWR};
	struct statx stx;
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "/dev/%s", n->name);
	CHECK(!stat(path, &st) && S_ISCHR(st.st_mode) && st.st_rdev == makedev(10, n->minor));
	CHECK((st.st_mode & 0777) == 0666);
	CHECK(!lstat(path, &st) && S_ISCHR(st.st_mode));
	CHECK(!statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &stx));
	CHECK(stx.stx_rdev_major == 10 && stx.stx_rdev_minor == n->minor);
	CHECK(!access(path, R_OK | W_OK) && !faccessat(AT_FDCWD, path, F_OK, 0));
	fd = open(path, O_RDWR);
	CHECK(fd >= 0 && fcntl(fd, F_GET_SEALS) > 0);
	CHECK(!fstat(fd, &st) && st.st_rdev == makedev(10, n->minor));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	CHECK(readlink(link, shown, sizeof(shown) - 1) > 0 && !strcmp(shown, path));
	CHECK(!close(fd));
	fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
	CHECK(fd >= 0 && !close(fd));
	fd = open(path, O_PATH);
	CHECK(fd >= 0 && !close(fd));
	check_listed("/dev", n->name, 1);
}

static void check_hidden(const struct node *n)
{
	char path[32];
	struct open_how how = {.flags = O_RDWR};
	struct statx stx;
	struct stat st;

	snprintf(path, sizeof(path), "/dev/%s", n->name);
	CHECK_ERRNO(stat(path, &st), ENOENT);
	CHECK_ERRNO(lstat(path, &st), ENOENT);
	CHECK_ERRNO(statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &stx), ENOENT);
	CHECK_ERRNO(syscall(SYS_newfstatat, AT_FDCWD, path, &st, 0), ENOENT);
	CHECK_ERRNO(access(path, F_OK), ENOENT);
	CHECK_ERRNO(faccessat(AT_FDCWD, path, R_OK, 0), ENOENT);
	CHECK_ERRNO(open(path, O_RDWR), ENOENT);
	CHECK_ERRNO(open(path, O_RDONLY | O_CLOEXEC), ENOENT);
	CHECK_ERRNO(open(path, O_PATH), ENOENT);
	CHECK_ERRNO(openat(AT_FDCWD, path, O_RDWR), ENOENT);
	CHECK_ERRNO(syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how)), ENOENT);
	CHECK(!fopen(path, "r") && errno == ENOENT);
	check_listed("/dev", n->name, 0);
}

/* By links, "..", and the folder's descriptor. */
static void check_other_names(const struct node *n, bool shown)
{
	char dir[] = "/tmp/shim-nodes-XXXXXX", link[64], other[64];
	int dev = open("/dev", O_RDONLY | O_DIRECTORY), fd;
	struct stat st;

	CHECK(mkdtemp(dir));
	snprintf(link, sizeof(link), "%s/link", dir);
	snprintf(other, sizeof(other), "/dev/../dev/./%s", n->name);
	CHECK(!symlink(other, link));
	for (unsigned i = 0; i < 3; i++) {
		fd = i == 0   ? open(link, O_RDWR)
		     : i == 1 ? open(other, O_RDWR)
			      : openat(dev, n->name, O_RDWR);
		CHECK(shown ? fd >= 0 && fcntl(fd, F_GET_SEALS) > 0 : fd < 0 && errno == ENOENT);
		close(fd);
	}
	CHECK((stat(other, &st) == 0) == shown && (access(other, F_OK) == 0) == shown);
	CHECK((fstatat(dev, n->name, &st, 0) == 0) == shown);
	/* A link to what is hidden leads nowhere, even if the machine has it. */
	CHECK(shown || (stat(link, &st) == -1 && access(link, F_OK) == -1));
	CHECK(!lstat(link, &st) && S_ISLNK(st.st_mode));
	CHECK(!unlink(link) && !rmdir(dir) && !close(dev));
}

static void check_nodes(bool has_kvm, bool has_mshv)
{
	has_kvm ? check_shown(&kvm) : check_hidden(&kvm);
	has_mshv ? check_shown(&mshv) : check_hidden(&mshv);
	check_other_names(&kvm, has_kvm);
	check_other_names(&mshv, has_mshv);
}

static void nodes_both(void)
{
	check_nodes(true, true);
}

static void nodes_kvm(void)
{
	check_nodes(true, false);
}

static void nodes_mshv(void)
{
	check_nodes(false, true);
}

/* The choice outlives an environment that is cleared, here and in what is executed. */
static void nodes_executed(void)
{
	char *argv[] = {(char *)client_path, "nodes-mshv", NULL}, *none[] = {NULL};

	clearenv();
	check_nodes(false, true);
	execve(client_path, argv, none);
	CHECK(false);
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
	{"nodes-both", nodes_both},
	{"nodes-kvm", nodes_kvm},
	{"nodes-mshv", nodes_mshv},
	{"nodes-executed", nodes_executed},
	{"links", links},
	{NULL, NULL},
};
