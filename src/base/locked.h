/* SPDX-License-Identifier: MIT */
/* "The caller holds this lock", said so that sanitized builds check it. Another thread's holding it goes unnoticed. */
#ifndef BASE_LOCKED_H
#define BASE_LOCKED_H

#include <errno.h>
#include <pthread.h>

#include "base/check.h"

#define uv_assert_locked(mutex) uv_assert(!UV_SANITIZED || pthread_mutex_trylock(mutex) == EBUSY)

#endif
