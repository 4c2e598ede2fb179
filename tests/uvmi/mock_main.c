/* SPDX-License-Identifier: MIT */
/*
 * The mock as a program: connects to a tool as often as is said, and then tells what has become of its guest.
 *
 * usage: uvmi-mock PATH [v5] [times=N] [vcpus=N] [started=N] [idle=N] [events=MASK] [ram=LIE] [no-translate] [no-query]
 *                  [no-step] [cookie] [name=TEXT]
 *
 * cookie: the tool must know that of the tests ("abc"). idle: instructions of each vCPU; then it waits for the tool.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "mock.h"

#define TRIES 2000 /* of 10 ms */

static const u8 hash_of_abc[20] = {0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e, 0x25,
	0x71, 0x78, 0x50, 0xc2, 0x6c, 0x9c, 0xd0, 0xd8, 0x9d};

static bool take(const char *word, struct mock_config *c, unsigned *times)
{
	const struct {
		const char *name;
		bool *flag;
		unsigned *number;
	} words[] = {{"v5", &c->v5, NULL}, {"no-translate", &c->no_translate, NULL},
		{"no-query", &c->no_query, NULL}, {"no-step", &c->no_step, NULL},
		{"times=", NULL, times}, {"vcpus=", NULL, &c->vcpus},
		{"started=", NULL, &c->started}, {"events=", NULL, &c->events},
		{"ram=", NULL, &c->ram}};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		const size_t n = strlen(words[i].name);

		if (words[i].flag && !strcmp(word, words[i].name))
			return *words[i].flag = true;
		if (words[i].number && !strncmp(word, words[i].name, n)) {
			*words[i].number = (unsigned)strtoul(word + n, NULL, 0);
			return true;
		}
	}
	if (!strncmp(word, "idle=", 5))
		c->idle = strtoull(word + 5, NULL, 0);
	else if (!strncmp(word, "name=", 5))
		c->name = word + 5;
	else if (!strcmp(word, "cookie"))
		c->cookie_hash = hash_of_abc;
	else
		return false;
	return true;
}

/* As a VM does: again and again, until the tool is there. */
static int dial(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	strncpy(a.sun_path, path, sizeof(a.sun_path) - 1);
	for (int i = 0; i < TRIES; i++) {
		const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (!connect(fd, (struct sockaddr *)&a, sizeof(a)))
			return fd;
		close(fd);
		usleep(10000);
	}
	return -1;
}

static void tell(const struct mock *m)
{
	bool open = true;

	for (size_t i = 0; i < ARRAY_SIZE(m->rights); i++)
		open &= m->rights[i] == 7;
	printf("code %s, pages %s, reinjected %u, crashed %u\n",
		memcmp(m->ram + MOCK_CODE, MOCK_PROGRAM, sizeof(MOCK_PROGRAM) - 1) ? "changed"
										   : "intact",
		open ? "open" : "restricted", m->reinjected, m->crashed);
}

int main(int argc, char **argv)
{
	struct mock_config c = {.vcpus = 1};
	unsigned times = 1;
	struct mock m;

	for (int i = 2; i < argc; i++)
		if (!take(argv[i], &c, &times))
			return 2;
	if (argc < 2 || c.vcpus > MOCK_VCPUS_MAX)
		return 2;
	mock_init(&m, &c);
	while (times) {
		const int fd = dial(argv[1]);

		if (fd < 0)
			return 1;
		times -= mock_serve(&m, fd) == 0 ||
			 c.cookie_hash; /* a tool that was about to end does not count */
		close(fd);
	}
	tell(&m);
	mock_free(&m);
	return 0;
}
