/* SPDX-License-Identifier: MIT */
/* Every way to open /dev/kvm, and to ask about it first. */
#include "tests/shim/preload/client.h"

#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);

static void check_and_close(int fd)
{
	check_ours(fd);
	CHECK(!close(fd));
	CHECK_ERRNO(fcntl(fd, F_GETFD), EBADF);
}

static void open_functions(void)
{
	check_and_close(open("/dev/kvm", O_RDWR));
	check_and_close(open("/dev/kvm", O_RDONLY));
	check_and_close(open("/dev/kvm", O_RDWR | O_CREAT, 0600));
	check_and_close(open64("/dev/kvm", O_RDWR));
	check_and_close(openat(AT_FDCWD, "/dev/kvm", O_RDWR));
	check_and_close(openat64(AT_FDCWD, "/dev/kvm", O_RDWR));
	check_and_close(__open_2("/dev/kvm", O_RDWR));
	check_and_close(__open64_2("/dev/kvm", O_RDWR));
	check_and_close(__openat_2(AT_FDCWD, "/dev/kvm", O_RDWR));
	check_and_close(__openat64_2(AT_FDCWD, "/dev/kvm", O_RDWR));
	check_and_close((int)syscall(SYS_open, "/dev/kvm", O_RDWR));
	check_and_close((int)syscall(SYS_openat, AT_FDCWD, "/dev/kvm", O_RDWR));
}

