/* SPDX-License-Identifier: MIT */
/*
 * What went wrong, as one sentence for the person at the terminal: what is wrong, a colon, what to do. Functions that
 * take a failure return 0 or -1 and set it in the second case only.
 */
#ifndef BOOT_CORE_FAILURE_H
#define BOOT_CORE_FAILURE_H

struct failure {
	char text[512];
};

/* Sets the sentence and returns -1. */
int failure_set(struct failure *f, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
