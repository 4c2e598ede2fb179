/* SPDX-License-Identifier: MIT */
/*
 * A program that has nothing but an installed libuvmi. It is the VM as well: what that sends at the beginning is in the
 * socket before the tool looks. It is C99 and C++98 at once, because tools/check-install compiles it as both.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uvmi.h>

/* The greeting: its size, UUID, padding, time of start, name. */
static int greet(int fd)
{
	char greeting[96];

	memset(greeting, 0, sizeof(greeting));
	greeting[0] = sizeof(greeting);
	strcpy(greeting + 32, "hello");
	return write(fd, greeting, sizeof(greeting)) == (ssize_t)sizeof(greeting);
}

/* The answer to GET_VERSION: its number 2, 16 bytes, sequence number 1; no error; version 1. */
static int answer(int fd)
{
	static const unsigned char bytes[24] = {2, 0, 16, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

	return write(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes);
}

int main(void)
{
	struct uvmi *session;
	int fds[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) || !greet(fds[0]) || !answer(fds[0]))
		return 1;
	r = uvmi_adopt(fds[1], NULL, &session);
	if (r)
		return 1;
	printf("%s\n%s\n", uvmi_vm(session)->name, uvmi_command_name(UVMI_GET_VERSION));
	uvmi_close(session);
	close(fds[0]);
	return 0;
}
