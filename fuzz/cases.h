/* SPDX-License-Identifier: MIT */
/*
 * What the fuzzers that work in cases have in common: a case is made from the seed and its number, so that
 * `--seed S --case N` makes it again.
 *
 * Cases run in a child process, which a parent watches: it is told of crashes, aborts and sanitizers' reports by the child's
 * end, and of hangs by a counter that no longer moves. So a finding never hides what comes after it: --keep-going.
 */
#ifndef FUZZ_CASES_H
#define FUZZ_CASES_H

#include <stdarg.h>

#include "fuzz/random.h"

/* ---- random numbers: random.h ---- */

/* A stream of its own for a thread, or for a part that must not change what comes after it. */
struct random rnd_fork(struct random *r);
/* Numbers on the edge of something. */
u64 rnd_edge(struct random *r);

/* ---- a fuzzer ---- */

struct fuzzer {
	const char *name;
	const char *const *ingredients; /* what --without can leave out; ends with NULL */
	unsigned pass_seconds;          /* of the short pass */
	unsigned hang_seconds;          /* a case that makes no progress() for so long hangs */
	const char *worst;              /* what note_worst() is about, NULL: nothing */
	int interrupts;                 /* a signal that only interrupts, 0: none */
	void (*one_case)(struct random *r);
};

/* main() of a fuzzer; the exit code. */
int fuzz_main(const struct fuzzer *f, int argc, char **argv);

/* Is this ingredient in? The number is its place in the list. */
bool with(unsigned ingredient);
/* The case goes on, and does this now; what was said last is shown with a hang or a crash. Any thread. */
void progress(const char *what);
/* --trace: every step, on stderr. */
__attribute__((format(printf, 1, 2))) void tell(const char *format, ...);
/* Says it with what replays the case, and ends the child. Any thread. */
__attribute__((format(printf, 1, 2))) _Noreturn void finding(const char *format, ...);
/* What is counted in the summary. Any thread. */
void count_step(void);
/* The highest is in the summary. Any thread. */
void note_worst(u64 value);

#endif
