/* SPDX-License-Identifier: MIT */
/* Assertions are for our own mistakes only; guests and callers get exceptions and -errno. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

_Noreturn void check_failed(const char *expr, const char *file, int line);

/* Stays on in release builds: a wrong hypervisor must stop before it corrupts a guest. */
#define uv_assert(expr) ((expr) ? (void)0 : check_failed(#expr, __FILE__, __LINE__))

#endif
