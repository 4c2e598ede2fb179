/* SPDX-License-Identifier: MIT */
/* A static program that a dynamic one starts: it needs our /dev/kvm, and executes its arguments. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char *none[] = {NULL};
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	/* The kernel's own device has no seals. */
	if (fd < 0 || ioctl(fd, KVM_GET_API_VERSION, 0) != 12 || fcntl(fd, F_GET_SEALS) <= 0) {
		printf("static program: /dev/kvm is descriptor %d\n", fd);
		return 1;
	}
	if (argc < 2)
		return 0;
	execve(argv[1], argv + 1, none);
	perror("static program: execve");
	return 1;
}
