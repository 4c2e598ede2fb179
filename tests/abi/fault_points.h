/* SPDX-License-Identifier: MIT */
/*
 * Everything in the engine that can fail for want of memory, descriptors or threads, made to fail once, at will:
 * system calls by sys_call(), the C library's allocation, new threads.
 */
#ifndef TESTS_ABI_FAULT_POINTS_H
#define TESTS_ABI_FAULT_POINTS_H

#include <stdbool.h>

/* From now on, nth (from 0) such call fails; the ones before and after it do not. */
void fail_from(unsigned nth);
/* None fails any more. Did one? */
bool fail_stop(void);
/* What it was. */
const char *fail_name(void);

#endif
