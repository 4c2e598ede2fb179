/* SPDX-License-Identifier: MIT */
/*
 * KVM_CREATE_DEVICE: VFIO's, which is a list of files. There are hardly ever such files where this runs, so a child
 * mounts others under their names.
 */
#include "tests/abi/port.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/dev.h"

static long create(int vm, u32 type, u32 flags)
{
	struct kvm_create_device d = {.type = type, .fd = 4711, .flags = flags};
	long r = kvm_p(vm, KVM_CREATE_DEVICE, &d);

	return r ? r : d.fd;
}

static long attr(int fd, unsigned long request, u32 group, u64 attr, const void *at)
{
	struct kvm_device_attr a = {.group = group, .attr = attr, .addr = (unsigned long)at};

	return kvm_p(fd, request, &a);
}

static long file(int device, u64 what, s32 fd)
{
	return attr(device, KVM_SET_DEVICE_ATTR, KVM_DEV_VFIO_FILE, what, &fd);
}

/* A kernel may be built without it. */
static bool unsupported(int vm)
{
	if (create(vm, KVM_DEV_TYPE_VFIO, KVM_CREATE_DEVICE_TEST) >= 0)
		return false;
	assert_true(port.real);
	print_message("this kernel's KVM has no VFIO device\n");
	return true;
}

static void test_create(void **state)
{
	int sys = kvm_open(), vm = (int)kvm(sys, KVM_CREATE_VM, 0), copy;
	long device;

	if (!unsupported(vm)) {
		assert_int_equal(kvm(vm, KVM_CHECK_EXTENSION, KVM_CAP_DEVICE_CTRL), 1);
		assert_int_equal(create(vm, KVM_DEV_TYPE_VFIO, KVM_CREATE_DEVICE_TEST), 4711);
		device = create(vm, KVM_DEV_TYPE_VFIO, 2); /* no flag that anybody knows */
		assert_true(device >= 0 && device != 4711);
		assert_int_equal(fcntl((int)device, F_GETFD), FD_CLOEXEC);
		assert_int_equal(fcntl((int)device, F_GETFL) & O_ACCMODE, O_RDWR);
		assert_int_equal(create(vm, KVM_DEV_TYPE_VFIO, 0), -EBUSY);
		assert_int_equal(create(vm, KVM_DEV_TYPE_VFIO, KVM_CREATE_DEVICE_TEST), 4711);
		copy = dup((int)device);
		kvm_close((int)device);
		assert_int_equal(create(vm, KVM_DEV_TYPE_VFIO, 0), -EBUSY);
		kvm_close(copy);
		device = create(vm, KVM_DEV_TYPE_VFIO, 0);
		assert_true(device >= 0);
		/* It keeps the vm. */
		kvm_close(vm);
		assert_int_equal(attr((int)device, KVM_HAS_DEVICE_ATTR, KVM_DEV_VFIO_FILE,
					 KVM_DEV_VFIO_FILE_ADD, NULL),
			0);
		kvm_close((int)device);
	} else {
		kvm_close(vm);
	}
	kvm_close(sys);
}

static void check_attrs(int fd)
{
	const u64 add = KVM_DEV_VFIO_FILE_ADD, del = KVM_DEV_VFIO_FILE_DEL;
	const u32 files = KVM_DEV_VFIO_FILE;

	assert_int_equal(attr(fd, KVM_HAS_DEVICE_ATTR, files, add, NULL), 0);
	assert_int_equal(attr(fd, KVM_HAS_DEVICE_ATTR, files, del, NULL), 0);
	assert_int_equal(attr(fd, KVM_HAS_DEVICE_ATTR, files, 0, NULL), -ENXIO);
	assert_int_equal(
		attr(fd, KVM_HAS_DEVICE_ATTR, files, KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE, NULL),
		-ENXIO);
	assert_int_equal(attr(fd, KVM_HAS_DEVICE_ATTR, 0, add, NULL), -ENXIO);
	assert_int_equal(attr(fd, KVM_SET_DEVICE_ATTR, 2, add, NULL), -ENXIO);
	assert_int_equal(file(fd, KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE, 0), -ENXIO);
	assert_int_equal(attr(fd, KVM_SET_DEVICE_ATTR, files, add, (void *)BAD_POINTER), -EFAULT);
	assert_int_equal(attr(fd, KVM_SET_DEVICE_ATTR, files, del, (void *)BAD_POINTER), -EFAULT);
	assert_int_equal(kvm_p(fd, KVM_HAS_DEVICE_ATTR, (void *)BAD_POINTER), -EFAULT);
	assert_int_equal(kvm_p(fd, KVM_SET_DEVICE_ATTR, (void *)BAD_POINTER), -EFAULT);
	/* There is nothing to get, so nobody looks at the pointer. */
	assert_int_equal(kvm_p(fd, KVM_GET_DEVICE_ATTR, (void *)BAD_POINTER), -EPERM);
	assert_int_equal(kvm(fd, KVM_RUN, 0), -ENOTTY);
	assert_int_equal(kvm(fd, KVM_CHECK_EXTENSION, 0), -ENOTTY);
}

