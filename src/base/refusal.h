/* SPDX-License-Identifier: MIT */
/*
 * Why a request was refused: one sentence, written where the check is, for whoever asked and wants to know.
 *
 * Errors travel as -errno; this is what goes beside. It is owned by the caller, so it costs nothing where nobody
 * asks and where nothing is refused, and what two threads are told stays apart. Numbers are kept as they are and put
 * into the sentence when it is read (refusal_text()): inner code may refuse as well.
 */
#ifndef BASE_REFUSAL_H
#define BASE_REFUSAL_H

#include "base/types.h"

struct refusal {
	const char *why; /* of printf's kind; NULL: nothing was said */
	u64 number[3];   /* its arguments */
	/* Which of several things, or NULL; comes before why. */
	const char *where;
	u64 at[2];
};

static inline __attribute__((format(printf, 1, 2))) void refusal_check(const char *format, ...)
{
}

static inline int refusal_set(struct refusal *r, int error, const char *why, const u64 number[4])
{
	if (r) {
		r->where = NULL;
		r->why = why;
		for (int i = 0; i < 3; i++)
			r->number[i] = number[i + 1];
	}
	return error;
}

static inline void refusal_set_where(struct refusal *r, const char *where, const u64 at[3])
{
	if (r && r->why) {
		r->where = where;
		r->at[0] = at[1];
		r->at[1] = at[2];
	}
}

/*
 * The value is error. r may be NULL. Then comes a literal with at most three numbers, all u64: %lu or %lx; they are
 * evaluated twice. It begins with the field that is wrong, as the interface names it.
 */
#define refuse(r, error, why, ...)                                                                 \
	(refusal_check(why, ##__VA_ARGS__),                                                        \
		refusal_set(r, error, why, (const u64[4]){0, ##__VA_ARGS__}))
/* For who has asked about several things and knows which one was refused: at most two numbers. */
#define refused_at(r, where, ...)                                                                  \
	(refusal_check(where, ##__VA_ARGS__),                                                      \
		refusal_set_where(r, where, (const u64[3]){0, ##__VA_ARGS__}))
/* result, explained if it is error: for callers who know what that can only mean. */
#define refuse_if(r, result, error, why, ...)                                                      \
	({                                                                                         \
		__typeof__(result) result_ = (result);                                             \
		if (result_ == (error))                                                            \
			refuse(r, error, why, ##__VA_ARGS__);                                      \
		result_;                                                                           \
	})

/* Writes the sentence, cut to n bytes; returns text. There must be one. */
char *refusal_text(const struct refusal *r, char *text, size_t n);

#endif
