/* SPDX-License-Identifier: MIT */
/* What the scenarios of the static test programs share. Plain libc, as musl and glibc both have it. */
#ifndef TESTS_SHIM_STATIC_H
#define TESTS_SHIM_STATIC_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A failed check ends the program: what follows would only confuse. */
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s (errno %d: %s)\n", __FILE__, __LINE__,          \
				#condition, errno, strerror(errno));                               \
			_Exit(1);                                                                  \
		}                                                                                  \
	} while (0)

struct scenario {
	const char *name;
	void (*run)(void);
};

static inline int run_scenario(const struct scenario *list, int argc, char **argv)
{
	const struct scenario *s;

	for (s = list; s->name; s++) {
		if (argc == 2 && strcmp(argv[1], s->name))
			continue;
		if (argc == 1) {
			puts(s->name);
			continue;
		}
		s->run();
		return 0;
	}
	return argc == 1 ? 0 : 2;
}

#endif