static void test_attrs(void **state)
{
	int sys = kvm_open(), vm = (int)kvm(sys, KVM_CREATE_VM, 0),
	    null = open("/dev/null", O_RDWR), fd;

	if (!unsupported(vm)) {
		fd = (int)create(vm, KVM_DEV_TYPE_VFIO, 0);
		check_attrs(fd);
		assert_int_equal(file(fd, KVM_DEV_VFIO_FILE_ADD, -1), -EBADF);
		assert_int_equal(file(fd, KVM_DEV_VFIO_FILE_DEL, 9999), -EBADF);
		assert_int_equal(file(fd, KVM_DEV_VFIO_FILE_ADD, null), -EINVAL);
		assert_int_equal(file(fd, KVM_DEV_VFIO_FILE_ADD, vm), -EINVAL);
		assert_int_equal(file(fd, KVM_DEV_VFIO_FILE_ADD, fd), -EINVAL);
		assert_int_equal(file(fd, KVM_DEV_VFIO_FILE_DEL, null), -ENOENT);
		if (!port.real)
			assert_int_equal(dev_mmap_check(port.dev, fd, 1, 1, PAGE_SIZE, 0), -ENODEV);
		kvm_close(fd);
	}
	close(null);
	kvm_close(vm);
	kvm_close(sys);
}

/* In a forked child it refuses, as its vm does, and closing it there changes nothing for the parent. */
static void test_fork(void **state)
{
	int sys = kvm_open(), vm = (int)kvm(sys, KVM_CREATE_VM, 0), fd, status;
	pid_t pid;

	if (!unsupported(vm)) {
		fd = (int)create(vm, KVM_DEV_TYPE_VFIO, 0);
		fflush(stdout);
		pid = fork();
		if (!pid) {
			bool refused = file(fd, KVM_DEV_VFIO_FILE_ADD, 0) == -EIO;

			kvm_close(fd);
			_exit(!refused);
		}
		waitpid(pid, &status, 0);
		assert_int_equal(status, 0);
		assert_int_equal(create(vm, KVM_DEV_TYPE_VFIO, 0), -EBUSY);
		assert_int_equal(file(fd, KVM_DEV_VFIO_FILE_DEL, 0), -ENOENT);
		kvm_close(fd);
	}
	kvm_close(vm);
	kvm_close(sys);
}

/* ---- files that look like VFIO's, in a child with mounts of its own ---- */

#define CANNOT 77

/* An empty /dev/vfio/, and in it what else is in /dev. */
static bool show_as(int source, const char *name)
{
	char from[32], to[64];
	int fd;

	snprintf(from, sizeof(from), "/proc/self/fd/%d", source);
	snprintf(to, sizeof(to), "/dev/vfio/%s", name);
	fd = open(to, O_CREAT | O_RDWR, 0600);
	if (fd < 0)
		return false;
	close(fd);
	return !mount(from, to, NULL, MS_BIND, NULL);
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return ok;
}

/* Mounts are root's; for others there is a name space in which they are. */
static bool own_mounts(void)
{
	char uids[32], gids[32];

	snprintf(uids, sizeof(uids), "0 %u 1", geteuid());
	snprintf(gids, sizeof(gids), "0 %u 1", getegid());
	if (!unshare(CLONE_NEWNS))
		return true;
	return !unshare(CLONE_NEWUSER | CLONE_NEWNS) &&
	       write_file("/proc/self/setgroups", "deny") &&
	       write_file("/proc/self/uid_map", uids) && write_file("/proc/self/gid_map", gids);
}

