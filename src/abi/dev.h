/* SPDX-License-Identifier: MIT */
/*
 * /dev/kvm as objects, with no interception and no system call: what the shim and libkvm's soft port call.
 *
 * Descriptors are real ones (memfds): mmap, dup, poll, close-on-exec and passing them around work by
 * themselves. close() of the last duplicate must be told with dev_close().
 */
#ifndef ABI_DEV_H
#define ABI_DEV_H

#include "base/types.h"

struct dev; /* the open descriptors of one process-wide or private set; no hidden globals */

int dev_create(struct dev **ret);
void dev_destroy(struct dev *d); /* closes what is still open */

/* Like open("/dev/kvm", flags): a descriptor or -errno. */
int dev_open_kvm(struct dev *d, int flags);
/* Like ioctl(): result >= 0 or -errno. -ENOTTY for a descriptor that is not ours is never returned: see dev_owns. */
long dev_ioctl(struct dev *d, int fd, unsigned long request, unsigned long arg);
bool dev_owns(struct dev *d, int fd);
int dev_close(struct dev *d, int fd);

#endif
