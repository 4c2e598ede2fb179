/* SPDX-License-Identifier: MIT */
/* A static program that a dynamic one starts: it needs our /dev/kvm, and executes its arguments. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char path[32], link[64] = "", *none[] = {NULL};
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || ioctl(fd, KVM_GET_API_VERSION, 0) != 12 ||
		(!access("/proc/self", F_OK) && (readlink(path, link, sizeof(link) - 1) < 0 ||
							!strstr(link, "uservisor-kvm")))) {
		printf("static program: /dev/kvm is descriptor %d, %s\n", fd, link);
		return 1;
	}
	if (argc < 2)
		return 0;
	execve(argv[1], argv + 1, none);
	perror("static program: execve");
	return 1;
}
