/* SPDX-License-Identifier: MIT */
/* The caller's memory: 0 or -EFAULT, never a fault. */
#ifndef ABI_USER_H
#define ABI_USER_H

#include "base/types.h"

struct dev;

int copy_in(struct dev *d, void *to, unsigned long from, size_t n);
int copy_out(struct dev *d, unsigned long to, const void *from, size_t n);
/* A copy of n items that follow a header; NULL in *ret if n is 0. Free with free(). -ENOMEM. */
int copy_in_array(struct dev *d, void **ret, unsigned long from, size_t n, size_t item);

#endif