static bool make_vfio(void)
{
	static const char *const of[][2] = {
		{"/dev/null", "7"}, {"/dev/zero", "8"}, {"/dev/full", "vfio"}};
	int source[ARRAY_SIZE(of)];

	if (!own_mounts())
		return false;
	for (unsigned i = 0; i < ARRAY_SIZE(of); i++)
		source[i] = open(of[i][0], O_PATH); /* of the mounts that are ours now */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		mount("none", "/dev", "tmpfs", 0, NULL) || mkdir("/dev/vfio", 0700))
		return false;
	for (unsigned i = 0; i < ARRAY_SIZE(of); i++)
		if (!show_as(source[i], of[i][1]))
			return false;
	return true;
}

/* How many descriptors the process has of the file, and whether all are out of the way of a program's. */
static unsigned open_count(const char *name, bool *ret_high)
{
	char path[32], link[64];
	unsigned n = 0;

	*ret_high = true;
	for (int fd = 0; fd < 1024; fd++) {
		ssize_t size;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		size = readlink(path, link, sizeof(link) - 1);
		link[size > 0 ? size : 0] = 0;
		if (strcmp(link, name))
			continue;
		n++;
		*ret_high &= fd >= 512;
	}
	return n;
}

#define NEED(ok)                                                                                   \
	do {                                                                                       \
		if (!(ok)) {                                                                       \
			fprintf(stderr, "%d: %s\n", __LINE__, #ok);                                \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

static int check_files(int vm)
{
	const u64 add = KVM_DEV_VFIO_FILE_ADD, del = KVM_DEV_VFIO_FILE_DEL;
	int fd = (int)create(vm, KVM_DEV_TYPE_VFIO, 0);
	int group = open("/dev/vfio/7", O_RDWR), other = open("/dev/vfio/8", O_RDWR);
	int container = open("/dev/vfio/vfio", O_RDWR), copy = dup(group);
	bool high;

	NEED(fd >= 0 && group >= 0 && other >= 0 && container >= 0);
	NEED(file(fd, add, container) == -EINVAL);
	NEED(file(fd, add, group) == 0);
	NEED(file(fd, add, group) == -EEXIST);
	NEED(file(fd, add, copy) == -EEXIST);
	NEED(file(fd, del, other) == -ENOENT);
	NEED(file(fd, add, other) == 0);
	NEED(open_count("/dev/vfio/8", &high) == 2);
	close(other);
	NEED(open_count("/dev/vfio/8", &high) == 1 && high);
	close(group);
	NEED(file(fd, del, copy) == 0);
	NEED(file(fd, del, copy) == -ENOENT);
	NEED(open_count("/dev/vfio/7", &high) == 1);
	for (int i = 0; i < 20; i++) /* more than there was room for; each is a file of its own */
		NEED(file(fd, add, open("/dev/vfio/7", O_RDWR)) == 0);
	kvm_close(fd);
	NEED(open_count("/dev/vfio/8", &high) == 0);
	NEED(open_count("/dev/vfio/7", &high) == 21);
	close(copy);
	return 0;
}

/* A filter that answers kcmp() with an error: files are told apart by their inodes. */
static bool forbid_kcmp(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_kcmp, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {ARRAY_SIZE(code), code};

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static int check_without_kcmp(int vm)
{
	int fd = (int)create(vm, KVM_DEV_TYPE_VFIO, 0);
	int group = open("/dev/vfio/7", O_RDWR), other = open("/dev/vfio/8", O_RDWR);

	NEED(forbid_kcmp());
	NEED(file(fd, KVM_DEV_VFIO_FILE_ADD, group) == 0);
	NEED(file(fd, KVM_DEV_VFIO_FILE_ADD, dup(group)) == -EEXIST);
	NEED(file(fd, KVM_DEV_VFIO_FILE_ADD, other) == 0);
	NEED(file(fd, KVM_DEV_VFIO_FILE_DEL, group) == 0);
	NEED(file(fd, KVM_DEV_VFIO_FILE_DEL, group) == -ENOENT);
	return 0;
}

static int files_child(void)
{
	int sys, vm, r;

	if (!make_vfio())
		return CANNOT;
	sys = kvm_open();
	vm = (int)kvm(sys, KVM_CREATE_VM, 0);
	r = check_files(vm);
	return r ? r : check_without_kcmp(vm);
}

static void test_files(void **state)
{
	int status;
	pid_t pid;

	if (port.real)
		return; /* the kernel is not deceived by names */
	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(files_child());
	waitpid(pid, &status, 0);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == CANNOT)
		print_message("no mounts of our own here: files of VFIO were not tried\n");
	else
		assert_int_equal(WEXITSTATUS(status), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_attrs),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_files),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