static void open_flags(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	check_and_close(fd);
	fd = open("/dev/kvm", O_RDWR);
	CHECK(fcntl(fd, F_GETFD) == 0);
	check_and_close(fd);
	CHECK_ERRNO(open("/dev/kvm", O_RDWR | O_DIRECTORY), ENOTDIR);
	CHECK_ERRNO(open("/dev/kvm", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
	/* Other files are as they were. */
	CHECK_ERRNO(open("/dev/kvm/x", O_RDONLY), errno == ENOENT ? ENOENT : ENOTDIR);
	CHECK_ERRNO(open("/nosuch/kvm", O_RDWR), ENOENT);
	fd = open("/dev/null", O_RDWR);
	CHECK(fd >= 0 && ioctl(fd, KVM_GET_API_VERSION, 0) == -1 && errno == ENOTTY);
	CHECK(!close(fd));
}

static void open_paths(void)
{
	char dir[] = "/tmp/shim-test-XXXXXX", link[64], path[64];
	int dev = open("/dev", O_RDONLY | O_DIRECTORY), fd;

	check_and_close(openat(dev, "kvm", O_RDWR));
	check_and_close(open("/dev/../dev//./kvm", O_RDWR));
	CHECK(!chdir("/dev"));
	check_and_close(open("kvm", O_RDWR));
	check_and_close(open("./kvm", O_RDWR));
	CHECK(mkdtemp(dir));
	snprintf(link, sizeof(link), "%s/link", dir);
	CHECK(!symlink("/dev/kvm", link));
	check_and_close(open(link, O_RDWR));
	CHECK(!unlink(link));
	CHECK(!symlink("../../dev/kvm", link));
	check_and_close(open(link, O_RDWR));
	CHECK(!unlink(link));
	CHECK(!rmdir(dir));
	fd = open("/dev/kvm", O_RDWR);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	check_and_close(open(path, O_RDWR));
	check_and_close(fd);
	close(dev);
}

/* Ways that end at the machine's own device, if it has one, or at nothing. */
static void open_hidden(void)
{
	char dir[] = "/tmp/shim-XXXXXX", link[64], path[32];
	struct open_how how = {.flags = O_RDWR | O_CLOEXEC};
	int fd, copy;

	CHECK(mkdtemp(dir));
	snprintf(link, sizeof(link), "%s/link", dir);
	CHECK(!symlink("/dev/kvm", link));
	fd = open(link, O_RDONLY | O_CLOEXEC);
	CHECK(ioctl(fd, KVM_GET_API_VERSION, 0) == 12 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	check_ours(fd);
	copy = dup(fd);
	CHECK(!close(fd));
	check_and_close(copy);
	check_and_close((int)syscall(SYS_openat2, AT_FDCWD, "/dev/kvm", &how, sizeof(how)));
	check_and_close((int)syscall(SYS_openat2, AT_FDCWD, link, &how, sizeof(how)));
	CHECK(!unlink(link) && !rmdir(dir));
	fd = open("/dev/kvm", O_PATH | O_CLOEXEC);
	CHECK(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	check_and_close(open(path, O_RDWR));
	check_and_close(open(path, O_RDONLY));
	CHECK(!close(fd));
}

/* A stream's descriptor, too: no hook has seen it opened. */
static void open_stream(void)
{
	FILE *f = freopen("/dev/kvm", "r+", fopen("/dev/null", "r"));

	if (!f)
		return; /* the machine has none, and streams do not come to us */
	CHECK(ioctl(fileno(f), KVM_GET_API_VERSION, 0) == 12);
	check_ours(fileno(f));
	fclose(f);
}

static void check_device(const struct stat *st)
{
	CHECK(S_ISCHR(st->st_mode) && st->st_rdev == makedev(10, 232));
	CHECK((st->st_mode & 0666) == 0666);
}

static void stat_device(void)
{
	struct statx stx;
	struct stat st;
	int fd;

	CHECK(!stat("/dev/kvm", &st));
	check_device(&st);
	CHECK(!lstat("/dev/kvm", &st));
	check_device(&st);
	CHECK(!fstatat(AT_FDCWD, "/dev/kvm", &st, 0));
	check_device(&st);
	CHECK(!syscall(SYS_newfstatat, AT_FDCWD, "/dev/kvm", &st, 0));
	check_device(&st);
	CHECK(!statx(AT_FDCWD, "/dev/kvm", 0, STATX_BASIC_STATS, &stx));
	CHECK(S_ISCHR(stx.stx_mode) && stx.stx_rdev_major == 10 && stx.stx_rdev_minor == 232);
	CHECK(!access("/dev/kvm", F_OK) && !access("/dev/kvm", R_OK | W_OK));
	CHECK_ERRNO(access("/dev/kvm", X_OK), EACCES);
	CHECK(!faccessat(AT_FDCWD, "/dev/kvm", R_OK | W_OK, 0));
	CHECK(!euidaccess("/dev/kvm", R_OK | W_OK));
	CHECK(!syscall(SYS_access, "/dev/kvm", R_OK | W_OK));
	fd = open("/dev/kvm", O_RDWR);
	CHECK(!fstat(fd, &st));
	check_device(&st);
	CHECK(!fstatat(fd, "", &st, AT_EMPTY_PATH));
	check_device(&st);
	CHECK(!statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx));
	CHECK(S_ISCHR(stx.stx_mode) && stx.stx_rdev_major == 10 && stx.stx_rdev_minor == 232);
	CHECK(!syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx));
	CHECK(S_ISCHR(stx.stx_mode) && stx.stx_size == 0);
	fd = ioctl(fd, KVM_CREATE_VM, 0);
	CHECK(!statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx));
	CHECK(!(stx.stx_mode & S_IFMT));
	close(fd);
	CHECK(!stat("/dev/null", &st) && st.st_rdev == makedev(1, 3));
	CHECK_ERRNO(stat("/nosuch/kvm", &st), ENOENT);
}

static void module_parameters(void)
{
	static const char path[] = "/sys/module/kvm/parameters/force_emulation_prefix";
	char text[8] = "";
	struct stat st;
	FILE *f;
	int fd = open(path, O_RDONLY);

	CHECK(fd >= 0 && read(fd, text, sizeof(text)) == 2 && !strcmp(text, "0\n"));
	CHECK(read(fd, text, sizeof(text)) == 0);
	CHECK(!close(fd));
	f = fopen(path, "r");
	CHECK(f && fgets(text, sizeof(text), f) && !strcmp(text, "0\n"));
	fclose(f);
	CHECK(!access(path, R_OK) && !stat(path, &st) && S_ISREG(st.st_mode));
	CHECK_ERRNO(open(path, O_RDWR), EACCES);
	CHECK(!stat("/sys/module/kvm/parameters", &st) && S_ISDIR(st.st_mode));
	CHECK(!access("/sys/module/kvm_amd", F_OK) || !access("/sys/module/kvm_intel", F_OK));
	f = fopen("/proc/self/status", "r");
	CHECK(f);
	fclose(f);
}

const struct client_case open_cases[] = {
	{"open-functions", open_functions},
	{"open-flags", open_flags},
	{"open-paths", open_paths},
	{"open-hidden", open_hidden},
	{"open-stream", open_stream},
	{"stat-device", stat_device},
	{"module-parameters", module_parameters},
	{NULL, NULL},
};
